//! Copies of a SQLite file while it is in use, and their way back.

use std::path::{Path, PathBuf};

use super::db::{self, Database};
use super::errors::{Result, StoreError};
use super::restored;
use crate::model::clock::Timestamp;

/// Copies the database of `url` into a new file, while others read and write it: the copy is the database as it was at
/// one moment. It remembers that it is a backup made at `now`.
pub async fn back_up(url: &str, into: &Path, now: Timestamp) -> Result<()> {
    let from = file_of(url)?;
    must_be_new(into)?;
    let partial = unfinished(into);
    let copied = async {
        db::copy_file(&from, &partial).await?;
        let mut conn = db::open_copy(&partial)?;
        restored::mark(&mut conn, now).await?;
        db::finish_copy(conn)?;
        std::fs::rename(&partial, into).map_err(|cause| StoreError::File { path: into.to_owned(), cause })
    };
    let copied = copied.await;
    if copied.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    copied
}

/// Puts a backup in the place of a database that is not there (any more). What it holds is checked first.
pub async fn restore(backup: &Path, url: &str) -> Result<()> {
    let into = file_of(url)?;
    must_be_new(&into)?;
    let _lock = db::sqlite::own(&into)?;
    let partial = unfinished(&into);
    db::check_file(backup)?;
    let copied = db::copy_file(backup, &partial).await.and_then(|()| {
        db::finish_copy(db::open_copy(&partial)?)?;
        std::fs::rename(&partial, &into).map_err(|cause| StoreError::File { path: into.clone(), cause })
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    copied
}

fn file_of(url: &str) -> Result<PathBuf> {
    Database::file_of(url)?.ok_or_else(|| {
        StoreError::Address("PostgreSQL is backed up and restored with its own pg_dump and pg_restore".to_owned())
    })
}

/// Neither the file nor what belongs to one of the same name may be there: SQLite would take the log of the old one for
/// that of the new one.
fn must_be_new(path: &Path) -> Result<()> {
    let logs = ["-wal", "-shm", "-journal"].map(|ending| with_ending(path, ending));
    for path in std::iter::once(path.to_owned()).chain(logs) {
        if path.exists() {
            let cause = std::io::Error::new(
                std::io::ErrorKind::AlreadyExists,
                "is there already; move it away, nothing is overwritten",
            );
            return Err(StoreError::File { path, cause });
        }
    }
    Ok(())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// A name for a copy that is not whole yet; what an attempt before left there goes.
fn unfinished(path: &Path) -> PathBuf {
    let partial = with_ending(path, ".partial");
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(with_ending(&partial, ending));
    }
    partial
}
