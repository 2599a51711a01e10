//! What the rules say to a delivery, before anything of it is written.

use std::collections::{HashMap, HashSet};

use crate::model::acceptance::{Acceptance, AttemptReset};
use crate::model::clock::Timestamp;
use crate::model::decision::{Ruling, Verdict};
use crate::model::delivery::DeliveryOutcome;
use crate::model::event::Event;
use crate::model::subject::{Facts, SubjectUpdate};
use crate::rules::{self, Judgement, Occasion, Rendered, RuleSet};
use crate::store::StoreError;
use crate::webhook::{self, Delivery, Kept, Reading, Understood};

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
        delivery: Delivery,
        id: &str,
        now: Timestamp,
    ) -> Result<Acceptance, StoreError> {
        let Decided { mut acceptance, .. } = self.decide_under(&self.rules.now(), door, &delivery, id, now).await?;
        keep(&mut acceptance, delivery);
        Ok(acceptance)
    }

    /// The same under the rules that are given: those in force, or a candidate that somebody asks about. Without what is
    /// kept of the request, see [`keep`].
    pub(super) async fn decide_under(
        &self,
        rules: &RuleSet,
        door: &Door,
        delivery: &Delivery,
        id: &str,
        now: Timestamp,
    ) -> Result<Decided, StoreError> {
        let Understood { native, reading, events, subjects, mut checks, mut resets } = webhook::understand(delivery);
        // Most of what hosts tell is checks, each a row in a place of its own, which nobody asks for where no rule looks.
        checks.retain(|check| rules.may_look_at(&check.repo));
        // What is green there may be red by checks that are not known.
        resets.retain(|reset| !matches!(reset, AttemptReset::Green { repo, .. } if !rules.may_look_at(repo)));
        let mut rendered = Vec::new();
        let mut acceptance = Acceptance {
            id: id.to_owned(),
            source: door.spec.name.clone(),
            received_at: now,
            native,
            events,
            subjects,
            checks,
            resets,
            ..Acceptance::default()
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
        let Acceptance { id, events, subjects, resets, verdicts, requests, on_stale, .. } = acceptance;
        if subjects.iter().any(may_be_stale) {
            *on_stale = rules.on_stale();
        }
        let mut acted = Acted::default();
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
            let context =
                if wanted { self.context(&event.subject.key, facts.as_ref(), subjects).await? } else { String::new() };
            let occasion = Occasion {
                event,
                facts: facts.as_ref(),
                subject_key: &event.subject.key,
                context: &context,
                payload: delivery.payload(),
                source_kind: delivery.kind(),
                agents: &door.spec.agents,
                delivery: id,
                instance_key: self.store.instance_key(),
            };
            for mut said in rules.judge(&occasion) {
                said.verdict.event = index;
                acted.once(&mut said);
                requests.extend(said.request.map(|request| (verdicts.len(), request)));
                verdicts.push(said.verdict);
                sends.push(said.rendered);
            }
        }
        Ok(())
    }

    /// The ticket that a subject belongs to; empty when it stands for itself. It may be known only since the change was
    /// told of, so what this delivery mentions is looked up here as the store will do it.
    async fn context(
        &self,
        subject: &str,
        facts: Option<&Facts>,
        updates: &[SubjectUpdate],
    ) -> Result<String, StoreError> {
        if let Some(ticket) = facts.and_then(|facts| facts.part_of.clone()) {
            return Ok(ticket);
        }
        let mentions: Vec<_> =
            updates.iter().filter(|it| it.key == subject).flat_map(|it| &it.mentions).cloned().collect();
        let ticket = if mentions.is_empty() { None } else { self.store.mentioned(&mentions).await? };
        Ok(ticket.filter(|ticket| ticket != subject).unwrap_or_default())
    }
}

/// Adds what is kept of the request. What was read of it takes more memory, and goes here.
pub(super) fn keep(acceptance: &mut Acceptance, delivery: Delivery) {
    let Kept { secret_label, sender_id, headers, body } = delivery.into_kept();
    (acceptance.secret_label, acceptance.sender_id) = (secret_label, sender_id);
    (acceptance.headers, acceptance.body) = (headers, body);
}

/// The rules that have acted on an event of a delivery, or would have if they were not in shadow mode.
#[derive(Debug, Default)]
struct Acted {
    rules: HashSet<String>,
    /// The rule that acts for each word of `one_of`, with the event that it acts on.
    words: HashMap<String, (String, usize)>,
}

impl Acted {
    /// A rule acts once per delivery, and so does each word of `one_of`. Within one event the rules have seen to it
    /// themselves.
    fn once(&mut self, Judgement { verdict, request, one_of, .. }: &mut Judgement) {
        if !matches!(verdict.decision, Ruling::Queued | Ruling::Shadow) {
            return;
        }
        let other = one_of.as_ref().and_then(|word| Some((word, self.words.get(word)?)));
        if self.rules.contains(&verdict.rule) {
            "once per delivery: the rule has acted on another event of it".clone_into(&mut verdict.reason);
        } else if let Some((word, (rule, _))) = other.filter(|(_, (_, event))| *event != verdict.event) {
            verdict.reason = format!("one_of {word}: {rule} acts");
        } else {
            self.rules.insert(verdict.rule.clone());
            if let (Some(word), true) = (one_of, request.is_some()) {
                self.words.insert(word.clone(), (verdict.rule.clone(), verdict.event));
            }
            return;
        }
        verdict.decision = Ruling::NoMatch;
        *request = None;
    }
}

/// Whether an update may make a run stale: it moves a head, or closes something.
fn may_be_stale(update: &SubjectUpdate) -> bool {
    update.facts.head_sha.is_some() && update.facts.last_pusher.is_some() || update.facts.open == Some(false)
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

#[cfg(test)]
mod tests {
    use super::{Acted, Judgement};
    use crate::model::decision::{Ruling, Verdict};
    use crate::model::job::JobRequest;

    fn said(rule: &str, event: usize, one_of: Option<&str>, decision: Ruling) -> Judgement {
        let verdict = Verdict {
            rule: rule.to_owned(),
            decision,
            reason: String::new(),
            inputs: serde_json::Map::new(),
            rules_hash: String::new(),
            event,
            happening: None,
            key: None,
            job: None,
        };
        let request = (decision == Ruling::Queued).then(JobRequest::default);
        Judgement { verdict, request, rendered: None, one_of: one_of.map(str::to_owned) }
    }

    #[test]
    fn of_the_rules_with_one_word_only_the_first_acts_on_a_delivery_of_several_events() {
        let mut acted = Acted::default();
        let mut ask = |rule, event, word, decision| {
            let mut said = said(rule, event, word, decision);
            acted.once(&mut said);
            assert_eq!(said.request.is_some(), said.verdict.decision == Ruling::Queued);
            (said.verdict.decision, said.verdict.reason)
        };
        let passes = |decision| (decision, String::new());
        let refused = |reason: &str| (Ruling::NoMatch, reason.to_owned());
        assert_eq!(ask("dry", 0, Some("ci"), Ruling::Shadow), passes(Ruling::Shadow));
        assert_eq!(ask("first", 0, Some("ci"), Ruling::Queued), passes(Ruling::Queued));
        assert_eq!(ask("second", 1, Some("ci"), Ruling::Queued), refused("one_of ci: first acts"));
        assert_eq!(ask("other", 1, Some("review"), Ruling::Queued), passes(Ruling::Queued));
        assert_eq!(ask("free", 1, None, Ruling::Queued), passes(Ruling::Queued));
        assert_eq!(ask("strict", 1, Some("ci"), Ruling::Denied), passes(Ruling::Denied));
        let again = "once per delivery: the rule has acted on another event of it";
        assert_eq!(ask("first", 2, Some("ci"), Ruling::Queued), refused(again));
        assert_eq!(ask("dry", 2, Some("ci"), Ruling::Shadow), refused(again));
    }
}
