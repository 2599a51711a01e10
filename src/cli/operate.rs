//! `hookrun status`, `jobs`, `job`, `approve` and `retry`: what a running hookrun does, over the status API.

use clap::Args;
use serde_json::{Value, json};

use super::brakes::json_of;
use super::printer::{Printer, Style};
use super::remote::{Remote, RemoteArguments};
use super::table::{Table, short, text, when};
use super::{Exit, tell};
use crate::model::clock::{Clock, SystemClock};

/// Jobs that `hookrun jobs` shows when nobody says how many.
const USUAL: u32 = 30;

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct JobsArguments {
    /// In one of these states, e.g. queued,held
    #[arg(long)]
    state: Option<String>,
    /// Of this rule
    #[arg(long)]
    rule: Option<String>,
    /// Of this repository or project
    #[arg(long)]
    repo: Option<String>,
    /// About this subject
    #[arg(long)]
    subject: Option<String>,
    /// How many, 100 at most
    #[arg(long, default_value_t = USUAL)]
    limit: u32,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct JobArguments {
    /// The id of the job
    id: String,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(super) async fn status(arguments: StatusArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let status = remote.get("status", &[]).await?;
    if arguments.remote.json {
        return json_of(&status);
    }
    Printer::line(format_args!(
        "hookrun {}, started {}, rules {}",
        text(&status["version"]),
        when(&status["started_at"], now()),
        short(&status["rules_hash"], 13)
    ));
    for pause in list(&status["pauses"]) {
        let until = Some(when(&pause["until"], now())).filter(|until| !until.is_empty());
        let until = until.map_or("until somebody lifts it".to_owned(), |until| format!("ends {until}"));
        let reason = Some(text(&pause["reason"])).filter(|reason| !reason.is_empty());
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let said = format!("paused: {} by {}, {until}{reason}", text(&pause["what"]), text(&pause["by"]));
        Printer::line(printer.paint(Style::Warn, said));
    }
    for breaker in list(&status["breakers"]) {
        let probe = Some(when(&breaker["until"], now())).filter(|at| !at.is_empty());
        let probe = probe.map_or("a probe is due".to_owned(), |at| format!("next probe {at}"));
        let (name, since) = (text(&breaker["name"]), when(&breaker["since"], now()));
        let said = format!("breaker {name}: since {since}, {probe}: {}", text(&breaker["reason"]));
        Printer::line(printer.paint(Style::Warn, said));
    }
    for trouble in list(&status["problems"]) {
        let help = Some(text(&trouble["help"])).filter(|help| !help.is_empty());
        let help = help.map_or_else(String::new, |help| format!(": {help}"));
        Printer::line(printer.paint(Style::Warn, format_args!("! {}{help}", text(&trouble["message"]))));
        for line in tell::lines(trouble["text"].as_str().unwrap_or_default().trim_end()) {
            Printer::line(format_args!("  {line}"));
        }
    }
    for notice in list(&status["notices"]) {
        Printer::line(
            printer.paint(Style::Warn, format_args!("! {} (job {})", text(&notice["text"]), text(&notice["job"]))),
        );
    }
    let counts = status["jobs"].as_object().into_iter().flatten();
    let counts: Vec<_> = counts
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(state, count)| format!("{state} {count}"))
        .collect();
    Printer::line(format_args!("jobs: {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }));
    let mut windows = Table::new(&["WINDOW", "USED", "NEXT FREE"]);
    for window in list(&status["windows"]) {
        let frozen = when(&window["frozen_until"], now());
        let next = if frozen.is_empty() { when(&window["next_free"], now()) } else { format!("frozen, free {frozen}") };
        windows.row(vec![text(&window["class"]), used(window), next]);
    }
    windows.print(printer);
    for window in list(&status["windows"]).iter().filter(|window| !window["shrunk"].is_null()) {
        let said = format!("window {}: {}", text(&window["class"]), text(&window["shrunk"]));
        Printer::line(printer.paint(Style::Warn, said));
    }
    if !list(&status["budgets"]).is_empty() {
        let mut budgets = Table::new(&["BUDGET", "OF", "USED", "IN", "LEVEL", "NEXT FREE"]);
        for budget in list(&status["budgets"]) {
            let per = budget["per_s"].as_u64();
            let per = per.map_or("at once".to_owned(), |seconds| {
                crate::model::span::show_span(std::time::Duration::from_secs(seconds))
            });
            let next = when(&budget["next_free"], now());
            budgets.row(vec![
                text(&budget["scope"]),
                text(&budget["name"]),
                used(budget),
                per,
                text(&budget["level"]),
                next,
            ]);
        }
        budgets.print(printer);
    }
    Ok(Exit::Done)
}

pub(super) async fn jobs(arguments: JobsArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let JobsArguments { state, rule, repo, subject, limit, remote: how } = arguments;
    let chosen =
        [("state", state), ("rule", rule), ("repo", repo), ("subject", subject), ("limit", Some(limit.to_string()))];
    let query: Vec<_> = chosen.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = remote.get("jobs", &query).await?;
    if how.json {
        return json_of(&answer);
    }
    let mut table = Table::new(&["JOB", "STATE", "POS", "EXPECTED", "RULE", "SUBJECT", "WHY"]);
    for job in list(&answer["items"]) {
        let expected = Some(when(&job["expected_at"], now())).filter(|it| !it.is_empty());
        table.row(vec![
            text(&job["id"]),
            text(&job["state"]),
            text(&job["position"]),
            expected.unwrap_or_else(|| when(&job["until"], now())),
            short(&job["rule"], 28),
            short(&job["subject"], 44),
            short(&job["reason"], 60),
        ]);
    }
    table.print(printer);
    if !answer["next"].is_null() {
        Printer::line(printer.paint(Style::Dim, "there are older ones"));
    }
    Ok(Exit::Done)
}

pub(super) async fn job(arguments: JobArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let job = remote.get(&format!("jobs/{}", arguments.id), &[]).await?;
    if arguments.remote.json {
        return json_of(&job);
    }
    Printer::line(job_line(&job));
    for (name, key) in [
        ("why", "reason"),
        ("position", "position"),
        ("rule", "rule"),
        ("priority", "priority"),
        ("asked for by", "person"),
        ("belongs to", "context"),
        ("repository", "repo"),
        ("commit", "sha"),
        ("repeats", "retry_of"),
    ] {
        let value = text(&job[key]);
        // A context is worth a line where it is another than the subject.
        let repeated = key == "context" && job["context"] == job["subject"];
        if !value.is_empty() && !repeated {
            Printer::line(format_args!("  {name:<13} {value}"));
        }
    }
    for (name, key) in [
        ("waits until", "until"),
        ("expected", "expected_at"),
        ("approve by", "hold_until"),
        ("made", "created_at"),
        ("sent", "submitted_at"),
        ("ended", "ended_at"),
    ] {
        let value = when(&job[key], now());
        if !value.is_empty() {
            Printer::line(format_args!("  {name:<13} {value} ({})", text(&job[key])));
        }
    }
    if !job["run"].is_null() {
        let run = &job["run"];
        let words = [text(&run["id"]), text(&run["status"]), text(&run["url"])];
        Printer::line(format_args!("  {:<13} {}", "run", words.join(" ").trim_end()));
    }
    if !list(&job["gates"]).is_empty() {
        let mut gates = Table::new(&["GATE", "SAYS", "UNTIL", "WHY"]);
        for gate in list(&job["gates"]) {
            gates.row(vec![
                text(&gate["gate"]),
                text(&gate["decision"]),
                when(&gate["until"], now()),
                text(&gate["reason"]),
            ]);
        }
        gates.print(printer);
    }
    Ok(Exit::Done)
}

pub(super) async fn approve(arguments: JobArguments, printer: Printer) -> anyhow::Result<Exit> {
    act(arguments, "approve", printer).await
}

pub(super) async fn retry(arguments: JobArguments, printer: Printer) -> anyhow::Result<Exit> {
    act(arguments, "retry", printer).await
}

async fn act(arguments: JobArguments, act: &str, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let job = remote.post(&format!("jobs/{}/{act}", arguments.id), &[], &json!({})).await?;
    if arguments.remote.json {
        return json_of(&job);
    }
    Printer::line(job_line(&job));
    Ok(Exit::Done)
}

/// A job in one line: id, state, rule, subject.
pub(super) fn job_line(job: &Value) -> String {
    ["id", "state", "rule", "subject"].map(|key| text(&job[key])).join("  ")
}

/// The time by this machine's clock, for spans that people read.
pub(super) fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(SystemClock::new().wall().0).unwrap_or_default()
}

fn used(row: &Value) -> String {
    format!("{} of {}", text(&row["used"]), text(&row["limit"]))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
