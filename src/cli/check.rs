//! `hookrun check`: every problem of settings and rules at once.

use clap::Args;

use super::Exit;
use super::printer::{Printer, Style};
use super::settings::{self, SettingsArguments};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: CheckArguments, printer: Printer) -> Exit {
    let Some(ready) = settings::read(arguments.settings, printer) else {
        return Exit::Configuration;
    };
    let (sources, rules) = (ready.settings.sources.len(), ready.rules.rules().count());
    let hash = ready.rules.hash().get(..12).unwrap_or_default();
    let good = printer.paint(Style::Good, "all good");
    Printer::line(format_args!("{good}  sources: {sources}  rules: {rules}  rules hash: {hash}"));
    Exit::Done
}
