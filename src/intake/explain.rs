//! What follows from a delivery, told and not done: the same decision as live, and the same transaction, taken back.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::decide::{Decided, may_speak};
use super::recorded::Recorded;
use super::{Door, Intake};
use crate::model::acceptance::Accepted;
use crate::model::clock::Timestamp;
use crate::model::decision::{Ruling, Verdict};
use crate::model::delivery::SourceKind;
use crate::model::event::Event;
use crate::model::id::new_id;
use crate::model::job::JobRequest;
use crate::rules::Rendered;
use crate::store::{StoreError, StoredBody};
use crate::webhook::{self, Delivery};

/// Why there is nothing to tell about a delivery.
#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    /// There is no such delivery.
    #[error("there is no delivery {0}")]
    NoDelivery(String),
    /// Its body is forgotten.
    #[error(
        "the body of delivery {id} of {received} is gone: bodies are kept for the time in `retention.bodies`; what the \
         rules said when it came is still in its record"
    )]
    NoBody {
        /// The delivery.
        id: String,
        /// When it came.
        received: String,
    },
    /// No such source is configured.
    #[error("{0}")]
    NoSource(String),
    /// It is not a request that its source could send.
    #[error("{0}")]
    Unreadable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What follows from one delivery.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// Our id of the delivery; one that is not stored has the id that it was decided under.
    pub delivery: String,
    /// The source.
    pub source: String,
    /// The host's name for what happened.
    pub native: String,
    /// When it came.
    #[schema(format = DateTime)]
    pub received_at: String,
    /// Hash of the rules that were asked.
    pub rules_hash: String,
    /// What became of it as far as the rules go: `unmatched`, `ping` or `not_understood`, or `accepted` when a rule acts.
    pub outcome: &'static str,
    /// Why.
    pub reason: String,
    /// What it says, in our words.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Event>,
    /// What each rule says.
    pub verdicts: Vec<RuleReport>,
}

/// What one rule says to a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RuleReport {
    /// The rule.
    pub rule: String,
    /// `queued` when it acts; else `shadow`, `denied`, `no_match` or `failed`.
    pub decision: &'static str,
    /// Why: the condition that does not hold, and its actual value.
    pub reason: String,
    /// The values that the decision rests on.
    pub inputs: Map<String, Value>,
    /// Which of the events it is about, from 0.
    pub event: usize,
    /// The happening that it claims.
    #[schema(required)]
    pub happening: Option<String>,
    /// The key under which events join one job.
    #[schema(required)]
    pub key: Option<String>,
    /// The job that it asks for.
    #[schema(required)]
    pub request: Option<RequestReport>,
    /// What would be sent if this delivery were all that the job answers.
    #[schema(required)]
    pub sends: Option<SendReport>,
    /// What accepting it now makes of the request.
    #[schema(required)]
    pub now: Option<StandingReport>,
}

/// A job that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RequestReport {
    /// What it is about.
    pub subject: String,
    /// The subject, or the ticket that it belongs to: one context has one agent.
    pub context: String,
    /// The repository or project.
    #[schema(required)]
    pub repo: Option<String>,
    /// The commit.
    #[schema(required)]
    pub sha: Option<String>,
    /// Who asked for it, when a person did.
    #[schema(required)]
    pub person: Option<String>,
    /// `people`, `urgent`, `normal` or `background`.
    pub priority: &'static str,
    /// `run`, `setup_commands`, `ban` or `tell`.
    pub action: &'static str,
    /// From when it may be sent, if no other event joins it.
    #[schema(format = DateTime)]
    pub due_at: String,
}

/// What a rule would send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SendReport {
    /// The prompt without its last line, which names the job. Holds text from outside.
    pub prompt: String,
    /// The repository to work in.
    #[schema(required)]
    pub repo: Option<String>,
    /// The model.
    #[schema(required)]
    pub model: Option<String>,
    /// The agent.
    pub agent_type: &'static str,
}

/// What accepting makes of a request, by what is stored: claims, waiting jobs, runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StandingReport {
    /// `queued`, `joined`, `late` or `duplicate`.
    pub decision: &'static str,
    /// Why.
    pub reason: String,
    /// The job that it made or joins, or that it comes too late for.
    #[schema(required)]
    pub job: Option<String>,
}

/// A stored delivery, ready to be decided again.
#[derive(Debug)]
pub(super) struct Restored<'a> {
    pub(super) door: &'a Door,
    pub(super) delivery: Delivery,
    pub(super) received_at: Timestamp,
}

impl Intake {
    /// Decides a stored delivery again, under the rules in force and with what is known now. Nothing is changed by it.
    pub async fn explain(&self, id: &str) -> Result<Report, Unexplained> {
        let Restored { door, delivery, received_at } = self.restore(id).await?;
        self.report(door, &delivery, id, received_at).await
    }

    /// Decides a recorded request that is not stored, as if its sender had proved itself. Nothing is changed by it.
    /// `source` is the source that it came by; else the first of its kind that may speak for what it says.
    pub async fn explain_recorded(&self, source: Option<&str>, request: &Recorded) -> Result<Report, Unexplained> {
        let now = self.clock.now();
        let (door, delivery) = self.read_recorded(source, request, now)?;
        self.report(door, &delivery, &new_id(now), now).await
    }

    /// Takes a recorded request as if its sender had proved itself: for the tests of rules, on a store of their own.
    pub async fn take_recorded(&self, source: Option<&str>, request: &Recorded) -> Result<Accepted, Unexplained> {
        let (door, delivery) = self.read_recorded(source, request, self.clock.now())?;
        Ok(self.accept(door, delivery).await?)
    }

    /// A stored delivery as files hold it: headers and JSON body.
    pub async fn export(&self, id: &str) -> Result<Box<RawValue>, Unexplained> {
        let stored = self.stored(id).await?;
        let Restored { delivery, .. } = self.restore_stored(&stored)?;
        let wrong = |error: &dyn std::fmt::Display| Unexplained::Unreadable(format!("delivery {id}: {error}"));
        let payload = std::str::from_utf8(delivery.payload()).map_err(|error| wrong(&error))?;
        Recorded::write(&stored, payload).map_err(|error| wrong(&error))
    }

    async fn report(
        &self,
        door: &Door,
        delivery: &Delivery,
        id: &str,
        received_at: Timestamp,
    ) -> Result<Report, Unexplained> {
        let rules = self.rules.now();
        let decided = self.decide_under(&rules, door, delivery, id, received_at).await?;
        let mut acceptance = decided.acceptance.clone();
        // The delivery itself may be stored already; what follows from it does not hang on its id.
        acceptance.id = new_id(self.clock.now());
        let accepted = self.store.rehearse(acceptance).await?;
        let mut report = Report::of(decided, rules.hash());
        report.stands(&accepted, false);
        Ok(report)
    }

    /// A stored delivery with its body.
    pub(super) async fn restore(&self, id: &str) -> Result<Restored<'_>, Unexplained> {
        let stored = self.stored(id).await?;
        self.restore_stored(&stored)
    }

    async fn stored(&self, id: &str) -> Result<StoredBody, Unexplained> {
        if let Some(stored) = self.store.body(id).await? {
            return Ok(stored);
        }
        let Some(record) = self.store.delivery(id).await? else { return Err(Unexplained::NoDelivery(id.to_owned())) };
        Err(Unexplained::NoBody { id: record.id, received: record.received_at.to_rfc3339() })
    }

    fn restore_stored(&self, stored: &StoredBody) -> Result<Restored<'_>, Unexplained> {
        let door = self.door(&stored.source)?;
        let received_at = stored.received_at;
        let body = stored.body.clone();
        let delivery = Delivery::restored(&door.spec, &stored.headers, body, &stored.secret_label, received_at);
        let delivery = delivery.map_err(|refusal| Unexplained::Unreadable(refusal.to_string()))?;
        Ok(Restored { door, delivery, received_at })
    }

    fn door(&self, source: &str) -> Result<&Door, Unexplained> {
        self.doors.get(source).ok_or_else(|| {
            let known: Vec<&str> = self.doors.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Unexplained::NoSource(format!("there is no source \"{source}\" in the settings; there are {known}"))
        })
    }

    /// The request as its source would have sent it, when nobody says by which: the first of its kind that may speak
    /// for what it says.
    fn read_recorded(
        &self,
        source: Option<&str>,
        request: &Recorded,
        now: Timestamp,
    ) -> Result<(&Door, Delivery), Unexplained> {
        let read = |door: &'_ Door| {
            let delivery = Delivery::restored(&door.spec, &request.headers, request.body.clone(), "", now);
            delivery.map_err(|refusal| Unexplained::Unreadable(refusal.to_string()))
        };
        if let Some(source) = source {
            let door = self.door(source)?;
            return Ok((door, read(door)?));
        }
        let kind = request.kind();
        let mut first = None;
        for door in self.doors.values().filter(|door| door.spec.kind == kind) {
            let delivery = read(door)?;
            if may_speak(door, &webhook::understand(&delivery).events) {
                return Ok((door, delivery));
            }
            first.get_or_insert((door, delivery));
        }
        first.ok_or_else(|| {
            if kind == SourceKind::Jira {
                // Jira has no header of its own, so a body without its headers looks like it.
                return Unexplained::NoSource(
                    "no header tells its host: GitHub's X-GitHub-Event or GitLab's X-Gitlab-Event; without one it could \
                     only be Jira's, and no source of that kind is configured"
                        .to_owned(),
                );
            }
            let kind = kind.as_str();
            Unexplained::NoSource(format!("its headers are those of {kind}, and no source of that kind is configured"))
        })
    }
}

impl Report {
    /// What was decided, before anything is known of how it stands with what is stored.
    pub(super) fn of(decided: Decided, rules_hash: &str) -> Self {
        let Decided { acceptance, rendered } = decided;
        let received_at = acceptance.received_at;
        let acts = !acceptance.requests.is_empty();
        let mut requests: Vec<Option<JobRequest>> = vec![None; acceptance.verdicts.len()];
        for (at, request) in acceptance.requests {
            if let Some(place) = requests.get_mut(at) {
                *place = Some(request);
            }
        }
        let told = acceptance.verdicts.into_iter().zip(requests).zip(rendered);
        Self {
            delivery: acceptance.id,
            source: acceptance.source,
            native: acceptance.native,
            received_at: received_at.to_rfc3339(),
            rules_hash: rules_hash.to_owned(),
            outcome: if acts { "accepted" } else { acceptance.outcome.as_str() },
            reason: acceptance.reason,
            events: acceptance.events,
            verdicts: told
                .map(|((verdict, request), rendered)| RuleReport::of(verdict, request, rendered, received_at))
                .collect(),
        }
    }

    /// Adds what the store makes of the requests. The new jobs of a rehearsal are gone with it, so that `made` tells
    /// whether their ids mean anything.
    pub(super) fn stands(&mut self, accepted: &Accepted, made: bool) {
        for (report, verdict) in self.verdicts.iter_mut().zip(&accepted.verdicts) {
            if report.request.is_none() {
                continue;
            }
            let job = verdict.job.clone().filter(|_| made || verdict.decision != Ruling::Queued);
            report.now =
                Some(StandingReport { decision: verdict.decision.as_str(), reason: verdict.reason.clone(), job });
        }
    }
}

impl RuleReport {
    fn of(verdict: Verdict, request: Option<JobRequest>, rendered: Option<Rendered>, received_at: Timestamp) -> Self {
        Self {
            rule: verdict.rule,
            decision: verdict.decision.as_str(),
            reason: verdict.reason,
            inputs: verdict.inputs,
            event: verdict.event,
            happening: verdict.happening,
            key: verdict.key,
            request: request.map(|request| RequestReport {
                context: if request.context.is_empty() { request.subject.clone() } else { request.context },
                subject: request.subject,
                repo: request.repo,
                sha: request.sha,
                person: request.person,
                priority: request.priority.as_str(),
                action: request.action.as_str(),
                due_at: received_at.plus(request.settle.min(request.settle_max)).to_rfc3339(),
            }),
            sends: rendered.map(|rendered| SendReport {
                prompt: rendered.prompt,
                repo: rendered.repo,
                model: rendered.model,
                agent_type: rendered.agent_type,
            }),
            now: None,
        }
    }
}
