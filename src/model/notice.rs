//! A notice: something that a person should know of, said once and visible until it is settled.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::Timestamp;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The cap of attempts is reached: a person takes over. The details say what was tried.
    HandOff,
    /// A budget is used to 80 % or more.
    Budget,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::HandOff, Self::Budget];

    /// The kind as rows and answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HandOff => "hand_off",
            Self::Budget => "budget",
        }
    }
}

/// Something that a person should know of. There is one open notice of a kind about one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Our id for it.
    pub id: String,
    /// Its kind.
    pub kind: NoticeKind,
    /// The subject, or the budget (`"rule:fix-failed-checks"`).
    pub about: String,
    /// The rule whose job gave rise to it.
    pub rule: String,
    /// That job.
    pub job: String,
    /// When it was said.
    pub said_at: Timestamp,
    /// When it was settled: the attempts were counted anew, or the budget is below 80 % again.
    pub settled_at: Option<Timestamp>,
    /// What it says.
    pub text: String,
    /// For a hand-off the attempts, each `{sha, job, run, url, status}`; for a budget its use.
    pub details: Value,
}
