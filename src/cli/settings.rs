//! Settings and rules as every command reads them: from file, environment and flags, with all problems listed at once.

use std::path::{Path, PathBuf};

use clap::Args;

use super::printer::{Printer, Style};
use crate::config::{Input, Overrides, RulesSettings, Settings};
use crate::model::problem::{Problem, Severity};
use crate::rules::{self, RuleSet};

/// Flags that settings come from; they win over the environment and the file.
#[derive(Debug, Args)]
pub(super) struct SettingsArguments {
    /// The settings file
    #[arg(long, value_name = "FILE", env = "HOOKRUN_CONFIG")]
    config: Option<PathBuf>,
    /// Where webhooks are received; `webhooks.listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the status API and the dashboard are; `admin.listen`
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The database; `database.url`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The rules, a file or a folder; `rules.path`
    #[arg(long, value_name = "PATH")]
    rules: Option<String>,
    /// How much is logged; `log.level`
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
}

impl SettingsArguments {
    /// The rules, where nobody has said any setting beside them: as in a repository that holds nothing else.
    pub(super) fn rules_alone(&self, printer: Printer) -> Option<RulesSettings> {
        let Self { config, listen, admin_listen, database, rules, log_level } = self;
        let others = [listen, admin_listen, database, log_level].into_iter().any(Option::is_some);
        let said = |(name, _): (std::ffi::OsString, _)| name.to_str().is_some_and(Settings::is_variable);
        if config.is_some() || others || std::env::vars_os().any(said) {
            return None;
        }
        rules_wanted(None, rules.as_deref().map(Path::new), printer)
    }

    fn input(self) -> Input {
        let flags = Overrides::default()
            .with("--listen", "webhooks.listen", self.listen)
            .with("--admin-listen", "admin.listen", self.admin_listen)
            .with("--database", "database.url", self.database)
            .with("--rules", "rules.path", self.rules)
            .with("--log-level", "log.level", self.log_level);
        Input { file: self.config, env: std::env::vars().collect(), flags }
    }
}

/// What a command that serves needs.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) settings: Settings,
    pub(super) rules: RuleSet,
}

/// Reads settings and rules; on any error every problem was listed and there is nothing.
pub(super) fn read(arguments: SettingsArguments, printer: Printer) -> Option<Ready> {
    let (ready, problems) = examine(arguments);
    list(&problems, printer);
    ready
}

/// Reads settings and rules, with every problem of both; there is nothing when one of them is an error.
pub(super) fn examine(arguments: SettingsArguments) -> (Option<Ready>, Vec<Problem>) {
    let input = arguments.input();
    let (settings, mut problems) = match Settings::load(input.clone()) {
        Ok((settings, warnings)) => (Some(settings), warnings),
        Err(problems) => (None, problems),
    };
    let wanted = settings.as_ref().map(|settings| settings.rules.clone()).or_else(|| Settings::rules(input));
    let mut rules = None;
    if let Some(wanted) = wanted {
        let loaded = rules::load(&wanted.path, &wanted.terms);
        problems.extend(loaded.problems);
        rules = loaded.rules;
    }
    let ready = settings.zip(rules).map(|(settings, rules)| Ready { settings, rules });
    (ready, problems)
}

/// Reads the settings alone; when they are wrong every problem was listed and there is nothing.
pub(super) fn read_settings(arguments: SettingsArguments, printer: Printer) -> Option<Settings> {
    Settings::load(arguments.input()).map(|(settings, _)| settings).map_err(|problems| list(&problems, printer)).ok()
}

/// Reads the settings alone, from a file and the environment; when they are wrong every problem was listed and there is
/// nothing. Warnings are for those who serve.
pub(super) fn of_file(file: &Path, printer: Printer) -> Option<Settings> {
    let env = std::env::vars().collect();
    match Settings::load(Input { file: Some(file.to_owned()), env, flags: Overrides::default() }) {
        Ok((settings, _)) => Some(settings),
        Err(problems) => {
            list(&problems, printer);
            None
        }
    }
}

/// Where the rules are and what binds them: as the settings file says, or in the usual place; `rules` wins over both.
/// `None` when the settings are wrong.
pub(super) fn rules_wanted(config: Option<&Path>, rules: Option<&Path>, printer: Printer) -> Option<RulesSettings> {
    let mut wanted = match config {
        Some(config) => of_file(config, printer)?.rules,
        None => Settings::rules(Input { file: None, env: std::env::vars().collect(), flags: Overrides::default() })?,
    };
    if let Some(rules) = rules {
        rules.clone_into(&mut wanted.path);
    }
    Some(wanted)
}

/// Rules that have no error; else every problem was listed.
pub(super) fn compiled(wanted: &RulesSettings, printer: Printer) -> Option<RuleSet> {
    let loaded = rules::load(&wanted.path, &wanted.terms);
    if loaded.rules.is_none() {
        list(&loaded.problems, printer);
    }
    loaded.rules
}

pub(super) fn list(problems: &[Problem], printer: Printer) {
    for problem in problems {
        let style = match problem.severity {
            Severity::Error => Style::Bad,
            Severity::Warning => Style::Warn,
        };
        Printer::talk(printer.paint(style, problem));
    }
}
