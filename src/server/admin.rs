//! The admin listener: status API, dashboard, log-in and metrics behind one guard.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use serde::Serialize;

use super::auth::Keyring;
use super::pages::Pages;
use super::problem::{method_not_allowed, not_found};
use super::{api, guard, metrics, pages};
use crate::intake::Intake;
use crate::model::access::AccessToken;
use crate::model::clock::{Clock, Timestamp};
use crate::model::delivery::SourceKind;
use crate::model::gate::{GateAnswer, Snapshot};
use crate::model::job::Job;
use crate::model::limits::Headroom;
use crate::model::policy::{Cost, Limit, Policy, Scope};
use crate::model::problem::Problem;
use crate::store::Store;

/// An act's body holds one number; a log-in's one token.
pub(super) const BODY_BYTES: usize = 64 * 1024;

/// A question may hold a whole payload, or the rules of a large team.
pub(super) const LARGE_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The rules in force, as far as they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesInForce {
    /// Their hash.
    pub hash: String,
    /// Each of them, in the order of their files.
    pub rules: Vec<RuleInForce>,
    /// Since when they are in force.
    pub loaded_at: Timestamp,
    /// Whether their files have changed since and cannot be used.
    pub stale: bool,
    /// What is wrong with the files as they are now; warnings only, unless the rules are stale.
    pub problems: Vec<Problem>,
}

/// One rule, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleInForce {
    /// Its name.
    pub name: String,
    /// `live`, `shadow` or `off`.
    pub mode: String,
    /// The kinds and native names that it waits for.
    pub on: Vec<String>,
    /// The repositories that it looks at.
    pub repos: Vec<String>,
    /// The file that it stands in, by its name without folders.
    pub file: String,
    /// What it may start at most, its own limits and the ceilings that bind it.
    pub limits: Vec<Limit>,
    /// How many commits of one subject it may act upon.
    pub attempts: u32,
    /// What else stands in its way, in words: approval, hours.
    pub brakes: Vec<String>,
}

impl RuleInForce {
    /// Everything that stands in its way, in words: `"10/day per subject"`, `"approval always"`.
    pub(super) fn says(&self) -> Vec<String> {
        let limit = |limit: &Limit| match limit.scope {
            Scope::All => format!("{} in all", limit.bound),
            scope => format!("{} per {scope}", limit.bound),
        };
        let attempts = format!("{} attempts", self.attempts);
        self.limits.iter().map(limit).chain([attempts]).chain(self.brakes.iter().cloned()).collect()
    }
}

/// Asks the gates about a job under its rule's policy.
pub type Gates = Box<dyn Fn(&Snapshot, &Policy) -> GateAnswer + Send + Sync>;

/// What the admin listener is made of. The functions are asked at every request, so that a reload shows at once.
pub struct AdminParts {
    /// The store.
    pub store: Store,
    /// The way in, which is also asked what would follow from a delivery.
    pub intake: Arc<Intake>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who may read and act. Without tokens everybody who reaches the listener may read, and nobody may act.
    pub tokens: Vec<AccessToken>,
    /// Names by which the listener may be called, beside loopback literals; without a port.
    pub hosts: Vec<String>,
    /// The configured sources, for those who have not received anything yet.
    pub sources: Vec<(String, SourceKind)>,
    /// The rules in force.
    pub rules: Box<dyn Fn() -> RulesInForce + Send + Sync>,
    /// What the rules in force say about a job.
    pub policy: Box<dyn Fn(&Job) -> Policy + Send + Sync>,
    /// What the gates say to a job.
    pub gates: Gates,
    /// What a run is estimated to cost.
    pub cost: Option<Cost>,
    /// What the settings leave of each window to other users of the token.
    pub headroom: Headroom,
    /// The metrics that the process counts itself, in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// The admin listener.
pub struct Admin {
    pub(super) store: Store,
    pub(super) intake: Arc<Intake>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keyring: Keyring,
    pub(super) hosts: Vec<String>,
    pub(super) sources: Vec<(String, SourceKind)>,
    pub(super) rules: Box<dyn Fn() -> RulesInForce + Send + Sync>,
    pub(super) policy: Box<dyn Fn(&Job) -> Policy + Send + Sync>,
    pub(super) gates: Gates,
    pub(super) cost: Option<Cost>,
    pub(super) headroom: Headroom,
    pub(super) metrics: Box<dyn Fn() -> String + Send + Sync>,
    pub(super) pages: Pages,
    pub(super) started_at: Timestamp,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Admin {
    /// Puts the listener together; it counts as started now.
    pub fn new(parts: AdminParts) -> Self {
        Self {
            keyring: Keyring::new(&parts.tokens, parts.store.instance_key()),
            started_at: parts.clock.now(),
            pages: Pages::new(),
            store: parts.store,
            intake: parts.intake,
            clock: parts.clock,
            hosts: parts.hosts,
            sources: parts.sources,
            rules: parts.rules,
            policy: parts.policy,
            gates: parts.gates,
            cost: parts.cost,
            headroom: parts.headroom,
            metrics: parts.metrics,
        }
    }

    /// Everything that the listener answers.
    pub fn router(self) -> Router {
        let admin = Arc::new(self);
        api::router()
            .merge(pages::router())
            .route("/metrics", get(metrics::metrics))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .layer(from_fn_with_state(Arc::clone(&admin), guard::guard))
            .with_state(admin)
    }
}
