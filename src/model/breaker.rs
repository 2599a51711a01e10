//! Breakers: calls that are certain to fail are held back, until one call has shown that they do not any more.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::limits::CallClass;

/// What a breaker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerKind {
    /// 401 or 403: the token or the organisation. Nothing can be done without them.
    Access,
    /// 402: the plan has no runs left. What is not about to start a run goes on.
    Billing,
    /// 404 on a create: the organisation has no repositories, or the address is wrong.
    NotFound,
    /// No answer, several times in a row. A single one says nothing.
    Outage,
}

impl BreakerKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Access, Self::Billing, Self::NotFound, Self::Outage];

    /// The kind as rows, paths and pages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Billing => "billing",
            Self::NotFound => "not_found",
            Self::Outage => "outage",
        }
    }

    /// Whether every call waits for it; else only those that would start a run.
    pub fn stops_all(self) -> bool {
        matches!(self, Self::Access | Self::Outage)
    }

    /// How long it waits for the probe after so many. An outage may be over at any moment, and a look costs nothing; a
    /// token is repaired by a person, so that looking often is of no use; a probe of the others is a create.
    pub fn wait(self, probes: u32) -> Duration {
        match self {
            Self::Access => {
                // Half as long again each time, an hour at most: 5 min, 7.5 min, 11 min, …
                let longer = |wait: u64, _| (wait * 3 / 2).min(3600);
                Duration::from_secs((0..probes.min(10)).fold(300, longer))
            }
            Self::Billing => Duration::from_mins(30),
            Self::NotFound => Duration::from_mins(10),
            Self::Outage => (Duration::from_secs(5) * 2u32.pow(probes.min(4))).min(Duration::from_mins(1)),
        }
    }
}

impl fmt::Display for BreakerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BreakerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no breaker; there are {}", known()))
    }
}

/// A breaker that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// What it is about.
    pub name: BreakerKind,
    /// The classes of calls that met it; every class where it stops all.
    pub classes: Vec<CallClass>,
    /// What the service said, in words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When the next probe may go.
    pub until: Timestamp,
    /// How many probes there were.
    pub probes: u32,
    /// Whether one is under way.
    pub probing: bool,
}

impl Breaker {
    /// Whether it is about a call that is charged to these classes; `starts` tells whether a run would come of it.
    pub fn concerns(&self, classes: &[CallClass], starts: bool) -> bool {
        self.name.stops_all() || (starts && self.classes.iter().any(|class| classes.contains(class)))
    }

    /// Whether the next call that it is about may go, as its probe. What stops all is probed by a harmless read instead.
    pub fn wants_probe(&self, now: Timestamp) -> bool {
        !self.name.stops_all() && self.until <= now
    }

    /// Until when it holds such a call back for certain; `None` when that hangs on a probe that is due.
    pub fn holds_until(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.until).filter(|until| *until > now)
    }

    /// Why a call waits for it.
    pub fn says(&self) -> String {
        let what = if self.name.stops_all() { "no calls go out" } else { "no runs are started" };
        format!("breaker {}: {what}: {}", self.name, self.reason)
    }
}
