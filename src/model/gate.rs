//! What a gate may look at before a job is sent, and what it may answer.

use std::time::Duration;

use super::breaker::Breaker;
use super::clock::Timestamp;
use super::decision::GateRecord;
use super::job::Job;
use super::limits::CallClass;
use super::pause::Pause;
use super::policy::Scope;
use super::subject::Facts;

/// Everything that the gates look at, read in the transaction that releases the job.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other, each for one gate")]
pub struct Snapshot {
    /// The job as it stands.
    pub job: Job,
    /// The time of the decision.
    pub now: Timestamp,
    /// What is known of the subject.
    pub facts: Option<Facts>,
    /// Whether the job's commit was the head of the subject at some time: a commit that was never one, e.g. the merge that
    /// a pipeline tries, is not made stale by another head.
    pub sha_was_head: bool,
    /// Whether the job's commit has succeeded and none of its checks is known red or unfinished.
    pub green: bool,
    /// The pauses that concern the job.
    pub pauses: Vec<Pause>,
    /// Other jobs that have or may have an unfinished run.
    pub active: Active,
    /// How many distinct commits of the subject were acted upon since the count was last reset; `None` when it could
    /// not be read, and then nothing is sent.
    pub attempts: Option<u32>,
    /// Whether this job's commit is one of them.
    pub sha_counted: bool,
    /// How far the checks of the job's commit have come; `None` unless the policy waits for them.
    pub checks: Option<ChecksNow>,
    /// The use of every rate that the policy sets, in its order, and of the one that approval looks at.
    pub budgets: Vec<BudgetUse>,
    /// How many runs the rule has started, ever.
    pub sent_by_rule: u64,
    /// The newest run on the job's context, which a follow-up would be said to.
    pub newest_run: Option<i64>,
    /// Whether the job whose run this one is said to is under way, so that its run is not known yet.
    pub run_to_come: bool,
    /// Classes that are frozen, with the reason and the end.
    pub freezes: Vec<Freeze>,
    /// The use of every class's window.
    pub windows: Vec<WindowUse>,
    /// The breakers that are open.
    pub breakers: Vec<Breaker>,
}

/// How many jobs have or may have an unfinished run, this one not counted, in each scope of the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Active {
    /// On the same context: its subject, or what that belongs to.
    pub on_subject: u32,
    /// In all.
    pub all: u32,
    /// Of all rules of its file.
    pub file: u32,
    /// Of its rule.
    pub rule: u32,
    /// In its repository.
    pub repo: u32,
    /// Of the person who asked for it.
    pub person: u32,
}

/// How far the checks of a commit have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChecksNow {
    /// How many have not ended.
    pub unfinished: u32,
    /// When the last news of one came.
    pub last_seen: Option<Timestamp>,
}

/// How much of a budget is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BudgetUse {
    /// What is counted together.
    pub scope: Scope,
    /// Runs there may be in one window.
    pub limit: u32,
    /// The length of the window.
    pub per: Duration,
    /// Runs that were started in it.
    pub used: u32,
    /// When there is room again; `None` when there is, or when only calls under way use it up.
    pub next_free: Option<Timestamp>,
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
    /// Slots there are now.
    pub limit: u32,
    /// When a slot will be free; `None` when one is free now, or when all are held by calls under way.
    pub next_free: Option<Timestamp>,
    /// Slots there are by the settings, once what a 429 has taken is given back.
    pub setting: u32,
    /// When a 429 took some of them; `None` when all are there.
    pub shrunk_at: Option<Timestamp>,
}

impl WindowUse {
    /// A window of which nothing is used and nothing was taken.
    pub fn empty(class: CallClass, limit: u32) -> Self {
        Self { class, used: 0, limit, next_free: None, setting: limit, shrunk_at: None }
    }

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
    /// Something newer made it pointless.
    Superseded(String),
    /// It can never be sent.
    Dead(String),
}
