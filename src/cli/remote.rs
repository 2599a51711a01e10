//! The way to a running hookrun: its status API, for every command that asks the daemon or tells it what to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::printer::Printer;
use super::settings;
use crate::config::Settings;
use crate::model::access::{AccessToken, Role};

/// Where the status API is when nobody says; the default of `admin.listen`.
const USUAL: &str = "http://127.0.0.1:8081";

/// The variable that may hold the token.
const TOKEN: &str = "HOOKRUN_TOKEN";

const CONNECT: Duration = Duration::from_secs(5);
/// A little longer than the daemon takes at most for an answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// Which hookrun is asked, with whose token, and how its answer is shown.
#[derive(Debug, Args)]
pub(super) struct RemoteArguments {
    /// Where the status API is; if not given, `admin.listen` of the settings file, else port 8081 of this machine
    #[arg(long, value_name = "URL", env = "HOOKRUN_URL")]
    url: Option<String>,
    /// A file that holds the token; if not given, `HOOKRUN_TOKEN`, else the first operator token of the settings file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The settings file
    #[arg(long, value_name = "FILE", env = "HOOKRUN_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The status API of one hookrun.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    base: Url,
    token: Option<SecretString>,
}

impl Remote {
    /// The hookrun that the arguments, the environment or the settings file name; `None` when the settings are needed
    /// and wrong: every problem was listed.
    pub(super) fn new(arguments: &RemoteArguments, printer: Printer) -> anyhow::Result<Option<Self>> {
        let mut token = given_token(arguments.token_file.as_deref())?;
        let mut url = arguments.url.clone();
        if let Some(file) = arguments.config.as_deref().filter(|_| url.is_none() || token.is_none()) {
            let Some(settings) = settings::of_file(file, printer) else { return Ok(None) };
            token = token.or_else(|| first_token(&settings.admin.tokens));
            if url.is_none() {
                url = Some(address(&settings, file)?);
            }
        }
        let url = url.unwrap_or_else(|| USUAL.to_owned());
        let base = Url::parse(&url).ok().filter(|url| url.scheme().starts_with("http") && url.has_host());
        let base = base.with_context(|| format!("\"{url}\" is no address; write it as {USUAL}"))?;
        // The daemon is a neighbour: a proxy for the world has no business between.
        let client = Client::builder().connect_timeout(CONNECT).timeout(PATIENCE).no_proxy().build()?;
        Ok(Some(Self { client, base, token }))
    }

    /// Reads `/api/v1/{path}`.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.answer(self.request(Method::GET, path)?.query(query)).await
    }

    /// Acts by `/api/v1/{path}`, with a JSON body.
    pub(super) async fn post(&self, path: &str, query: &[(&str, String)], body: &Value) -> anyhow::Result<Value> {
        self.answer(self.request(Method::POST, path)?.query(query).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let mut url = self.base.clone();
        let mut parts = url.path_segments_mut().map_err(|()| anyhow!("{} cannot have a path", self.base))?;
        // Each part is escaped, so that an id that somebody mistyped stays one.
        parts.pop_if_empty().extend(["api", "v1"]).extend(path.split('/'));
        drop(parts);
        let request = self.client.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        })
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let base = &self.base;
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                return anyhow!(
                    "nobody answers at {base}: is `hookrun serve` running? Give its admin address with --url or --config"
                );
            }
            anyhow!(error.without_url()).context(format!("{base} did not answer"))
        })?;
        let status = response.status();
        let body = response.bytes().await.with_context(|| format!("the answer of {base} broke off"))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .with_context(|| format!("{base} did not answer with JSON: is it the admin listener?"));
        }
        bail!("{}", self.refusal(status, &body))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> String {
        let base = &self.base;
        if status == StatusCode::UNAUTHORIZED {
            let what = if self.token.is_some() { "does not know this token" } else { "wants a token" };
            return format!("{base} {what}: give one with --token-file, {TOKEN} or --config");
        }
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        match problem["detail"].as_str() {
            Some(detail) => detail.to_owned(),
            None => format!("{base} answers {status}: is it the admin listener?"),
        }
    }
}

/// The token that a file or the environment holds.
fn given_token(file: Option<&Path>) -> anyhow::Result<Option<SecretString>> {
    let text = match file {
        Some(file) => Some(
            std::fs::read_to_string(file).with_context(|| format!("cannot read the token in {}", file.display()))?,
        ),
        None => std::env::var(TOKEN).ok(),
    };
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(SecretString::from))
}

/// The first operator's token, else the first there is.
fn first_token(tokens: &[AccessToken]) -> Option<SecretString> {
    let operator = tokens.iter().find(|token| token.role == Role::Operator);
    operator.or(tokens.first()).map(|token| token.secret.clone())
}

/// Where the admin listener of these settings can be reached from this machine.
fn address(settings: &Settings, file: &Path) -> anyhow::Result<String> {
    let listen = settings.admin.listen;
    if listen.port() == 0 {
        bail!("admin.listen in {} is any free port: give the address with --url", file.display());
    }
    Ok(format!("http://{}", reachable(listen)))
}

/// Nobody can connect to "every address"; loopback is one of them.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
