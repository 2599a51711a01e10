//! What an operator may do to a job: retry, cancel, approve, adopt a run, or say that there is none.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::items::JobItem;
use super::params::{Id, Told};
use crate::model::run::Run;
use crate::server::admin::Admin;
use crate::server::auth::Caller;
use crate::server::problem::{Refusal, Refusals};

/// The run that belongs to a job.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Adoption {
    /// Its id at the service.
    run: i64,
}

/// Repeats an ended job as a new one, or queues a held one again.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", operation_id = "retryJob", tag = "acting",
    params(("id" = String, Path, description = "Our id of the job.")),
    responses((status = 200, description = "The job that will be sent.", body = JobItem), Refusals))]
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<JobItem>, Refusal> {
    let id = admin.store.retry(&id).await?;
    done(&admin, &caller, "retry", &id).await
}

/// Cancels a job that was not sent.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", operation_id = "cancelJob", tag = "acting",
    params(("id" = String, Path, description = "Our id of the job.")),
    responses((status = 200, description = "The cancelled job.", body = JobItem), Refusals))]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<JobItem>, Refusal> {
    admin.store.cancel(&id, &format!("{} cancelled it", caller.name)).await?;
    done(&admin, &caller, "cancel", &id).await
}

/// Agrees to a job that is held for approval: it is queued again, before what nobody waits for.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/approve", operation_id = "approveJob", tag = "acting",
    params(("id" = String, Path, description = "Our id of the job.")),
    responses((status = 200, description = "The job, which is queued again.", body = JobItem), Refusals))]
pub(super) async fn approve(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<JobItem>, Refusal> {
    admin.store.approve(&id, &caller.name).await?;
    done(&admin, &caller, "approve", &id).await
}

/// Says which run belongs to a job whose call ended without an answer.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/adopt", operation_id = "adoptJob", tag = "acting",
    params(("id" = String, Path, description = "Our id of the job.")), request_body = Adoption,
    responses((status = 200, description = "The job, which follows that run now.", body = JobItem), Refusals))]
pub(super) async fn adopt(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Told(Adoption { run }): Told<Adoption>,
) -> Result<Json<JobItem>, Refusal> {
    // Status and address are unknown here; the next list of runs tells them.
    let run = Run { id: run, ..Run::default() };
    admin.store.adopt(&id, &run, &format!("{} said that run {} is its run", caller.name, run.id)).await?;
    done(&admin, &caller, "adopt", &id).await
}

/// Says that a call that ended without an answer made no run; the job is sent again.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/absent", operation_id = "absentJob", tag = "acting",
    params(("id" = String, Path, description = "Our id of the job.")),
    responses((status = 200, description = "The job, which is queued again.", body = JobItem), Refusals))]
pub(super) async fn absent(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<JobItem>, Refusal> {
    admin.store.absent(&id, &format!("{} said that it has no run", caller.name)).await?;
    done(&admin, &caller, "absent", &id).await
}

pub(super) async fn done(admin: &Admin, caller: &Caller, act: &str, id: &str) -> Result<Json<JobItem>, Refusal> {
    tracing::info!(act, job = id, by = caller.name, "an operator acted");
    let job = admin.job(id).await?.ok_or(Refusal::NotFound("there is no such job".into()))?;
    Ok(Json(job.into()))
}
