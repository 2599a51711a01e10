//! The status API, version 1, and the OpenAPI document that its own handlers write.

mod acts;
mod brakes;
pub(super) mod deliveries;
mod dry;
pub(super) mod items;
mod jobs;
mod notices;
pub(super) mod params;
mod replicas;
mod rules;
mod run_acts;
mod runs;
mod status;
mod why;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Json, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::admin::{Admin, LARGE_BODY_BYTES};
use super::problem::Problem;

/// The document at `/api/v1/openapi.json`; `config/openapi.json` is a copy of it.
#[derive(OpenApi)]
#[openapi(
    info(title = "hookrun", description = "What came in, what was decided, what runs, and what an operator may do."),
    paths(
        status::status, deliveries::list, deliveries::one, jobs::list, jobs::one, runs::list, runs::one, rules::list,
        acts::retry, acts::cancel, acts::approve, acts::adopt, acts::absent,
        brakes::pauses, brakes::pause, brakes::resume, brakes::cancel, brakes::release_breaker,
        notices::list, notices::settle, notices::reset_attempts,
        run_acts::ban, run_acts::unban, run_acts::resume,
        dry::explain, dry::explain_given, dry::export, dry::replay, dry::replays, dry::diff, why::why,
    ),
    components(schemas(Problem)),
    security(("token" = [])),
    modifiers(&Finish),
)]
struct Document;

/// What the macro cannot say.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        // Taken from the manifest, where there is none: an empty name would be no licence at all.
        document.info.license = None;
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of the settings. Reading needs none when none is configured; acts always do."));
        document
            .components
            .get_or_insert_default()
            .security_schemes
            .insert("token".to_owned(), SecurityScheme::Http(scheme.build()).into());
    }
}

const EXPLAIN: &str = "/api/v1/explain";
const DIFF: &str = "/api/v1/rules/diff";

/// Whether a POST to this path only asks, so that who may read may send it.
pub(super) fn only_asks(path: &str) -> bool {
    path == EXPLAIN || path == DIFF
}

/// The OpenAPI document of the status API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(super) fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/api/v1/openapi.json", get(|| async { Json(openapi()) }))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/deliveries", get(deliveries::list))
        .route("/api/v1/deliveries/{id}", get(deliveries::one))
        .route("/api/v1/jobs", get(jobs::list))
        .route("/api/v1/jobs/{id}", get(jobs::one))
        .route("/api/v1/jobs/cancel", post(brakes::cancel))
        .route("/api/v1/jobs/{id}/approve", post(acts::approve))
        .route("/api/v1/jobs/{id}/retry", post(acts::retry))
        .route("/api/v1/jobs/{id}/cancel", post(acts::cancel))
        .route("/api/v1/jobs/{id}/adopt", post(acts::adopt))
        .route("/api/v1/jobs/{id}/absent", post(acts::absent))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/{id}", get(runs::one))
        .route("/api/v1/runs/{id}/ban", post(run_acts::ban))
        .route("/api/v1/runs/{id}/unban", post(run_acts::unban))
        .route("/api/v1/runs/{id}/resume", post(run_acts::resume))
        .route("/api/v1/pauses", get(brakes::pauses))
        .route("/api/v1/pause", post(brakes::pause))
        .route("/api/v1/resume", post(brakes::resume))
        .route("/api/v1/breakers/{name}/release", post(brakes::release_breaker))
        .route("/api/v1/notices", get(notices::list))
        .route("/api/v1/notices/{id}/settle", post(notices::settle))
        .route("/api/v1/subjects/reset-attempts", post(notices::reset_attempts))
        .route("/api/v1/rules", get(rules::list))
        .route("/api/v1/deliveries/{id}/explain", get(dry::explain))
        .route("/api/v1/deliveries/{id}/export", get(dry::export))
        .route("/api/v1/deliveries/{id}/replay", post(dry::replay))
        .route("/api/v1/replay", post(dry::replays))
        .route(EXPLAIN, post(dry::explain_given).layer(DefaultBodyLimit::max(LARGE_BODY_BYTES)))
        .route(DIFF, post(dry::diff).layer(DefaultBodyLimit::max(LARGE_BODY_BYTES)))
        .route("/api/v1/why", get(why::why))
}
