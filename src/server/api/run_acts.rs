//! What an operator may ask of a run: to be stopped, to be let go on, or to do something more. Each becomes a job.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::acts::done;
use super::items::JobItem;
use super::params::{Id, Told};
use crate::model::policy::Action;
use crate::server::admin::Admin;
use crate::server::auth::Caller;
use crate::server::problem::{Refusal, Refusals};
use crate::store::Asking;

/// What is said to a run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowUp {
    /// The words, as they are sent.
    prompt: String,
}

/// Bans the run's change: its agents stop, and Codegen leaves the change alone until it is unbanned.
#[utoipa::path(post, path = "/api/v1/runs/{id}/ban", operation_id = "banRun", tag = "acting",
    params(("id" = i64, Path, description = "Its id at the service.")),
    responses((status = 200, description = "The job that asks for it.", body = JobItem), Refusals))]
pub(super) async fn ban(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<JobItem>, Refusal> {
    ask(&admin, &caller, &id, Action::Ban, None).await
}

/// Lets Codegen look after the run's change again.
#[utoipa::path(post, path = "/api/v1/runs/{id}/unban", operation_id = "unbanRun", tag = "acting",
    params(("id" = i64, Path, description = "Its id at the service.")),
    responses((status = 200, description = "The job that asks for it.", body = JobItem), Refusals))]
pub(super) async fn unban(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<JobItem>, Refusal> {
    ask(&admin, &caller, &id, Action::Unban, None).await
}

/// Says something to a run: it works on.
#[utoipa::path(post, path = "/api/v1/runs/{id}/resume", operation_id = "resumeRun", tag = "acting",
    params(("id" = i64, Path, description = "Its id at the service.")), request_body = FollowUp,
    responses((status = 200, description = "The job that says it.", body = JobItem), Refusals))]
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Told(FollowUp { prompt }): Told<FollowUp>,
) -> Result<Json<JobItem>, Refusal> {
    ask(&admin, &caller, &id, Action::Tell, Some(&prompt)).await
}

async fn ask(
    admin: &Admin,
    caller: &Caller,
    id: &str,
    action: Action,
    words: Option<&str>,
) -> Result<Json<JobItem>, Refusal> {
    let job = admin.ask_of_run(caller, id, action, words).await?;
    done(admin, caller, action.as_str(), &job).await
}

impl Admin {
    /// Makes the job that asks something of a run of ours; answers its id.
    pub(in crate::server) async fn ask_of_run(
        &self,
        caller: &Caller,
        run: &str,
        action: Action,
        words: Option<&str>,
    ) -> Result<String, Refusal> {
        let unknown = || Refusal::NotFound("there is no such run of ours".into());
        let run: i64 = run.parse().map_err(|_| unknown())?;
        let record = self.store.run(run).await?.ok_or_else(unknown)?;
        let of = self.store.job(&record.job).await?.ok_or_else(unknown)?;
        let words = words.map(str::trim);
        if words.is_some_and(str::is_empty) {
            return Err(Refusal::BadRequest("say what it shall do: the prompt is empty".into()));
        }
        let reason = match action {
            Action::Ban => format!("{} stops it", caller.name),
            Action::Unban => format!("{} lets Codegen look after the change again", caller.name),
            _ => format!("{} asks it to go on", caller.name),
        };
        Ok(self.store.ask_of_run(&of, &Asking { action, run, reason: &reason, words }).await?)
    }
}
