//! `/api/v1/notices` and `/subjects/reset-attempts`: what a person should know of, and taking over from a hand-off.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::items::{List, text};
use super::params::{Id, Params, Told, page};
use crate::model::notice::Notice;
use crate::server::admin::Admin;
use crate::server::auth::Caller;
use crate::server::problem::{Refusal, Refusals};

/// Which notices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NoticesQuery {
    /// Only those that are not settled; true if not given.
    open: Option<bool>,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Something that a person should know of.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct NoticeItem {
    /// Our id.
    pub id: String,
    /// `hand_off`: the cap of attempts is reached and a person takes over; `budget`: it is used to 80 % or more.
    pub kind: &'static str,
    /// The subject, or the budget.
    pub about: String,
    /// The rule whose job gave rise to it.
    pub rule: String,
    /// That job.
    pub job: String,
    /// When it was said.
    #[schema(format = DateTime)]
    pub said_at: String,
    /// When it was settled.
    #[schema(required, format = DateTime)]
    pub settled_at: Option<String>,
    /// What it says.
    pub text: String,
    /// Of a hand-off what was tried, each `{sha, job, run, url, status}`; of a budget its use.
    pub details: Value,
}

impl From<Notice> for NoticeItem {
    fn from(notice: Notice) -> Self {
        Self {
            id: notice.id,
            kind: notice.kind.as_str(),
            about: notice.about,
            rule: notice.rule,
            job: notice.job,
            said_at: notice.said_at.to_rfc3339(),
            settled_at: text(notice.settled_at),
            text: notice.text,
            details: notice.details,
        }
    }
}

/// Notices, newest first.
#[utoipa::path(get, path = "/api/v1/notices", operation_id = "listNotices", tag = "reading", params(NoticesQuery),
    responses((status = 200, description = "One page.", body = List<NoticeItem>), Refusals))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<NoticesQuery>,
) -> Result<Json<List<NoticeItem>>, Refusal> {
    let page = admin.store.notices(query.open.unwrap_or(true), &page(query.limit, query.cursor)?).await?;
    Ok(Json(List { items: page.items.into_iter().map(NoticeItem::from).collect(), next: page.next }))
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Settled {
    /// The notice.
    notice: String,
}

/// Says that somebody has seen to a notice.
#[utoipa::path(post, path = "/api/v1/notices/{id}/settle", operation_id = "settleNotice", tag = "acting",
    params(("id" = String, Path, description = "Our id of the notice.")),
    responses((status = 200, description = "It is settled.", body = Settled), Refusals))]
pub(super) async fn settle(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Settled>, Refusal> {
    admin.store.settle_notice(&id).await?;
    tracing::info!(notice = id, by = caller.name, "a notice was settled");
    Ok(Json(Settled { notice: id }))
}

/// Whose attempts to count from zero again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetWish {
    /// The key of the subject.
    subject: String,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResetDone {
    /// The subject.
    subject: String,
    /// How many attempts were counted before.
    attempts: u64,
}

/// Counts the attempts of a subject from zero again, which settles its hand-off.
#[utoipa::path(post, path = "/api/v1/subjects/reset-attempts", operation_id = "resetAttempts", tag = "acting",
    request_body = ResetWish,
    responses((status = 200, description = "They are counted anew.", body = ResetDone), Refusals))]
pub(super) async fn reset_attempts(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Told(ResetWish { subject }): Told<ResetWish>,
) -> Result<Json<ResetDone>, Refusal> {
    let attempts = admin.store.reset_attempts(&subject).await?;
    tracing::info!(subject, attempts, by = caller.name, "attempts are counted from zero again");
    Ok(Json(ResetDone { subject, attempts }))
}
