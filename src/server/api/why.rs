//! `/api/v1/why`: everything that is known of what somebody points at, or of what a rule said.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::params::{Params, span};
use crate::server::admin::Admin;
use crate::server::problem::{Refusal, Refusals};
use crate::server::why::{self, RuleStory, Story};

/// What somebody wants to know: `q`, or `rule` with `since`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhyQuery {
    /// The URL of a change, check, job, pipeline, issue or ticket; a commit (7 characters or more); `repo#17`, `OPS-17`; the
    /// id of a delivery or job; a run's id or trace.
    q: Option<String>,
    /// A rule, to know what it said.
    rule: Option<String>,
    /// How far to look back for `rule`, e.g. `8h`; one day if not given.
    since: Option<String>,
}

/// A story, or what a rule said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Answer {
    /// The story of `q`.
    Story(Box<Story>),
    /// What `rule` said.
    Rule(Box<RuleStory>),
}

/// Why something did or did not happen.
#[utoipa::path(get, path = "/api/v1/why", operation_id = "why", tag = "reading", params(WhyQuery),
    responses((status = 200, description = "The story of `q`, or what `rule` said.", body = Answer), Refusals))]
pub(super) async fn why(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<WhyQuery>,
) -> Result<Json<Answer>, Refusal> {
    match (query.q, query.rule) {
        (Some(asked), None) if query.since.is_none() => {
            Ok(Json(Answer::Story(Box::new(why::of(&admin, &asked).await?))))
        }
        (None, Some(rule)) => {
            let since = span(query.since.as_deref().unwrap_or("1d"))?;
            Ok(Json(Answer::Rule(Box::new(why::of_rule(&admin, &rule, since).await?))))
        }
        _ => Err(Refusal::BadRequest("give q, or rule with since".into())),
    }
}
