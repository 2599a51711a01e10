//! `hookrun pause`, `resume`, `release` and `cancel`: the brakes, over the status API.

use std::io::{BufRead, IsTerminal};

use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value, json};

use super::Exit;
use super::operate::{job_line, now};
use super::printer::{Printer, Style};
use super::remote::{Remote, RemoteArguments};
use super::table::{Table, text, when};

#[derive(Debug, Args)]
pub(super) struct PauseArguments {
    /// all, rule:NAME, repo:acme/widgets, source:NAME or subject:KEY
    #[arg(default_value = "all")]
    what: String,
    /// For how long, e.g. 4h; if not given, until somebody lifts it
    #[arg(long = "for", value_name = "SPAN")]
    lasting: Option<String>,
    /// Why; it is shown wherever something waits for it
    #[arg(long, default_value = "")]
    reason: String,
    /// Stop the runs in its scope, too
    #[arg(long)]
    stop_running: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArguments {
    /// all, rule:NAME, repo:acme/widgets, source:NAME or subject:KEY
    #[arg(default_value = "all")]
    what: String,
    /// Lift it without asking; without a terminal nobody is asked either
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArguments {
    /// Its name as `hookrun status` shows it, e.g. billing
    breaker: String,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct CancelArguments {
    /// The job; without one, many that --rule, --state and so on choose
    #[arg(conflicts_with_all = ["rule", "state", "repo", "source", "subject", "older_than", "since", "execute"])]
    job: Option<String>,
    /// Jobs of this rule
    #[arg(long)]
    rule: Option<String>,
    /// Jobs in this state: queued, held, or both with a comma
    #[arg(long)]
    state: Option<String>,
    /// Jobs in this repository or project
    #[arg(long)]
    repo: Option<String>,
    /// Jobs that a delivery of this source made
    #[arg(long)]
    source: Option<String>,
    /// Jobs about this subject
    #[arg(long)]
    subject: Option<String>,
    /// Jobs made longer ago than this, e.g. 2d
    #[arg(long, value_name = "SPAN")]
    older_than: Option<String>,
    /// Jobs made within this time, e.g. 8h
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Cancel them; if not given, they are only shown
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(super) async fn pause(arguments: PauseArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let PauseArguments { what, lasting, reason, stop_running, .. } = arguments;
    let mut body = json!({ "what": what, "reason": reason, "stop_running": stop_running });
    if let Some(lasting) = lasting {
        body["for"] = lasting.into();
    }
    let answer = remote.post("pause", &[], &body).await?;
    if arguments.remote.json {
        return json_of(&answer);
    }
    let pause = &answer["pause"];
    let until = match when(&pause["until"], now()) {
        until if until.is_empty() => "until somebody lifts it".to_owned(),
        until => format!("ends {until}"),
    };
    let paused = printer.paint(Style::Warn, format_args!("paused: {}", text(&pause["what"])));
    Printer::line(format_args!("{paused}, {until}"));
    let stopping = answer["stopping"].as_array().map_or(0, Vec::len);
    if stop_running {
        Printer::line(format_args!("runs that are being stopped: {stopping}"));
        let being_sent = answer["being_sent"].as_u64().unwrap_or_default();
        if being_sent > 0 {
            let told = format_args!("just being sent, not stopped: {being_sent}; say it once more in a minute");
            Printer::line(printer.paint(Style::Warn, told));
        }
    }
    held_back(&answer["held_back"], printer);
    Printer::line(format_args!("lift it with: hookrun resume {}", text(&pause["what"])));
    Ok(Exit::Done)
}

pub(super) async fn resume(arguments: ResumeArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let ResumeArguments { what, yes, remote: RemoteArguments { json, .. } } = arguments;
    let asked = std::io::stdin().is_terminal() && !yes && !json;
    if asked {
        let answer = remote.post("resume", &[], &json!({ "what": what, "dry": true })).await?;
        held_back(&answer["held_back"], printer);
        if !agrees("let it go? [y/N] ")? {
            Printer::line("nothing was lifted");
            return Ok(Exit::Failed);
        }
    }
    let answer = remote.post("resume", &[], &json!({ "what": what, "dry": false })).await?;
    if json {
        return json_of(&answer);
    }
    if !asked {
        held_back(&answer["held_back"], printer);
    }
    Printer::line(printer.paint(Style::Good, format_args!("lifted: {}", text(&answer["what"]))));
    Ok(Exit::Done)
}

pub(super) async fn release(arguments: ReleaseArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let answer = remote.post(&format!("breakers/{}/release", arguments.breaker), &[], &json!({})).await?;
    if arguments.remote.json {
        return json_of(&answer);
    }
    let released = format!("released: {}; jobs that wait: {}", text(&answer["name"]), text(&answer["waiting"]));
    Printer::line(printer.paint(Style::Good, released));
    Ok(Exit::Done)
}

pub(super) async fn cancel(arguments: CancelArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    let CancelArguments { job, rule, state, repo, source, subject, older_than, since, execute, remote: how } =
        arguments;
    if let Some(job) = job {
        let answer = remote.post(&format!("jobs/{job}/cancel"), &[], &json!({})).await?;
        if how.json {
            return json_of(&answer);
        }
        Printer::line(job_line(&answer));
        return Ok(Exit::Done);
    }
    let chosen = [
        ("rule", rule),
        ("state", state),
        ("repo", repo),
        ("source", source),
        ("subject", subject),
        ("older_than", older_than),
        ("since", since),
    ];
    let chosen: Map<String, Value> =
        chosen.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    if chosen.is_empty() {
        bail!(
            "which jobs? Give an id, or at least one of --rule, --state, --repo, --source, --subject, --older-than, --since"
        );
    }
    let mut body = Value::Object(chosen);
    body["dry"] = (!execute).into();
    let answer = remote.post("jobs/cancel", &[], &body).await?;
    if how.json {
        return json_of(&answer);
    }
    if execute {
        Printer::line(printer.paint(Style::Good, format_args!("cancelled: {}", text(&answer["cancelled"]))));
        return Ok(Exit::Done);
    }
    Printer::line(format_args!("would be cancelled: {}", text(&answer["count"])));
    for job in answer["examples"].as_array().into_iter().flatten() {
        Printer::line(format_args!("  {}", job_line(job)));
    }
    Printer::line(printer.paint(Style::Dim, "nothing was done; say --execute to do it"));
    Ok(Exit::Done)
}

/// What waits, by rule and age, and how much of it is stale.
fn held_back(held: &Value, printer: Printer) {
    Printer::line(format_args!("waiting in it: {}", text(&held["waiting"])));
    let rules = held["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return;
    }
    let mut table = Table::new(&["RULE", "WAITING", "<1h", "<1d", "OLDER", "OLDEST"]);
    for rule in rules {
        let mut cells: Vec<_> =
            ["rule", "waiting", "within_hour", "within_day", "older"].iter().map(|key| text(&rule[key])).collect();
        cells.push(when(&rule["oldest"], now()));
        table.row(cells);
    }
    table.print(printer);
    let (stale, looked_at) = (text(&held["stale"]), text(&held["looked_at"]));
    Printer::line(format_args!("stale: {stale} of the {looked_at} oldest; those are superseded, not sent"));
    for other in held["other_pauses"].as_array().into_iter().flatten() {
        Printer::line(printer.paint(Style::Warn, format_args!("goes on: the pause of {}", text(&other["what"]))));
    }
}

fn agrees(question: &str) -> anyhow::Result<bool> {
    Printer::ask(question);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The answer itself.
pub(super) fn json_of(answer: &Value) -> anyhow::Result<Exit> {
    Printer::line(serde_json::to_string_pretty(answer)?);
    Ok(Exit::Done)
}
