//! `hookrun deliveries export`: a stored delivery as the tests of rules read it.

use clap::{Args, Subcommand};

use super::printer::Printer;
use super::remote::{Remote, RemoteArguments};
use super::{Exit, tell};

#[derive(Debug, Args)]
pub(super) struct DeliveriesArguments {
    #[command(subcommand)]
    command: DeliveriesCommand,
}

#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// Print a stored delivery as {"headers": {…}, "body": {…}}, for `given` and `delivery` of a test; signatures are never
    /// stored
    Export {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        remote: RemoteArguments,
    },
}

pub(super) async fn run(arguments: DeliveriesArguments, printer: Printer) -> anyhow::Result<Exit> {
    let DeliveriesCommand::Export { id, remote } = arguments.command;
    let Some(remote) = Remote::new(&remote, printer)? else { return Ok(Exit::Configuration) };
    tell::json(&remote.get(&format!("deliveries/{id}/export"), &[]).await?)?;
    Ok(Exit::Done)
}
