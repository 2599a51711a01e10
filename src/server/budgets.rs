//! Budgets as the status API and the dashboard tell them: every limit of the rules in force with its use.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::admin::Admin;
use super::problem::Refusal;
use crate::model::clock::Timestamp;
use crate::model::policy::{Bound, Limit, Scope};

/// Of a limit that holds for each repository, subject or person alike, how many of them are told.
const FULLEST: u32 = 3;
/// Budgets that are told at most.
const MOST: usize = 60;

/// A limit with its use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Budget {
    /// What is counted together.
    pub(super) scope: Scope,
    /// Of what: the rule, the file, the repository, …; empty for all.
    pub(super) name: String,
    /// How many there may be.
    pub(super) limit: u32,
    /// The limit as rules spell it: `"10/day"`, `"2 running"`.
    pub(super) bound: String,
    /// In how long; `None` for unfinished runs at once.
    pub(super) per: Option<Duration>,
    /// How many there are.
    pub(super) used: u32,
    /// How full it is, 100 at most.
    pub(super) percent: u32,
    /// `"ok"`, `"amber"` from 80 % on, `"full"`.
    pub(super) level: &'static str,
    /// When there is room again.
    pub(super) next_free: Option<Timestamp>,
}

impl Admin {
    /// Every limit of the rules in force with its use, the fullest first. Of those that hold for each repository, subject
    /// or person alike, the fullest few.
    pub(super) async fn budgets(&self) -> Result<Vec<Budget>, Refusal> {
        let limits = self.named_limits().await?;
        let uses = self.store.budget_uses(&limits).await?;
        let mut budgets: Vec<_> = limits
            .into_iter()
            .zip(uses)
            .map(|((name, limit), used)| {
                let per = match limit.bound {
                    Bound::Rate { per, .. } => Some(per),
                    Bound::Running(_) => None,
                };
                let percent = (used.used.min(used.limit) * 100).checked_div(used.limit).unwrap_or(100);
                let level = match percent {
                    100.. => "full",
                    80.. => "amber",
                    _ => "ok",
                };
                Budget {
                    scope: limit.scope,
                    name,
                    limit: used.limit,
                    bound: limit.bound.to_string(),
                    per,
                    used: used.used,
                    percent,
                    level,
                    next_free: used.next_free,
                }
            })
            .collect();
        budgets.sort_by_key(|budget| std::cmp::Reverse(budget.percent));
        budgets.truncate(MOST);
        Ok(budgets)
    }

    async fn named_limits(&self) -> Result<Vec<(String, Limit)>, Refusal> {
        let mut seen = BTreeSet::new();
        let mut limits = Vec::new();
        for rule in (self.rules)().rules.into_iter().filter(|rule| rule.mode == "live") {
            for limit in rule.limits {
                let names = match limit.scope {
                    Scope::All => vec![String::new()],
                    Scope::File => vec![rule.file.clone()],
                    Scope::Rule => vec![rule.name.clone()],
                    each => self.store.fullest(each, FULLEST).await?,
                };
                for name in names {
                    if seen.insert((limit.scope, name.clone(), limit.bound.to_string())) {
                        limits.push((name, limit));
                    }
                }
            }
        }
        Ok(limits)
    }
}
