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
use super::replicas::ReplicaItem;
use crate::model::breaker::Breaker;
use crate::model::clock::Timestamp;
use crate::model::policy::Cost;
use crate::model::problem::{Problem, Severity};
use crate::server::admin::{Admin, RulesInForce};
use crate::server::budgets::Budget;
use crate::server::overview::{Trouble, Windows};
use crate::server::problem::{Refusal, Refusals};
use crate::server::spending::{Spending, Spent};
use crate::store::PageRequest;

/// Problems of rule files in an answer.
const PROBLEMS: usize = 50;

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
    /// The rules in force and their files.
    pub rules: RulesItem,
    /// What a run is estimated to cost, as the settings say it.
    #[schema(required)]
    pub cost: Option<CostItem>,
    /// How many jobs are in each state; every state is named.
    pub jobs: BTreeMap<&'static str, u64>,
    /// The windows of the API's limits.
    pub windows: Vec<WindowItem>,
    /// The pauses in force.
    pub pauses: Vec<PauseItem>,
    /// The breakers that are open.
    pub breakers: Vec<BreakerItem>,
    /// Every limit of the rules in force with its use, the fullest first, at most 60. Of those that hold for each
    /// repository, subject or person alike, the three fullest.
    pub budgets: Vec<BudgetItem>,
    /// What was started within a day and a week, and what it costs by the estimate of the settings.
    pub spending: SpendingItem,
    /// The newest notices that are not settled, at most 20.
    pub notices: Vec<NoticeItem>,
    /// The job that has waited longest.
    #[schema(required)]
    pub oldest_waiting: Option<JobItem>,
    /// The newest runs that have not ended, at most 100.
    pub active_runs: Vec<RunItem>,
    /// What needs a person's attention.
    pub problems: Vec<TroubleItem>,
    /// The processes that share the database.
    pub replicas: Vec<ReplicaItem>,
}

/// The sliding window of one class of calls.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct WindowItem {
    /// `create`, `standard`, `setup_commands`, `log_analysis` or `logs`.
    pub class: &'static str,
    /// Slots there are now.
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
    /// Slots there are by the settings: more than `limit` while a 429 has taken some.
    pub setting: u32,
    /// Slots beside them that the settings leave to other users of the token.
    pub headroom: u32,
    /// That a 429 has taken slots, and when, in words; they come back by themselves.
    #[schema(required)]
    pub shrunk: Option<String>,
}

/// A breaker that is open: calls that are certain to fail are held back until a probe has shown that they do not.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct BreakerItem {
    /// `access`, `billing`, `not_found` or `outage`.
    pub name: &'static str,
    /// The classes of calls that met it. Of `billing` and `not_found` only what would start a run waits.
    pub classes: Vec<&'static str>,
    /// What the service said.
    pub reason: String,
    /// Since when it is open.
    #[schema(format = DateTime)]
    pub since: String,
    /// When the next probe goes; null when one is due.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
    /// How many probes there were.
    pub probes: u32,
    /// Whether one is under way.
    pub probing: bool,
}

impl BreakerItem {
    pub(super) fn of(breaker: &Breaker, now: Timestamp) -> Self {
        Self {
            name: breaker.name.as_str(),
            classes: breaker.classes.iter().map(|class| class.as_str()).collect(),
            reason: breaker.reason.clone(),
            since: breaker.since.to_rfc3339(),
            until: text(breaker.holds_until(now)),
            probes: breaker.probes,
            probing: breaker.probing,
        }
    }
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

/// What was started, and what it costs by the estimate of the settings.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct SpendingItem {
    /// What costs are in; null when the settings give no estimate.
    #[schema(required)]
    pub currency: Option<String>,
    /// All together (with an empty rule), then each rule that started something, those with most first.
    pub items: Vec<SpentItem>,
}

/// What one rule has started.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct SpentItem {
    /// The rule; empty for all together.
    pub rule: String,
    /// Runs started within a day.
    pub day: u64,
    /// Runs started within a week.
    pub week: u64,
    /// What those of the day cost by estimate.
    #[schema(required)]
    pub day_cost: Option<f64>,
    /// What those of the week cost by estimate.
    #[schema(required)]
    pub week_cost: Option<f64>,
}

impl From<Spending> for SpendingItem {
    fn from(spending: Spending) -> Self {
        let item = |Spent { rule, day, week, day_cost, week_cost }| SpentItem { rule, day, week, day_cost, week_cost };
        Self { currency: spending.currency, items: spending.items.into_iter().map(item).collect() }
    }
}

/// What a run is estimated to cost.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct CostItem {
    /// How much one run costs.
    pub per_run: f64,
    /// What the amount is in.
    pub currency: String,
}

/// The rules in force and their files.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RulesItem {
    /// Hash of the rules in force.
    pub hash: String,
    /// How many there are.
    pub count: usize,
    /// Since when they are in force.
    #[schema(format = DateTime)]
    pub loaded_at: String,
    /// Whether their files have changed since and cannot be used; then these rules stay.
    pub stale: bool,
    /// What is wrong with the files as they are now, at most 50; warnings only, unless the rules are stale.
    pub problems: Vec<FileProblemItem>,
}

/// Something wrong in a rules file.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct FileProblemItem {
    /// `error` or `warning`.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1, if it is about one.
    #[schema(required)]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[schema(required)]
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[schema(required)]
    pub help: Option<String>,
    /// All of it drawn with line and caret, to be shown with a fixed width.
    pub text: String,
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
    /// More of it, to be shown with a fixed width.
    #[schema(required)]
    pub text: Option<String>,
}

/// The state of the whole at a glance.
#[utoipa::path(get, path = "/api/v1/status", operation_id = "getStatus", tag = "reading",
    responses((status = 200, description = "The state.", body = Status), Refusals))]
pub(super) async fn status(
    State(admin): State<Arc<Admin>>,
    Params(StatusQuery {}): Params<StatusQuery>,
) -> Result<Json<Status>, Refusal> {
    let (now, rules) = (admin.clock.now(), (admin.rules)());
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
        rules_hash: rules.hash.clone(),
        rules: RulesItem::from(rules),
        cost: admin.cost.clone().map(|Cost { per_run, currency }| CostItem { per_run, currency }),
        jobs: counts.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
        windows: window_items(&windows),
        pauses: admin.store.pauses().await?.iter().map(PauseItem::from).collect(),
        breakers: admin.store.breakers().await?.iter().map(|breaker| BreakerItem::of(breaker, now)).collect(),
        budgets: admin.budgets().await?.into_iter().map(BudgetItem::from).collect(),
        spending: admin.spending().await?.into(),
        notices: notices.items.into_iter().map(NoticeItem::from).collect(),
        oldest_waiting: oldest.pop().map(JobItem::from),
        active_runs: alive.into_iter().map(RunItem::from).collect(),
        problems: problems.into_iter().map(TroubleItem::from).collect(),
        replicas: admin.store.replicas().await?.into_iter().map(ReplicaItem::from).collect(),
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
            setting: window.used.setting,
            headroom: window.headroom,
            shrunk: window.shrunk(),
        })
        .collect()
}

impl From<RulesInForce> for RulesItem {
    fn from(rules: RulesInForce) -> Self {
        Self {
            hash: rules.hash,
            count: rules.rules.len(),
            loaded_at: rules.loaded_at.to_rfc3339(),
            stale: rules.stale,
            problems: rules.problems.into_iter().take(PROBLEMS).map(FileProblemItem::from).collect(),
        }
    }
}

impl From<Problem> for FileProblemItem {
    fn from(problem: Problem) -> Self {
        let (line, column) = problem.place.as_ref().map(|place| (place.line, place.column)).unzip();
        Self {
            text: problem.to_string(),
            severity: problem.severity,
            file: problem.origin,
            line,
            column,
            message: problem.message,
            help: problem.help,
        }
    }
}

impl From<Trouble> for TroubleItem {
    fn from(trouble: Trouble) -> Self {
        Self { message: trouble.message, help: trouble.help, until: text(trouble.until), text: trouble.text }
    }
}
