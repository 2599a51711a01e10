//! What a delivery says: its events, and what it adds to what is known.

use std::sync::Arc;

use super::delivery::Delivery;
use super::parsed::Parsed;
use super::tolerant::Id;
use super::words::{is_agent, is_zero};
use super::{github, gitlab, jira, mentions, names};
use crate::model::acceptance::AttemptReset;
use crate::model::event::{Check, Event, Kind, Origin, Subject};
use crate::model::name::{KEY, PATH, shortened};
use crate::model::subject::{CheckUpdate, Facts, SubjectUpdate};

/// How far a delivery was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It says at least one thing that has a kind of ours.
    Events,
    /// It says one thing that has no kind of ours; rules can still name it natively.
    NoKind,
    /// A host's hello to a new hook: no events.
    Ping,
    /// It could not be made sense of: no events.
    NotUnderstood {
        /// What is missing or contradicts itself.
        reason: String,
    },
}

/// Everything that one delivery says.
#[derive(Clone, Debug, PartialEq)]
pub struct Understood {
    /// The host's own name, e.g. `"github:check_run.completed"`.
    pub native: String,
    /// How far it was understood.
    pub reading: Reading,
    /// What happened; several when the host tells several things at once.
    pub events: Vec<Event>,
    /// What it adds to `subjects`.
    pub subjects: Vec<SubjectUpdate>,
    /// What it adds to `checks`.
    pub checks: Vec<CheckUpdate>,
    /// Reasons to count attempts from zero again.
    pub resets: Vec<AttemptReset>,
}

/// Reads what a delivery says. Never fails: what makes no sense is told as [`Reading::NotUnderstood`].
pub fn understand(delivery: &Delivery) -> Understood {
    let told = match delivery.parsed() {
        Parsed::Github(body) => github::tell(delivery, body),
        Parsed::Gitlab(body) => gitlab::tell(delivery, body),
        Parsed::Jira(body) => jira::tell(delivery, body),
    };
    let told = told.and_then(|told| match names::overlong(&told) {
        Some(reason) => Err(NotUnderstood { native: told.native, reason }),
        None => Ok(told),
    });
    told.unwrap_or_else(|NotUnderstood { native, reason }| {
        Understood::nothing(native, Reading::NotUnderstood { reason })
    })
}

impl Understood {
    /// What says nothing about anything.
    fn nothing(native: String, reading: Reading) -> Self {
        let (events, subjects) = (Vec::new(), Vec::new());
        Self { native, reading, events, subjects, checks: Vec::new(), resets: Vec::new() }
    }
}

/// Why a host's reader gave up.
#[derive(Debug)]
pub(super) struct NotUnderstood {
    pub(super) native: String,
    pub(super) reason: String,
}

impl NotUnderstood {
    pub(super) fn new(native: &str, reason: impl Into<String>) -> Self {
        Self { native: native.to_owned(), reason: reason.into() }
    }

    /// For a field without which the event means nothing.
    pub(super) fn missing(native: &str, field: &str) -> Self {
        Self::new(native, format!("{field} is missing or of the wrong type"))
    }
}

/// A delivery being told: what all its events share, and what has been said so far.
#[derive(Debug)]
pub(super) struct Telling {
    /// What all events of the delivery share; told alone, without a kind, when nothing is said.
    pub(super) event: Event,
    said: Vec<Event>,
    subjects: Vec<SubjectUpdate>,
    checks: Vec<CheckUpdate>,
    resets: Vec<AttemptReset>,
    agents: Arc<[String]>,
}

impl Telling {
    pub(super) fn new(delivery: &Delivery, native: &str, host: String) -> Self {
        let event = Event {
            native: native.to_owned(),
            source: delivery.source().to_owned(),
            // Nothing ties such a body to a moment.
            momentary: !delivery.signed(),
            host,
            ..Event::default()
        };
        let agents = Arc::clone(delivery.agents());
        Self { event, said: Vec::new(), subjects: Vec::new(), checks: Vec::new(), resets: Vec::new(), agents }
    }

    /// Sets the identity of what happened from an object and its occurrence.
    pub(super) fn occurrence(&mut self, parts: &[&str]) {
        self.event.happening = happening(&self.event.host, parts);
        self.event.momentary = false;
    }

    /// Says one thing, with what is new in it.
    pub(super) fn say(&mut self, kind: Kind, to: Vec<String>) {
        let mut event = Event { kind: Some(kind), to, ..self.event.clone() };
        // Pushing, merging, labelling and assigning are not open to strangers, not even to the author.
        if let Some(actor) = &mut event.actor
            && actor.association.is_none()
            && needs_write_access(kind)
        {
            actor.association = Some("COLLABORATOR".to_owned());
        }
        self.said.push(event);
    }

    /// Says the only thing that the delivery says, of a kind that proves nothing about its actor: the event itself is it, and
    /// is not copied.
    pub(super) fn say_all(&mut self, kind: Kind) {
        self.event.kind = Some(kind);
    }

    /// Says one thing under an identity of its own.
    pub(super) fn say_as(&mut self, kind: Kind, to: Vec<String>, parts: &[&str]) {
        self.say(kind, to);
        if let Some(event) = self.said.last_mut() {
            event.happening = happening(&event.host, parts);
            event.momentary = false;
        }
    }

    /// Adds facts to a subject; `key` may be the event's own or another.
    ///
    /// A change that is known by its number only is not learnt of: a row under the number would hide the row of its
    /// branch, under which everything else about it is kept.
    pub(super) fn learn(&mut self, key: &str, facts: Facts) {
        if facts != Facts::default() {
            self.learn_of(key, facts);
        }
    }

    fn learn_of(&mut self, key: &str, facts: Facts) {
        let repo = self.event.repo.as_ref().or(self.event.project.as_ref());
        let by_number = facts.change.is_some() && !key.contains('@');
        if key.is_empty() || by_number {
            return;
        }
        if let Some(repo) = repo {
            let change = self.event.change.as_ref();
            let title = change.and_then(|change| change.title.as_deref());
            // Issues mention each other; only code belongs to one of them.
            let mentions = if key.contains('@') {
                mentions::of(&self.event.host, repo, facts.branch.as_deref(), title)
            } else {
                Vec::new()
            };
            let actor = self.event.actor.as_ref();
            self.subjects.push(SubjectUpdate {
                key: key.to_owned(),
                host: self.event.host.clone(),
                repo: repo.clone(),
                facts,
                merged: change.is_some_and(|change| change.merged == Some(true)),
                by_agent: actor.is_some_and(|actor| is_agent(actor, &self.agents)),
                mentions,
                ..SubjectUpdate::default()
            });
        }
    }

    /// Adds facts to a subject whose head was pushed; `before` is the head that it had.
    pub(super) fn learn_push(&mut self, key: &str, facts: Facts, before: Option<&str>) {
        let known = self.subjects.len();
        self.learn(key, facts);
        if let Some(update) = self.subjects.get_mut(known) {
            update.head_before = before.filter(|sha| !is_zero(sha)).map(str::to_owned);
        }
    }

    /// Notes that a branch of the repository was deleted.
    pub(super) fn learn_deletion(&mut self, key: &str, branch: &str, before: Option<&str>) {
        let known = self.subjects.len();
        self.learn_push(key, Facts { branch: Some(branch.to_owned()), ..Facts::default() }, before);
        if let Some(update) = self.subjects.get_mut(known) {
            update.deleted = true;
        }
    }

    /// Adds facts to a ticket, which other places mention by `alias`.
    pub(super) fn learn_ticket(&mut self, key: &str, alias: &str, facts: Facts) {
        let known = self.subjects.len();
        self.learn_of(key, facts);
        if let Some(update) = self.subjects.get_mut(known) {
            update.alias = Some(alias.to_owned());
        }
    }

    /// Notes the state of a check of the event's commit. `within` is the suite, run or pipeline that it belongs to: a
    /// green check must not cover a red one that only has the same name, while a repetition keeps both.
    pub(super) fn note_check(&mut self, check: &Check, within: Option<&Id>) {
        if let (Some(repo), Some(sha)) = (&self.event.repo, &self.event.sha) {
            let name = match within {
                Some(Id(within)) => format!("{} #{within}", check.name),
                None => check.name.clone(),
            };
            let name = shortened(name, PATH);
            // What it says of itself is in its event.
            let check = Check { name, aggregate: check.aggregate, outcome: check.outcome.clone(), ..Check::default() };
            let (host, repo, sha) = (self.event.host.clone(), repo.clone(), sha.clone());
            self.checks.push(CheckUpdate { host, repo, sha, check });
        }
    }

    /// Notes that a whole suite, workflow or pipeline of the event's commit succeeded.
    pub(super) fn note_green(&mut self) {
        if let (Some(repo), Some(sha)) = (&self.event.repo, &self.event.sha) {
            let (subject, host) = (self.event.subject.key.clone(), self.event.host.clone());
            self.resets.push(AttemptReset::Green { subject, host, repo: repo.clone(), sha: sha.clone() });
        }
    }

    /// Notes that a person pushed to the event's subject.
    pub(super) fn note_human_push(&mut self) {
        self.resets.push(AttemptReset::HumanPush { subject: self.event.subject.key.clone() });
    }

    /// Everything that was told. What has no identity of its own is known by the body of its delivery.
    pub(super) fn finish(self, delivery: &Delivery) -> Understood {
        let native = self.event.native.clone();
        let (reading, mut events) = match self.event.kind {
            None if self.said.is_empty() => (Reading::NoKind, vec![self.event]),
            None => (Reading::Events, self.said),
            Some(_) => (Reading::Events, vec![self.event]),
        };
        let mut by_body = None;
        for event in events.iter_mut().filter(|event| event.happening.is_empty()) {
            let known = by_body.get_or_insert_with(|| happening(&event.host, &["body", &delivery.body_sha256()]));
            event.happening.clone_from(known);
        }
        Understood { native, reading, events, subjects: self.subjects, checks: self.checks, resets: self.resets }
    }

    /// A hello: nothing happened.
    pub(super) fn ping(self) -> Understood {
        Understood::nothing(self.event.native, Reading::Ping)
    }
}

fn needs_write_access(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Push
            | Kind::TagPushed
            | Kind::ChangeMerged
            | Kind::ChangeLabeled
            | Kind::IssueLabeled
            | Kind::IssueAssigned
    )
}

/// Host, object and occurrence as one key.
pub(super) fn happening(host: &str, parts: &[&str]) -> String {
    let mut key = host.to_owned();
    for part in parts {
        key.push('/');
        key.push_str(part);
    }
    shortened(key, KEY)
}

/// The subject of a commit on a branch of `head_repo`, for a repository `repo`.
pub(super) fn branch_subject(host: &str, repo: &str, head_repo: &str, branch: &str) -> Subject {
    let origin = if repo.eq_ignore_ascii_case(head_repo) { Origin::Base } else { Origin::Fork };
    Subject { key: format!("{host}/{head_repo}@{branch}"), origin }
}

/// The subject of a commit of which the branch is not proved.
pub(super) fn commit_subject(host: &str, repo: &str, sha: &str) -> Subject {
    Subject { key: format!("{host}/{repo}@{sha}"), origin: Origin::Unknown }
}
