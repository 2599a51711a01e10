//! `hookrun test`: the tests that stand in the rules files, on the real intake and a throwaway store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::bench::{self, Bench};
use super::printer::{Printer, Style};
use super::{Exit, tell};
use crate::intake::{Door, Recorded, Report, RuleReport};
use crate::model::clock::SystemClock;
use crate::rules::RuleTest;

#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// Only tests whose name contains this
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// The rules, a file or a folder; if not given, those of the settings file, else config/rules.toml
    #[arg(long, value_name = "PATH")]
    rules: Option<PathBuf>,
    /// The settings file, for its sources; kinds that it has none of get a plain one
    #[arg(long, value_name = "FILE", env = "HOOKRUN_CONFIG")]
    config: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// How a test ended: what was expected and what came instead, line by line; nothing when it held.
type Differences = Vec<(String, String)>;

pub(super) async fn run(arguments: TestArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(bench) = Bench::read(arguments.config.as_deref(), arguments.rules.as_deref(), printer) else {
        return Ok(Exit::Configuration);
    };
    let rules = bench.rules.now();
    let wanted = |test: &&RuleTest| arguments.filter.as_ref().is_none_or(|part| test.name.contains(part));
    let mut results: Vec<Value> = Vec::new();
    let mut failed = 0;
    for test in rules.tests().iter().filter(wanted) {
        let Some(doors) = bench.doors(printer)? else { return Ok(Exit::Configuration) };
        let differences = one(&bench, doors, test)
            .await
            .unwrap_or_else(|error| vec![("the test can be run".to_owned(), format!("{error:#}"))]);
        failed += usize::from(!differences.is_empty());
        if arguments.json {
            let told = differences.iter().map(|(expected, actual)| json!({ "expected": expected, "actual": actual }));
            results.push(json!({
                "test": test.name, "ok": differences.is_empty(), "differences": told.collect::<Vec<_>>(),
            }));
        } else {
            show(&test.name, &differences, printer);
        }
    }
    if arguments.json {
        tell::json(&json!(results))?;
    } else {
        let all = rules.tests().iter().filter(wanted).count();
        let word = if all == 1 { "test" } else { "tests" };
        Printer::line(match (all, failed) {
            (0, _) => "no test has such a name, or the rules have none".to_owned(),
            (_, 0) => format!("{all} {word}, {}", printer.paint(Style::Good, "all hold")),
            _ => format!("{all} {word}, {}", printer.paint(Style::Bad, format_args!("{failed} failed"))),
        });
    }
    // A name that fits nothing is a slip: it must not pass for success.
    let none = arguments.filter.is_some() && !rules.tests().iter().any(|test| wanted(&test));
    Ok(if failed == 0 && !none { Exit::Done } else { Exit::Failed })
}

fn show(name: &str, differences: &Differences, printer: Printer) {
    let word =
        if differences.is_empty() { printer.paint(Style::Good, "ok    ") } else { printer.paint(Style::Bad, "failed") };
    Printer::line(format_args!("{word}  {name}"));
    for (expected, actual) in differences {
        Printer::line(printer.paint(Style::Good, format_args!("        - expected  {expected}")));
        for (at, line) in tell::lines(actual).enumerate() {
            let lead = if at == 0 { "+ actual  " } else { "|         " };
            Printer::line(printer.paint(Style::Bad, format_args!("        {lead}  {line}")));
        }
    }
}

async fn one(bench: &Bench, doors: Vec<Door>, test: &RuleTest) -> anyhow::Result<Differences> {
    let trial = bench.trial(doors, Arc::new(SystemClock::new())).await?;
    let told = tell_all(bench, &trial.intake, test).await;
    trial.end().await;
    Ok(differences(test, &told?))
}

async fn tell_all(bench: &Bench, intake: &crate::intake::Intake, test: &RuleTest) -> anyhow::Result<Report> {
    for name in &test.given {
        let given = delivery(&bench.folder, name)?;
        intake.take_recorded(None, &given).await.with_context(|| name.clone())?;
    }
    let request = delivery(&bench.folder, &test.delivery)?;
    intake.explain_recorded(None, &request).await.with_context(|| test.delivery.clone())
}

fn delivery(folder: &Path, name: &str) -> anyhow::Result<Recorded> {
    let file = folder.join(name);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    bench::request(text, &[], name)
}

/// What does not hold of what a test expects.
fn differences(test: &RuleTest, report: &Report) -> Differences {
    let of_rule = |told: &&RuleReport| test.rule.as_ref().is_none_or(|rule| told.rule == *rule);
    let candidates: Vec<&RuleReport> = report.verdicts.iter().filter(of_rule).collect();
    let Some(told) = candidates.iter().find(|told| decision(told) == test.decision) else {
        let rule = test.rule.as_deref().unwrap_or("a rule");
        let said: Vec<String> =
            candidates.iter().map(|told| format!("{} says {}: {}", told.rule, decision(told), reason(told))).collect();
        let said = if said.is_empty() { format!("{rule} is not asked: {}", report.reason) } else { said.join("\n") };
        return vec![(format!("{rule} says {}", test.decision), said)];
    };
    let mut found = Vec::new();
    if let Some(part) = &test.reason
        && !reason(told).contains(part.as_str())
    {
        found.push((format!("a reason with \"{part}\""), reason(told).to_owned()));
    }
    if let Some(key) = test.key.as_ref().filter(|key| told.key.as_ref() != Some(key)) {
        found.push((format!("key {key}"), told.key.clone().unwrap_or_else(|| "no key".to_owned())));
    }
    let (repo, prompt) = told.sends.as_ref().map_or((None, ""), |sends| (sends.repo.clone(), sends.prompt.as_str()));
    if let Some(wanted) = test.repo.as_ref().filter(|wanted| repo.as_ref() != Some(wanted)) {
        found.push((format!("repo {wanted}"), repo.clone().unwrap_or_else(|| "no repo".to_owned())));
    }
    for part in test.prompt.iter().filter(|part| !prompt.contains(part.as_str())) {
        found.push((format!("a prompt with \"{part}\""), prompt.to_owned()));
    }
    found
}

/// What became of it in the end: what the store makes of a rule that acts counts.
fn decision(told: &RuleReport) -> &'static str {
    told.now.as_ref().map_or(told.decision, |now| now.decision)
}

fn reason(told: &RuleReport) -> &str {
    let stands = told.now.as_ref().filter(|now| now.decision != told.decision);
    stands.map_or(told.reason.as_str(), |now| now.reason.as_str())
}
