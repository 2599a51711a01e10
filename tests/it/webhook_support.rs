//! Signed requests, as the hosts make them, and the real payloads where they are at hand.

use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookrun::model::clock::Timestamp;
use hookrun::model::delivery::SourceKind;
use hookrun::model::event::{Event, Kind};
use hookrun::webhook::{Auth, Delivery, NamedSecret, Refusal, SourceSpec, Understood, understand, verify};
use secrecy::SecretString;
use sha2::Sha256;

pub(crate) const SECRET: &str = "a secret of the tests, long enough";
pub(crate) const SIGNING_TOKEN: &str = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";
pub(crate) const NOW: Timestamp = Timestamp(1_768_471_600_000);

pub(crate) fn secret(label: &str, text: &str) -> NamedSecret {
    NamedSecret::new(label, &SecretString::from(text)).unwrap()
}

pub(crate) fn signing(label: &str, token: &str) -> NamedSecret {
    NamedSecret::signing(label, &SecretString::from(token)).unwrap()
}

pub(crate) fn source(kind: SourceKind) -> SourceSpec {
    let auth = match kind {
        SourceKind::Gitlab => Auth::Gitlab {
            signing: vec![signing("main", SIGNING_TOKEN)],
            tokens: Vec::new(),
            allow_token_fallback: false,
        },
        SourceKind::Github | SourceKind::Jira => Auth::Hmac(vec![secret("main", SECRET)]),
    };
    SourceSpec {
        name: format!("test-{}", kind.as_str()),
        kind,
        auth,
        agents: ["codegen-sh[bot]".to_owned()].into(),
        max_age: None,
        event: None,
    }
}

pub(crate) fn hub(key: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub(crate) fn standard(token: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(token.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// The headers with which the host would send this body at [`NOW`].
pub(crate) fn signed(kind: SourceKind, event: &str, body: &[u8]) -> HeaderMap {
    let json = ("content-type", "application/json");
    match kind {
        SourceKind::Github => headers(&[
            json,
            ("x-github-event", event),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"),
            ("x-hub-signature-256", &hub(SECRET.as_bytes(), body)),
        ]),
        SourceKind::Gitlab => {
            let (id, at) = ("f5e5f430-f57b-4e6e-9fac-d9128cd7232f", (NOW.0 / 1000).to_string());
            headers(&[
                json,
                ("x-gitlab-event", event),
                ("webhook-id", id),
                ("webhook-timestamp", &at),
                ("webhook-signature", &standard(SIGNING_TOKEN, id, &at, body)),
            ])
        }
        SourceKind::Jira => headers(&[json, ("x-hub-signature", &hub(SECRET.as_bytes(), body))]),
    }
}

pub(crate) fn deliver(kind: SourceKind, event: &str, body: &[u8]) -> Result<Delivery, Refusal> {
    verify(&source(kind), &signed(kind, event, body), &Bytes::copy_from_slice(body), NOW)
}

pub(crate) fn tell(kind: SourceKind, event: &str, body: &[u8]) -> Understood {
    understand(&deliver(kind, event, body).unwrap())
}

pub(crate) fn kinds(told: &Understood) -> Vec<Kind> {
    told.events.iter().filter_map(|event| event.kind).collect()
}

pub(crate) fn only(told: &Understood) -> &Event {
    assert_eq!(told.events.len(), 1, "{:?}", told.events);
    &told.events[0]
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// A fixture with some of its text replaced.
pub(crate) fn altered(name: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::from_utf8(fixture(name)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{name} does not contain {from}");
        text = text.replace(from, to);
    }
    text.into_bytes()
}

/// A recorded webhook of a real host.
pub(crate) struct Real {
    pub(crate) file: String,
    pub(crate) kind: SourceKind,
    pub(crate) event: String,
    pub(crate) core: bool,
    pub(crate) body: Vec<u8>,
}

/// The recorded webhooks, or `None` (said plainly) where they are not beside the project.
#[expect(clippy::print_stdout, reason = "a test that could not run has to say so")]
pub(crate) fn real_payloads() -> Option<Vec<Real>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/payloads");
    let Ok(index) = std::fs::read(folder.join("index.json")) else {
        println!("NOT RUN: the real payloads are not at {}", folder.display());
        return None;
    };
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let items = index["items"].as_array().unwrap();
    let real = items.iter().map(|item| {
        let text = |key: &str| item[key].as_str().unwrap().to_owned();
        Real {
            file: text("file"),
            kind: serde_json::from_value(item["platform"].clone()).unwrap(),
            event: text("event"),
            core: item["core"].as_bool().unwrap(),
            body: std::fs::read(folder.join(text("file"))).unwrap(),
        }
    });
    Some(real.collect())
}
