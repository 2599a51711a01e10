//! A job: one request to the agent service that a rule or a person asked for, and the states it may go through.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::decision::GateRecord;
use super::outcome::Outcome;
use super::policy::{Action, Priority, Scope};
use super::run::Run;

/// The states of a job.
///
/// ```text
/// queued ──> submitting ──> running ──> succeeded · failed · stopped
///  ^  │          │  ^          └──> lost ──┘ (looked at for a while, and may live again)
///  │  v          v  └── adopted, or queued again when proved absent
///  └ held     uncertain ──> held (a person says which run is its own, or that there is none)
///
/// never sent: superseded · cancelled · dead
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its time, a gate or a slot.
    #[default]
    Queued,
    /// Waits for a person.
    Held,
    /// Committed to be sent; the call may be under way.
    Submitting,
    /// The call ended without telling whether a run was made.
    Uncertain,
    /// Its run lives.
    Running,
    /// Its run did not end within the give-up age, or is gone.
    Lost,
    /// Its run completed.
    Succeeded,
    /// Its run failed.
    Failed,
    /// Its run was stopped by somebody.
    Stopped,
    /// A newer happening made it pointless.
    Superseded,
    /// A person cancelled it.
    Cancelled,
    /// It can never be sent.
    Dead,
}

impl JobState {
    /// Every state, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Held,
        Self::Submitting,
        Self::Uncertain,
        Self::Running,
        Self::Lost,
        Self::Succeeded,
        Self::Failed,
        Self::Stopped,
        Self::Superseded,
        Self::Cancelled,
        Self::Dead,
    ];

    /// The state as rows, answers and pages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Submitting => "submitting",
            Self::Uncertain => "uncertain",
            Self::Running => "running",
            Self::Lost => "lost",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether a job may go from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        use JobState::{
            Cancelled, Dead, Failed, Held, Lost, Queued, Running, Stopped, Submitting, Succeeded, Superseded, Uncertain,
        };
        match self {
            Queued => matches!(next, Submitting | Held | Superseded | Cancelled | Dead),
            Held => matches!(next, Queued | Running | Superseded | Cancelled | Dead),
            Submitting => matches!(next, Running | Queued | Dead | Uncertain),
            Uncertain => matches!(next, Running | Queued | Held),
            Running => matches!(next, Succeeded | Failed | Stopped | Lost),
            Lost => matches!(next, Running | Succeeded | Failed | Stopped),
            Succeeded | Failed | Stopped | Superseded | Cancelled | Dead => false,
        }
    }

    /// Whether further events of the same rule and key join it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Held)
    }

    /// Whether it has a run, or may have one, that has not ended.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Submitting | Self::Uncertain | Self::Running)
    }

    /// Whether nothing more will happen to it by itself.
    pub fn is_ended(self) -> bool {
        !self.is_open() && !self.is_active() && self != Self::Lost
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| format!("\"{text}\" is no job state"))
    }
}

/// A job as it is stored and shown. Prompts and bodies are kept beside it, not in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Our id; also in the run's metadata and the last line of its prompt.
    pub id: String,
    /// The rule it belongs to, by name.
    pub rule: String,
    /// The source whose delivery made it.
    pub source: String,
    /// The key under which events of its rule join it.
    pub key: String,
    /// What it is about.
    pub subject: String,
    /// The subject, or the ticket that it belongs to: one context has one agent.
    pub context: String,
    /// The file that its rule stood in when it was made.
    pub file: String,
    /// Who asked for it, when a person did.
    pub person: Option<String>,
    /// How soon it is sent when several could be.
    pub priority: Priority,
    /// What is asked of the service.
    pub action: Action,
    /// The run that it is said to, once that is settled; -1 when none is to be told (any more).
    pub target: Option<i64>,
    /// The job whose run it is said to: a follow-up for events that came late, or something told or done to that run.
    #[serde(default)]
    pub follows: Option<String>,
    /// What it says to that run, where no rule's prompt does: the whole sentence of a tell or ban.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether its call told an existing run instead of making one.
    pub resumed: bool,
    /// Whether a person has agreed.
    pub approved: bool,
    /// Until when a person may agree; then the answer is no.
    pub hold_until: Option<Timestamp>,
    /// What makes it pointless while it waits.
    pub stale_on: StaleOn,
    /// Hash of the rules that released it; empty before.
    pub rules_hash: String,
    /// The repository or project of the first event.
    pub repo: Option<String>,
    /// The commit that it acts upon.
    pub sha: Option<String>,
    /// Whether an event that joined it tells a failure of that commit: only such jobs are attempts.
    pub failing: bool,
    /// Where it stands.
    pub state: JobState,
    /// Why it stands there, in words.
    pub reason: String,
    /// Until when it waits, when that is known.
    pub until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it may be sent.
    pub due_at: Timestamp,
    /// When it waits for no more events, whatever still comes.
    pub settled_by: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the call that made its run was begun.
    pub submitted_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How often it was sent, or tried to be.
    pub tries: u32,
    /// Which attempt on its subject it is (1 for the first); 0 until it is sent.
    pub attempt: u32,
    /// How many events have joined it.
    pub events: u32,
    /// Grows with every change, so that a change made on old knowledge is refused.
    pub revision: i64,
    /// The ended job that this one repeats.
    pub retry_of: Option<String>,
    /// What the gates said last.
    pub gates: Vec<GateRecord>,
    /// Its run, once there is one.
    pub run: Option<Run>,
    /// What became of the commit; rows do not hold it, whoever shows the job asks for it.
    pub outcome: Option<Outcome>,
}

impl Job {
    /// What it counts as in a scope; `None` when it has nothing there, e.g. no person asked for it.
    pub fn name_in(&self, scope: Scope) -> Option<&str> {
        let name = match scope {
            Scope::All => return Some(""),
            Scope::File => Some(self.file.as_str()),
            Scope::Rule => Some(self.rule.as_str()),
            Scope::Repo => self.repo.as_deref(),
            Scope::Subject => Some(self.subject.as_str()),
            Scope::Person => self.person.as_deref(),
        };
        name.filter(|name| !name.is_empty())
    }

    /// Whether it starts something that costs, and does not only speak of a run that is there.
    pub fn starts(&self) -> bool {
        matches!(self.action, Action::Run | Action::SetupCommands)
    }

    /// Whether it was made for a run that is there and for no event: it is told or stopped, and nobody is asked for leave.
    pub fn is_act(&self) -> bool {
        !self.starts() && (self.action == Action::Tell || self.events == 0)
    }

    /// Whether a gate asked for a person, who may approve or cancel it.
    pub fn waits_for_approval(&self) -> bool {
        let asked = self.gates.last().is_some_and(|gate| gate.decision == "hold");
        self.state == JobState::Held && self.submitted_at.is_none() && !self.approved && asked
    }
}

/// What makes a waiting job pointless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleOn {
    /// A newer commit on its subject.
    pub head: bool,
    /// Its change or issue was closed or merged.
    pub closed: bool,
    /// All checks of its commit are green.
    pub green: bool,
}

/// What a matching rule asks for, handed to the store in the accept transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobRequest {
    /// The rule.
    pub rule: String,
    /// The file that it stands in, by its name without folders.
    pub file: String,
    /// The key under which events join one job.
    pub key: String,
    /// Whether the rule is `per = "commit"`: then an event that comes after the job was sent is late.
    pub per_commit: bool,
    /// Whether a late event opens one follow-up to the run of its commit: the rule begins its `then` with "resume".
    pub follow_up: bool,
    /// The happening to claim.
    pub happening: String,
    /// For how long the claim holds; `None`: for good.
    pub claim_for: Option<std::time::Duration>,
    /// What it is about.
    pub subject: String,
    /// The ticket that the subject belongs to; empty when it stands for itself.
    pub context: String,
    /// The repository or project.
    pub repo: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// Whether the event tells a failure of that commit.
    pub failing: bool,
    /// Who asked, when a person did: the login, with the kind of the source in front, e.g. `"github:mia"`.
    pub person: Option<String>,
    /// How soon it is sent when several could be.
    pub priority: Priority,
    /// What is asked of the service.
    pub action: Action,
    /// What makes it pointless while it waits.
    pub stale_on: StaleOn,
    /// How long it must have been quiet before the job is due.
    pub settle: std::time::Duration,
    /// After how long it is due whatever still comes.
    pub settle_max: std::time::Duration,
}

/// The last line of whatever is said to a run for a job, by which the run's trace shows that it was heard.
pub fn last_line(job: &str) -> String {
    format!("hookrun job {job}")
}
