//! Whether a request really comes from its source: signature first, then everything else.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;

use super::delivery::Delivery;
use super::headers::{self, GITLAB_TOKEN, HUB_SIGNATURE, HUB_SIGNATURE_256};
use super::headers::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use super::parsed::Parsed;
use super::refusal::Refusal;
use super::signature::{self, Standard};
use super::source::{Auth, NamedSecret, SourceSpec};
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
                token(tokens, headers, &GITLAB_TOKEN, body)?
            } else if headers.contains_key(WEBHOOK_SIGNATURE) || !allow_token_fallback {
                standard(signing, headers, body, received_wall)?
            } else {
                token(tokens, headers, &GITLAB_TOKEN, body)?
            }
        }
        Auth::Header { name, secrets } => token(secrets, headers, name, body)?,
        Auth::Unsigned => "",
    };
    let delivery = Delivery::read(source, headers, body.clone(), label.to_owned(), received_wall)?;
    if delivery.signed() {
        check_age(source, &delivery)?;
    }
    Ok(delivery)
}

/// Refuses a request for a source that is not configured, with the work that a forged one for a known source costs: the
/// time of an answer must not tell which sources there are.
pub fn refuse_unknown(body: &[u8]) -> Refusal {
    signature::in_vain(body);
    unauthorized("source_unknown")
}

fn unauthorized(reason: &'static str) -> Refusal {
    Refusal::Unauthorized { reason }
}

fn hub<'a>(kind: SourceKind, secrets: &'a [NamedSecret], headers: &HeaderMap, body: &[u8]) -> Result<&'a str, Refusal> {
    let name = if kind == SourceKind::Github { HUB_SIGNATURE_256 } else { HUB_SIGNATURE };
    let Some(given) = headers.get(name) else {
        signature::in_vain(body);
        return Err(unauthorized("signature_missing"));
    };
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
        signature::in_vain(body);
        return Err(unauthorized("signature_missing"));
    };
    let request = Standard { id, timestamp, signature };
    let secret =
        secrets.iter().find(|secret| request.matches(secret.key(), body)).ok_or(unauthorized("signature_wrong"))?;
    if request.is_fresh(now) { Ok(secret.label()) } else { Err(Refusal::Stale) }
}

fn token<'a>(
    secrets: &'a [NamedSecret],
    headers: &HeaderMap,
    name: &HeaderName,
    body: &[u8],
) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let given = match (values.next(), values.next()) {
        (Some(given), None) => Some(given.as_bytes()),
        _ => None,
    };
    let matching =
        secrets.iter().find(|secret| given.is_some_and(|given| signature::token_matches(secret.key(), given)));
    matching.map(NamedSecret::label).ok_or_else(|| {
        signature::in_vain(body);
        unauthorized(if given.is_some() { "token_wrong" } else { "token_missing" })
    })
}

/// Jira signs no header; its body carries the time, in milliseconds as a number or text, in most events.
fn check_age(source: &SourceSpec, delivery: &Delivery) -> Result<(), Refusal> {
    let Some(max_age) = source.max_age else { return Ok(()) };
    let Parsed::Jira(body) = delivery.parsed() else { return Ok(()) };
    let Some(at) = body.timestamp() else { return Ok(()) };
    let apart = delivery.received_at().0.abs_diff(at);
    if u128::from(apart) <= max_age.as_millis() { Ok(()) } else { Err(Refusal::Stale) }
}
