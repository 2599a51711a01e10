//! A delivery as it is remembered: one verified request of a source, with what was decided about it.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::decision::Verdict;

/// The kinds of hosts that hookrun understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// GitHub, github.com or Enterprise Server.
    Github,
    /// GitLab, gitlab.com or self-managed.
    Gitlab,
    /// Jira, Cloud or Data Center.
    Jira,
}

impl SourceKind {
    /// The kind as settings and native event names spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Jira => "jira",
        }
    }
}

/// What became of a delivery as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// At least one rule made or joined a job.
    Accepted,
    /// Rules matched, but each had claimed the happening before.
    Duplicate,
    /// A host's hello.
    Ping,
    /// Understood; no rule wanted it.
    #[default]
    Unmatched,
    /// Verified JSON that we could not make sense of; kept with the reason.
    NotUnderstood,
}

impl DeliveryOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Accepted, Self::Duplicate, Self::Ping, Self::Unmatched, Self::NotUnderstood];

    /// The outcome as answers and rows spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ping => "ping",
            Self::Unmatched => "unmatched",
            Self::NotUnderstood => "not_understood",
        }
    }
}

/// A delivery as lists and pages show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// Our id.
    pub id: String,
    /// The source that sent it.
    pub source: String,
    /// Label of the secret that matched.
    pub secret_label: String,
    /// The sender's own delivery id, for display only: most hosts do not sign it.
    pub sender_id: Option<String>,
    /// The delivery that it repeats, if somebody asked for that.
    pub replay_of: Option<String>,
    /// Size of the body in bytes.
    pub body_bytes: u64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The host's own event name, e.g. `"github:check_run.completed"`.
    pub native: String,
    /// The kind in our words, of its first event.
    pub kind: Option<String>,
    /// The subject of its first event.
    pub subject: Option<String>,
    /// The repository or project of its first event.
    pub repo: Option<String>,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// Why, in words.
    pub reason: String,
    /// Every verdict that a rule gave.
    pub verdicts: Vec<Verdict>,
}
