//! The runs of a sandbox, by ids that grow.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::run::Run;
use crate::model::clock::Timestamp;

/// 2025-01-01T00:00:00Z in unix milliseconds.
const ID_EPOCH: i64 = 1_735_689_600_000;

/// A run as somebody sees it who looks into the sandbox, with what the API does not tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SandboxRun {
    /// Its id.
    pub id: i64,
    /// Whose token created it.
    pub user_id: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its status now.
    pub status: Option<String>,
    /// The `repo_id` of its creation.
    pub repo_id: Option<i64>,
    /// The metadata of its creation.
    pub metadata: Option<Map<String, Value>>,
    /// The prompt of its creation, then those of its resumes.
    pub prompts: Vec<String>,
    /// Whether its change is banned.
    pub banned: bool,
}

/// All runs.
#[derive(Debug)]
pub(super) struct Runs {
    runs: BTreeMap<i64, Run>,
    next_id: i64,
}

impl Runs {
    /// No runs yet. The first id comes from the clock (seconds since 2025), so that ids go on growing when a sandbox is
    /// started again and nobody mistakes a new run for one that he remembers.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { runs: BTreeMap::new(), next_id: ((now.0 - ID_EPOCH) / 1000).max(1) }
    }

    /// A new id.
    pub(super) fn next_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// Keeps a run.
    pub(super) fn add(&mut self, run: Run) {
        self.runs.insert(run.id, run);
    }

    /// The run with this id.
    pub(super) fn find(&mut self, id: i64) -> Option<&mut Run> {
        self.runs.get_mut(&id)
    }

    /// All runs, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().rev()
    }

    /// All runs as they are at `now`, the oldest first.
    pub(super) fn look(&self, now: Timestamp) -> Vec<SandboxRun> {
        self.runs
            .values()
            .map(|run| SandboxRun {
                id: run.id,
                user_id: run.user_id,
                created_at: run.created_at,
                status: run.status(now).map(str::to_owned),
                repo_id: run.repo_id,
                metadata: run.metadata.clone(),
                prompts: run.prompts(),
                banned: run.banned,
            })
            .collect()
    }
}
