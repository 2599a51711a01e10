//! What can go wrong with the store, told apart by what the caller should do.

use std::path::PathBuf;

use thiserror::Error;

/// An error of the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot write now: locked, out of time, disk full. Trying again later may help. Nothing was changed, unless a server went away with the
    /// answer to a commit: then nobody knows.
    #[error("the database cannot take this now: {0}")]
    Busy(String),
    /// Another process owns the file.
    #[error("{} belongs to another hookrun that is running; stop it first, or use a database of your own", path.display())]
    Owned {
        /// The database file.
        path: PathBuf,
    },
    /// The address of the database is not one that this build understands.
    #[error("{0}")]
    Address(String),
    /// A stored row is not what it must be: the data is wrong, not the database down.
    #[error("a row of {table} has a bad {column}: {detail}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The row was not in the state that the change needs, or has changed since it was read.
    #[error("{0}")]
    Conflict(String),
    /// There is no such row.
    #[error("there is no {0}")]
    NotFound(String),
    /// A cursor that no page of ours gave.
    #[error("the cursor is not one of ours")]
    BadCursor,
    /// The session with the database broke off; for the store it is [`Self::Busy`].
    #[error("the database went away: {0}")]
    Lost(String),
    /// What is stored is not a database any more, or was never one. Nothing can be taken before a person has seen to it.
    #[error("the database is damaged ({0}): stop hookrun and restore a backup")]
    Damaged(String),
    /// Anything else.
    #[error("database: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The schema is not one that this version of hookrun can bring up to date.
    #[error("{0}")]
    Schema(String),
    /// The file or its folder cannot be used.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why; part of the message, and so no source of it.
        cause: std::io::Error,
    },
}

impl StoreError {
    /// What a lost session is to those who cannot know which session it was.
    pub(super) fn settled(self) -> Self {
        match self {
            Self::Lost(reason) => Self::Busy(reason),
            other => other,
        }
    }
}

/// The result of every call of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
