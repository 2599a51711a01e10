//! `hookrun backup`, `restore` and `migrate`: a database copied, brought back, or moved into another one.

use std::path::PathBuf;

use clap::Args;
use secrecy::ExposeSecret;

use super::Exit;
use super::printer::Printer;
use super::settings::{self, SettingsArguments};
use crate::model::clock::{Clock, SystemClock};
use crate::store;

#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    /// The new file
    #[arg(value_name = "FILE")]
    into: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// The backup
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    /// The database that is used until now, e.g. `sqlite:data/hookrun.db`
    #[arg(long, value_name = "URL", env = "HOOKRUN_MIGRATE_FROM", hide_env_values = true)]
    from: String,
    /// The empty one that takes its place, e.g. `postgres://hookrun@db/hookrun`; a password is better given by the variable,
    /// where no list of processes shows it
    #[arg(long, value_name = "URL", env = "HOOKRUN_MIGRATE_TO", hide_env_values = true)]
    to: String,
}

/// Copies the database of the settings while hookrun runs.
pub(super) async fn backup(arguments: BackupArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(settings) = settings::read_settings(arguments.settings, printer) else { return Ok(Exit::Configuration) };
    store::back_up(settings.database.url.expose_secret(), &arguments.into, SystemClock::new().now()).await?;
    Printer::line(format_args!("the database as it was just now is in {}", arguments.into.display()));
    Ok(Exit::Done)
}

/// Puts a backup where the settings say that the database is.
pub(super) async fn restore(arguments: RestoreArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(settings) = settings::read_settings(arguments.settings, printer) else { return Ok(Exit::Configuration) };
    store::restore(&arguments.backup, settings.database.url.expose_secret()).await?;
    Printer::line(
        "restored; at its next start hookrun looks for what was sent since the backup, and holds what no list can show",
    );
    Ok(Exit::Done)
}

/// Moves everything from one database into another.
pub(super) async fn migrate(arguments: MigrateArguments) -> anyhow::Result<Exit> {
    let moved = store::transfer(&arguments.from, &arguments.to, SystemClock::new().now()).await?;
    for (table, rows) in moved.iter().filter(|(_, rows)| *rows > 0) {
        Printer::line(format_args!("{rows:>10}  {table}"));
    }
    Printer::line("moved; set `database.url` to the new database before hookrun starts again");
    Ok(Exit::Done)
}
