//! What the headers of a request say, and which of them are kept.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};

use super::refusal::Refusal;
use crate::model::delivery::SourceKind;

pub(super) const HUB_SIGNATURE_256: HeaderName = HeaderName::from_static("x-hub-signature-256");
pub(super) const HUB_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature");
pub(super) const GITLAB_TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");
pub(super) const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
const GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
const GITLAB_EVENT: HeaderName = HeaderName::from_static("x-gitlab-event");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const GITLAB_EVENT_UUID: HeaderName = HeaderName::from_static("x-gitlab-event-uuid");
const ATLASSIAN_ID: HeaderName = HeaderName::from_static("x-atlassian-webhook-identifier");

/// Headers on which verification hangs, of all hosts.
const PROVING: [HeaderName; 6] =
    [HUB_SIGNATURE_256, HUB_SIGNATURE, GITLAB_TOKEN, WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE];
/// Headers on which the meaning of a verified request hangs, of all hosts.
const TELLING: [HeaderName; 6] =
    [GITHUB_EVENT, GITHUB_DELIVERY, GITLAB_EVENT, IDEMPOTENCY_KEY, GITLAB_EVENT_UUID, ATLASSIAN_ID];
/// Headers whose values may hold a comma of their own.
const MAY_HOLD_COMMA: [HeaderName; 2] = [WEBHOOK_SIGNATURE, GITLAB_TOKEN];

/// Refuses requests in which a header that proves something occurs twice, also when a proxy joined the two by a comma:
/// what one reader takes for the value another may not.
///
/// [`super::verify`] asks it first. It does not depend on the source, so a server that asks it before it looks for the
/// source answers strangers alike, whether there is such a source or not.
pub fn unambiguous(headers: &HeaderMap) -> Result<(), Refusal> {
    once(headers, &PROVING)
}

/// The same for the headers that are read once the request is verified.
pub(super) fn telling_once(headers: &HeaderMap) -> Result<(), Refusal> {
    once(headers, &TELLING)
}

fn once(headers: &HeaderMap, names: &[HeaderName]) -> Result<(), Refusal> {
    for name in names {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { continue };
        if values.next().is_some() || (!MAY_HOLD_COMMA.contains(name) && value.as_bytes().contains(&b',')) {
            return Err(Refusal::bad(format!("the header {name} occurs more than once")));
        }
    }
    Ok(())
}

pub(super) enum ContentType {
    Json,
    Form,
}

pub(super) fn content_type(headers: &HeaderMap, kind: SourceKind) -> Result<ContentType, Refusal> {
    let expected = match kind {
        SourceKind::Github => "application/json or application/x-www-form-urlencoded",
        SourceKind::Gitlab | SourceKind::Jira => "application/json",
    };
    let wrong = Refusal::UnsupportedMediaType { expected };
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(wrong) };
    let Ok(value) = value.to_str() else { return Err(wrong) };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let utf8 = parts.all(|part| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if utf8 && essence.eq_ignore_ascii_case("application/json") {
        Ok(ContentType::Json)
    } else if utf8 && kind == SourceKind::Github && essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(ContentType::Form)
    } else {
        Err(wrong)
    }
}

/// The event name; Jira's stands in the body.
pub(super) fn event(headers: &HeaderMap, kind: SourceKind) -> Result<Option<String>, Refusal> {
    let name = match kind {
        SourceKind::Github => GITHUB_EVENT,
        SourceKind::Gitlab => GITLAB_EVENT,
        SourceKind::Jira => return Ok(None),
    };
    let value = headers.get(&name).ok_or_else(|| Refusal::bad(format!("the header {name} is missing")))?;
    let wordy = |text: &&str| {
        (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_- ".contains(&b))
    };
    match value.to_str().ok().filter(wordy) {
        Some(event) => Ok(Some(event.to_owned())),
        None => Err(Refusal::bad(format!("the header {name} is malformed"))),
    }
}

/// The sender's id of the delivery. GitLab's are tried from the one that survives a re-send to the one that does not.
pub(super) fn sender_id(headers: &HeaderMap, kind: SourceKind) -> Option<String> {
    let names: &[HeaderName] = match kind {
        SourceKind::Github => &[GITHUB_DELIVERY],
        SourceKind::Gitlab => &[WEBHOOK_ID, IDEMPOTENCY_KEY, GITLAB_EVENT_UUID],
        SourceKind::Jira => &[ATLASSIAN_ID],
    };
    let id = names.iter().find_map(|name| headers.get(name))?.to_str().ok()?;
    // What reads as text is ASCII.
    Some(id.get(..200).unwrap_or(id).to_owned())
}

/// What is needed to understand the body again.
pub(super) fn kept(headers: &HeaderMap, kind: SourceKind) -> Vec<(String, String)> {
    let own: &[HeaderName] = match kind {
        SourceKind::Github => &[GITHUB_EVENT, GITHUB_DELIVERY],
        SourceKind::Gitlab => &[GITLAB_EVENT, WEBHOOK_ID, IDEMPOTENCY_KEY, GITLAB_EVENT_UUID],
        SourceKind::Jira => &[ATLASSIAN_ID],
    };
    [CONTENT_TYPE]
        .iter()
        .chain(own)
        .filter_map(|name| Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect()
}
