//! Misbehaviour on demand: which calls go wrong, how, and how often.

use std::collections::VecDeque;
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use super::call::Call;

/// The longest that a slow answer may take.
const SLOWEST: Duration = Duration::from_mins(1);

/// One line of a fault script. The first line that fits a call and is not used up is played on it.
///
/// In JSON: `{"on": "create", "times": 2, "fault": {"kind": "lost", "when": "after"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The call that it is for; every call if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Call>,
    /// How many calls it is for: 1 if absent, all of them if null.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// What goes wrong.
    pub fault: Fault,
}

impl FaultRule {
    /// `fault` on the next call of this kind.
    pub fn once(on: Call, fault: Fault) -> Self {
        Self { on: Some(on), times: once(), fault }
    }

    /// `fault` on every call of this kind.
    pub fn always(on: Call, fault: Fault) -> Self {
        Self { on: Some(on), times: None, fault }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "null means for ever, so the default is a number in an Option")]
fn once() -> Option<u32> {
    Some(1)
}

/// On which side of its work a call goes wrong: before it, nothing happened; after it, all did and the caller cannot know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing was done: no run exists.
    Before,
    /// All was done: the run exists.
    #[default]
    After,
}

/// A way to go wrong; in JSON an object with `kind`, e.g. `{"kind": "error", "status": 502, "when": "before"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Nothing goes wrong: lets calls through before a later line of the script.
    Pass {},
    /// 429, not charged to any window.
    RateLimited {
        /// Seconds for `Retry-After`; without the header if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// Another error status with the API's error body.
    Error {
        /// 400 to 599.
        #[serde(deserialize_with = "error_status")]
        status: u16,
        /// Before or after the work.
        #[serde(default)]
        when: When,
    },
    /// The connection closes without a byte of an answer.
    Lost {
        /// Before or after the work.
        #[serde(default)]
        when: When,
    },
    /// The answer takes real time. When the caller gives up first, `before` means that nothing is done at all.
    Slow {
        /// How long, at most a minute.
        millis: u64,
        /// Before or after the work.
        #[serde(default)]
        when: When,
    },
    /// Every run in the answer has this status; an absent or null one is null.
    Status {
        /// The word.
        #[serde(default)]
        status: Option<String>,
    },
    /// A gateway's HTML page instead of JSON.
    Html {
        /// 200 to 599; 200 if absent.
        #[serde(default = "ok_status", deserialize_with = "any_status")]
        status: u16,
        /// Before or after the work.
        #[serde(default)]
        when: When,
    },
    /// The JSON text ends in the middle, after the work.
    Truncated {},
    /// No run in the answer has the field `metadata`.
    NoMetadata {},
    /// The run list does not show runs that are younger than this.
    Hidden {
        /// The age, by the sandbox's clock.
        seconds: u64,
    },
}

impl Fault {
    /// On which side of the call's work it strikes.
    pub(super) fn when(&self) -> When {
        match self {
            Self::RateLimited { .. } => When::Before,
            Self::Error { when, .. } | Self::Lost { when } | Self::Slow { when, .. } | Self::Html { when, .. } => *when,
            _ => When::After,
        }
    }

    /// How long a slow answer takes.
    pub(super) fn delay(millis: u64) -> Duration {
        Duration::from_millis(millis).min(SLOWEST)
    }
}

fn ok_status() -> u16 {
    StatusCode::OK.as_u16()
}

fn error_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    status_from(deserializer, 400)
}

fn any_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    status_from(deserializer, 200)
}

fn status_from<'de, D: Deserializer<'de>>(deserializer: D, least: u16) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    if (least..600).contains(&status) {
        Ok(status)
    } else {
        Err(serde::de::Error::custom(format!("{status} is no status from {least} to 599")))
    }
}

/// The lines of the script that are not used up.
#[derive(Debug, Default)]
pub(super) struct Script(VecDeque<FaultRule>);

impl Script {
    /// Adds lines at the end. A line for no call at all is left out.
    pub(super) fn add(&mut self, rules: impl IntoIterator<Item = FaultRule>) {
        self.0.extend(rules.into_iter().filter(|rule| rule.times != Some(0)));
    }

    /// Forgets all lines.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The lines that are left.
    pub(super) fn left(&self) -> Vec<FaultRule> {
        self.0.iter().cloned().collect()
    }

    /// What is played on this call; uses the line up by one.
    pub(super) fn take(&mut self, call: Call) -> Option<Fault> {
        let at = self.0.iter().position(|rule| rule.on.is_none_or(|on| on == call))?;
        let rule = self.0.get_mut(at)?;
        let fault = rule.fault.clone();
        if let Some(times) = &mut rule.times {
            *times -= 1;
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(fault)
    }
}
