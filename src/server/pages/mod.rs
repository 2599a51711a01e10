//! The pages for people: dashboard, one delivery, one job, why, log-in. Rendered here, every outside text escaped.

mod acts;
mod queue;
mod view;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::api::deliveries::hash_of_body;
use super::api::params::{Content, Id, MOST, Params};
use super::auth::{Caller, end_session};
use super::problem::Refusal;
use crate::model::access::Role;
use view::{View, mark};

/// Other jobs of the same context that a job's page names.
const OTHERS: u32 = 20;

/// The templates, compiled once.
#[derive(Debug)]
pub(super) struct Pages {
    environment: Result<Environment<'static>, minijinja::Error>,
}

/// What stands in the head of every page.
#[derive(Debug, Serialize)]
struct Head {
    version: &'static str,
    rules_hash: String,
    rules_stale: bool,
    started_at: i64,
    caller: Option<String>,
    /// Whether there are buttons to act by.
    acts: bool,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self { environment: environment() }
    }

    fn render(&self, name: &str, data: Value) -> Result<Html<String>, Refusal> {
        let wrong = |error: &minijinja::Error| Refusal::Internal(format!("{name}: {error:#}"));
        let environment = self.environment.as_ref().map_err(wrong)?;
        environment.get_template(name).and_then(|page| page.render(data)).map(Html).map_err(|error| wrong(&error))
    }
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut pages = Environment::new();
    pages.add_template("layout.html", include_str!("layout.html"))?;
    pages.add_template("mark.svg", include_str!("mark.svg"))?;
    pages.add_template("macros.html", include_str!("macros.html"))?;
    pages.add_template("dashboard.html", include_str!("dashboard.html"))?;
    pages.add_template("fragment.html", include_str!("fragment.html"))?;
    pages.add_template("delivery.html", include_str!("delivery.html"))?;
    pages.add_template("why.html", include_str!("why.html"))?;
    pages.add_template("explain.html", include_str!("explain.html"))?;
    pages.add_template("job.html", include_str!("job.html"))?;
    pages.add_template("line.html", include_str!("line.html"))?;
    pages.add_template("jobs.html", include_str!("jobs.html"))?;
    pages.add_template("resume.html", include_str!("resume.html"))?;
    pages.add_template("login.html", include_str!("login.html"))?;
    pages.add_filter("time", words::time);
    pages.add_filter("grouped", words::grouped);
    pages.add_filter("tone", words::tone);
    pages.add_filter("web", words::web);
    pages.add_filter("plain", words::plain);
    pages.add_filter("query", words::query);
    pages.add_filter("said", |value: minijinja::Value| words::said(&value));
    Ok(pages)
}

pub(super) fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/", get(dashboard))
        .route("/fragment/dashboard", get(fragment))
        .route("/deliveries/{id}", get(delivery))
        .route("/deliveries/{id}/explain", get(explain))
        .route("/jobs/{id}", get(job))
        .route("/why", get(why))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .route("/assets/app.css", get(|| async { asset("text/css; charset=utf-8", include_str!("app.css")) }))
        .route("/assets/app.js", get(|| async { asset("text/javascript; charset=utf-8", include_str!("app.js")) }))
        .route("/assets/favicon.svg", get(|| async { asset("image/svg+xml", include_str!("favicon.svg")) }))
        .merge(acts::router())
        .merge(queue::router())
}

/// Plain data as templates see it.
fn shown(data: impl Serialize) -> Value {
    Value::from(Serde(data))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

fn head(admin: &Admin, caller: &Caller) -> Value {
    let rules = (admin.rules)();
    shown(Head {
        version: env!("CARGO_PKG_VERSION"),
        rules_hash: rules.hash,
        rules_stale: rules.stale,
        started_at: admin.started_at.0,
        caller: caller.by_cookie.then(|| caller.name.clone()),
        acts: caller.role >= Role::Operator,
    })
}

/// Every section with a mark that changes with what it shows.
fn marks(view: &View) -> Value {
    context! {
        problems => mark(&view.problems),
        pauses => mark(&view.pauses),
        breakers => mark(&view.breakers),
        notices => mark(&view.notices),
        held => mark(&view.held),
        tiles => mark(&view.tiles),
        running => mark(&view.running),
        waiting => mark(&view.waiting),
        deliveries => mark(&view.deliveries),
        windows => mark(&view.windows),
        budgets => mark(&(&view.budgets, &view.spending)),
        rules => mark(&view.rules),
        states => mark(&view.states),
    }
}

async fn dashboard(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Html<String>, Refusal> {
    let view = View::of(&admin).await?;
    let (summary, rev) = (view.summary(), marks(&view));
    let data =
        context! { head => head(&admin, &caller), now => admin.clock.now().0, summary, rev, view => shown(&view) };
    admin.pages.render("dashboard.html", data)
}

/// The dashboard without its frame, for the script; 304 when nothing on it has changed.
async fn fragment(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let view = View::of(&admin).await?;
    // Who may not act is shown no buttons, so it is another page.
    let etag = format!("\"{}-{:?}\"", mark(&view), caller.role);
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let now = admin.clock.now().0;
    let (summary, rev) = (view.summary(), marks(&view));
    let data = context! { head => head(&admin, &caller), now, summary, rev, view => shown(&view) };
    let page = admin.pages.render("fragment.html", data)?;
    Ok(([(ETAG.as_str(), etag), ("x-now", now.to_string())], page).into_response())
}

async fn delivery(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Html<String>, Refusal> {
    let delivery = admin.store.delivery(&id).await?.ok_or(Refusal::NotFound("there is no such delivery".into()))?;
    let body_sha256 = hash_of_body(&admin.store, &id).await;
    let data = context! {
        head => head(&admin, &caller), now => admin.clock.now().0, delivery => shown(&delivery), body_sha256,
    };
    admin.pages.render("delivery.html", data)
}

async fn job(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Html<String>, Refusal> {
    let standing = admin.job(&id).await?.ok_or(Refusal::NotFound("there is no such job".into()))?;
    let (prompt, note) = admin.store.prompt_and_note(&id).await?.unzip();
    let events = admin.store.events_of(&id, MOST).await?;
    let events: Vec<_> = events
        .into_iter()
        .map(|(delivery, at, event)| context! { delivery, at => at.0, event => shown(&event) })
        .collect();
    let others = admin.store.of_context(&standing.job, OTHERS).await?;
    let data = context! {
        head => head(&admin, &caller), now => admin.clock.now().0, job => shown(&standing), prompt, note, events,
        others => shown(&others),
    };
    admin.pages.render("job.html", data)
}

/// A stored delivery, decided again under the rules in force.
async fn explain(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Html<String>, Refusal> {
    let report = admin.intake.explain(&id).await?;
    let data = context! { head => head(&admin, &caller), now => admin.clock.now().0, report => shown(&report) };
    admin.pages.render("explain.html", data)
}

/// What somebody typed into the search field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    #[serde(default)]
    q: String,
}

/// The story of what was searched for; what is not understood is said on the same page.
async fn why(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Params(Search { q }): Params<Search>,
) -> Result<Response, Refusal> {
    let (head, now) = (head(&admin, &caller), admin.clock.now().0);
    if q.trim().is_empty() {
        return Ok(admin.pages.render("why.html", context! { head, now })?.into_response());
    }
    match super::why::of(&admin, &q).await {
        Ok(story) => {
            let page = admin.pages.render("why.html", context! { head, now, asked => q, story => shown(&story) })?;
            Ok(page.into_response())
        }
        Err(refusal @ (Refusal::BadRequest(_) | Refusal::NotFound(_))) => {
            let data = context! { head, now, asked => q, wrong => refusal.to_string() };
            Ok((refusal.status(), admin.pages.render("why.html", data)?).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn login_page(State(admin): State<Arc<Admin>>) -> Result<Response, Refusal> {
    if admin.keyring.is_open() {
        return Ok(Redirect::to("/").into_response());
    }
    let page = admin.pages.render("login.html", context! { now => admin.clock.now().0, wrong => false })?;
    Ok(page.into_response())
}

/// Trades a token for a session.
async fn login(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Content(body): Content,
) -> Result<Response, Refusal> {
    let token = form_urlencoded::parse(&body).find(|(name, _)| name == "token").map(|(_, token)| token);
    // The guard has checked that Origin names this host; its scheme is what the browser sees, before any proxy.
    let secure = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
    let now = admin.clock.now();
    let session = token
        .and_then(|token| admin.keyring.by_token(token.trim()))
        .and_then(|caller| admin.keyring.begin_session(&caller, now, secure));
    if let Some(cookie) = session {
        return Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response());
    }
    let page = admin.pages.render("login.html", context! { now => now.0, wrong => true })?;
    Ok((StatusCode::UNAUTHORIZED, page).into_response())
}

async fn logout() -> Response {
    ([(SET_COOKIE, end_session())], Redirect::to("/login")).into_response()
}
