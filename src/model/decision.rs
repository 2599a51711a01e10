//! Why anything did or did not happen: the record that every rule and gate leaves.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::clock::Timestamp;

/// What a rule said to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// A new job was made.
    Queued,
    /// The event joined a waiting job.
    Joined,
    /// The rule had claimed this happening before.
    Duplicate,
    /// It came after the one run of its key was sent.
    Late,
    /// The rule is in shadow mode: it would have acted.
    Shadow,
    /// A gate said no: draft, fork, bot, stranger, our own agent, or an unknown fact.
    Denied,
    /// A condition of the rule does not hold.
    NoMatch,
    /// The rule matched but its templates failed.
    Failed,
}

impl Ruling {
    /// The ruling as records spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Joined => "joined",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Shadow => "shadow",
            Self::Denied => "denied",
            Self::NoMatch => "no_match",
            Self::Failed => "failed",
        }
    }
}

/// A rule's verdict about a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule.
    pub rule: String,
    /// What it said.
    pub decision: Ruling,
    /// Why, in a few words that name the condition and what to do, e.g. `"draft unknown: subscribe to pull_request"`.
    pub reason: String,
    /// The values that the decision rests on, e.g. `{"who": "mallory", "wanted": ["members"]}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
    /// Hash of the rules that it was made under.
    pub rules_hash: String,
    /// Index into the delivery's events of the one that it is about.
    #[serde(default)]
    pub event: usize,
    /// The happening that a matching rule claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happening: Option<String>,
    /// The key under which events join one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The job that was made or joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

impl Verdict {
    /// Whether the rule did not act because it needed a fact that nobody told us; such a fact is `null` in the inputs.
    pub fn is_unknown(&self) -> bool {
        self.decision == Ruling::Denied && self.inputs.values().any(Value::is_null)
    }
}

/// What a gate said when a job stood at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The gate: `stale`, `breaker`, `settle`, `attempts`, `concurrency`, `window`, …
    pub gate: String,
    /// `pass`, `wait`, `hold` or `stop`.
    pub decision: String,
    /// Why, in words.
    pub reason: String,
    /// Until when it waits, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The values that it rests on.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
}
