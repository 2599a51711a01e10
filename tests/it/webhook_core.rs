//! What each of the core recordings says, stated line by line in `webhook_core_table.tsv` and checked by hand against
//! the recording: kind with what is new, subject with its origin, repository or project, commit, outcome.

use std::collections::BTreeMap;

use hookrun::model::event::{Event, Origin};
use hookrun::webhook::{Reading, Understood};

use super::webhook_support::{real_payloads, tell};

const TABLE: &str = include_str!("webhook_core_table.tsv");

fn line(file: &str, event: &Event) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let kind = event.kind.map_or_else(|| "-".to_owned(), |kind| kind.to_string());
    let kind = if event.to.is_empty() { kind } else { format!("{kind}({})", event.to.join(",")) };
    let subject = match (event.subject.key.as_str(), event.subject.origin) {
        ("", Origin::None) => "-".to_owned(),
        (key, Origin::None) => key.to_owned(),
        (key, origin) => format!("{key} ({origin:?})"),
    };
    let place = event.repo.clone().or_else(|| event.project.clone());
    [file, &event.native, &kind, &subject, &text(&place), &text(&event.sha), &text(&event.outcome)].join("\t")
}

fn lines(file: &str, told: &Understood) -> Vec<String> {
    match &told.reading {
        Reading::Ping => vec![format!("{file}\t{}\tping", told.native)],
        Reading::NotUnderstood { reason } => vec![format!("{file}\t{}\tnot understood: {reason}", told.native)],
        Reading::Events | Reading::NoKind => told.events.iter().map(|event| line(file, event)).collect(),
    }
}

#[test]
fn every_core_recording_says_what_the_table_states() {
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in TABLE.lines().filter(|row| !row.starts_with('#')) {
        expected.entry(row.split('\t').next().unwrap()).or_default().push(row);
    }
    assert_eq!(expected.len(), 177);
    let Some(real) = real_payloads() else { return };
    let mut wrong = Vec::new();
    for payload in real.iter().filter(|payload| payload.core) {
        let found = lines(&payload.file, &tell(payload.kind, &payload.event, &payload.body));
        if expected.get(payload.file.as_str()).is_none_or(|rows| *rows != found) {
            wrong.push(found.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "not in the table:\n{}", wrong.join("\n"));
}
