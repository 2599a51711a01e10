//! `[admin]`: the listener for people and their tools, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::findings::Findings;
use super::path::KeyPath;
use super::secrets;
use super::values::{address, is_loopback, secret, text_or_table, word};
use crate::model::access::{AccessToken, Role};

/// `[admin]`, checked.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Whether this process has this listener at all.
    pub enabled: bool,
    /// Address and port; loopback by default.
    pub listen: SocketAddr,
    /// Who may do what. Never empty when `listen` is no loopback address.
    pub tokens: Vec<AccessToken>,
    /// Names that a request may carry in `Host`, lower case, without a port; loopback literals always may.
    pub hosts: Vec<String>,
}

/// `[admin]`: the listener for people and their tools: status API, dashboard, metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminWritten {
    /// Whether this process has this listener at all.
    enabled: bool,
    /// Address and port. Another address than loopback needs `tokens`.
    #[serde(with = "address")]
    #[schemars(with = "address::Text")]
    listen: SocketAddr,
    /// Who may look or act; a text alone is the token of an operator.
    tokens: Vec<TokenWritten>,
    /// Names that a request may carry in `Host`, beside addresses of loopback, e.g. "hookrun.acme.example".
    hosts: Vec<String>,
}

impl Default for AdminWritten {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 8081)), tokens: Vec::new(), hosts: Vec::new() }
    }
}

/// A token as it is written: the text alone, or a table.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
enum TokenWritten {
    /// An operator's token.
    Text(#[schemars(with = "String")] SecretString),
    /// A named token.
    Table(TokenTable),
}

/// A token with its name and role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TokenTable {
    /// The name under which it is shown.
    name: Option<String>,
    /// What it allows.
    #[serde(deserialize_with = "word::some")]
    role: Option<Role>,
    /// The token itself.
    #[serde(deserialize_with = "secret::some")]
    #[schemars(with = "Option<String>")]
    secret: Option<SecretString>,
    /// The file that holds it; a line break at its end does not count.
    secret_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for TokenWritten {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text_or_table(from, |text| Self::Text(text.into()), Self::Table)
    }
}

impl AdminWritten {
    /// Checks the section and reads its secrets.
    pub(super) fn check(self, path: &KeyPath, findings: &mut Findings) -> AdminSettings {
        let tokens_path = path.key("tokens");
        let listen_path = path.key("listen");
        let local = !self.enabled || is_loopback(self.listen);
        if !local && self.tokens.is_empty() && !findings.is_reported(&tokens_path) {
            findings.wrong_so(
                &listen_path,
                format!("`{listen_path}` is open to the network, and there are no `{tokens_path}`"),
                format!("add a token, e.g. {}, or listen on 127.0.0.1", tokens_path.variable()),
            );
        }
        if !local && self.hosts.is_empty() && !findings.is_reported(&path.key("hosts")) {
            findings.doubtful(
                &listen_path,
                format!("`{listen_path}` is open to the network, but `{path}.hosts` names no host, so that only requests to a loopback address are answered"),
                "list the names under which people reach it",
            );
        }
        for (at, host) in self.hosts.iter().enumerate() {
            if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/:*".contains(c)) {
                let path = path.key("hosts").index(at);
                let shown = findings.as_written(&path);
                findings
                    .wrong(&path, format!("`{shown}`: \"{host}\" is no host name; write it without scheme and port"));
            }
        }
        let tokens = check_tokens(self.tokens, &tokens_path, findings);
        let hosts = self.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        AdminSettings { enabled: self.enabled, listen: self.listen, tokens, hosts }
    }
}

fn check_tokens(written: Vec<TokenWritten>, path: &KeyPath, findings: &mut Findings) -> Vec<AccessToken> {
    let mut tokens: Vec<AccessToken> = Vec::new();
    for (at, written) in written.into_iter().enumerate() {
        let path = path.index(at);
        let (name, role, secret) = match written {
            TokenWritten::Text(secret) => {
                (Some("operator".to_owned()), Some(Role::Operator), secrets::long_enough(secret, &path, findings))
            }
            TokenWritten::Table(table) => {
                if table.name.is_none() {
                    findings.missing(&path.key("name"), "name the person or tool that uses it");
                }
                if table.role.is_none() {
                    findings.missing(&path.key("role"), "\"operator\" may act, \"viewer\" may look");
                }
                (table.name, table.role, secrets::one(table.secret, table.secret_file, &path, findings))
            }
        };
        let (Some(name), Some(role), Some(secret)) = (name, role, secret) else { continue };
        if tokens.iter().any(|token| token.name == name) {
            let shown = findings.as_written(&path);
            findings.wrong(&path.key("name"), format!("`{shown}`: another token is called \"{name}\" already"));
        }
        tokens.push(AccessToken { name, role, secret });
    }
    tokens
}
