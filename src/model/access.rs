//! Who may use the admin listener: tokens by name, each with a role.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// What a token of the admin listener allows; each role allows what those before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look.
    Viewer,
    /// To look and to act.
    Operator,
}

/// A token of the admin listener.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// Shown and logged instead of the token, e.g. with what was done with it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The token itself, at least 16 bytes.
    pub secret: SecretString,
}
