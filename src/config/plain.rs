//! The sections that are used as they are written: webhooks, database, retention, log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::findings::Findings;
use super::path::KeyPath;
use super::secrets;
use super::values::{address, filter, secret, size, span, word};
use crate::telemetry::LogFormat;

/// `[webhooks]`: the public listener, which takes webhooks and answers health checks, nothing else.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Whether this process takes webhooks; its health checks answer all the same.
    pub enabled: bool,
    /// Address and port, e.g. "0.0.0.0:8080".
    #[serde(with = "address")]
    #[schemars(with = "address::Text")]
    pub listen: SocketAddr,
    /// The largest body that is taken, in bytes; GitHub and GitLab send up to 25 MiB.
    #[serde(with = "size")]
    #[schemars(with = "size::Text")]
    pub max_body: usize,
    /// How long a request may take to arrive as a whole.
    #[serde(with = "span")]
    #[schemars(with = "span::Text")]
    pub body_timeout: Duration,
    /// How many bytes of bodies over 1 MiB may be in memory at once; more is answered 503.
    #[serde(with = "size")]
    #[schemars(with = "size::Text")]
    pub max_in_flight: usize,
    /// The same for bodies up to 1 MiB, which have their own share so that slow large ones cannot starve them.
    #[serde(with = "size")]
    #[schemars(with = "size::Text")]
    pub max_in_flight_small: usize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            max_body: 25 << 20,
            body_timeout: Duration::from_secs(10),
            max_in_flight: 128 << 20,
            max_in_flight_small: 32 << 20,
        }
    }
}

impl WebhookSettings {
    /// Checks what no single value shows: a body that is allowed must also fit into memory.
    pub(super) fn check(&self, path: &KeyPath, findings: &mut Findings) {
        for (name, room, body) in [
            ("max_in_flight", self.max_in_flight, self.max_body),
            ("max_in_flight_small", self.max_in_flight_small, self.max_body.min(1 << 20)),
        ] {
            if room < body {
                let path = path.key(name);
                findings.wrong(&path, format!("`{path}` is less than one body of `webhooks.max_body` needs"));
            }
        }
    }
}

/// `[worker]`: what sends and follows runs.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// Whether this process sends jobs and follows runs. Where it does not, another one that shares the database must.
    pub enabled: bool,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[database]`: where everything is remembered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// A SQLite file ("sqlite:data/hookrun.db"), made with its folder when missing, or `postgres://user@host/database`,
    /// which several processes may share. A secret, because it may carry a password.
    #[serde(deserialize_with = "secret::deserialize")]
    #[schemars(with = "String", extend("default" = DatabaseSettings::DEFAULT_URL))]
    pub url: SecretString,
    /// The file that holds the address; it wins over `url`. A line break at its end does not count.
    pub url_file: Option<PathBuf>,
}

impl DatabaseSettings {
    /// Whether other processes may use it at the same time.
    pub fn is_shared(&self) -> bool {
        !self.url.expose_secret().starts_with("sqlite:")
    }

    const DEFAULT_URL: &str = "sqlite:data/hookrun.db";

    /// Reads the file of the address, and checks that the store can be of the kind that it says. Never shows it.
    pub(super) fn check(&mut self, path: &KeyPath, findings: &mut Findings) {
        if let Some(file) = self.url_file.take() {
            let Some((url, _)) = secrets::any(None, Some(file), path, "url", findings) else { return };
            self.url = url;
        }
        let url = self.url.expose_secret();
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|kind| url.starts_with(kind)) {
            let path = path.key("url");
            findings.wrong(&path, format!("`{path}` must begin with \"sqlite:\" or \"postgres://\""));
        }
    }
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { url: Self::DEFAULT_URL.into(), url_file: None }
    }
}

/// `[retention]`: how long what is remembered is kept.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Bodies of webhooks; those of open jobs are kept as long as they are needed.
    #[serde(with = "span")]
    #[schemars(with = "span::Text")]
    pub bodies: Duration,
    /// Deliveries, decisions and ended jobs.
    #[serde(with = "span")]
    #[schemars(with = "span::Text")]
    pub records: Duration,
    /// Claims and attempts: for so long a happening that is told again is known to be old.
    #[serde(with = "span")]
    #[schemars(with = "span::Text")]
    pub claims: Duration,
}

const DAY: Duration = Duration::from_hours(24);

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { bodies: 14 * DAY, records: 90 * DAY, claims: 400 * DAY }
    }
}

/// `[log]`: what the program writes about itself, on standard error.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// For people, or one JSON object a line.
    #[serde(deserialize_with = "word::deserialize")]
    pub format: LogFormat,
    /// How much: error, warn, info, debug or trace, also by module: `info,hookrun::worker=debug`.
    #[serde(deserialize_with = "filter::deserialize")]
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}
