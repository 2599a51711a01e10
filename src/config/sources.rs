//! `[sources.NAME]`: who may send webhooks, and how each proves who it is.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use globset::Glob;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::layers::instead;
use super::path::KeyPath;
use super::secrets::{self, LabeledSecret, SecretWritten};
use super::values::{secret, some_table, text, word};
use crate::model::delivery::SourceKind;
use crate::model::event::Kind;
use crate::model::span::parse_span;

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
    /// Live signing tokens (GitLab 19.0 and later): `whsec_` and the base64 of 24 to 64 bytes.
    pub signing_tokens: Vec<LabeledSecret>,
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

/// `[sources.NAME]`: a sender of webhooks to `/webhooks/NAME`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SourceWritten {
    /// The host that sends. Required.
    #[serde(deserialize_with = "word::some")]
    kind: Option<SourceKind>,
    /// The secrets of the webhook (GitHub, Jira); several while one replaces the other.
    secrets: Vec<SecretWritten>,
    /// Signing tokens (GitLab 19.0 and later); where there is one, a request must be signed.
    signing_tokens: Vec<SecretWritten>,
    /// Secret tokens (GitLab), sent as they are in X-Gitlab-Token.
    tokens: Vec<SecretWritten>,
    /// Takes a secret token from a request without a signature although there are signing tokens (GitLab).
    allow_token_fallback: bool,
    /// A header that proves a sender who cannot sign, as Automation's "Send web request" (Jira).
    #[serde(deserialize_with = "some_table")]
    header_secret: Option<HeaderSecretWritten>,
    /// What happened when such a sender calls, e.g. "issue.transitioned" (Jira).
    event: Option<String>,
    /// How old the signed timestamp may be, or "off" (Jira); "24h" when not given.
    max_age: Option<MaxAge>,
    /// The repositories that it may speak for, as globs.
    repos: Vec<String>,
    /// Who our own agent is on this host; "codegen-sh[bot]" on GitHub when not given.
    agents: Option<Vec<String>>,
    /// Takes webhooks from anybody. Only for trials: `webhooks.listen` must be a loopback address.
    insecure_unsigned: bool,
}

impl Default for SourceWritten {
    fn default() -> Self {
        Self {
            kind: None,
            secrets: Vec::new(),
            signing_tokens: Vec::new(),
            tokens: Vec::new(),
            allow_token_fallback: false,
            header_secret: None,
            event: None,
            max_age: None,
            repos: vec!["**".to_owned()],
            agents: None,
            insecure_unsigned: false,
        }
    }
}

/// A header and the secret that it must carry.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HeaderSecretWritten {
    /// The header's name, e.g. "X-Hookrun-Token".
    name: Option<String>,
    /// The name under which the secret is shown.
    label: Option<String>,
    /// The secret itself.
    #[serde(deserialize_with = "secret::some")]
    #[schemars(with = "Option<String>")]
    secret: Option<SecretString>,
    /// The file that holds it; a line break at its end does not count.
    secret_file: Option<PathBuf>,
}

/// The greatest age of a signed timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MaxAge {
    Off,
    Within(Duration),
}

impl<'de> Deserialize<'de> for MaxAge {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, |text| match text {
            "off" => Ok(Self::Off),
            span => parse_span(span).map(Self::Within).map_err(|wrong| format!("{wrong}, or \"off\"")),
        })
    }
}

impl JsonSchema for MaxAge {
    fn schema_name() -> Cow<'static, str> {
        "MaxAge".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^([0-9]+ ?(ms|s|m|h|d|w)|off)$" })
    }
}

/// The keys that prove a sender, or go with one that proves itself so, and the kinds of hosts that they fit.
const FITS: [(&str, &[SourceKind]); 7] = [
    ("secrets", &[SourceKind::Github, SourceKind::Jira]),
    ("signing_tokens", &[SourceKind::Gitlab]),
    ("tokens", &[SourceKind::Gitlab]),
    ("allow_token_fallback", &[SourceKind::Gitlab]),
    ("header_secret", &[SourceKind::Jira]),
    ("event", &[SourceKind::Jira]),
    ("max_age", &[SourceKind::Jira]),
];

impl SourceWritten {
    /// Checks the section and reads its secrets. `local` says that only this machine can send webhooks at all.
    pub(super) fn check(
        self,
        name: &str,
        local: bool,
        path: &KeyPath,
        findings: &mut Findings,
    ) -> Option<SourceSettings> {
        check_name(name, path, findings);
        self.check_proof(local, path, findings);
        self.check_repos(&path.key("repos"), findings);
        check_event(self.event.as_deref(), &path.key("event"), findings);
        let Some(kind) = self.kind else {
            findings.missing(&path.key("kind"), "write \"github\", \"gitlab\" or \"jira\"");
            return None;
        };
        self.check_fit(kind, path, findings);
        let secrets = secrets::labeled(self.secrets, "secret", &path.key("secrets"), secrets::long_enough, findings);
        let signing_path = path.key("signing_tokens");
        let signing_tokens =
            secrets::labeled(self.signing_tokens, "signing-token", &signing_path, secrets::signing_token, findings);
        let tokens = secrets::labeled(self.tokens, "token", &path.key("tokens"), secrets::long_enough, findings);
        let header_path = path.key("header_secret");
        let header_secret = self.header_secret.and_then(|header| header.check(&header_path, findings));
        check_labels([&secrets, &signing_tokens, &tokens], path, findings);
        let agents = self.agents.unwrap_or_else(|| match kind {
            SourceKind::Github => vec!["codegen-sh[bot]".to_owned()],
            SourceKind::Gitlab | SourceKind::Jira => Vec::new(),
        });
        Some(SourceSettings {
            name: name.to_owned(),
            kind,
            secrets,
            signing_tokens,
            tokens,
            allow_token_fallback: self.allow_token_fallback,
            header_secret,
            event: self.event,
            max_age: match (kind, self.max_age) {
                (SourceKind::Jira, None) => Some(Duration::from_hours(24)),
                (_, Some(MaxAge::Within(age))) => Some(age),
                (_, Some(MaxAge::Off) | None) => None,
            },
            repos: self.repos,
            agents,
            unsigned: self.insecure_unsigned,
        })
    }

    fn check_repos(&self, path: &KeyPath, findings: &mut Findings) {
        check_globs(&self.repos, path, findings);
        if self.repos.is_empty() && !findings.is_reported(path) {
            let help = "leave it out if the source may speak for every repository";
            findings.wrong_so(path, format!("`{path}` lets the source speak for nothing"), help);
        }
    }

    fn is_given(&self, key: &str) -> bool {
        match key {
            "secrets" => !self.secrets.is_empty(),
            "signing_tokens" => !self.signing_tokens.is_empty(),
            "tokens" => !self.tokens.is_empty(),
            "allow_token_fallback" => self.allow_token_fallback,
            "header_secret" => self.header_secret.is_some(),
            "event" => self.event.is_some(),
            _ => self.max_age.is_some(),
        }
    }

    fn check_fit(&self, kind: SourceKind, path: &KeyPath, findings: &mut Findings) {
        for (key, _) in FITS.iter().filter(|(key, kinds)| self.is_given(key) && !kinds.contains(&kind)) {
            let fitting = FITS.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(key, _)| *key);
            let help = format!("for {} there is {}", kind.as_str(), fitting.collect::<Vec<_>>().join(", "));
            let path = path.key(key);
            findings.wrong_so(&path, format!("`{path}` does not fit a source of kind {}", kind.as_str()), help);
        }
    }

    fn check_proof(&self, local: bool, path: &KeyPath, findings: &mut Findings) {
        let proofs: Vec<&str> = ["secrets", "signing_tokens", "tokens", "header_secret"]
            .into_iter()
            .filter(|key| self.is_given(key))
            .collect();
        let unsigned = path.key("insecure_unsigned");
        if self.insecure_unsigned {
            if !proofs.is_empty() {
                findings.wrong(&unsigned, format!("`{unsigned}` cannot go with `{}`", proofs.join("`, `")));
            } else if local {
                let message = format!("`{unsigned}`: whoever reaches this address can start runs");
                findings.doubtful(&unsigned, message, "give the source a secret before others can reach it");
            } else {
                let message = format!("`{unsigned}` would let anybody on the network start runs");
                findings.wrong_so(&unsigned, message, "give the source a secret, or set webhooks.listen to 127.0.0.1");
            }
        } else if proofs.is_empty() {
            let keys = match self.kind {
                Some(SourceKind::Github) => ["secrets"].as_slice(),
                Some(SourceKind::Gitlab) => &["signing_tokens", "tokens"],
                Some(SourceKind::Jira) => &["secrets", "header_secret"],
                None => &["secrets", "signing_tokens", "tokens", "header_secret"],
            };
            if !keys.iter().any(|key| findings.is_reported(&findings.as_written(&path.key(key)))) {
                let message = format!("`{path}` has no secret, so that anybody could send in its name");
                let help = format!("set `{}`, or {}", keys.join("` or `"), path.key(keys[0]).variable());
                findings.wrong_so(path, message, help);
            }
        }
        let header = path.key("header_secret");
        if self.header_secret.is_some() && !self.secrets.is_empty() {
            findings.wrong(&header, format!("`{header}` cannot go with `secrets`; make two sources of it"));
        }
        if self.header_secret.is_some() && self.event.is_none() {
            findings.missing(&path.key("event"), "a sender that cannot sign does not say what happened either");
        }
        if self.event.is_some() && self.header_secret.is_none() && !self.insecure_unsigned && !self.secrets.is_empty() {
            let event = path.key("event");
            findings.wrong(
                &event,
                format!("`{event}` is only for senders that cannot sign; a signed body says itself what happened"),
            );
        }
        let fallback = path.key("allow_token_fallback");
        if self.allow_token_fallback && (self.signing_tokens.is_empty() || self.tokens.is_empty()) {
            findings.wrong(&fallback, format!("`{fallback}` needs both `signing_tokens` and `tokens`"));
        }
        let tokens = path.key("tokens");
        if !self.allow_token_fallback && !self.signing_tokens.is_empty() && !self.tokens.is_empty() {
            findings.doubtful(
                &tokens,
                format!("`{tokens}` is not used while there are `signing_tokens`"),
                "remove it, or set `allow_token_fallback = true` until all hooks sign",
            );
        }
    }
}

impl HeaderSecretWritten {
    fn check(self, path: &KeyPath, findings: &mut Findings) -> Option<HeaderSecret> {
        let name_path = path.key("name");
        match &self.name {
            None => findings.missing(&name_path, "name the header that carries the secret"),
            Some(name) if !is_header_name(name) => {
                findings.wrong(&name_path, format!("`{name_path}`: \"{name}\" is no name of a header"));
            }
            Some(_) => {}
        }
        let secret = secrets::one(self.secret, self.secret_file, path, findings)?;
        let label = self.label.unwrap_or_else(|| "header-secret".to_owned());
        Some(HeaderSecret { name: self.name?.to_ascii_lowercase(), label, secret })
    }
}

/// RFC 9110 section 5.6.2, "token".
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn check_name(name: &str, path: &KeyPath, findings: &mut Findings) {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        findings.wrong_so(
            path,
            format!("\"{name}\" cannot be the name of a source"),
            "it is the end of a URL: write small letters, digits and hyphens",
        );
    }
}

/// Patterns are spelt as in rules: `!` before a source and its colon before the glob.
pub(super) fn check_globs(globs: &[String], path: &KeyPath, findings: &mut Findings) {
    for (at, glob) in globs.iter().enumerate() {
        let path = path.index(at);
        let shown = findings.as_written(&path);
        if glob.trim_start_matches('!').rsplit(':').next().is_none_or(str::is_empty) {
            findings.wrong(&path, format!("`{shown}`: \"{glob}\" is no glob: it names nothing"));
        } else if let Err(error) = Glob::new(glob) {
            findings.wrong(&path, format!("`{shown}`: \"{glob}\" is no glob: {}", error.kind()));
        }
    }
}

/// The event is a kind of ours, or the host's own name for it, which has other punctuation than ours.
fn check_event(event: Option<&str>, path: &KeyPath, findings: &mut Findings) {
    if let Some(event) = event
        && event.parse::<Kind>().is_err()
        && !event.contains(['_', ':'])
    {
        let kinds = Kind::ALL.into_iter().map(Kind::as_str);
        findings.wrong_so(path, format!("`{path}`: \"{event}\" is no kind of event"), instead(event, kinds));
    }
}

fn check_labels(lists: [&[LabeledSecret]; 3], path: &KeyPath, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for secret in lists.into_iter().flatten() {
        if !seen.insert(&secret.label) {
            let message = format!("`{path}` has two secrets with the label \"{}\"", secret.label);
            findings.wrong_so(path, message, "the label is all that is shown of a secret: give each its own");
        }
    }
}
