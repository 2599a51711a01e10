//! The pages about those who wait: the whole line, lists of jobs, and what a pause holds back.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::Html;
use axum::routing::get;
use minijinja::context;
use serde::Deserialize;

use super::view::next_in_line;
use super::{acts, head, shown};
use crate::model::job::JobState;
use crate::server::admin::Admin;
use crate::server::api::params::{Params, page, words};
use crate::server::auth::Caller;
use crate::server::brakes::paused;
use crate::server::problem::Refusal;
use crate::store::JobFilter;

/// How many of the line are shown.
const LINE: usize = 200;

pub(super) fn router() -> Router<Arc<Admin>> {
    Router::new().route("/line", get(line)).route("/jobs", get(jobs)).route("/resume", get(resume).post(acts::resume))
}

async fn line(State(admin): State<Arc<Admin>>, Extension(caller): Extension<Caller>) -> Result<Html<String>, Refusal> {
    let counts = admin.store.counts().await?;
    let total = counts.iter().find(|(state, _)| *state == JobState::Queued).map_or(0, |(_, count)| *count);
    let items = next_in_line(&admin, LINE).await?;
    let data = context! { head => head(&admin, &caller), now => admin.clock.now().0, total, items => shown(&items) };
    admin.pages.render("line.html", data)
}

/// Which jobs are listed. A field that is empty was not filled in.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    state: String,
    rule: String,
    repo: String,
    subject: String,
    cursor: String,
}

async fn jobs(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Params(wanted): Params<Wanted>,
) -> Result<Html<String>, Refusal> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = JobFilter {
        states: words(given(&wanted.state).as_deref(), str::parse::<JobState>)?,
        rule: given(&wanted.rule),
        source: None,
        repo: given(&wanted.repo),
        subject: given(&wanted.subject),
    };
    let found = admin.store.jobs(&filter, &page(None, given(&wanted.cursor))?).await?;
    let items = admin.standing(found.items).await?;
    let states: Vec<_> = JobState::ALL.map(JobState::as_str).into();
    let older = found.next.map(|cursor| {
        let fields = [("state", &wanted.state), ("rule", &wanted.rule), ("repo", &wanted.repo)];
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fields).append_pair("subject", &wanted.subject).append_pair("cursor", &cursor);
        format!("/jobs?{}", query.finish())
    });
    let data = context! {
        head => head(&admin, &caller), now => admin.clock.now().0, items => shown(&items), wanted => shown(&wanted),
        states, older,
    };
    admin.pages.render("jobs.html", data)
}

/// What is to be let go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    what: String,
}

async fn resume(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Params(What { what }): Params<What>,
) -> Result<Html<String>, Refusal> {
    let what = paused(&what)?;
    let pause = admin.store.pauses().await?.into_iter().find(|pause| pause.what == what);
    let pause = pause.ok_or_else(|| Refusal::NotFound(format!("{what} is not paused").into()))?;
    let held = admin.held_back(&what).await?;
    let data = context! {
        head => head(&admin, &caller), now => admin.clock.now().0, pause => shown(&pause), spelled => what.spelled(),
        name => what.to_string(), held => shown(&held),
    };
    admin.pages.render("resume.html", data)
}
