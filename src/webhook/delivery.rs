//! One verified request of a source, ready to be understood.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::parsed::Parsed;
use super::refusal::Refusal;
use super::source::SourceSpec;
use super::{form, headers};
use crate::model::clock::Timestamp;
use crate::model::delivery::SourceKind;

/// A verified request: its body is known to be one well-formed JSON object. Made by [`super::verify`] or, from what
/// was stored of one, by [`Delivery::restored`].
#[derive(Clone, Debug)]
pub struct Delivery {
    source: String,
    kind: SourceKind,
    agents: Arc<[String]>,
    fixed_event: Option<String>,
    signed: bool,
    event_header: Option<String>,
    kept: Kept,
    payload: Bytes,
    parsed: Parsed,
    received_at: Timestamp,
}

/// What is kept of a request.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Label of the secret that matched; empty when none was asked for.
    pub secret_label: String,
    /// The sender's own delivery id, for display.
    pub sender_id: Option<String>,
    /// The headers that [`Delivery::restored`] needs; never one that holds a secret or a signature.
    pub headers: Vec<(String, String)>,
    /// The body as it arrived.
    pub body: Bytes,
}

impl Delivery {
    /// Rebuilds a delivery that was verified when it arrived, from its stored body and kept headers. The source's
    /// secrets are not asked again; everything else is.
    pub fn restored(
        source: &SourceSpec,
        kept: &[(String, String)],
        body: Bytes,
        secret_label: &str,
        received_at: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut headers = HeaderMap::with_capacity(kept.len());
        for (name, value) in kept {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            else {
                return Err(Refusal::bad("a stored header is malformed"));
            };
            headers.append(name, value);
        }
        Self::read(source, &headers, body, secret_label.to_owned(), received_at)
    }

    /// Everything that is asked of a request once its sender is known.
    pub(super) fn read(
        source: &SourceSpec,
        headers: &HeaderMap,
        body: Bytes,
        secret_label: String,
        received_at: Timestamp,
    ) -> Result<Self, Refusal> {
        headers::telling_once(headers)?;
        let payload = match headers::content_type(headers, source.kind)? {
            headers::ContentType::Json => body.clone(),
            headers::ContentType::Form => form::form_payload(&body).map_err(Refusal::bad)?.into(),
        };
        let event_header = headers::event(headers, source.kind)?;
        let parsed = Parsed::read(source.kind, &payload).map_err(Refusal::bad)?;
        Ok(Self {
            source: source.name.clone(),
            kind: source.kind,
            agents: Arc::clone(&source.agents),
            fixed_event: source.event.clone(),
            signed: source.auth.signs(),
            event_header,
            kept: Kept {
                secret_label,
                sender_id: headers::sender_id(headers, source.kind),
                headers: headers::kept(headers, source.kind),
                body,
            },
            payload,
            parsed,
            received_at,
        })
    }

    /// The name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The kind of host.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Logins that we have on the host.
    pub fn agents(&self) -> &Arc<[String]> {
        &self.agents
    }

    /// The event that the source's configuration fixes.
    pub fn fixed_event(&self) -> Option<&str> {
        self.fixed_event.as_deref()
    }

    /// Whether the body belongs to what the source proves; a token or header secret says nothing about it.
    pub fn signed(&self) -> bool {
        self.signed
    }

    /// The event name as the (unsigned) header gives it; Jira has none.
    pub fn event_header(&self) -> Option<&str> {
        self.event_header.as_deref()
    }

    /// What is kept of the request itself: everything else can be read of it again.
    pub fn into_kept(self) -> Kept {
        self.kept
    }

    /// Hex SHA-256 of the body as it arrived, worked out anew: few ask for it.
    pub fn body_sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.kept.body))
    }

    /// The JSON text: the body, or what its form field held.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload as it was read.
    pub(super) fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// When it arrived.
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }
}
