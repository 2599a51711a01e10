//! Every answer that is not a success: one enum, one shape (problem+json, RFC 9457), one place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::intake::{Rejection, Unexplained};
use crate::store::StoreError;

/// Why a request is refused. Texts in the variants are shown to the sender, except the cause of [`Refusal::Internal`]
/// and of [`Refusal::Busy`], which go to the log alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// 400
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// 401, the same for an unknown source, a missing and a wrong signature.
    #[error("the request is not signed by a secret of this source")]
    Unsigned,
    /// 401 on the admin listener.
    #[error("a token is needed: Authorization: Bearer …, or log in at /login")]
    Unauthenticated,
    /// 403
    #[error("{0}")]
    Forbidden(&'static str),
    /// 404
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// 405
    #[error("this path does not answer that method")]
    MethodNotAllowed,
    /// 408
    #[error("the body did not arrive in time")]
    TooSlow,
    /// 409
    #[error("{0}")]
    Conflict(String),
    /// 413
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// 415
    #[error("{0}")]
    UnsupportedMediaType(Cow<'static, str>),
    /// 421
    #[error("this Host is not served here; name it in the settings (admin.hosts) if it should be")]
    Misdirected,
    /// 503; the sender may try again after so many seconds.
    #[error("too busy to take this now")]
    Busy {
        /// Seconds until another try is worth it.
        retry_after_s: u64,
        /// What was in the way, for the log.
        cause: String,
    },
    /// 500; the cause, for the log.
    #[error("something went wrong here; the log says what")]
    Internal(String),
}

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
}

/// What the log line of a refused request says about its cause; travels with the answer, never in it.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) String);

/// How the OpenAPI document tells of refusals: every one has the same body.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let answer = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            ResponseBuilder::new().description(description).content("application/problem+json", content).build().into()
        };
        BTreeMap::from([
            ("4XX".to_owned(), answer("Refused; `detail` says why.")),
            ("5XX".to_owned(), answer("It failed here, or is too busy (503 with Retry-After).")),
        ])
    }
}

impl Refusal {
    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unsigned | Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.to_string(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Busy { retry_after_s, cause } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
                response.extensions_mut().insert(Cause(cause));
            }
            // What is left of the body is not worth reading; the next request would start in the middle of it.
            Self::TooSlow | Self::TooLarge(_) => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Internal(cause) => {
                response.extensions_mut().insert(Cause(cause));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) => Self::Busy { retry_after_s: 5, cause: error.to_string() },
            StoreError::BadCursor => Self::BadRequest(error.to_string().into()),
            StoreError::Conflict { .. } => Self::Conflict(error.to_string()),
            StoreError::NotFound { .. } => Self::NotFound(error.to_string().into()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

impl From<Unexplained> for Refusal {
    fn from(error: Unexplained) -> Self {
        match error {
            Unexplained::NoDelivery(_) => Self::NotFound(error.to_string().into()),
            Unexplained::NoBody { .. } | Unexplained::NoSource(_) => Self::Conflict(error.to_string()),
            Unexplained::Unreadable(reason) => Self::BadRequest(reason.into()),
            Unexplained::Store(error) => error.into(),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unauthorized => Self::Unsigned,
            Rejection::BadRequest(reason) => Self::BadRequest(reason.into()),
            Rejection::UnsupportedMediaType(reason) => Self::UnsupportedMediaType(reason.into()),
            Rejection::Stale => Self::BadRequest("the signed timestamp is too old or too far in the future".into()),
            Rejection::Overloaded { retry_after_s } => {
                Self::Busy { retry_after_s, cause: "the store cannot take deliveries".into() }
            }
            Rejection::Internal => Self::Internal("the intake failed; it has logged why".into()),
        }
    }
}

/// The answer to a path that is not there.
pub(super) async fn not_found() -> Refusal {
    Refusal::NotFound("there is nothing at this path".into())
}

/// The answer to a path that is there, but not for this method.
pub(super) async fn method_not_allowed() -> Refusal {
    Refusal::MethodNotAllowed
}
