//! `/api/v1/runs`: the agent runs that jobs made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::items::{List, RunItem};
use super::params::{Id, Params, page};
use crate::server::admin::Admin;
use crate::server::problem::{Refusal, Refusals};
use crate::store::RunFilter;

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsQuery {
    /// In this phase: `alive`, `succeeded`, `failed` or `stopped`.
    phase: Option<String>,
    /// Of this rule.
    rule: Option<String>,
    /// Of this job.
    job: Option<String>,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "listRuns", tag = "reading", params(RunsQuery),
    responses((status = 200, description = "One page.", body = List<RunItem>), Refusals))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<RunsQuery>,
) -> Result<Json<List<RunItem>>, Refusal> {
    let phase = query.phase.as_deref().map(str::parse).transpose();
    let phase = phase.map_err(|wrong: String| Refusal::BadRequest(wrong.into()))?;
    let filter = RunFilter { phase, rule: query.rule, job: query.job };
    let page = admin.store.runs(&filter, &page(query.limit, query.cursor)?).await?;
    Ok(Json(List { items: page.items.into_iter().map(RunItem::from).collect(), next: page.next }))
}

/// One run.
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "getRun", tag = "reading",
    params(("id" = i64, Path, description = "Its id at the service.")),
    responses((status = 200, description = "The run.", body = RunItem), Refusals))]
pub(super) async fn one(State(admin): State<Arc<Admin>>, Id(id): Id) -> Result<Json<RunItem>, Refusal> {
    let record = match id.parse() {
        Ok(id) => admin.store.run(id).await?,
        Err(_) => None,
    };
    record.map(|record| Json(record.into())).ok_or(Refusal::NotFound("there is no such run of ours".into()))
}
