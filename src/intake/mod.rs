//! A delivery becomes verdicts and one transaction: the only way in, whoever hands it over.
//!
//! ```text
//! request ─verify─> Delivery ─decide.rs (understand, ask the rules)─> Acceptance ─one transaction─> Receipt
//!                                 resolve.rs: the subject, as the store knows it
//! stored or recorded ─> the same decision ─> explain.rs: told · replay.rs: taken once more · compare.rs: other rules
//! ```

mod compare;
mod decide;
mod explain;
mod recorded;
mod replay;
mod resolve;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;

use crate::model::acceptance::Accepted;
use crate::model::clock::Clock;
use crate::model::delivery::{DeliveryOutcome, SourceKind};
use crate::model::id::new_id;
use crate::rules::{Live, Places};
use crate::store::{Store, StoreError};
use crate::telemetry::{self, Metric};
use crate::webhook::{self, Delivery, Refusal, SourceSpec};

pub use compare::{Compared, Shift, candidate};
pub use explain::{Report, RequestReport, RuleReport, SendReport, StandingReport, Unexplained};
pub use recorded::Recorded;
pub use replay::Replay;

/// A configured sender and the repositories and projects that it may speak for.
#[derive(Debug)]
pub struct Door {
    /// What the verifier needs to know.
    pub spec: SourceSpec,
    /// What it may speak for.
    pub repos: Places,
}

/// The way in: every source, the rules in force and the store.
#[derive(Debug)]
pub struct Intake {
    doors: BTreeMap<String, Door>,
    rules: Arc<Live>,
    store: Store,
    clock: Arc<dyn Clock>,
}

/// What became of a webhook that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Our id of the delivery.
    pub delivery: String,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// The jobs that were made or joined.
    pub jobs: Vec<String>,
    /// What rules could not decide for want of a fact, e.g. `"draft unknown: subscribe to pull_request"`.
    pub notes: Vec<String>,
}

/// Why a webhook is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Unknown source, missing or wrong signature: alike for the sender.
    Unauthorized,
    /// Malformed; the reason is shown.
    BadRequest(String),
    /// Not a content type that the host sends; the reason is shown.
    UnsupportedMediaType(String),
    /// The signed timestamp is out of tolerance.
    Stale,
    /// It cannot be committed now.
    Overloaded {
        /// Seconds until another try is worth it.
        retry_after_s: u64,
    },
    /// It failed here; the cause was logged.
    Internal,
}

/// How long a sender is asked to wait when the store cannot take a delivery.
const RETRY_AFTER_S: u64 = 10;

impl Intake {
    /// An intake for these sources.
    pub fn new(doors: Vec<Door>, rules: Arc<Live>, store: Store, clock: Arc<dyn Clock>) -> Self {
        let doors = doors.into_iter().map(|door| (door.spec.name.clone(), door)).collect();
        Self { doors, rules, store, clock }
    }

    /// Takes one request: verify, understand, decide, commit. `Ok` means that everything it caused is on disk.
    pub async fn receive(&self, source: &str, headers: &HeaderMap, body: Bytes) -> Result<Receipt, Rejection> {
        let (door, delivery) = self.verify(source, headers, &body).map_err(|refusal| {
            telemetry::count(Metric::Refused, &[("reason", refusal.reason())]);
            Rejection::from(refusal)
        })?;
        drop(body);
        let accepted = self.accept(door, delivery).await.map_err(|error| rejection(source, &error))?;
        telemetry::count(Metric::Deliveries, &[("outcome", accepted.outcome.as_str())]);
        let mut notes: Vec<String> = accepted
            .verdicts
            .iter()
            .filter(|verdict| verdict.is_unknown())
            .map(|verdict| verdict.reason.clone())
            .collect();
        notes.sort();
        notes.dedup();
        Ok(Receipt { delivery: accepted.delivery, outcome: accepted.outcome, jobs: accepted.jobs, notes })
    }

    /// The sources that may speak for a repository or project, of these kinds.
    pub fn sources_for(&self, kinds: &[SourceKind], place: &str) -> Vec<&str> {
        let fit = |door: &&Door| kinds.contains(&door.spec.kind) && door.repos.allow(place);
        self.doors.values().filter(fit).map(|door| door.spec.name.as_str()).collect()
    }

    /// The rules in force that look at a repository or project.
    pub fn rules_for(&self, place: &str) -> Vec<String> {
        self.rules.now().looking_at(place).map(str::to_owned).collect()
    }

    fn verify(&self, source: &str, headers: &HeaderMap, body: &Bytes) -> Result<(&Door, Delivery), Refusal> {
        // Asked before the source is looked up: the answer must not tell a known source from an unknown one.
        webhook::unambiguous(headers)?;
        let door = self.doors.get(source).ok_or_else(|| webhook::refuse_unknown(body))?;
        Ok((door, webhook::verify(&door.spec, headers, body, self.clock.wall())?))
    }

    async fn accept(&self, door: &Door, delivery: Delivery) -> Result<Accepted, StoreError> {
        let now = self.clock.now();
        self.store.accept(self.decide(door, delivery, &new_id(now), now).await?).await
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized { .. } => Self::Unauthorized,
            Refusal::BadRequest { reason } => Self::BadRequest(reason),
            Refusal::UnsupportedMediaType { .. } => Self::UnsupportedMediaType(refusal.to_string()),
            Refusal::Stale => Self::Stale,
        }
    }
}

fn rejection(source: &str, error: &StoreError) -> Rejection {
    if let StoreError::Busy(_) | StoreError::Damaged(_) = error {
        telemetry::count(Metric::Refused, &[("reason", "overload")]);
        tracing::warn!(source, %error, "a delivery could not be committed");
        return Rejection::Overloaded { retry_after_s: RETRY_AFTER_S };
    }
    telemetry::count(Metric::Refused, &[("reason", "internal")]);
    tracing::error!(source, %error, "a delivery could not be committed");
    Rejection::Internal
}
