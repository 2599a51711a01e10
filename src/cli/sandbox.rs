//! `hookrun sandbox`: the Codegen API played on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::Exit;
use super::printer::Printer;
use crate::lifecycle::Lifecycle;
use crate::model::clock::SystemClock;
use crate::model::limits::ClassLimits;
use crate::sandbox::{LimitFlag, Sandbox, SandboxConfig, Speed, fault_script, serve};

#[derive(Debug, Args)]
pub(super) struct SandboxArguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// A token that is accepted; each belongs to a user of its own
    #[arg(long = "token", value_name = "TOKEN", required = true)]
    tokens: Vec<SecretString>,
    /// The id of the organization
    #[arg(long, value_name = "N")]
    org_id: i64,
    /// No rate limits at all
    #[arg(long, conflicts_with = "limits")]
    no_limits: bool,
    /// Another limit for a class of calls, e.g. create=10/60s
    #[arg(long = "limit", value_name = "CLASS=N/SPAN")]
    limits: Vec<LimitFlag>,
    /// How much faster than usual runs live
    #[arg(long, value_name = "X", default_value = "1")]
    speed: Speed,
    /// A repository that exists beside acme/widgets
    #[arg(long = "repo", value_name = "OWNER/NAME")]
    repos: Vec<String>,
    /// A script of misbehaviour: a JSON list of faults
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
}

pub(super) async fn run(arguments: SandboxArguments) -> anyhow::Result<Exit> {
    let mut config = SandboxConfig::new(arguments.tokens, arguments.org_id);
    config.limits = (!arguments.no_limits).then(|| {
        let mut limits = ClassLimits::default();
        for flag in arguments.limits {
            flag.apply(&mut limits);
        }
        limits
    });
    config.speed = arguments.speed;
    config.repos = arguments.repos;
    if let Some(file) = arguments.faults {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        config.faults = fault_script(&text).with_context(|| format!("{} is no fault script", file.display()))?;
    }
    let sandbox = Sandbox::new(config, Arc::new(SystemClock::new()));
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    Printer::line(format_args!("the Codegen API is played at http://{}", listener.local_addr()?));
    let lifecycle = Lifecycle::new();
    lifecycle.watch_signals()?;
    serve(listener, sandbox, lifecycle.soft().cancelled_owned()).await?;
    Ok(Exit::Done)
}
