//! The signature vectors: every case that the hosts' documents, libraries and attackers give, accept and reject.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookrun::model::clock::Timestamp;
use hookrun::model::delivery::SourceKind;
use hookrun::webhook::signature::{Standard, hub_matches, token_matches};
use hookrun::webhook::{Auth, NamedSecret, Refusal, SecretError, SourceSpec, verify};
use secrecy::SecretString;
use serde_json::Value;

use super::webhook_support::{fixture, headers, source};

struct Vector {
    name: String,
    provider: String,
    secret: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    now: Timestamp,
    expect: String,
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_slice(&fixture("signature-vectors.json")).unwrap();
    let cases = file["hmac_cases"].as_array().unwrap();
    let text = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|case| Vector {
            name: text(case, "name"),
            provider: text(case, "provider"),
            secret: text(case, "secret"),
            headers: case["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()))
                .collect(),
            body: text(case, "body_utf8").into(),
            now: Timestamp(case["now"].as_i64().unwrap_or(0) * 1000),
            expect: text(case, "expect"),
        })
        .collect()
}

impl Vector {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The arithmetic alone, which knows nothing of a minimal length.
    fn matches(&self) -> bool {
        match self.provider.as_str() {
            "gitlab-token" => {
                let given = self.header("x-gitlab-token");
                given.is_some_and(|given| token_matches(self.secret.as_bytes(), given.as_bytes()))
            }
            "gitlab" | "standard" => {
                let key = STANDARD.decode(self.secret.strip_prefix("whsec_").unwrap()).unwrap();
                let parts = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| self.header(name));
                let [Some(id), Some(timestamp), Some(signature)] = parts else { return false };
                let request = Standard { id, timestamp, signature };
                request.is_fresh(self.now) && request.matches(&key, &self.body)
            }
            provider => {
                let name = if provider == "github" { "x-hub-signature-256" } else { "x-hub-signature" };
                let given = self.header(name);
                given.is_some_and(|given| hub_matches(self.secret.as_bytes(), given.as_bytes(), &self.body))
            }
        }
    }

    fn source(&self) -> Result<SourceSpec, SecretError> {
        let secret = SecretString::from(self.secret.as_str());
        let (kind, auth) = match self.provider.as_str() {
            "github" => (SourceKind::Github, Auth::Hmac(vec![NamedSecret::new("main", &secret)?])),
            "jira" => (SourceKind::Jira, Auth::Hmac(vec![NamedSecret::new("main", &secret)?])),
            provider => {
                let (signing, tokens) = match provider {
                    "gitlab-token" => (Vec::new(), vec![NamedSecret::new("main", &secret)?]),
                    _ => (vec![NamedSecret::signing("main", &secret)?], Vec::new()),
                };
                (SourceKind::Gitlab, Auth::Gitlab { signing, tokens, allow_token_fallback: false })
            }
        };
        Ok(SourceSpec { auth, ..source(kind) })
    }
}

#[test]
fn every_vector_is_decided_as_stated() {
    let mut asked = 0;
    for vector in vectors() {
        let expected = match vector.expect.as_str() {
            // The choice: digits are decoded before they are compared, so their case does not matter.
            "accept" | "implementation-choice" => true,
            "reject" => false,
            other => panic!("{other}"),
        };
        assert_eq!(vector.matches(), expected, "{}", vector.name);
        asked += 1;
    }
    assert_eq!(asked, 54);
}

#[test]
fn every_vector_with_a_usable_secret_goes_the_whole_way() {
    let mut too_short = Vec::new();
    for vector in vectors() {
        let Ok(source) = vector.source() else {
            too_short.push(vector.secret);
            continue;
        };
        let pairs: Vec<(&str, &str)> = vector.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = verify(&source, &headers(&pairs), &vector.body, vector.now);
        let name = &vector.name;
        match (vector.expect.as_str(), answer) {
            ("reject", Err(Refusal::Unauthorized { .. } | Refusal::Stale)) => {}
            ("reject", answer) => panic!("{name}: {answer:?}"),
            (_, Ok(delivery)) => assert_eq!(delivery.into_kept().secret_label, "main", "{name}"),
            // The signature is right; "Hello, World!" is no JSON and some vectors carry no event header.
            (_, Err(Refusal::BadRequest { .. })) => {
                assert!(vector.body.starts_with(b"Hello") || name.starts_with("sw-"), "{name}");
            }
            (_, Err(refusal)) => panic!("{name}: {refusal:?}"),
        }
    }
    too_short.sort_unstable();
    too_short.dedup();
    assert_eq!(too_short, ["", "my-secret-token", "mysecret"]);
}

#[test]
fn weak_secrets_cannot_be_configured() {
    let new = |text: &str| NamedSecret::new("x", &SecretString::from(text)).err();
    let signing = |text: &str| NamedSecret::signing("x", &SecretString::from(text)).err();
    assert_eq!(new(""), Some(SecretError::Empty));
    assert_eq!(new("fifteen bytes.."), Some(SecretError::Short(15)));
    assert_eq!(new("sixteen bytes..."), None);
    assert_eq!(signing(""), Some(SecretError::Empty));
    assert_eq!(signing("dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0"), Some(SecretError::NotSigningToken));
    assert_eq!(signing("whsec_***"), Some(SecretError::NotSigningToken));
    assert_eq!(signing("whsec_dGVzdA=="), Some(SecretError::SigningTokenSize(4)));
    assert_eq!(signing("whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="), None);
    assert_eq!(signing("whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q"), None, "padding is optional");
}

#[test]
fn a_secret_is_never_shown() {
    let secret = NamedSecret::new("main", &SecretString::from("hunter2hunter2hunter2")).unwrap();
    assert_eq!(format!("{secret:?}"), "NamedSecret(\"main\")");
    let spec = SourceSpec { auth: Auth::Hmac(vec![secret]), ..source(SourceKind::Github) };
    assert!(!format!("{spec:?}").contains("hunter2"));
}
