//! `/api/v1/rules`: the rules in force, and how much each has done.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::items::{List, text};
use super::params::{Params, page};
use crate::server::admin::Admin;
use crate::server::problem::{Refusal, Refusals};

/// Which rules.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RulesQuery {
    /// With this mode: `live`, `shadow` or `off`.
    mode: Option<String>,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A rule in force.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RuleItem {
    /// Its name.
    pub name: String,
    /// `live`, `shadow` or `off`.
    pub mode: String,
    /// The kinds and native names that it waits for.
    pub on: Vec<String>,
    /// The repositories that it looks at.
    pub repos: Vec<String>,
    /// The file that it stands in.
    pub file: String,
    /// What stands in its way, in words: its limits and the ceilings that bind it, attempts, approval, hours.
    pub brakes: Vec<String>,
    /// How many jobs it has made that are still remembered.
    pub jobs: u64,
    /// When it made the newest of them.
    #[schema(required, format = DateTime)]
    pub last_job_at: Option<String>,
}

const MODES: [&str; 3] = ["live", "shadow", "off"];

/// The rules in force, in the order of their files.
#[utoipa::path(get, path = "/api/v1/rules", operation_id = "listRules", tag = "reading", params(RulesQuery),
    responses((status = 200, description = "One page.", body = List<RuleItem>), Refusals))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<RulesQuery>,
) -> Result<Json<List<RuleItem>>, Refusal> {
    let page = page(query.limit, query.cursor)?;
    if let Some(word) = query.mode.as_ref().filter(|word| !MODES.contains(&word.as_str())) {
        return Err(Refusal::BadRequest(format!("mode must be live, shadow or off, not {word:?}").into()));
    }
    let done: HashMap<_, _> =
        admin.store.rule_counts().await?.into_iter().map(|count| (count.rule, (count.jobs, count.last))).collect();
    let mut rules = (admin.rules)().rules;
    rules.retain(|rule| query.mode.as_ref().is_none_or(|mode| *mode == rule.mode));
    // Rules are known by name, so the cursor is the last name that was shown; it is hex to be safe in an address.
    let start = match page.cursor {
        None => 0,
        Some(cursor) => after(&cursor, rules.iter().map(|rule| rule.name.as_str()))
            .ok_or(Refusal::BadRequest("the cursor belongs to other rules; begin again without it".into()))?,
    };
    let end = rules.len().min(start + page.limit as usize);
    let next = (end < rules.len()).then(|| hex::encode(&rules[end - 1].name));
    let items = rules.drain(start..end).map(|rule| {
        let (jobs, last) = done.get(&rule.name).copied().unwrap_or_default();
        RuleItem {
            brakes: rule.says(),
            name: rule.name,
            mode: rule.mode,
            on: rule.on,
            repos: rule.repos,
            file: rule.file,
            jobs,
            last_job_at: text(last),
        }
    });
    Ok(Json(List { items: items.collect(), next }))
}

fn after<'a>(cursor: &str, mut names: impl Iterator<Item = &'a str>) -> Option<usize> {
    names.position(|name| hex::encode(name) == cursor).map(|at| at + 1)
}
