//! What the rules say to a delivery, before anything of it is written.

use crate::model::acceptance::AttemptReset;
use crate::model::decision::{Ruling, Verdict};
use crate::model::delivery::DeliveryOutcome;
use crate::model::event::Event;
use crate::model::job::JobRequest;
use crate::model::subject::{CheckUpdate, SubjectUpdate};
use crate::rules::{self, Judgement, Occasion};
use crate::store::StoreError;
use crate::webhook::{Delivery, Reading, Understood};

use super::resolve::{lookup, resolve};
use super::{Door, Intake};

/// Everything that follows from a delivery, before anything is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The host's own event name.
    pub native: String,
    /// Its events, completed with what is known of their subjects.
    pub events: Vec<Event>,
    /// What it adds to `subjects`.
    pub subjects: Vec<SubjectUpdate>,
    /// What it adds to `checks`.
    pub checks: Vec<CheckUpdate>,
    /// Reasons to count attempts anew.
    pub resets: Vec<AttemptReset>,
    /// What each rule said that wanted such an event.
    pub verdicts: Vec<Verdict>,
    /// What the matching rules ask for, each with the index of its verdict.
    pub requests: Vec<(usize, JobRequest)>,
    /// What became of it if no request is carried out.
    pub outcome: DeliveryOutcome,
    /// Why, in words.
    pub reason: String,
}

impl Intake {
    /// Decides what follows from a delivery that came by way of `door` and `said` this; `id` is ours for it. Reads what is
    /// known, writes nothing.
    pub async fn decide(
        &self,
        door: &Door,
        delivery: &Delivery,
        id: &str,
        said: Understood,
    ) -> Result<Decided, StoreError> {
        let Understood { native, reading, mut events, subjects, checks, mut resets } = said;
        let mut verdicts = Vec::new();
        let mut requests = Vec::new();
        let foreign = events.iter().find_map(|event| foreign_place(door, event));
        if let Some(place) = foreign {
            let reason =
                format!("the source \"{}\" may not speak for {place}; see `repos` in its settings", door.spec.name);
            let outcome = DeliveryOutcome::Unmatched;
            let (subjects, checks, resets) = (Vec::new(), Vec::new(), Vec::new());
            return Ok(Decided { native, events, subjects, checks, resets, verdicts, requests, outcome, reason });
        }
        for (index, event) in events.iter_mut().enumerate() {
            let wanted = self.rules.candidates(event);
            if !wanted && (event.subject.key.is_empty() || !carries_reset(event, &resets)) {
                continue;
            }
            let before = event.subject.key.clone();
            let known = if before.is_empty() { None } else { self.store.subject(&lookup(event)).await? };
            let facts = resolve(event, known, &subjects);
            follow_key(&mut resets, &before, &event.subject.key);
            // What is stored with a job is the completed event, so that its prompt is the same whenever it is rendered.
            *event = rules::complete(event, facts.as_ref()).into_owned();
            let occasion = Occasion {
                event,
                facts: facts.as_ref(),
                subject_key: &event.subject.key,
                payload: delivery.payload(),
                source_kind: delivery.kind(),
                agents: &door.spec.agents,
                delivery: id,
                instance_key: self.store.instance_key(),
            };
            for Judgement { mut verdict, request, .. } in self.rules.judge(&occasion) {
                verdict.event = index;
                if let Some(request) = request {
                    if requests.iter().any(|(_, earlier): &(usize, JobRequest)| earlier.rule == request.rule) {
                        verdict.decision = Ruling::NoMatch;
                        "once per delivery: the rule has acted on another event of it".clone_into(&mut verdict.reason);
                    } else {
                        requests.push((verdicts.len(), request));
                    }
                }
                verdicts.push(verdict);
            }
        }
        let (outcome, reason) = standing(&reading, &verdicts);
        Ok(Decided { native, events, subjects, checks, resets, verdicts, requests, outcome, reason })
    }
}

/// The repository or project of an event that the source may not speak for, if any.
fn foreign_place(door: &Door, event: &Event) -> Option<String> {
    let place = event.repo.as_deref().or(event.project.as_deref())?;
    (!door.repos.allow(place)).then(|| place.to_owned())
}

/// Whether an event that no rule wants must still be looked up, because a reset hangs on its subject.
fn carries_reset(event: &Event, resets: &[AttemptReset]) -> bool {
    resets.iter().any(|reset| match reset {
        AttemptReset::Green { subject, .. } | AttemptReset::HumanPush { subject } => *subject == event.subject.key,
    })
}

/// A reset follows its subject to the key under which that is known.
fn follow_key(resets: &mut [AttemptReset], before: &str, after: &str) {
    for reset in resets {
        match reset {
            AttemptReset::Green { subject, .. } | AttemptReset::HumanPush { subject } if subject == before => {
                after.clone_into(subject);
            }
            _ => {}
        }
    }
}

/// What became of a delivery as far as the rules go; the store turns it into accepted or duplicate.
fn standing(reading: &Reading, verdicts: &[Verdict]) -> (DeliveryOutcome, String) {
    match reading {
        Reading::Ping => (DeliveryOutcome::Ping, "the hook is connected".to_owned()),
        Reading::NotUnderstood { reason } => (DeliveryOutcome::NotUnderstood, reason.clone()),
        Reading::Events | Reading::NoKind if verdicts.is_empty() => {
            (DeliveryOutcome::Unmatched, "no rule asks for this kind of event in this repository".to_owned())
        }
        Reading::Events | Reading::NoKind => {
            let nearest = verdicts.iter().min_by_key(|verdict| match verdict.decision {
                Ruling::Queued | Ruling::Joined => 0,
                Ruling::Shadow => 1,
                Ruling::Failed => 2,
                Ruling::Denied => 3,
                Ruling::Duplicate | Ruling::Late | Ruling::NoMatch => 4,
            });
            let reason = nearest.map_or_else(String::new, |verdict| format!("{}: {}", verdict.rule, verdict.reason));
            (DeliveryOutcome::Unmatched, reason)
        }
    }
}
