//! What was started within a day and a week, by rule, and what it costs by the estimate of the settings.

use serde::Serialize;

use super::admin::Admin;
use super::problem::Refusal;

/// What one rule, or all together, have started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Spent {
    /// The rule; empty for all.
    pub(super) rule: String,
    /// Runs started within a day.
    pub(super) day: u64,
    /// Runs started within a week.
    pub(super) week: u64,
    /// What those of the day cost by estimate; `None` when the settings give none.
    pub(super) day_cost: Option<f64>,
    /// What those of the week cost by estimate.
    pub(super) week_cost: Option<f64>,
}

/// What was started, all together first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Spending {
    /// What costs are in; `None` when the settings give no estimate.
    pub(super) currency: Option<String>,
    /// All together, then each rule that started something, those with most first.
    pub(super) items: Vec<Spent>,
}

impl Admin {
    /// What was started within a day and a week.
    pub(super) async fn spending(&self) -> Result<Spending, Refusal> {
        let started = self.store.started().await?;
        let spent = |rule: String, day: u64, week: u64| {
            let cost = |runs: u64| self.cost.as_ref().map(|cost| cost.per_run * runs as f64);
            Spent { rule, day, week, day_cost: cost(day), week_cost: cost(week) }
        };
        let (day, week) = started.iter().fold((0, 0), |(day, week), it| (day + it.day, week + it.week));
        let mut items = vec![spent(String::new(), day, week)];
        items.extend(started.into_iter().map(|it| spent(it.rule, it.day, it.week)));
        Ok(Spending { currency: self.cost.as_ref().map(|cost| cost.currency.clone()), items })
    }
}
