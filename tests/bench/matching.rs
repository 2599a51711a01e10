//! What 10,000 rules cost one event beside one rule: prints the two times in nanoseconds, of the best of many rounds.

use std::time::Instant;

use bytes::Bytes;
use hookrun::model::delivery::SourceKind;
use hookrun::model::event::{Event, Kind, Origin, Person, Subject};
use hookrun::model::policy::Terms;
use hookrun::rules::{Occasion, RuleSet, compile};

/// Rounds, of which the best counts, and events in each.
const ROUNDS: u32 = 40;
const EVENTS: u32 = 500;

/// One of the rules that do not want the event: each of the four ways in which the index tells them apart.
fn other(n: u32) -> String {
    let (repo, branch) = match n % 4 {
        0 => (format!("acme/other-{n}"), "**".to_owned()),
        1 => (format!("team-{n}/*"), "**".to_owned()),
        2 => ("acme/*".to_owned(), format!("branch-{n}")),
        _ => ("**".to_owned(), format!("team-{n}/**")),
    };
    format!("[[rule]]\nname = \"r{n}\"\nrepos = [\"{repo}\"]\nbranches = [\"{branch}\"]\n")
}

/// So many others, and one that wants the event.
fn rules(others: u32) -> RuleSet {
    let others: String = (0..others).map(other).collect();
    let mine = "[[rule]]\nname = \"mine\"\nrepos = [\"acme/wid*\"]\nwhen = \"event.outcome == 'failure'\"\n";
    let text = format!(
        "[defaults]\non = [\"ci.failed\"]\nprompt = '{{{{ event.repo }}}} at {{{{ event.sha }}}}'\n{others}{mine}"
    );
    let loaded = compile(vec![("rules.toml".to_owned(), text)], &Terms::default(), &|name| Err(format!("no {name}")));
    loaded.rules.expect("the rules of the bench are right")
}

fn event() -> Event {
    Event {
        kind: Some(Kind::CiFailed),
        native: "github:check_run.completed".to_owned(),
        source: "github".to_owned(),
        host: "github.com".to_owned(),
        repo: Some("acme/widgets".to_owned()),
        repo_private: Some(true),
        subject: Subject { key: "github.com/acme/widgets@fix".to_owned(), origin: Origin::Base },
        branch: Some("fix".to_owned()),
        sha: Some("4f2a9c1e5b7d3086a1c2e4f60718293a4b5c6d7e".to_owned()),
        outcome: Some("failure".to_owned()),
        actor: Some(Person { login: "mia".to_owned(), association: None, bot: Some(false), name: None }),
        happening: "github.com/check_run/1/1".to_owned(),
        ..Event::default()
    }
}

/// Nanoseconds for each event.
fn cost(rules: &RuleSet) -> u128 {
    let (event, payload) = (event(), Bytes::from_static(b"{}"));
    let occasion = Occasion {
        event: &event,
        facts: None,
        subject_key: &event.subject.key,
        context: "",
        payload: &payload,
        source_kind: SourceKind::Github,
        agents: &["codegen-sh[bot]".to_owned()],
        delivery: "d1",
        instance_key: &[7; 32],
    };
    let round = |_| {
        let begun = Instant::now();
        for _ in 0..EVENTS {
            let said = rules.judge(&occasion);
            assert!(said.len() == 1 && said[0].request.is_some(), "the one rule wants the event");
        }
        begun.elapsed().as_nanos() / u128::from(EVENTS)
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

/// Prints both.
pub(crate) fn run() {
    println!("one rule {} ns, 10,000 rules {} ns", cost(&rules(0)), cost(&rules(9_999)));
}
