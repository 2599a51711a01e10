//! `[admin]`: the listener for people and their tools, and who may use it.

use std::net::SocketAddr;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// `[admin]`, checked.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Address and port; loopback by default.
    pub listen: SocketAddr,
    /// Who may do what. Never empty when `listen` is no loopback address.
    pub tokens: Vec<AdminToken>,
    /// Names that a request may carry in `Host`, lower case, without a port; loopback literals always may.
    pub hosts: Vec<String>,
}

/// A token of the admin listener.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// Shown instead of the token, e.g. with what was done with it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The token itself, at least 16 bytes.
    pub secret: SecretString,
}

/// What an admin token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look.
    Viewer,
    /// To look and to act.
    Operator,
}
