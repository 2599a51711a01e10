//! `hookrun healthcheck`: asks a running hookrun whether it is ready, for containers that have no curl.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::Exit;
use super::remote::reachable;

/// How long to wait for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// The address of the public listener
    #[arg(long, value_name = "ADDRESS", env = "HOOKRUN_WEBHOOKS__LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

pub(super) async fn run(arguments: HealthcheckArguments) -> anyhow::Result<Exit> {
    let address = reachable(arguments.listen);
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
    let url = format!("http://{address}/readyz");
    let answer = client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
    if !answer.status().is_success() {
        bail!("{url} answers {}", answer.status());
    }
    Ok(Exit::Done)
}
