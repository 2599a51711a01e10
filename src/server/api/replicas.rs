//! The processes that share the database, in answers of the status API.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::ReplicaRecord;

/// A process that uses the database.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct ReplicaItem {
    /// Its id, new at every start.
    pub id: String,
    /// The machine that it runs on.
    pub name: String,
    /// When it was started.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it was heard of last; with SQLite that is its start, for there is no other that could ask.
    #[schema(format = DateTime)]
    pub seen_at: String,
    /// Whether it is the one that answers.
    pub this: bool,
    /// What only one of them does at a time, and this one does now: `follow`, `reconcile`, `repos`, `sweep`.
    pub duties: Vec<String>,
}

impl From<ReplicaRecord> for ReplicaItem {
    fn from(record: ReplicaRecord) -> Self {
        let ReplicaRecord { id, name, started_at, seen_at, this, duties } = record;
        Self { id, name, started_at: started_at.to_rfc3339(), seen_at: seen_at.to_rfc3339(), this, duties }
    }
}
