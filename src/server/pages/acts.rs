//! What an operator does by the buttons of the pages. The guard has let only operators from our own pages come here.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::response::Redirect;
use axum::routing::post;

use crate::model::policy::Action;
use crate::model::run::Run;
use crate::server::admin::Admin;
use crate::server::api::params::{Content, Id, span};
use crate::server::auth::Caller;
use crate::server::brakes::{Wish, paused};
use crate::server::problem::Refusal;

pub(super) fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/jobs/{id}/{act}", post(job))
        .route("/runs/{id}/{act}", post(run))
        .route("/pause", post(pause))
        .route("/breakers/{name}/release", post(release_breaker))
        .route("/notices/{id}/settle", post(settle))
        .route("/subjects/reset-attempts", post(reset_attempts))
}

/// The fields of a form; one that is empty was not filled in.
pub(super) struct Form(HashMap<String, String>);

impl Form {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Content(body) = Content::from_request(request, state).await?;
        let fields = form_urlencoded::parse(&body).map(|(name, value)| (name.into_owned(), value.trim().to_owned()));
        Ok(Self(fields.filter(|(_, value)| !value.is_empty()).collect()))
    }
}

/// Whom the path names, and what is to be done to it.
struct To(String, String);

impl<S: Send + Sync> FromRequestParts<S> for To {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path((id, act)) = Path::from_request_parts(parts, state).await.map_err(|_| nothing())?;
        Ok(Self(id, act))
    }
}

fn nothing() -> Refusal {
    Refusal::NotFound("there is nothing at this path".into())
}

async fn job(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    To(id, act): To,
    form: Form,
) -> Result<Redirect, Refusal> {
    let (store, by) = (&admin.store, &caller.name);
    let mut shown = id.clone();
    match act.as_str() {
        "approve" => store.approve(&id, by).await?,
        "cancel" => store.cancel(&id, &format!("{by} cancelled it")).await?,
        "retry" => shown = store.retry(&id).await?,
        "absent" => store.absent(&id, &format!("{by} said that it has no run")).await?,
        "adopt" => {
            let run = form.get("run").and_then(|run| run.parse().ok());
            let run =
                Run { id: run.ok_or(Refusal::BadRequest("which run? Give its number".into()))?, ..Run::default() };
            store.adopt(&id, &run, &format!("{by} said that run {} is its run", run.id)).await?;
        }
        _ => return Err(nothing()),
    }
    tracing::info!(act, job = id, by, "an operator acted");
    Ok(Redirect::to(&format!("/jobs/{shown}")))
}

async fn run(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    To(id, act): To,
    form: Form,
) -> Result<Redirect, Refusal> {
    let (action, words) = match act.as_str() {
        "ban" => (Action::Ban, None),
        "unban" => (Action::Unban, None),
        "resume" => (Action::Tell, Some(form.get("prompt").unwrap_or_default())),
        _ => return Err(nothing()),
    };
    let job = admin.ask_of_run(&caller, &id, action, words).await?;
    tracing::info!(act, run = id, job, by = caller.name, "an operator acted");
    Ok(Redirect::to(&format!("/jobs/{job}")))
}

async fn pause(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Redirect, Refusal> {
    let what = match (form.get("scope").unwrap_or("all"), form.get("name").unwrap_or_default()) {
        ("all", _) => paused("all")?,
        (scope, name) => paused(&format!("{scope}:{name}"))?,
    };
    let until = form.get("for").map(span).transpose()?.map(|lasting| admin.clock.now().plus(lasting));
    let reason = form.get("reason").unwrap_or_default().to_owned();
    let stop_running = form.get("stop_running").is_some();
    admin.pause(&caller, Wish { what, until, reason, stop_running }).await?;
    Ok(Redirect::to("/"))
}

/// The backlog was shown on the page that the button stands on.
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Redirect, Refusal> {
    admin.resume(&caller, &paused(form.get("what").unwrap_or_default())?).await?;
    Ok(Redirect::to("/"))
}

async fn release_breaker(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
) -> Result<Redirect, Refusal> {
    admin.release_breaker(&caller, &name).await?;
    Ok(Redirect::to("/"))
}

async fn settle(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Redirect, Refusal> {
    admin.store.settle_notice(&id).await?;
    tracing::info!(notice = id, by = caller.name, "a notice was settled");
    Ok(Redirect::to("/"))
}

async fn reset_attempts(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Redirect, Refusal> {
    let subject = form.get("subject").ok_or(Refusal::BadRequest("of which subject?".into()))?;
    let attempts = admin.store.reset_attempts(subject).await?;
    tracing::info!(subject, attempts, by = caller.name, "attempts are counted from zero again");
    Ok(Redirect::to("/"))
}
