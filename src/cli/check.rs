//! `hookrun check`: every problem of settings and rules at once.

use clap::Args;

use super::Exit;
use super::printer::{Printer, Style};
use super::settings::{self, SettingsArguments};
use crate::config::{RulesSettings, Settings};
use crate::model::policy::Bound;
use crate::rules;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Print the problems as a JSON array on standard output, for editors and CI
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: CheckArguments, printer: Printer) -> anyhow::Result<Exit> {
    if let Some(wanted) = arguments.settings.rules_alone(printer) {
        return rules_alone(&wanted, arguments.json, printer);
    }
    if arguments.json {
        let (ready, problems) = settings::examine(arguments.settings);
        Printer::line(serde_json::to_string_pretty(&problems)?);
        return Ok(if ready.is_some() { Exit::Done } else { Exit::Configuration });
    }
    let Some(ready) = settings::read(arguments.settings, printer) else {
        return Ok(Exit::Configuration);
    };
    let (sources, rules) = (ready.settings.sources.len(), ready.rules.rules().count());
    let hash = ready.rules.hash().get(..12).unwrap_or_default();
    let good = printer.paint(Style::Good, "all good");
    Printer::line(format_args!("{good}  sources: {sources}  rules: {rules}  rules hash: {hash}"));
    let Settings { rules, codegen, .. } = &ready.settings;
    let tell = |bound: &Bound| codegen.cost.as_ref().map_or_else(|| bound.to_string(), |cost| cost.beside(bound));
    let tell = |bounds: &[Bound]| bounds.iter().map(tell).collect::<Vec<_>>().join(", ");
    let files = rules.terms.files.iter().map(|(name, file)| (name.as_str(), &file.limits));
    for (name, bounds) in [("all rules", &rules.terms.all)].into_iter().chain(files) {
        if !bounds.is_empty() {
            Printer::line(format_args!("  {name}: at most {}", tell(bounds)));
        }
    }
    Ok(Exit::Done)
}

/// The rules of a repository that holds no settings, as its CI asks for them.
fn rules_alone(wanted: &RulesSettings, json: bool, printer: Printer) -> anyhow::Result<Exit> {
    let loaded = rules::load(&wanted.path, &wanted.terms);
    let exit = if loaded.rules.is_some() { Exit::Done } else { Exit::Configuration };
    if json {
        Printer::line(serde_json::to_string_pretty(&loaded.problems)?);
        return Ok(exit);
    }
    settings::list(&loaded.problems, printer);
    if let Some(rules) = loaded.rules {
        let (good, count) = (printer.paint(Style::Good, "all good"), rules.rules().count());
        let hash = rules.hash().get(..12).unwrap_or_default();
        Printer::line(format_args!(
            "{good}  rules: {count}  rules hash: {hash}  (the rules alone: no settings were given)"
        ));
    }
    Ok(exit)
}
