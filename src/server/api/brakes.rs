//! `/api/v1/pause`, `/resume`, `/pauses` and `/jobs/cancel`: the brakes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::items::{JobItem, text};
use super::params::{Id, Params, Told, span, words};
use crate::model::clock::Timestamp;
use crate::model::job::JobState;
use crate::model::pause::Pause;
use crate::server::admin::Admin;
use crate::server::auth::Caller;
use crate::server::brakes::{HeldBack, PauseSet, Wish, paused};
use crate::server::problem::{Refusal, Refusals};
use crate::store::{Backlog, BulkFilter};

/// What to pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseWish {
    /// `all`, `rule:NAME`, `repo:acme/widgets`, `source:NAME` or `subject:KEY`.
    what: String,
    /// For how long, e.g. `4h`; without `for` and `until`: until somebody lifts it.
    #[serde(rename = "for")]
    lasting: Option<String>,
    /// Until when, as RFC 3339; not with `for`.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Why: it is shown wherever something waits for it.
    #[serde(default)]
    reason: String,
    /// Whether the runs in its scope are stopped: each is banned from its change.
    #[serde(default)]
    stop_running: bool,
}

/// A pause in force.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct PauseItem {
    /// What is paused, as it is said to `/api/v1/resume`.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Who paused it.
    pub by: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// Until when; null: until somebody lifts it.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
}

impl From<&Pause> for PauseItem {
    fn from(pause: &Pause) -> Self {
        Self {
            what: pause.what.spelled(),
            reason: pause.reason.clone(),
            by: pause.by.clone(),
            since: pause.since.to_rfc3339(),
            until: text(pause.until),
        }
    }
}

/// A pause with what it holds back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PauseDone {
    /// The pause.
    pause: PauseItem,
    /// What it holds back.
    held_back: HeldBackItem,
    /// The jobs that were made to stop what runs.
    stopping: Vec<String>,
    /// Jobs that were just being sent when `stop_running` was asked for: a run of theirs is not known yet, and is not stopped.
    being_sent: u64,
}

/// What is held back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HeldBackItem {
    /// How many jobs wait.
    waiting: u64,
    /// By rule and age.
    rules: Vec<BacklogItem>,
    /// Of how many, the oldest, it was asked whether something newer made them pointless.
    looked_at: usize,
    /// How many of those are pointless: they will be superseded instead of sent.
    stale: usize,
    /// Other pauses that go on, whatever is lifted here.
    other_pauses: Vec<PauseItem>,
}

/// What waits of one rule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BacklogItem {
    /// The rule.
    rule: String,
    /// How many jobs wait.
    waiting: u64,
    /// Those made within the last hour.
    within_hour: u64,
    /// Those made within the last day, but not within the last hour.
    within_day: u64,
    /// Those that are older than a day.
    older: u64,
    /// When the first was made.
    #[schema(format = DateTime)]
    oldest: String,
}

impl From<Backlog> for BacklogItem {
    fn from(backlog: Backlog) -> Self {
        let Backlog { rule, waiting, within_hour, within_day, older, oldest } = backlog;
        Self { rule, waiting, within_hour, within_day, older, oldest: oldest.to_rfc3339() }
    }
}

impl From<HeldBack> for HeldBackItem {
    fn from(held: HeldBack) -> Self {
        Self {
            waiting: held.waiting,
            rules: held.rules.into_iter().map(BacklogItem::from).collect(),
            looked_at: held.looked_at,
            stale: held.stale,
            other_pauses: held.others.iter().map(PauseItem::from).collect(),
        }
    }
}

/// Pauses everything, a source, a repository, a rule or a subject: receiving goes on, nothing of it is sent from now on.
#[utoipa::path(post, path = "/api/v1/pause", operation_id = "pause", tag = "acting", request_body = PauseWish,
    responses((status = 200, description = "The pause, and what it holds back.", body = PauseDone), Refusals))]
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Told(wish): Told<PauseWish>,
) -> Result<Json<PauseDone>, Refusal> {
    let until = match (&wish.lasting, &wish.until) {
        (Some(_), Some(_)) => return Err(Refusal::BadRequest("say for or until, not both".into())),
        (Some(lasting), None) => Some(admin.clock.now().plus(span(lasting)?)),
        (None, until) => until.as_deref().map(moment).transpose()?,
    };
    let wish = Wish { what: paused(&wish.what)?, until, reason: wish.reason, stop_running: wish.stop_running };
    let PauseSet { pause, stopping, being_sent } = admin.pause(&caller, wish).await?;
    let held_back = admin.held_back(&pause.what).await?.into();
    Ok(Json(PauseDone { pause: (&pause).into(), held_back, stopping, being_sent }))
}

/// What to let go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeWish {
    /// What is paused: `all`, `rule:NAME`, …
    what: String,
    /// Only tell what would be let go.
    #[serde(default)]
    dry: bool,
}

/// What is or would be let go.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResumeDone {
    /// What was asked about.
    what: String,
    /// Whether the pause is lifted now.
    lifted: bool,
    /// What it held back.
    held_back: HeldBackItem,
}

/// Lifts a pause; with `dry` only tells what would be let go: how many jobs, how old, and how many are stale.
#[utoipa::path(post, path = "/api/v1/resume", operation_id = "resume", tag = "acting", request_body = ResumeWish,
    responses((status = 200, description = "What is or would be let go.", body = ResumeDone), Refusals))]
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Told(wish): Told<ResumeWish>,
) -> Result<Json<ResumeDone>, Refusal> {
    let what = paused(&wish.what)?;
    if !admin.store.pauses().await?.iter().any(|pause| pause.what == what) {
        return Err(Refusal::NotFound(format!("{what} is not paused").into()));
    }
    let held_back = admin.held_back(&what).await?.into();
    if !wish.dry {
        admin.resume(&caller, &what).await?;
    }
    Ok(Json(ResumeDone { what: what.spelled(), lifted: !wish.dry, held_back }))
}

/// A breaker that was released.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BreakerReleased {
    /// `access`, `billing`, `not_found` or `outage`.
    name: &'static str,
    /// How many jobs wait in all; those that waited for it are looked at again.
    waiting: u64,
}

/// Closes a breaker before its probe does. The next call that meets the same answer opens it again.
#[utoipa::path(post, path = "/api/v1/breakers/{name}/release", operation_id = "releaseBreaker", tag = "acting",
    params(("name" = String, Path, description = "`access`, `billing`, `not_found` or `outage`.")),
    responses((status = 200, description = "It is closed.", body = BreakerReleased), Refusals))]
pub(super) async fn release_breaker(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
) -> Result<Json<BreakerReleased>, Refusal> {
    let name = admin.release_breaker(&caller, &name).await?.as_str();
    let counts = admin.store.counts().await?;
    let waiting = counts.iter().find(|(state, _)| *state == JobState::Queued).map_or(0, |(_, count)| *count);
    Ok(Json(BreakerReleased { name, waiting }))
}

/// Nothing can be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The pauses in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pauses {
    /// Each of them, the oldest first.
    items: Vec<PauseItem>,
}

/// The pauses in force.
#[utoipa::path(get, path = "/api/v1/pauses", operation_id = "listPauses", tag = "reading",
    responses((status = 200, description = "All of them.", body = Pauses), Refusals))]
pub(super) async fn pauses(
    State(admin): State<Arc<Admin>>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Pauses>, Refusal> {
    Ok(Json(Pauses { items: admin.store.pauses().await?.iter().map(PauseItem::from).collect() }))
}

/// Which jobs to cancel: those that fulfil all that is said. At least one thing must be said.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CancelWish {
    /// In one of these states, comma-separated: `queued`, `held`; both if not given.
    state: Option<String>,
    /// Of this rule.
    rule: Option<String>,
    /// Made by a delivery of this source.
    source: Option<String>,
    /// In this repository or project.
    repo: Option<String>,
    /// About this subject.
    subject: Option<String>,
    /// Made longer ago than this, e.g. `2d`.
    older_than: Option<String>,
    /// Made within this time, e.g. `8h`.
    since: Option<String>,
    /// Only tell which; true if not given.
    #[schema(default = true)]
    dry: Option<bool>,
}

/// The jobs that are meant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancelDone {
    /// Whether this was only a look.
    dry: bool,
    /// How many jobs are meant.
    count: u64,
    /// How many of them were cancelled.
    cancelled: u64,
    /// The oldest ten.
    examples: Vec<JobItem>,
}

/// Cancels many jobs that were never sent; without `"dry": false` only tells which.
#[utoipa::path(post, path = "/api/v1/jobs/cancel", operation_id = "cancelJobs", tag = "acting",
    request_body = CancelWish,
    responses((status = 200, description = "The jobs that are meant.", body = CancelDone), Refusals))]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Told(wish): Told<CancelWish>,
) -> Result<Json<CancelDone>, Refusal> {
    let dry = wish.dry.unwrap_or(true);
    let filter = filter(wish, admin.clock.now())?;
    let (count, examples) = admin.cancellable(&filter).await?;
    let examples = examples.into_iter().map(JobItem::from).collect();
    let cancelled = if dry { 0 } else { admin.cancel_many(&caller, filter).await? };
    Ok(Json(CancelDone { dry, count, cancelled, examples }))
}

fn filter(wish: CancelWish, now: Timestamp) -> Result<BulkFilter, Refusal> {
    let CancelWish { state, rule, source, repo, subject, older_than, since, dry: _ } = wish;
    let ago =
        |text: Option<String>| Ok::<_, Refusal>(text.map(|text| span(&text)).transpose()?.map(|it| now.minus(it)));
    let states = words(state.as_deref(), |word| match word.parse() {
        Ok(state @ (JobState::Queued | JobState::Held)) => Ok(state),
        _ => Err(format!("\"{word}\" cannot be cancelled; only queued and held jobs can")),
    })?;
    let filter =
        BulkFilter { states, rule, source, repo, subject, made_from: ago(since)?, made_before: ago(older_than)? };
    let BulkFilter { states, rule, source, repo, subject, made_from, made_before } = &filter;
    let texts = [rule, source, repo, subject];
    if states.is_empty() && texts.iter().all(|text| text.is_none()) && made_from.is_none() && made_before.is_none() {
        return Err(Refusal::BadRequest(
            "say which: at least one of state, rule, source, repo, subject, older_than and since".into(),
        ));
    }
    Ok(filter)
}

fn moment(text: &str) -> Result<Timestamp, Refusal> {
    let at = text.parse::<jiff::Timestamp>();
    at.map(|at| Timestamp(at.as_millisecond()))
        .map_err(|_| Refusal::BadRequest(format!("\"{text}\" is no time; write it as 2026-03-01T12:00:00Z").into()))
}
