//! Why a request is refused, and with which status.

use axum::http::StatusCode;

/// A request that is not taken. What a stranger may learn is the status and, after verification, the sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not prove that it comes from its source. The reason is for metrics and must not be shown: every such
    /// answer looks alike, also that for an unknown source.
    #[error("not authorized")]
    Unauthorized {
        /// One of a fixed few words, e.g. `"signature_missing"`.
        reason: &'static str,
    },
    /// A header or the body is malformed.
    #[error("{reason}")]
    BadRequest {
        /// What is wrong.
        reason: String,
    },
    /// The body is not of a type that this kind of source sends.
    #[error("the body must be {expected}")]
    UnsupportedMediaType {
        /// The types that are taken.
        expected: &'static str,
    },
    /// The signed timestamp is too far from now.
    #[error("the signed timestamp is too far from now")]
    Stale,
}

impl Refusal {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::BadRequest { .. } | Self::Stale => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// A fixed word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized { reason } => reason,
            Self::BadRequest { .. } => "malformed",
            Self::UnsupportedMediaType { .. } => "media_type",
            Self::Stale => "stale",
        }
    }

    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::BadRequest { reason: reason.into() }
    }
}
