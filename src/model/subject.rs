//! What is known about the things that events are about, and what a delivery adds to it.

use serde::{Deserialize, Serialize};

use super::event::{Check, Person};

/// What is known about a subject; `None` is unknown. Kept from every verified delivery, matched or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Number of the change whose head this branch is.
    pub change: Option<u64>,
    /// Who opened it.
    pub author: Option<Person>,
    /// Whether its head is in another repository.
    pub fork: Option<bool>,
    /// Whether the change is a draft.
    pub draft: Option<bool>,
    /// Whether the change or issue is open.
    pub open: Option<bool>,
    /// The labels it has now.
    pub labels: Option<Vec<String>>,
    /// The branch of the commit.
    pub branch: Option<String>,
    /// The branch that the change is to be merged into.
    pub base: Option<String>,
    /// The newest head commit that we were told of.
    pub head_sha: Option<String>,
    /// Who pushed it.
    pub last_pusher: Option<Person>,
    /// The newest run of ours on the subject (id at the service).
    pub last_run: Option<i64>,
    /// Whether a run of ours names the branch of this subject as its own.
    pub ours: Option<bool>,
    /// The ticket or issue that it belongs to, as far as that is known: they share one agent.
    pub part_of: Option<String>,
}

impl Facts {
    /// Lays newer facts over these: what the newer ones leave unknown stays as it was.
    pub fn absorb(&mut self, newer: Facts) {
        fn lay<T>(slot: &mut Option<T>, newer: Option<T>) {
            if newer.is_some() {
                *slot = newer;
            }
        }
        lay(&mut self.change, newer.change);
        lay(&mut self.author, newer.author);
        lay(&mut self.fork, newer.fork);
        lay(&mut self.draft, newer.draft);
        lay(&mut self.open, newer.open);
        lay(&mut self.labels, newer.labels);
        lay(&mut self.branch, newer.branch);
        lay(&mut self.base, newer.base);
        lay(&mut self.head_sha, newer.head_sha);
        lay(&mut self.last_pusher, newer.last_pusher);
        lay(&mut self.last_run, newer.last_run);
        lay(&mut self.ours, newer.ours);
        lay(&mut self.part_of, newer.part_of);
    }
}

/// What one delivery adds to `subjects`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectUpdate {
    /// The key of the subject: `host/head-repo@branch`, `host/repo#n` or `jira-site/KEY`.
    pub key: String,
    /// The host.
    pub host: String,
    /// The repository that the change belongs to (its base); the project for a tracker.
    pub repo: String,
    /// What the delivery says about it.
    pub facts: Facts,
}

/// How a stored subject is looked up: by key, else by change number, else by commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectLookup {
    /// The key that the event itself gives; may be empty.
    pub key: String,
    /// The host.
    pub host: String,
    /// The repository that the event belongs to.
    pub repo: String,
    /// The change number, when the event names it.
    pub change: Option<u64>,
    /// The commit.
    pub sha: Option<String>,
}

/// A stored subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownSubject {
    /// Its key; replaces the `host/repo@sha` key of an event that named neither branch nor change.
    pub key: String,
    /// What is known.
    pub facts: Facts,
}

/// The state of one check of a commit, kept so that "no check of that sha is known red or unfinished" can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckUpdate {
    /// The host.
    pub host: String,
    /// The repository that the check ran in.
    pub repo: String,
    /// The commit.
    pub sha: String,
    /// The check and its outcome or state. Its name ends in the id of the suite, run or pipeline that it belongs to, so
    /// that host, repository, commit and name identify it.
    pub check: Check,
}
