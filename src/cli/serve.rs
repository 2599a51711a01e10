//! `hookrun serve`: the daemon, from settings to the last task's end.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::Exit;
use super::printer::Printer;
use super::settings::{self, SettingsArguments};
use crate::app::App;
use crate::model::clock::{Clock, SystemClock};
use crate::rules::Live;
use crate::telemetry::{self, Metrics};

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) async fn run(arguments: ServeArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(ready) = settings::read(arguments.settings, printer) else {
        return Ok(Exit::Configuration);
    };
    telemetry::start_log(ready.settings.log.format, &ready.settings.log.level)?;
    let metrics = Metrics::start()?;
    let clock = Arc::new(SystemClock::new());
    let rules = Arc::new(Live::new(ready.rules, clock.now()));
    let app = App::start(ready.settings, rules, metrics, clock).await?;
    Printer::line(format_args!("webhooks   http://{}/webhooks/{{source}}", app.webhooks));
    if let Some(admin) = app.admin {
        Printer::line(format_args!("dashboard  http://{admin}/"));
    }
    let life = app.lifecycle();
    life.watch_signals().and_then(|()| life.watch_hang_ups()).context("cannot listen for signals")?;
    let clean = app.run_until_stopped().await;
    Ok(if clean { Exit::Done } else { Exit::Failed })
}
