//! `[sources.NAME]`: who may send webhooks, and how each proves who it is.

use std::time::Duration;

use secrecy::{SecretSlice, SecretString};

use super::secrets::LabeledSecret;
use crate::model::delivery::SourceKind;

/// `[sources.NAME]`, checked: only the fields that fit its kind are filled, and something proves the sender unless
/// `unsigned` says otherwise.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Its name, `[a-z0-9-]+`, the last part of `POST /webhooks/NAME`.
    pub name: String,
    /// The host that sends.
    pub kind: SourceKind,
    /// Live HMAC secrets (GitHub, Jira).
    pub secrets: Vec<LabeledSecret>,
    /// Live signing keys (GitLab 19.0 and later).
    pub signing_tokens: Vec<SigningToken>,
    /// Live plain tokens of `X-Gitlab-Token`.
    pub tokens: Vec<LabeledSecret>,
    /// Whether a plain token will do where a signing token is configured, when the request carries no signature.
    pub allow_token_fallback: bool,
    /// The header that proves a sender who cannot sign (Jira Automation).
    pub header_secret: Option<HeaderSecret>,
    /// What every request of this source says, for senders that do not name the event, e.g. `"issue.transitioned"`.
    pub event: Option<String>,
    /// How old a signed timestamp may be (Jira); `None` is any age.
    pub max_age: Option<Duration>,
    /// Globs over the repositories that it may speak for.
    pub repos: Vec<String>,
    /// The logins under which our own agent acts on this host.
    pub agents: Vec<String>,
    /// Anybody may send: only possible when the public listener is on loopback.
    pub unsigned: bool,
}

/// A GitLab signing token (`whsec_…`, Standard Webhooks), decoded.
#[derive(Clone, Debug)]
pub struct SigningToken {
    /// Shown instead of the key.
    pub label: String,
    /// The decoded key, 24 to 64 bytes.
    pub key: SecretSlice<u8>,
}

/// A header whose value proves the sender.
#[derive(Clone, Debug)]
pub struct HeaderSecret {
    /// The header's name, lower case.
    pub name: String,
    /// Shown instead of the secret.
    pub label: String,
    /// The value that it must have, at least 16 bytes.
    pub secret: SecretString,
}
