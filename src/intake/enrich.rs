//! Completes an event with what is known of its subject: CI webhooks hardly ever name the change, its author or labels.

use crate::model::event::{Event, Origin};
use crate::model::subject::{Facts, KnownSubject, SubjectLookup, SubjectUpdate};

/// How the subject of an event is looked up.
pub(super) fn lookup(event: &Event) -> SubjectLookup {
    SubjectLookup {
        key: event.subject.key.clone(),
        host: event.host.clone(),
        repo: event.repo.clone().or_else(|| event.project.clone()).unwrap_or_default(),
        change: event.change.as_ref().map(|change| change.number),
        sha: event.sha.clone(),
    }
}

/// Whether the event is about something that can be known.
pub(super) fn has_subject(event: &Event) -> bool {
    !event.subject.key.is_empty()
}

/// Lays stored knowledge and this delivery's own updates under the event, and answers the facts that gates look at.
///
/// What the event itself says always stands; a subject known only by its commit takes the key that it is stored under.
pub(super) fn enrich(event: &mut Event, known: Option<KnownSubject>, updates: &[SubjectUpdate]) -> Option<Facts> {
    let mut facts = None;
    if let Some(known) = known {
        // A stored fork wins over what a body without a head repository seems to say.
        if event.subject.origin == Origin::Unknown || known.facts.fork == Some(true) {
            event.subject.origin = match (known.facts.fork, &known.facts.branch) {
                (Some(true), _) => Origin::Fork,
                (Some(false), _) | (None, Some(_)) => Origin::Base,
                (None, None) => event.subject.origin,
            };
            event.subject.key.clone_from(&known.key);
        }
        facts = Some(known.facts);
    }
    for update in updates.iter().filter(|update| update.key == event.subject.key) {
        facts.get_or_insert_default().absorb(update.facts.clone());
    }
    if let Some(facts) = &facts {
        fill(&mut event.branch, facts.branch.as_ref());
        fill(&mut event.base, facts.base.as_ref());
        fill(&mut event.author, facts.author.as_ref());
        fill(&mut event.labels, facts.labels.as_ref());
        if event.change.is_none()
            && let Some(number) = facts.change
        {
            event.change = Some(crate::model::event::Change {
                number,
                draft: facts.draft,
                open: facts.open,
                branch: facts.branch.clone(),
                base: facts.base.clone(),
                sha: facts.head_sha.clone(),
                ..Default::default()
            });
        }
    }
    facts
}

fn fill<T: Clone>(slot: &mut Option<T>, known: Option<&T>) {
    if slot.is_none() {
        *slot = known.cloned();
    }
}
