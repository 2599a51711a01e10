//! `hookrun rules diff`: which stored deliveries other rules would match, or no longer, rule by rule.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::printer::{Printer, Style};
use super::remote::{Remote, RemoteArguments};
use super::{Exit, settings, tell};
use crate::rules;

#[derive(Debug, Args)]
pub(super) struct RulesArguments {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Compare the rules in force with other files, over the deliveries that are stored; nothing is sent
    Diff(DiffArguments),
}

#[derive(Debug, Args)]
struct DiffArguments {
    /// Deliveries that came in the last so long
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    since: String,
    /// The other rules, a file or a folder; if not given, those of the settings file
    #[arg(long, value_name = "PATH")]
    rules: Option<PathBuf>,
    /// Only deliveries of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    remote: RemoteArguments,
}

/// What is said of one rule over all pages.
#[derive(Debug, Default)]
struct Sum {
    counts: BTreeMap<&'static str, u64>,
    examples: Vec<Value>,
}

const SHIFTS: [&str; 4] = ["starts", "stops", "changes", "stays"];

/// Examples that are shown of each rule.
const EXAMPLES: usize = 5;

pub(super) async fn run(arguments: RulesArguments, printer: Printer) -> anyhow::Result<Exit> {
    let RulesCommand::Diff(arguments) = arguments.command;
    let config = arguments.remote.config.as_deref();
    let Some(wanted) = settings::rules_wanted(config, arguments.rules.as_deref(), printer) else {
        return Ok(Exit::Configuration);
    };
    let bundle = rules::bundle(&wanted.path);
    // Checked here first: what is wrong has its place in a file of this machine.
    if settings::compiled(&wanted, printer).is_none() {
        return Ok(Exit::Configuration);
    }
    let bundle = bundle.map_err(anyhow::Error::msg)?;
    let files: Vec<Value> = bundle.files.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    let body = json!({ "files": files, "beside": bundle.beside });
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };

    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let (mut deliveries, mut unreadable) = (0, 0);
    let mut cursor: Option<String> = None;
    let last = loop {
        let mut query = vec![("since", arguments.since.clone()), ("limit", "100".to_owned())];
        query.extend(arguments.source.iter().map(|source| ("source", source.clone())));
        query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let page = remote.post("rules/diff", &query, &body).await?;
        deliveries += page["deliveries"].as_u64().unwrap_or_default();
        unreadable += page["unreadable"].as_u64().unwrap_or_default();
        for rule in page["rules"].as_array().into_iter().flatten() {
            sums.entry(tell::text(&rule["rule"])).or_default().add(rule);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break page;
        }
    };
    if arguments.remote.json {
        let rules: Vec<Value> = sums
            .iter()
            .map(|(rule, sum)| {
                let mut told = json!({ "rule": rule, "examples": sum.examples });
                for shift in SHIFTS {
                    told[shift] = sum.count(shift).into();
                }
                told
            })
            .collect();
        tell::json(&json!({
            "in_force": last["in_force"], "candidate": last["candidate"],
            "deliveries": deliveries, "unreadable": unreadable, "rules": rules,
        }))?;
        return Ok(Exit::Done);
    }
    let gone = if unreadable > 0 { format!(", {unreadable} could not be read any more") } else { String::new() };
    Printer::line(format_args!("{deliveries} deliveries since {}{gone}", arguments.since));
    if last["in_force"] == last["candidate"] {
        Printer::line("these rules are the ones in force");
    }
    show(&sums, printer);
    Ok(Exit::Done)
}

impl Sum {
    fn add(&mut self, told: &Value) {
        for shift in SHIFTS {
            *self.counts.entry(shift).or_default() += told[shift].as_u64().unwrap_or_default();
        }
        self.examples.extend(told["examples"].as_array().into_iter().flatten().cloned());
        self.examples.truncate(EXAMPLES);
    }

    fn count(&self, shift: &str) -> u64 {
        self.counts.get(shift).copied().unwrap_or_default()
    }
}

fn show(sums: &BTreeMap<String, Sum>, printer: Printer) {
    if sums.is_empty() {
        Printer::line("no rule matches any of them, now or then");
        return;
    }
    let width = sums.keys().map(|rule| rule.chars().count()).max().unwrap_or_default();
    for (rule, sum) in sums {
        let count = |shift, sign: &str, style| match sum.count(shift) {
            0 => printer.paint(Style::Dim, format_args!("{:>7}", "-")),
            count => printer.paint(style, format_args!("{:>7}", format!("{sign}{count}"))),
        };
        Printer::line(format_args!(
            "{rule:width$}  {} would match  {} no longer  {} otherwise  {} as before",
            count("starts", "+", Style::Good),
            count("stops", "-", Style::Bad),
            count("changes", "~", Style::Warn),
            count("stays", "", Style::Dim),
        ));
        for example in &sum.examples {
            let what = [&example["received_at"], &example["native"], &example["subject"]].map(tell::text).join("  ");
            Printer::line(format_args!("    {what}  {}", printer.paint(Style::Dim, tell::text(&example["delivery"]))));
            for (word, said) in [("was  ", &example["was"]), ("would", &example["would"])] {
                let said = if said.is_null() { "not asked".to_owned() } else { tell::text(said) };
                Printer::line(format_args!("      {word}  {said}"));
            }
        }
    }
}
