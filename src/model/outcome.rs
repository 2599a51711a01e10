//! What became of the commit that a job acted upon, as far as CI tells.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a failing commit stands after a job's run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A newer commit is the head of the subject, and its checks are green.
    Fixed,
    /// A newer commit is the head of the subject, and one of its checks is red.
    StillRed,
    /// The commit that the job acted upon is the head still.
    NoChange,
}

impl Outcome {
    /// The outcome as answers and pages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::StillRed => "still red",
            Self::NoChange => "no change",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
