//! `hookrun replay`: stored deliveries once more, dry unless `--execute` says otherwise.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::printer::{Printer, Style};
use super::remote::{Remote, RemoteArguments};
use super::{Exit, tell};

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// One delivery, by its id
    #[arg(value_name = "DELIVERY", conflicts_with = "since")]
    delivery: Option<String>,
    /// Those that came in the last so long, e.g. 2d
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Only what this rule asks for
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only deliveries of this source
    #[arg(long, value_name = "NAME", requires = "since")]
    source: Option<String>,
    /// Make the jobs; every gate still applies
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(super) async fn run(arguments: ReplayArguments, printer: Printer) -> anyhow::Result<Exit> {
    let Some(remote) = Remote::new(&arguments.remote, printer)? else { return Ok(Exit::Configuration) };
    if let Some(id) = &arguments.delivery {
        let body = json!({ "execute": arguments.execute, "rule": arguments.rule });
        let replay = remote.post(&format!("deliveries/{id}/replay"), &[], &body).await?;
        if arguments.remote.json {
            tell::json(&replay)?;
        } else {
            tell::report(&replay["report"], printer);
            told(&replay, arguments.execute, printer);
        }
        return Ok(Exit::Done);
    }
    let Some(since) = &arguments.since else { bail!("give the id of a delivery, or --since 2d") };
    let mut query =
        vec![("since", since.clone()), ("execute", arguments.execute.to_string()), ("limit", "100".to_owned())];
    query.extend(arguments.rule.iter().map(|rule| ("rule", rule.clone())));
    query.extend(arguments.source.iter().map(|source| ("source", source.clone())));
    let (mut all, mut deliveries, mut unreadable) = (Vec::new(), 0, 0);
    let mut cursor: Option<String> = None;
    loop {
        let mut query = query.clone();
        query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let page = remote.post("replay", &query, &Value::Null).await?;
        deliveries += page["deliveries"].as_u64().unwrap_or_default();
        unreadable += page["unreadable"].as_u64().unwrap_or_default();
        for item in page["items"].as_array().into_iter().flatten() {
            if !arguments.remote.json {
                row(item, printer);
            }
            all.push(item.clone());
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if arguments.remote.json {
        tell::json(&json!({ "items": all, "deliveries": deliveries, "unreadable": unreadable }))?;
        return Ok(Exit::Done);
    }
    let gone = if unreadable > 0 { format!(" ({unreadable} could not be read any more)") } else { String::new() };
    Printer::line(format_args!("{deliveries} deliveries{gone}, a rule acts on {}", all.len()));
    if !arguments.execute {
        Printer::line(printer.paint(Style::Dim, "dry: nothing was done; --execute makes the jobs"));
    }
    Ok(Exit::Done)
}

fn row(item: &Value, printer: Printer) {
    let head = format!("{}  {}", tell::text(&item["received_at"]), tell::text(&item["native"]));
    Printer::line(format_args!("{head}  {}", printer.paint(Style::Dim, tell::text(&item["of"]))));
    for verdict in item["verdicts"].as_array().into_iter().flatten() {
        tell::verdict(verdict, printer);
    }
}

fn told(replay: &Value, executed: bool, printer: Printer) {
    if !executed {
        Printer::line(printer.paint(Style::Dim, "dry: nothing was done; --execute makes the jobs"));
        return;
    }
    let jobs: Vec<String> = replay["jobs"].as_array().into_iter().flatten().map(tell::text).collect();
    let jobs = if jobs.is_empty() { "no job".to_owned() } else { jobs.join(", ") };
    Printer::line(format_args!("recorded as delivery {}: {jobs}", tell::text(&replay["recorded_as"])));
}
