//! `hookrun why`: the whole story of whatever is at hand, or of what a rule said.

use anyhow::bail;
use clap::Args;

use super::printer::Printer;
use super::remote::{Remote, RemoteArguments};
use super::{Exit, tell};

#[derive(Debug, Args)]
pub(super) struct WhyArguments {
    /// The URL of a change, check, job, pipeline, issue or ticket; a commit; repo#17; OPS-17; the id of a delivery or job; a run
    #[arg(value_name = "WHAT", conflicts_with = "rule")]
    what: Option<String>,
    /// What this rule said to each delivery
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// How far to look back for --rule
    #[arg(long, value_name = "SPAN", default_value = "1d", requires = "rule")]
    since: String,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(super) async fn run(arguments: WhyArguments, printer: Printer) -> anyhow::Result<Exit> {
    let query = match (&arguments.what, &arguments.rule) {
        (Some(what), _) => vec![("q", what.clone())],
        (None, Some(rule)) => vec![("rule", rule.clone()), ("since", arguments.since.clone())],
        (None, None) => bail!("why what? Give a URL, a commit, repo#17, OPS-17, an id, or --rule NAME --since 8h"),
    };
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let answer = remote.get("why", &query).await?;
    if arguments.remote.json {
        tell::json(&answer)?;
    } else if arguments.rule.is_some() {
        tell::rule(&answer, printer);
    } else {
        tell::story(&answer, printer);
    }
    Ok(Exit::Done)
}
