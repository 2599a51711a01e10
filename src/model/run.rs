//! An agent run at the service, what its status words mean to us, and how the service calls a repository.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

/// What a status word of the service means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// It works or waits; also for every word that we do not know.
    Alive,
    /// It completed.
    Succeeded,
    /// It failed, timed out or ran out of something.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

impl RunPhase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Succeeded, Self::Failed, Self::Stopped];

    /// The phase as rows and answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl FromStr for RunPhase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no phase; there are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Reads a status word, in any case; `None` and unknown words are not ended. The second value tells whether the word is
/// known. The words are those of Codegen's CLI, terminal UI, Raycast extension and documentation; no one list has all.
pub fn phase_of(status: Option<&str>) -> (RunPhase, bool) {
    let Some(status) = status else { return (RunPhase::Alive, false) };
    match status.trim().to_ascii_uppercase().as_str() {
        "ACTIVE" | "RUNNING" | "PENDING" | "EVALUATION" | "PAUSED" | "QUEUED" | "IN_PROGRESS" => {
            (RunPhase::Alive, true)
        }
        "COMPLETE" | "COMPLETED" => (RunPhase::Succeeded, true),
        "ERROR" | "FAILED" | "TIMEOUT" | "MAX_ITERATIONS_REACHED" | "OUT_OF_TOKENS" => (RunPhase::Failed, true),
        "CANCELLED" | "STOPPED" => (RunPhase::Stopped, true),
        _ => (RunPhase::Alive, false),
    }
}

/// A run as the service last described it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id at the service.
    pub id: i64,
    /// The status word, as given.
    pub status: Option<String>,
    /// Where a person can look at it; only `http` and `https` addresses are kept.
    pub url: Option<String>,
    /// What it says about its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Its summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The changes that it opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_requests: Vec<RunChange>,
}

/// A change that a run opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunChange {
    /// Where it can be looked at.
    pub url: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its head branch: what marks the subject as our own.
    pub branch: Option<String>,
}

/// A run beside the job it belongs to, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The job that made it.
    pub job: String,
    /// The rule of that job.
    pub rule: String,
    /// What the job is about.
    pub subject: String,
    /// What the status means to us.
    pub phase: RunPhase,
    /// When we first knew of it.
    pub created_at: Timestamp,
    /// When we last heard of it.
    pub seen_at: Timestamp,
    /// When it ended, as far as we know.
    pub ended_at: Option<Timestamp>,
}

/// How Codegen knows a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum RepoTarget {
    /// By its full name there, e.g. "acme/widgets".
    Name(String),
    /// By its id there.
    Id(i64),
}
