//! How much of something may happen in how long: call classes and sliding-window limits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::span::parse_span;

/// The classes into which the Codegen API's documented limits fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallClass {
    /// Creating (and, as our own caution, resuming) a run.
    Create,
    /// Every call that has no window of its own, creates included.
    Standard,
    /// Generating set-up commands.
    SetupCommands,
    /// Analysing a sandbox's logs.
    LogAnalysis,
    /// Reading a run's trace.
    Logs,
}

impl CallClass {
    /// Every class, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Create, Self::Standard, Self::SetupCommands, Self::LogAnalysis, Self::Logs];

    /// The windows that a call of this class is charged to. Codegen's pages differ on whether the limit of 60 in 30 seconds is
    /// each endpoint's own or shared by all of a token: we keep it for all of them together, whatever else limits them.
    pub fn charged(self) -> &'static [Self] {
        match self {
            Self::Create => &[Self::Create, Self::Standard],
            Self::Standard => &[Self::Standard],
            Self::SetupCommands => &[Self::SetupCommands, Self::Standard],
            Self::LogAnalysis => &[Self::LogAnalysis, Self::Standard],
            Self::Logs => &[Self::Logs, Self::Standard],
        }
    }

    /// The class as settings, rows and pages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Standard => "standard",
            Self::SetupCommands => "setup_commands",
            Self::LogAnalysis => "log_analysis",
            Self::Logs => "logs",
        }
    }
}

impl fmt::Display for CallClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CallClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no call class; there are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// At most `count` in any window of `per`, written `"10/60s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub count: u32,
    /// In any stretch of time of this length.
    pub per: Duration,
}

impl RateLimit {
    /// A limit of `count` in `seconds`.
    pub const fn new(count: u32, seconds: u64) -> Self {
        Self { count, per: Duration::from_secs(seconds) }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.count, self.per.as_secs())
    }
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no limit; write it as \"10/60s\"");
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let per = parse_span(per.trim()).map_err(|_| wrong())?;
        if count == 0 || per < Duration::from_secs(1) {
            return Err(format!("\"{text}\" would let nothing through; write at least \"1/1s\""));
        }
        Ok(Self { count, per })
    }
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The window of every class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// `POST …/agent/run` (and resume).
    pub create: RateLimit,
    /// Everything without a window of its own.
    pub standard: RateLimit,
    /// `POST …/setup-commands/generate`.
    pub setup_commands: RateLimit,
    /// `POST …/analyze-logs`.
    pub log_analysis: RateLimit,
    /// `GET …/agent/run/{id}/logs`.
    pub logs: RateLimit,
}

impl ClassLimits {
    /// The limit of one class.
    pub fn of(&self, class: CallClass) -> RateLimit {
        match class {
            CallClass::Create => self.create,
            CallClass::Standard => self.standard,
            CallClass::SetupCommands => self.setup_commands,
            CallClass::LogAnalysis => self.log_analysis,
            CallClass::Logs => self.logs,
        }
    }

    /// What is left of them beside the headroom of others; nothing where that takes all.
    #[must_use]
    pub fn without(mut self, headroom: Headroom) -> Self {
        let Headroom { create, standard, setup_commands, log_analysis, logs } = headroom;
        for (limit, left) in [
            (&mut self.create, create),
            (&mut self.standard, standard),
            (&mut self.setup_commands, setup_commands),
            (&mut self.log_analysis, log_analysis),
            (&mut self.logs, logs),
        ] {
            limit.count = limit.count.saturating_sub(left);
        }
        self
    }
}

/// How many slots of each window are left to other users of the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Headroom {
    /// Of creating a run.
    pub create: u32,
    /// Of every call without a window of its own.
    pub standard: u32,
    /// Of generating set-up commands.
    pub setup_commands: u32,
    /// Of analysing the logs of a sandbox.
    pub log_analysis: u32,
    /// Of reading the trace of a run.
    pub logs: u32,
}

impl Headroom {
    /// The same for every window.
    pub fn all(count: u32) -> Self {
        Self { create: count, standard: count, setup_commands: count, log_analysis: count, logs: count }
    }

    /// That of one class.
    pub fn of(&self, class: CallClass) -> u32 {
        match class {
            CallClass::Create => self.create,
            CallClass::Standard => self.standard,
            CallClass::SetupCommands => self.setup_commands,
            CallClass::LogAnalysis => self.log_analysis,
            CallClass::Logs => self.logs,
        }
    }
}

/// The limits that Codegen documents (OpenAPI 1.0.0 and the pages of docs.codegen.com).
impl Default for ClassLimits {
    fn default() -> Self {
        Self {
            create: RateLimit::new(10, 60),
            standard: RateLimit::new(60, 30),
            setup_commands: RateLimit::new(5, 60),
            log_analysis: RateLimit::new(5, 60),
            logs: RateLimit::new(60, 60),
        }
    }
}
