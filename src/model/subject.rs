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
    /// Lays newer facts over these: what the newer ones leave unknown stays as it was. What was known of one change is
    /// not taken for the next one of the same branch.
    pub fn absorb(&mut self, mut newer: Facts) {
        fn lay<T>(slot: &mut Option<T>, newer: Option<T>) {
            if newer.is_some() {
                *slot = newer;
            }
        }
        let another = newer.change.is_some() && self.change.is_some() && newer.change != self.change;
        if another && newer.open == Some(false) && self.open == Some(true) {
            // Late news of a change that is over.
            newer.forget_change();
        } else if another || self.has_left_its_change(&newer) {
            self.forget_change();
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

    /// A closed change keeps the commits that it had; a newer one on its branch is not its own.
    fn has_left_its_change(&self, newer: &Facts) -> bool {
        let moved = newer.head_sha.is_some() && newer.head_sha != self.head_sha;
        self.change.is_some() && self.open == Some(false) && moved && newer.change.is_none()
    }

    /// Keeps what is true of the branch whatever change it is the head of.
    fn forget_change(&mut self) {
        let Facts { fork, branch, head_sha, last_pusher, last_run, ours, part_of, .. } = std::mem::take(self);
        // A link to a ticket may come from the title of that change; that of a run's own branch does not.
        let part_of = part_of.filter(|_| ours == Some(true));
        *self = Facts { fork, branch, head_sha, last_pusher, last_run, ours, part_of, ..Facts::default() };
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
    /// The head before [`Facts::head_sha`], where a push tells it.
    pub head_before: Option<String>,
    /// Whether the branch was deleted: whatever commit it is made from again is news.
    pub deleted: bool,
    /// Whether a change that is closed was merged.
    pub merged: bool,
    /// Whether one of the source's own agents did it.
    pub by_agent: bool,
    /// The name by which other places mention a ticket, e.g. `"OPS-17"`.
    pub alias: Option<String>,
    /// What the name of the branch or the title of the change seems to mention: aliases of tickets, keys of issues.
    pub mentions: Vec<String>,
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

impl KnownSubject {
    /// The same as it is seen from a repository. A fork's branch is its own repository's branch too, and the stored flag
    /// is what was last told from either side.
    #[must_use]
    pub fn seen_from(mut self, host: &str, repo: &str) -> Self {
        match is_elsewhere(&self.key, host, repo) {
            Some(true) => self.facts.fork = Some(true),
            Some(false) if self.facts.fork == Some(true) => self.facts.fork = Some(false),
            Some(false) | None => {}
        }
        self
    }
}

/// Whether the branch with this key is in another repository than `repo`; `None` when the key is none of a branch.
pub fn is_elsewhere(key: &str, host: &str, repo: &str) -> Option<bool> {
    let (head_repo, _) = key.strip_prefix(host)?.strip_prefix('/')?.split_once('@')?;
    Some(!head_repo.eq_ignore_ascii_case(repo))
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
