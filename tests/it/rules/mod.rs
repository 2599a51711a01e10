//! The rules room: a small builder of events, and the tests of the language.

mod examples;
mod gates;
mod keys;
mod language;
mod matching;
mod problems;
mod prompts;
mod reload;
mod shipped;
mod strangers;
mod warnings;

use bytes::Bytes;
use hookrun::model::decision::Ruling;
use hookrun::model::delivery::SourceKind;
use hookrun::model::event::{Change, Check, Comment, Event, Issue, Kind, Origin, Person, Subject};
use hookrun::model::policy::Terms;
use hookrun::model::subject::Facts;
use hookrun::rules::{Judgement, Occasion, RuleSet, compile};

const KEY: [u8; 32] = [7; 32];
const SHA: &str = "4f2a9c1e5b7d3086a1c2e4f60718293a4b5c6d7e";

/// Compiles rules that must be without problems.
fn rules(text: &str) -> RuleSet {
    let loaded = compile(vec![("rules.toml".to_owned(), text.to_owned())], &Terms::default(), &|name| {
        Err(format!("no file \"{name}\""))
    });
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    loaded.rules.unwrap_or_else(|| panic!("{}", problems.join("\n")))
}

/// One rule with a prompt that prints nothing from outside.
fn rule(keys: &str) -> RuleSet {
    let repos = if keys.contains("repos =") { "" } else { "repos = [\"**\"]\n" };
    let prompt = if keys.contains("prompt =") { "" } else { "prompt = 'go'\n" };
    rules(&format!("[[rule]]\nname = \"r\"\n{repos}{keys}\n{prompt}"))
}

fn person(login: &str, association: Option<&str>) -> Person {
    Person { login: login.to_owned(), association: association.map(str::to_owned), bot: Some(false), name: None }
}

fn bot(login: &str) -> Person {
    Person { bot: Some(true), ..person(login, None) }
}

/// A failed check on a branch of a public repository.
fn ci() -> Event {
    Event {
        kind: Some(Kind::CiFailed),
        native: "github:check_run.completed".to_owned(),
        source: "github".to_owned(),
        host: "github.com".to_owned(),
        repo: Some("acme/widgets".to_owned()),
        repo_private: Some(false),
        subject: Subject { key: "github.com/acme/widgets@fix".to_owned(), origin: Origin::Base },
        branch: Some("fix".to_owned()),
        sha: Some(SHA.to_owned()),
        outcome: Some("failure".to_owned()),
        url: Some("https://github.com/acme/widgets/runs/1".to_owned()),
        actor: Some(person("mia", None)),
        checks: vec![Check { name: "unit".to_owned(), outcome: "failure".to_owned(), ..Check::default() }],
        happening: "github.com/check_run/1/1".to_owned(),
        ..Event::default()
    }
}

/// A member opened a change that is no draft.
fn change() -> Event {
    let mia = person("mia", Some("MEMBER"));
    Event {
        kind: Some(Kind::ChangeOpened),
        native: "github:pull_request.opened".to_owned(),
        base: Some("main".to_owned()),
        labels: Some(vec!["bug".to_owned()]),
        actor: Some(mia.clone()),
        author: Some(mia),
        change: Some(Change {
            number: 42,
            title: Some("Title".to_owned()),
            draft: Some(false),
            open: Some(true),
            ..Change::default()
        }),
        checks: Vec::new(),
        happening: "github.com/change/42/opened".to_owned(),
        ..ci()
    }
}

/// A member commented on an issue.
fn comment(body: &str) -> Event {
    Event {
        kind: Some(Kind::CommentCreated),
        native: "github:issue_comment.created".to_owned(),
        subject: Subject { key: "github.com/acme/widgets#17".to_owned(), origin: Origin::None },
        branch: None,
        base: None,
        sha: None,
        change: None,
        issue: Some(Issue { key: "17".to_owned(), ..Issue::default() }),
        comment: Some(Comment { id: "1".to_owned(), body: body.to_owned(), ..Comment::default() }),
        happening: "github.com/comment/1".to_owned(),
        ..change()
    }
}

/// A ticket moved to another status.
fn ticket(to: &str) -> Event {
    Event {
        kind: Some(Kind::IssueTransitioned),
        native: "jira:issue_updated".to_owned(),
        source: "jira".to_owned(),
        host: "acme.atlassian.net".to_owned(),
        project: Some("OPS".to_owned()),
        subject: Subject { key: "acme.atlassian.net/OPS-42".to_owned(), origin: Origin::None },
        labels: Some(Vec::new()),
        to: vec![to.to_owned()],
        actor: Some(person("5b10", Some("atlassian"))),
        issue: Some(Issue { key: "OPS-42".to_owned(), components: vec!["Checkout".to_owned()], ..Issue::default() }),
        happening: "acme.atlassian.net/changelog/1".to_owned(),
        ..Event::default()
    }
}

fn kind_of(event: &Event) -> SourceKind {
    match event.native.split(':').next() {
        Some("gitlab") => SourceKind::Gitlab,
        Some("jira") => SourceKind::Jira,
        _ => SourceKind::Github,
    }
}

fn judge_with(rules: &RuleSet, event: &Event, facts: Option<&Facts>, payload: &str) -> Vec<Judgement> {
    rules.judge(&Occasion {
        event,
        facts,
        subject_key: &event.subject.key,
        context: "",
        payload: &Bytes::copy_from_slice(payload.as_bytes()),
        source_kind: kind_of(event),
        agents: &["codegen-sh[bot]".to_owned()],
        delivery: "d1",
        instance_key: &KEY,
    })
}

/// The judgement of the only rule that is asked.
fn judge(rules: &RuleSet, event: &Event, facts: Option<&Facts>) -> Judgement {
    let mut all = judge_with(rules, event, facts, "{}");
    assert_eq!(all.len(), 1, "one rule is asked about {}", event.native);
    all.remove(0)
}

/// Its decision and reason.
#[track_caller]
fn says(rules: &RuleSet, event: &Event, facts: Option<&Facts>, decision: Ruling, reason: &str) {
    let verdict = judge(rules, event, facts).verdict;
    assert_eq!((verdict.decision, verdict.reason.as_str()), (decision, reason));
}

#[track_caller]
fn queues(rules: &RuleSet, event: &Event, facts: Option<&Facts>) {
    says(rules, event, facts, Ruling::Queued, "every condition holds");
}
