//! Answers of the status API, and the same from here, as people read them on a terminal.

use serde_json::Value;

use super::printer::{Printer, Style};

/// Columns that are kept apart.
const NAME: usize = 28;
const WORD: usize = 10;

/// The answer as it is.
pub(super) fn json(answer: &Value) -> anyhow::Result<()> {
    Printer::line(serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// A text of an answer on one line. Outside text may hold what a terminal would obey: it is shown, not obeyed.
pub(super) fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The lines of a longer text.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| clean(&line.replace('\t', "    ")))
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{b7}' } else { c }).collect()
}

fn style(word: &str) -> Style {
    match word {
        "queued" | "joined" | "accepted" | "succeeded" | "pass" => Style::Good,
        "running" | "submitting" => Style::Name,
        "denied" | "late" | "held" | "hold" | "wait" | "uncertain" | "shadow" | "not_understood" => Style::Warn,
        "failed" | "dead" | "lost" | "stop" => Style::Bad,
        _ => Style::Dim,
    }
}

/// `name  word  why`, in columns.
fn said(indent: usize, name: &str, word: &str, why: &str, printer: Printer) {
    let painted = printer.paint(style(word), format_args!("{:WORD$}", word.replace('_', " ")));
    Printer::line(format_args!("{:indent$}{name:NAME$}  {painted}  {why}", ""));
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn heading(title: &str, printer: Printer) {
    Printer::line(printer.paint(Style::Bold, title));
}

/// What follows from a delivery.
pub(super) fn report(report: &Value, printer: Printer) {
    let outcome = text(&report["outcome"]);
    let outcome = printer.paint(style(&outcome), outcome.replace('_', " "));
    Printer::line(format_args!(
        "{}  by the source {}, received {}: {outcome}",
        printer.paint(Style::Bold, text(&report["native"])),
        text(&report["source"]),
        text(&report["received_at"]),
    ));
    for event in list(&report["events"]) {
        let kind = if event["kind"].is_null() { "no kind of ours".to_owned() } else { text(&event["kind"]) };
        let known = [&event["repo"], &event["project"], &event["subject"]["key"], &event["sha"]].map(text);
        let known: Vec<String> = known.into_iter().filter(|word| !word.is_empty()).collect();
        Printer::line(format_args!("  {kind}  {}", printer.paint(Style::Dim, known.join("  "))));
    }
    let verdicts: Vec<&Value> = list(&report["verdicts"]).collect();
    if verdicts.is_empty() {
        Printer::line(format_args!("  {}", text(&report["reason"])));
    }
    for one in verdicts {
        verdict(one, printer);
        prompt(&one["sends"], printer);
    }
    let hash = text(&report["rules_hash"]);
    Printer::line(printer.paint(Style::Dim, format_args!("rules hash {}", hash.get(..12).unwrap_or(&hash))));
}

/// What a rule says to a delivery.
pub(super) fn verdict(verdict: &Value, printer: Printer) {
    said(2, &text(&verdict["rule"]), &text(&verdict["decision"]), &text(&verdict["reason"]), printer);
    let detail = |name: &str, what: String| {
        if !what.is_empty() {
            Printer::line(format_args!("      {}  {what}", printer.paint(Style::Dim, format_args!("{name:8}"))));
        }
    };
    if verdict["request"].is_null() {
        let inputs = verdict["inputs"].as_object().into_iter().flatten();
        for (name, value) in inputs {
            detail("actual", format!("{} = {}", clean(name), clean(&value.to_string())));
        }
    }
    detail("key", text(&verdict["key"]));
    let request = &verdict["request"];
    detail("subject", text(&request["subject"]));
    if request["context"] != request["subject"] {
        detail("context", text(&request["context"]));
    }
    detail("due", text(&request["due_at"]));
    detail("repo", text(&verdict["sends"]["repo"]));
    detail("model", text(&verdict["sends"]["model"]));
    let now = &verdict["now"];
    if !now.is_null() {
        let job = if now["job"].is_null() { String::new() } else { format!(" (job {})", text(&now["job"])) };
        detail("now", format!("{}: {}{job}", text(&now["decision"]), text(&now["reason"])));
    }
}

fn prompt(sends: &Value, printer: Printer) {
    for line in lines(sends["prompt"].as_str().unwrap_or_default()) {
        Printer::line(format_args!("      {} {line}", printer.paint(Style::Dim, "|")));
    }
}

/// The story of what was pointed at.
pub(super) fn story(story: &Value, printer: Printer) {
    heading(&text(&story["answer"]), printer);
    for subject in list(&story["subjects"]) {
        Printer::line(printer.paint(Style::Dim, format_args!("about {}", text(subject))));
    }
    for step in list(&story["steps"]) {
        let word = text(&step["word"]);
        Printer::line(format_args!(
            "\n{}  {}  {}",
            printer.paint(Style::Dim, text(&step["at"])),
            printer.paint(style(&word), word.replace('_', " ")),
            text(&step["text"])
        ));
        for line in list(&step["lines"]) {
            said(4, &text(&line["who"]), &text(&line["word"]), &text(&line["why"]), printer);
        }
        for (what, id) in [("job", &step["job"]), ("delivery", &step["delivery"]), ("run", &step["url"])] {
            if !id.is_null() {
                Printer::line(printer.paint(Style::Dim, format_args!("    {what} {}", text(id))));
            }
        }
    }
    section("\nWorth knowing", &story["notes"], Style::Warn, printer);
    section("\nWhere to look", &story["advice"], Style::Bold, printer);
}

fn section(title: &str, told: &Value, style: Style, printer: Printer) {
    if list(told).next().is_some() {
        Printer::line(printer.paint(style, title));
    }
    for line in list(told) {
        Printer::line(format_args!("  {}", text(line)));
    }
}

/// What a rule said in a time.
pub(super) fn rule(story: &Value, printer: Printer) {
    heading(&text(&story["answer"]), printer);
    Printer::line(printer.paint(Style::Dim, format_args!("since {}", text(&story["since"]))));
    counts("\nWhat it said", &story["said"], printer);
    if list(&story["nearest"]).next().is_some() {
        heading("\nThe nearest misses", printer);
    }
    for miss in list(&story["nearest"]) {
        let about = text(&miss["subject"]);
        Printer::line(format_args!("  {}  {about}", printer.paint(Style::Dim, text(&miss["received_at"]))));
        let word = text(&miss["decision"]);
        let word = printer.paint(style(&word), word.replace('_', " "));
        Printer::line(format_args!("    {word}: {}", text(&miss["reason"])));
        Printer::line(printer.paint(Style::Dim, format_args!("    delivery {}", text(&miss["delivery"]))));
    }
    counts("\nWhat came that it was not asked about", &story["others"], printer);
    if story["cut"] == true {
        Printer::line(
            printer.paint(Style::Warn, "there were more deliveries than are looked at: give a shorter --since"),
        );
    }
}

fn counts(title: &str, counts: &Value, printer: Printer) {
    if list(counts).next().is_some() {
        heading(title, printer);
    }
    for count in list(counts) {
        Printer::line(format_args!("  {:>6}  {}", text(&count["times"]), text(&count["what"])));
    }
}
