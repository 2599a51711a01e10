//! What the rules say to a delivery, before anything of it is written.

use crate::model::acceptance::{Acceptance, AttemptReset};
use crate::model::clock::Timestamp;
use crate::model::decision::{Ruling, Verdict};
use crate::model::delivery::DeliveryOutcome;
use crate::model::event::Event;
use crate::rules::{self, Judgement, Occasion, Rendered, RuleSet};
use crate::store::StoreError;
use crate::webhook::{self, Delivery, Reading, Understood};

use super::resolve::{lookup, resolve};
use super::{Door, Intake};

/// What follows from a delivery under one set of rules.
#[derive(Debug)]
pub(super) struct Decided {
    /// What is committed if it is live.
    pub(super) acceptance: Acceptance,
    /// What the rule of each verdict would send if this delivery were all that its job answers.
    pub(super) rendered: Vec<Option<Rendered>>,
}

impl Intake {
    /// Decides what follows from a delivery that came by way of `door`; `id` is ours for it, `now` when it arrived. Reads
    /// what is known, writes nothing: what it answers is exactly what live traffic commits.
    pub async fn decide(
        &self,
        door: &Door,
        delivery: &Delivery,
        id: &str,
        now: Timestamp,
    ) -> Result<Acceptance, StoreError> {
        Ok(self.decide_under(&self.rules.now(), door, delivery, id, now).await?.acceptance)
    }

    /// The same under the rules that are given: those in force, or a candidate that somebody asks about.
    pub(super) async fn decide_under(
        &self,
        rules: &RuleSet,
        door: &Door,
        delivery: &Delivery,
        id: &str,
        now: Timestamp,
    ) -> Result<Decided, StoreError> {
        let Understood { native, reading, events, subjects, checks, resets } = webhook::understand(delivery);
        let mut rendered = Vec::new();
        let mut acceptance = Acceptance {
            id: id.to_owned(),
            source: door.spec.name.clone(),
            secret_label: delivery.secret_label().to_owned(),
            sender_id: delivery.sender_id().map(str::to_owned),
            body_sha256: delivery.body_sha256().to_owned(),
            body: delivery.body().clone(),
            headers: delivery.headers().to_vec(),
            received_at: now,
            native,
            events,
            subjects,
            checks,
            resets,
            verdicts: Vec::new(),
            requests: Vec::new(),
            outcome: DeliveryOutcome::Unmatched,
            reason: String::new(),
        };
        if let Some(place) = acceptance.events.iter().find_map(|event| foreign_place(door, event)) {
            acceptance.reason =
                format!("the source \"{}\" may not speak for {place}; see `repos` in its settings", door.spec.name);
            acceptance.subjects.clear();
            acceptance.checks.clear();
            acceptance.resets.clear();
            return Ok(Decided { acceptance, rendered });
        }
        self.ask_rules(rules, door, delivery, &mut acceptance, &mut rendered).await?;
        (acceptance.outcome, acceptance.reason) = standing(&reading, &acceptance.verdicts);
        Ok(Decided { acceptance, rendered })
    }

    /// Completes the events with what is known of their subjects, and adds what the rules say to them.
    async fn ask_rules(
        &self,
        rules: &RuleSet,
        door: &Door,
        delivery: &Delivery,
        acceptance: &mut Acceptance,
        sends: &mut Vec<Option<Rendered>>,
    ) -> Result<(), StoreError> {
        let Acceptance { id, events, subjects, resets, verdicts, requests, .. } = acceptance;
        for (index, event) in events.iter_mut().enumerate() {
            let wanted = rules.candidates(event);
            if !wanted && (event.subject.key.is_empty() || !carries_reset(event, resets)) {
                continue;
            }
            let before = event.subject.key.clone();
            let known = if before.is_empty() { None } else { self.store.subject(&lookup(event)).await? };
            let facts = resolve(event, known, subjects);
            follow_key(resets, &before, &event.subject.key);
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
            for Judgement { mut verdict, request, rendered } in rules.judge(&occasion) {
                verdict.event = index;
                if let Some(request) = request {
                    if requests.iter().any(|(_, earlier)| earlier.rule == request.rule) {
                        verdict.decision = Ruling::NoMatch;
                        "once per delivery: the rule has acted on another event of it".clone_into(&mut verdict.reason);
                    } else {
                        requests.push((verdicts.len(), request));
                    }
                }
                verdicts.push(verdict);
                sends.push(rendered);
            }
        }
        Ok(())
    }
}

/// Whether a source may say all of this.
pub(super) fn may_speak(door: &Door, events: &[Event]) -> bool {
    events.iter().all(|event| foreign_place(door, event).is_none())
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
