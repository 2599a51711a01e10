//! Whether a request really comes from its source: signature first, then everything else.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;

use super::delivery::Delivery;
use super::headers::{self, GITLAB_TOKEN, HUB_SIGNATURE, HUB_SIGNATURE_256};
use super::headers::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use super::refusal::Refusal;
use super::signature::{self, Standard};
use super::source::{Auth, NamedSecret, SourceSpec};
use super::tolerant::{self, Int};
use crate::model::clock::Timestamp;
use crate::model::delivery::SourceKind;

/// Takes a request for what its source sent, or refuses it.
///
/// `received_wall` is the wall time of its arrival; signed timestamps are held against it.
pub fn verify(
    source: &SourceSpec,
    headers: &HeaderMap,
    body: &Bytes,
    received_wall: Timestamp,
) -> Result<Delivery, Refusal> {
    headers::unambiguous(headers)?;
    let label = match &source.auth {
        Auth::Hmac(secrets) => hub(source.kind, secrets, headers, body)?,
        Auth::Gitlab { signing, tokens, allow_token_fallback } => {
            if signing.is_empty() {
                token(tokens, headers, &GITLAB_TOKEN)?
            } else if headers.contains_key(WEBHOOK_SIGNATURE) || !allow_token_fallback {
                standard(signing, headers, body, received_wall)?
            } else {
                token(tokens, headers, &GITLAB_TOKEN)?
            }
        }
        Auth::Header { name, secrets } => token(secrets, headers, name)?,
        Auth::Unsigned => "",
    };
    let delivery = Delivery::read(source, headers, body.clone(), label.to_owned(), received_wall)?;
    if source.kind == SourceKind::Jira && delivery.signed() {
        check_age(source, &delivery)?;
    }
    Ok(delivery)
}

fn unauthorized(reason: &'static str) -> Refusal {
    Refusal::Unauthorized { reason }
}

fn hub<'a>(kind: SourceKind, secrets: &'a [NamedSecret], headers: &HeaderMap, body: &[u8]) -> Result<&'a str, Refusal> {
    let name = if kind == SourceKind::Github { HUB_SIGNATURE_256 } else { HUB_SIGNATURE };
    let given = headers.get(name).ok_or(unauthorized("signature_missing"))?;
    secrets
        .iter()
        .find(|secret| signature::hub_matches(secret.key(), given.as_bytes(), body))
        .map(NamedSecret::label)
        .ok_or(unauthorized("signature_wrong"))
}

fn standard<'a>(
    secrets: &'a [NamedSecret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<&'a str, Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signature)) =
        (text(WEBHOOK_ID), text(WEBHOOK_TIMESTAMP), text(WEBHOOK_SIGNATURE))
    else {
        return Err(unauthorized("signature_missing"));
    };
    let request = Standard { id, timestamp, signature };
    let secret =
        secrets.iter().find(|secret| request.matches(secret.key(), body)).ok_or(unauthorized("signature_wrong"))?;
    if request.is_fresh(now) { Ok(secret.label()) } else { Err(Refusal::Stale) }
}

fn token<'a>(secrets: &'a [NamedSecret], headers: &HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let (Some(given), None) = (values.next(), values.next()) else { return Err(unauthorized("token_missing")) };
    secrets
        .iter()
        .find(|secret| signature::token_matches(secret.key(), given.as_bytes()))
        .map(NamedSecret::label)
        .ok_or(unauthorized("token_wrong"))
}

tolerant::objects! {
    struct Signed { timestamp: Option<Int> }
}

/// Jira signs no header; its body carries the time, in milliseconds as a number or text, in most events.
fn check_age(source: &SourceSpec, delivery: &Delivery) -> Result<(), Refusal> {
    let Some(max_age) = source.max_age else { return Ok(()) };
    let signed: Signed = tolerant::read(delivery.payload()).map_err(Refusal::bad)?;
    let Some(Int(at)) = signed.timestamp else { return Ok(()) };
    let apart = delivery.received_at().0.abs_diff(at);
    if u128::from(apart) <= max_age.as_millis() { Ok(()) } else { Err(Refusal::Stale) }
}
