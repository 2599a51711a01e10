//! What a gate may look at before a job is sent, and what it may answer.

use super::clock::Timestamp;
use super::decision::GateRecord;
use super::job::Job;
use super::limits::CallClass;

/// Everything that the gates look at, read in the transaction that releases the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The job as it stands.
    pub job: Job,
    /// The time of the decision.
    pub now: Timestamp,
    /// Jobs on the same subject that have or may have an unfinished run, this one not counted.
    pub active_on_subject: u32,
    /// How many distinct commits of the subject were acted upon since the count was last reset; `None` when it could
    /// not be read, and then nothing is sent.
    pub attempts: Option<u32>,
    /// Whether this job's commit is one of them.
    pub sha_counted: bool,
    /// Classes that are frozen, with the reason and the end.
    pub freezes: Vec<Freeze>,
    /// The use of every class's window.
    pub windows: Vec<WindowUse>,
}

/// A class of calls that may not be used for a while.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Freeze {
    /// The class.
    pub class: CallClass,
    /// Until when.
    pub until: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// How much of a class's window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WindowUse {
    /// The class.
    pub class: CallClass,
    /// Slots of calls that are under way or ended less than a window ago.
    pub used: u32,
    /// Slots there are.
    pub limit: u32,
    /// When a slot will be free; `None` when one is free now, or when all are held by calls under way.
    pub next_free: Option<Timestamp>,
}

impl WindowUse {
    /// How many slots are free now.
    pub fn free(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

/// The answer of the gates together.
#[derive(Clone, Debug, PartialEq)]
pub struct GateAnswer {
    /// What is to become of the job.
    pub outcome: GateOutcome,
    /// What each gate said, in the order in which they were asked, up to the first that did not let it pass.
    pub records: Vec<GateRecord>,
}

/// What is to become of a job that stood at the gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateOutcome {
    /// It may be sent now.
    Go,
    /// It waits; the reason, and until when if that is known.
    Wait(String, Option<Timestamp>),
    /// A person is needed.
    Hold(String),
    /// It can never be sent.
    Dead(String),
}
