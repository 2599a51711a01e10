//! What a call is answered: a status and a JSON body in the shapes that the OpenAPI document gives.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::call::Call;

/// An answer before it goes out.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    /// Seconds for the header `Retry-After`; the OpenAPI documents none, so only a fault sets it.
    pub(super) retry_after: Option<u64>,
}

impl Answer {
    /// 200 with this body.
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body, retry_after: None }
    }

    /// An error in the API's own shape, `{"message", "status_code"}`.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        let body = json!({"message": message, "status_code": status.as_u16()});
        Self { status, body, retry_after: None }
    }

    /// An error in the shape of the framework (`FastAPI`), `{"detail": …}`.
    pub(super) fn detail(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self { status, body: json!({"detail": detail.into()}), retry_after: None }
    }

    /// The error that the OpenAPI documents for `status` at `call`, with its default message.
    pub(super) fn documented(status: StatusCode, call: Call) -> Self {
        let message = match (status.as_u16(), call) {
            (402, _) => {
                "Alloted agent runs for the current billing plan have been reached. Please upgrade your plan to continue."
            }
            (403, _) => "You do not have access to this organization.",
            (404, Call::Create) => "No repos found in the organization. Please add some repos and try again.",
            (404, Call::User) => "User not found.",
            (404, Call::SetupCommands) => "Repository not found.",
            (404, _) => "Agent run not found.",
            (429, _) => "Rate limit exceeded. Please try again later.",
            _ => status.canonical_reason().unwrap_or("Error"),
        };
        Self::error(status, message)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The API's page envelope around the `limit` entries of `all` after the first `skip`; `page` counts from 1.
pub(super) fn page(all: Vec<Value>, skip: i64, limit: i64) -> Value {
    let total = all.len() as i64;
    let items: Vec<Value> = all.into_iter().skip(skip as usize).take(limit as usize).collect();
    json!({
        "items": items,
        "total": total,
        "page": page_at(skip, limit),
        "size": limit,
        "pages": pages(total, limit),
    })
}

/// The page that begins after `skip` entries; pages count from 1, and there are none behind the last number.
pub(super) fn page_at(skip: i64, limit: i64) -> i64 {
    (skip / limit).saturating_add(1)
}

/// How many pages of `limit` entries hold `total`.
pub(super) fn pages(total: i64, limit: i64) -> i64 {
    (total + limit - 1) / limit
}
