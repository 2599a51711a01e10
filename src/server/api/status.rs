//! `/api/v1/status`: the state of the whole at a glance.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::brakes::PauseItem;
use super::items::{JobItem, RunItem, text};
use super::notices::NoticeItem;
use super::params::Params;
use crate::server::admin::Admin;
use crate::server::budgets::Budget;
use crate::server::overview::{Trouble, Windows};
use crate::server::problem::{Refusal, Refusals};
use crate::store::PageRequest;

/// Nothing can be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusQuery {}

/// The state of the whole.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// When it was started.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// For how many seconds it has been running.
    pub uptime_s: u64,
    /// Hash of the rules in force.
    pub rules_hash: String,
    /// How many jobs are in each state; every state is named.
    pub jobs: BTreeMap<&'static str, u64>,
    /// The windows of the API's limits.
    pub windows: Vec<WindowItem>,
    /// The pauses in force.
    pub pauses: Vec<PauseItem>,
    /// Every limit of the rules in force with its use, the fullest first, at most 60. Of those that hold for each
    /// repository, subject or person alike, the three fullest.
    pub budgets: Vec<BudgetItem>,
    /// The newest notices that are not settled, at most 20.
    pub notices: Vec<NoticeItem>,
    /// The job that has waited longest.
    #[schema(required)]
    pub oldest_waiting: Option<JobItem>,
    /// The newest runs that have not ended, at most 100.
    pub active_runs: Vec<RunItem>,
    /// What needs a person's attention.
    pub problems: Vec<TroubleItem>,
}

/// The sliding window of one class of calls.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct WindowItem {
    /// `create`, `standard`, `setup_commands`, `log_analysis` or `logs`.
    pub class: &'static str,
    /// Slots there are.
    pub limit: u32,
    /// Length of the window in seconds.
    pub per_s: u64,
    /// Slots in use.
    pub used: u32,
    /// Slots free now; none while the class is frozen.
    pub free: u32,
    /// When the next slot is free; null when one is, or when only calls under way hold them.
    #[schema(required, format = DateTime)]
    pub next_free: Option<String>,
    /// Until when the class is frozen, if it is.
    #[schema(required, format = DateTime)]
    pub frozen_until: Option<String>,
    /// Why it is frozen.
    #[schema(required)]
    pub reason: Option<String>,
}

/// A limit with its use.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct BudgetItem {
    /// What is counted together: `all`, `file`, `rule`, `repo`, `subject` or `person`.
    pub scope: &'static str,
    /// Of which one; empty for all.
    pub name: String,
    /// How many there may be.
    pub limit: u32,
    /// In how many seconds; null for unfinished runs at once.
    #[schema(required)]
    pub per_s: Option<u64>,
    /// How many there are.
    pub used: u32,
    /// `ok`, `amber` from 80 % on, `full`.
    pub level: &'static str,
    /// When there is room again; null when there is, or when it is not known.
    #[schema(required, format = DateTime)]
    pub next_free: Option<String>,
}

impl From<Budget> for BudgetItem {
    fn from(budget: Budget) -> Self {
        Self {
            scope: budget.scope.as_str(),
            name: budget.name,
            limit: budget.limit,
            per_s: budget.per.map(|per| per.as_secs()),
            used: budget.used,
            level: budget.level,
            next_free: text(budget.next_free),
        }
    }
}

/// Something that needs a person's attention.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct TroubleItem {
    /// What it is.
    pub message: String,
    /// What to do about it.
    #[schema(required)]
    pub help: Option<String>,
    /// When it is over by itself, if that is known.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
}

/// The state of the whole at a glance.
#[utoipa::path(get, path = "/api/v1/status", operation_id = "getStatus", tag = "reading",
    responses((status = 200, description = "The state.", body = Status), Refusals))]
pub(super) async fn status(
    State(admin): State<Arc<Admin>>,
    Params(StatusQuery {}): Params<StatusQuery>,
) -> Result<Json<Status>, Refusal> {
    let now = admin.clock.now();
    let counts = admin.store.counts().await?;
    let windows = admin.windows().await?;
    let alive = admin.alive_runs(100).await?;
    let problems = admin.troubles(&counts, &windows, &alive);
    let mut oldest = admin.standing(admin.store.oldest_waiting().await?.into_iter().collect()).await?;
    let notices = admin.store.notices(true, &PageRequest { limit: 20, cursor: None }).await?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at: admin.started_at.to_rfc3339(),
        uptime_s: now.since(admin.started_at).as_secs(),
        rules_hash: (admin.rules)().hash,
        jobs: counts.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
        windows: window_items(&windows),
        pauses: admin.store.pauses().await?.iter().map(PauseItem::from).collect(),
        budgets: admin.budgets().await?.into_iter().map(BudgetItem::from).collect(),
        notices: notices.items.into_iter().map(NoticeItem::from).collect(),
        oldest_waiting: oldest.pop().map(JobItem::from),
        active_runs: alive.into_iter().map(RunItem::from).collect(),
        problems: problems.into_iter().map(TroubleItem::from).collect(),
    }))
}

fn window_items(windows: &Windows) -> Vec<WindowItem> {
    windows
        .iter()
        .map(|window| WindowItem {
            class: window.used.class.as_str(),
            limit: window.used.limit,
            per_s: window.per.as_secs(),
            used: window.used.used,
            free: if window.freeze.is_some() { 0 } else { window.used.free() },
            next_free: text(window.used.next_free),
            frozen_until: text(window.freeze.as_ref().map(|freeze| freeze.until)),
            reason: window.freeze.as_ref().map(|freeze| freeze.reason.clone()),
        })
        .collect()
}

impl From<Trouble> for TroubleItem {
    fn from(trouble: Trouble) -> Self {
        Self { message: trouble.message, help: trouble.help, until: text(trouble.until) }
    }
}
