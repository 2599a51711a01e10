//! What a failed call means: whether the service took it, and what to do next.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::quota;
use crate::model::clock::Timestamp;
use crate::store::StoreError;

/// How much of a service's own words a message may carry, in characters.
const WORDS_MAX: usize = 200;

/// Why a door could not be made from its options.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base address is no address, or would send the token in the clear.
    #[error("codegen.base_url: {0}")]
    BaseUrl(String),
    /// The token is empty or cannot stand in a header.
    #[error("codegen.token: is empty or contains characters that cannot be sent in a header")]
    Token,
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// A call that did not give what was asked for. Messages are one clean line for people, without bodies or secrets.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service certainly did not carry it out; it may be sent again later.
    #[error("{message}")]
    NotTaken {
        /// Why it was not carried out.
        denial: Denial,
        /// What to tell people.
        message: String,
    },
    /// The service will never carry it out as it is (422 and the like).
    #[error("{0}")]
    Refused(String),
    /// Nobody knows whether it was carried out: 5xx, time-out, a broken connection, an unreadable answer.
    #[error("{0}")]
    Ambiguous(String),
    /// It was not sent: the window of its class is full or frozen.
    #[error("{reason}")]
    NoSlot {
        /// When to ask again, when that is known.
        until: Option<Timestamp>,
        /// What to tell people.
        reason: String,
    },
    /// The store could not be asked for a slot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the service did not carry out a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No connection came about.
    Connect,
    /// 401: the token.
    Unauthorized,
    /// 402: the plan's runs are used up.
    Billing,
    /// 403: the organisation, or the token.
    Forbidden,
    /// 404, or an address that leads elsewhere.
    NotFound,
    /// 429.
    RateLimited {
        /// How long the service asks to wait, capped at ten minutes; `None` when it does not tell.
        retry_after: Option<Duration>,
    },
}

impl CallError {
    /// Whether the service says that the thing asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotTaken { denial: Denial::NotFound, .. })
    }

    /// Whether the service says that the thing asked for is not for us.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::NotTaken { denial: Denial::Forbidden, .. })
    }

    /// The failure as metrics name it.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::NotTaken { denial: Denial::RateLimited { .. }, .. } | Self::NoSlot { .. } => "limited",
            Self::NotTaken { denial: Denial::Connect, .. } | Self::Store(_) => "failed",
            Self::NotTaken { .. } | Self::Refused(_) => "refused",
            Self::Ambiguous(_) => "unanswered",
        }
    }

    /// Reads a failed exchange that gave no whole answer.
    pub(super) fn from_transport(error: &reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            let what = if error.is_dns() { "its name is not known" } else { "no connection" };
            let message = format!("the agent service cannot be reached: {what}{}", cause(error));
            return Self::NotTaken { denial: Denial::Connect, message };
        }
        if error.is_timeout() {
            return Self::Ambiguous("the agent service did not answer in time".to_owned());
        }
        Self::Ambiguous(format!("the connection broke before the answer was complete{}", cause(error)))
    }

    /// Reads an answer that is no success.
    pub(super) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Self {
        let words = words_of(body).map(|words| format!(": {words}")).unwrap_or_default();
        let message = format!("the agent service answered {}{words}", status.as_u16());
        let denial = match status.as_u16() {
            401 => Denial::Unauthorized,
            402 => Denial::Billing,
            403 => Denial::Forbidden,
            300..=399 | 404 => Denial::NotFound,
            429 => Denial::RateLimited { retry_after: quota::retry_after(headers, now) },
            // A gateway's 408 does not tell how much of the request went on to the service.
            400..=407 | 409..=499 => return Self::Refused(message),
            _ => return Self::Ambiguous(message),
        };
        Self::NotTaken { denial, message }
    }
}

/// The innermost cause, which names the fault of the operating system or of TLS; never an address or a header.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn std::error::Error> = None;
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        innermost = Some(source);
        next = source.source();
    }
    innermost.and_then(|cause| clean(&cause.to_string())).map(|words| format!(" ({words})")).unwrap_or_default()
}

/// The service's own words in an error body: `{"message"}`, `{"detail": "…"}` or a list of validation errors; nothing
/// of a page of HTML.
fn words_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = ["message", "detail", "error"].iter().find_map(|name| match body.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().take(3).filter_map(complaint).collect::<Vec<_>>().join("; ")),
        _ => None,
    })?;
    clean(&text)
}

/// One entry of a validation error: where and what, never the value that was sent.
fn complaint(entry: &Value) -> Option<String> {
    let what = entry.get("msg")?.as_str()?;
    let place: Vec<String> = entry
        .get("loc")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|part| part.as_str().map_or_else(|| part.to_string(), ToOwned::to_owned))
        .collect();
    Some(if place.is_empty() { what.to_owned() } else { format!("{} {what}", place.join(".")) })
}

/// One line without control characters, cut short; `None` when nothing is left.
fn clean(text: &str) -> Option<String> {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return None;
    }
    match line.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => Some(format!("{}…", &line[..end])),
        None => Some(line),
    }
}
