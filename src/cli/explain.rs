//! `hookrun explain`: what follows from a stored delivery, or would follow from a payload in a file.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::bench::{self, Bench};
use super::printer::Printer;
use super::remote::{Remote, RemoteArguments};
use super::{Exit, tell};
use crate::model::clock::SystemClock;

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// A stored delivery, by its id; the running hookrun is asked
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "from"])]
    delivery: Option<String>,
    /// A file with {"headers": {…}, "body": {…}}, or a body with --header
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    file: Option<PathBuf>,
    /// The same as --file; `-` is standard input
    #[arg(value_name = "FILE")]
    from: Option<PathBuf>,
    /// A header of the body in the file, e.g. "X-GitHub-Event: push"
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The source that it comes by; if not given, the first of its kind
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// A file with a delivery that came before it
    #[arg(long, value_name = "FILE")]
    given: Vec<PathBuf>,
    /// The rules for a payload in a file, a file or a folder; if not given, those of the settings file
    #[arg(long, value_name = "PATH")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(super) async fn run(arguments: ExplainArguments, printer: Printer) -> anyhow::Result<Exit> {
    let json = arguments.remote.json;
    let report = if let Some(id) = &arguments.delivery {
        let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
        remote.get(&format!("deliveries/{id}/explain"), &[]).await?
    } else {
        let Some(report) = locally(&arguments, printer).await? else { return Ok(Exit::Configuration) };
        report
    };
    if json {
        tell::json(&report)?;
    } else {
        tell::report(&report, printer);
    }
    Ok(Exit::Done)
}

/// Asks the rules here, without a daemon; `None` when settings or rules are wrong.
async fn locally(arguments: &ExplainArguments, printer: Printer) -> anyhow::Result<Option<serde_json::Value>> {
    let Some(from) = arguments.file.as_ref().or(arguments.from.as_ref()) else {
        bail!("give --delivery ID, or a file with a payload (`-` for standard input)");
    };
    let config = arguments.remote.config.as_deref();
    let Some(bench) = Bench::read(config, arguments.rules.as_deref(), printer) else { return Ok(None) };
    let Some(doors) = bench.doors(printer)? else { return Ok(None) };
    let trial = bench.trial(doors, Arc::new(SystemClock::new())).await?;
    let source = arguments.source.as_deref();
    for file in &arguments.given {
        let given = bench::request(read(file)?, &[], &file.display().to_string())?;
        trial.intake.take_recorded(source, &given).await.with_context(|| file.display().to_string())?;
    }
    let origin = from.display().to_string();
    let request = bench::request(read(from)?, &arguments.header, &origin)?;
    let report = trial.intake.explain_recorded(source, &request).await.with_context(|| origin);
    trial.end().await;
    Ok(Some(json!(report?)))
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
