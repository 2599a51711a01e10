//! Secrets: inline, in a file of their own, or from the environment; never shown.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::path::KeyPath;
use super::values::{secret, text_or_table};

/// The shortest secret that is taken, in bytes.
const SHORTEST: usize = 16;

/// A secret with the name under which it may be shown.
#[derive(Clone, Debug)]
pub struct LabeledSecret {
    /// Shown instead of the secret, e.g. with the delivery that it verified.
    pub label: String,
    /// The secret itself, at least 16 bytes.
    pub secret: SecretString,
}

/// A secret as it is written: the text alone, or a table that labels it or names its file.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
pub(super) enum SecretWritten {
    /// The secret.
    Text(#[schemars(with = "String")] SecretString),
    /// A labelled secret.
    Table(SecretTable),
}

/// A secret with its label.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SecretTable {
    /// The name under which it is shown.
    label: Option<String>,
    /// The secret itself.
    #[serde(deserialize_with = "secret::some")]
    #[schemars(with = "Option<String>")]
    secret: Option<SecretString>,
    /// The file that holds it; a line break at its end does not count.
    secret_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for SecretWritten {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text_or_table(from, |text| Self::Text(text.into()), Self::Table)
    }
}

/// Refuses a secret, or lets it through.
type Check = fn(SecretString, &KeyPath, &mut Findings) -> Option<SecretString>;

/// Reads the secrets of a list; those without a label are called after the list and their position.
pub(super) fn labeled(
    list: Vec<SecretWritten>,
    name: &str,
    path: &KeyPath,
    check: Check,
    findings: &mut Findings,
) -> Vec<LabeledSecret> {
    let mut read = Vec::new();
    for (at, written) in list.into_iter().enumerate() {
        let path = path.index(at);
        let (label, found) = match written {
            SecretWritten::Text(secret) => (None, Some((secret, path))),
            SecretWritten::Table(SecretTable { label, secret, secret_file }) => {
                (label, any(secret, secret_file, &path, "secret", findings))
            }
        };
        let label = label.unwrap_or_else(|| format!("{name}-{}", at + 1));
        if let Some(secret) = found.and_then(|(secret, path)| check(secret, &path, findings)) {
            read.push(LabeledSecret { label, secret });
        }
    }
    read
}

/// Reads the secret that stands in the table at `path`, as `secret` or in `secret_file`, and wants it long.
pub(super) fn one(
    inline: Option<SecretString>,
    file: Option<PathBuf>,
    path: &KeyPath,
    findings: &mut Findings,
) -> Option<SecretString> {
    let (secret, at) = any(inline, file, path, "secret", findings)?;
    long_enough(secret, &at, findings)
}

/// Reads the secret that stands in the table at `path`, however short; says which setting it came from.
pub(super) fn any(
    mut inline: Option<SecretString>,
    mut file: Option<PathBuf>,
    path: &KeyPath,
    name: &str,
    findings: &mut Findings,
) -> Option<(SecretString, KeyPath)> {
    let inline_path = path.key(name);
    let file_path = path.key(&format!("{name}_file"));
    if inline.is_some() && file.is_some() {
        match findings.stronger(&inline_path, &file_path) {
            Some(stronger) if *stronger == inline_path => file = None,
            Some(_) => inline = None,
            None => {
                let shown = findings.as_written(&file_path);
                findings.wrong(&file_path, format!("`{shown}` and `{name}` are both set; keep one of them"));
                return None;
            }
        }
    }
    if let Some(file) = file {
        match fs::read_to_string(&file) {
            Ok(text) => Some((text.trim_end_matches(['\r', '\n']).into(), file_path)),
            Err(error) => {
                let shown = findings.as_written(&file_path);
                findings.wrong(&file_path, format!("`{shown}`: {} cannot be read: {error}", file.display()));
                None
            }
        }
    } else if let Some(secret) = inline {
        Some((secret, inline_path))
    } else {
        findings.missing(&inline_path, format!("set it here, or `{name}_file`, or {}", inline_path.variable()));
        None
    }
}

/// Refuses a secret that is empty or short, naming the place and never the value.
pub(super) fn long_enough(secret: SecretString, path: &KeyPath, findings: &mut Findings) -> Option<SecretString> {
    let shown = findings.as_written(path);
    let wrong = match secret.expose_secret().len() {
        0 => "is empty".to_owned(),
        length if length < SHORTEST => format!("is shorter than {SHORTEST} bytes"),
        _ => return Some(secret),
    };
    findings.wrong_so(path, format!("`{shown}` {wrong}"), "make one with: openssl rand -hex 32");
    None
}

/// Refuses what is no signing token: `whsec_` and the base64, padded or not, of 24 to 64 bytes (Standard Webhooks,
/// "Signature scheme").
pub(super) fn signing_token(token: SecretString, path: &KeyPath, findings: &mut Findings) -> Option<SecretString> {
    let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let key =
        token.expose_secret().strip_prefix("whsec_").map(|key| GeneralPurpose::new(&STANDARD, any_padding).decode(key));
    if key.is_some_and(|key| key.is_ok_and(|key| (24..=64).contains(&key.len()))) {
        return Some(token);
    }
    let shown = findings.as_written(path);
    findings.wrong_so(
        path,
        format!("`{shown}` is no signing token: whsec_ and the base64 of 24 to 64 bytes"),
        "copy it from the webhook's page in GitLab; a token of your own goes to `tokens`",
    );
    None
}
