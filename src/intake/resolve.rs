//! Resolves the subject of an event: CI webhooks hardly ever name the change, and some not even the branch.

use crate::model::event::{Event, Kind, Origin};
use crate::model::subject::{Facts, KnownSubject, SubjectLookup, SubjectUpdate};

/// How the subject of an event is looked up.
pub(super) fn lookup(event: &Event) -> SubjectLookup {
    SubjectLookup {
        key: event.subject.key.clone(),
        host: event.host.clone(),
        repo: event.repo.clone().or_else(|| event.project.clone()).unwrap_or_default(),
        change: event.change.as_ref().map(|change| change.number),
        // A push is the repository's own, whoever else has the commit.
        sha: event.sha.clone().filter(|_| !matches!(event.kind, Some(Kind::Push | Kind::TagPushed))),
    }
}

/// Gives the event the key and origin under which its subject is known, and answers the facts that rules look at: what
/// was stored, with what this delivery says on top.
pub(super) fn resolve(event: &mut Event, known: Option<KnownSubject>, updates: &[SubjectUpdate]) -> Option<Facts> {
    let mut facts = None;
    let known = known.map(|known| match &event.repo {
        Some(repo) => known.seen_from(&event.host, repo),
        None => known,
    });
    // A branch of the repository itself that the body names is that branch, whichever other one has the commit too.
    let own = event.subject.origin == Origin::Base;
    let known = known.filter(|known| !own || known.key == event.subject.key || known.facts.fork == Some(true));
    if let Some(KnownSubject { key, facts: stored }) = known {
        // A stored change of a fork wins over what a body without a head repository seems to say.
        if event.subject.origin == Origin::Unknown || stored.fork == Some(true) {
            event.subject.origin = match stored.fork {
                Some(true) => Origin::Fork,
                Some(false) => Origin::Base,
                // Known from a push to the repository itself, which needs write access.
                None if stored.branch.is_some() => Origin::Base,
                None => event.subject.origin,
            };
        }
        event.subject.key = key;
        facts = Some(stored);
    }
    for update in updates.iter().filter(|update| update.key == event.subject.key) {
        facts.get_or_insert_default().absorb(update.facts.clone());
    }
    facts
}
