//! A pause: nothing of its scope is sent while it lasts; receiving and queueing go on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::job::Job;

/// What a pause stops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "scope", content = "name")]
pub enum Paused {
    /// Everything.
    All,
    /// Jobs whose first delivery came from this source.
    Source(String),
    /// Jobs in this repository or project, by the name in [`Job::repo`].
    Repo(String),
    /// Jobs of this rule.
    Rule(String),
    /// Jobs about this subject.
    Subject(String),
}

impl Paused {
    /// The scope as rows and answers spell it.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Source(_) => "source",
            Self::Repo(_) => "repo",
            Self::Rule(_) => "rule",
            Self::Subject(_) => "subject",
        }
    }

    /// The name of what is paused; empty for everything.
    pub fn name(&self) -> &str {
        match self {
            Self::All => "",
            Self::Source(name) | Self::Repo(name) | Self::Rule(name) | Self::Subject(name) => name,
        }
    }

    /// As [`str::parse`] reads it: `"all"`, `"rule:NAME"`, ….
    pub fn spelled(&self) -> String {
        match self {
            Self::All => self.scope().to_owned(),
            other => format!("{}:{}", other.scope(), other.name()),
        }
    }

    /// The scope and name that rows and requests hold.
    pub fn new(scope: &str, name: &str) -> Result<Self, String> {
        let named = || if name.is_empty() { Err(format!("which {scope}?")) } else { Ok(name.to_owned()) };
        match scope {
            "all" => Ok(Self::All),
            "source" => named().map(Self::Source),
            "repo" => named().map(Self::Repo),
            "rule" => named().map(Self::Rule),
            "subject" => named().map(Self::Subject),
            other => Err(format!("\"{other}\" cannot be paused; there are all, source, repo, rule and subject")),
        }
    }

    /// Whether a job is within it.
    pub fn concerns(&self, job: &Job) -> bool {
        match self {
            Self::All => true,
            Self::Source(name) => job.source == *name,
            Self::Repo(name) => job.repo.as_ref() == Some(name),
            Self::Rule(name) => job.rule == *name,
            Self::Subject(name) => job.subject == *name || job.context == *name,
        }
    }
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            other => write!(f, "{} {}", other.scope(), other.name()),
        }
    }
}

/// Reads `"all"`, `"rule:NAME"`, `"repo:acme/widgets"`, …
impl FromStr for Paused {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scope, name) = text.split_once(':').unwrap_or((text, ""));
        Self::new(scope, name)
    }
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// What it stops.
    #[serde(flatten)]
    pub what: Paused,
    /// Why, as the person said.
    pub reason: String,
    /// Who paused it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until somebody lifts it.
    pub until: Option<Timestamp>,
}
