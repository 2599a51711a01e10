//! `/api/v1/jobs`: what was asked of the agent service, where it stands and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::items::{JobDetail, JobItem, List};
use super::params::{Id, MOST, Params, page, words};
use crate::model::job::JobState;
use crate::server::admin::Admin;
use crate::server::problem::{Refusal, Refusals};
use crate::store::JobFilter;

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsQuery {
    /// In one of these states, comma-separated, e.g. `queued,held`.
    state: Option<String>,
    /// Of this rule.
    rule: Option<String>,
    /// Made by a delivery of this source.
    source: Option<String>,
    /// Of this repository or project.
    repo: Option<String>,
    /// About this subject.
    subject: Option<String>,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", operation_id = "listJobs", tag = "reading", params(JobsQuery),
    responses((status = 200, description = "One page.", body = List<JobItem>), Refusals))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<JobsQuery>,
) -> Result<Json<List<JobItem>>, Refusal> {
    let filter = JobFilter {
        states: words(query.state.as_deref(), str::parse::<JobState>)?,
        rule: query.rule,
        source: query.source,
        repo: query.repo,
        subject: query.subject,
    };
    let page = admin.store.jobs(&filter, &page(query.limit, query.cursor)?).await?;
    let items = admin.standing(page.items).await?;
    Ok(Json(List { items: items.into_iter().map(JobItem::from).collect(), next: page.next }))
}

/// One job with its prompt and deliveries.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", operation_id = "getJob", tag = "reading", params(("id" = String, Path, description = "Our id.")),
    responses((status = 200, description = "The job.", body = JobDetail), Refusals))]
pub(super) async fn one(State(admin): State<Arc<Admin>>, Id(id): Id) -> Result<Json<JobDetail>, Refusal> {
    let job = admin.job(&id).await?.ok_or(Refusal::NotFound("there is no such job".into()))?;
    let prompt = admin.store.prompt(&id).await?;
    let deliveries = admin.store.job_deliveries(&id, MOST).await?;
    Ok(Json(JobDetail { job: job.into(), prompt, deliveries }))
}
