//! Inputs that nobody thought of: verification, payloads, rules and settings take whatever comes, without a panic.
//!
//! `PROPTEST_CASES` says how many are tried of each; a failure prints the smallest input that fails.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use hookrun::config::{Input, Overrides, Settings};
use hookrun::model::delivery::SourceKind;
use hookrun::model::policy::Terms;
use hookrun::rules::compile;
use hookrun::webhook::{Refusal, verify};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};

use super::webhook_support::{NOW, deliver, fixture, signed, source, tell};

const KINDS: [SourceKind; 3] = [SourceKind::Github, SourceKind::Gitlab, SourceKind::Jira];

/// Our own recordings, each with its host and event.
const RECORDED: [(&str, SourceKind, &str); 10] = [
    ("github.check_run.completed.failure.fork.json", SourceKind::Github, "check_run"),
    ("github.check_run.completed.failure.json", SourceKind::Github, "check_run"),
    ("github.check_run.completed.success.json", SourceKind::Github, "check_run"),
    ("github.ping.json", SourceKind::Github, "ping"),
    ("github.workflow_run.completed.failure.json", SourceKind::Github, "workflow_run"),
    ("gitlab.job.failed.json", SourceKind::Gitlab, "Job Hook"),
    ("gitlab.pipeline.failed.json", SourceKind::Gitlab, "Pipeline Hook"),
    ("jira.comment_created.json", SourceKind::Jira, ""),
    ("jira.issue_created.json", SourceKind::Jira, ""),
    ("jira.issue_updated.labeled.json", SourceKind::Jira, ""),
];

/// Names of headers that matter, and one that does not.
const HEADERS: [&str; 9] = [
    "content-type",
    "x-github-event",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-gitlab-event",
    "x-gitlab-token",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// Any JSON, a little deep and wide.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        select(vec!["failure", "completed", "2026-01-15T10:03:12Z", "https://x.example/a/b/pull/7", "refs/heads/main"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,12}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Puts a value in the place of one of those in a document.
fn replace(document: &mut Value, mut at: usize, by: Value) {
    fn walk(value: &mut Value, at: &mut usize, by: &mut Option<Value>) {
        if by.is_none() {
            return;
        }
        if *at == 0 {
            if let Some(by) = by.take() {
                *value = by;
            }
            return;
        }
        *at -= 1;
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, at, by)),
            Value::Object(members) => members.values_mut().for_each(|member| walk(member, at, by)),
            _ => {}
        }
    }
    // The document itself stays an object: another one is refused before anybody reads it.
    at += 1;
    walk(document, &mut at, &mut Some(by));
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// A text with one piece cut out and another one put in its place.
fn spliced(text: &str, from: Index, length: usize, by: &str) -> String {
    let mut start = from.index(text.len() + 1);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (start + length).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    [&text[..start], by, &text[end..]].concat()
}

/// Found by the settings that are broken below: the only sign of equality in the line stood in its comment.
#[test]
fn a_secret_behind_a_missing_sign_of_equality_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookrun.toml");
    std::fs::write(&file, "[codegen]\ntoken \"planted-secret\"  # required, or token = \"...\"\n").unwrap();
    let read = Settings::load(Input { file: Some(file), env: Vec::new(), flags: Overrides::default() });
    let shown = read.unwrap_err().iter().map(ToString::to_string).collect::<String>();
    assert!(shown.contains("expected `=`") && !shown.contains("planted"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_unsigned_is_verified(
        kind in select(KINDS.to_vec()),
        named in prop::collection::vec((select(HEADERS.to_vec()), prop::collection::vec(any::<u8>(), 0..80)), 0..12),
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        prop_assert!(verify(&source(kind), &headers, &Bytes::from(body), NOW).is_err());
    }

    #[test]
    fn one_changed_bit_anywhere_is_refused(at in any::<Index>(), bit in 0..8_u32, which in select(RECORDED.to_vec())) {
        let (name, kind, event) = which;
        let mut body = fixture(name);
        let headers = signed(kind, event, &body);
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        let refused = verify(&source(kind), &headers, &Bytes::from(body), NOW);
        prop_assert!(matches!(refused, Err(Refusal::Unauthorized { .. })), "{refused:?}");
    }

    #[test]
    fn whatever_a_signed_body_holds_is_told_or_refused(
        kind in select(KINDS.to_vec()),
        event in "[a-zA-Z_ ]{1,24}",
        body in prop_oneof![
            json().prop_map(|value| value.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..300),
        ],
    ) {
        if let Ok(delivery) = deliver(kind, &event, &body) {
            let told = hookrun::webhook::understand(&delivery);
            prop_assert!(told.events.iter().all(|event| event.source.is_empty() || event.source.starts_with("test-")));
        }
    }

    #[test]
    fn a_recording_with_other_values_in_it_is_told_all_the_same(
        which in select(RECORDED.to_vec()),
        changes in prop::collection::vec((any::<Index>(), json()), 1..6),
    ) {
        let (name, kind, event) = which;
        let mut body: Value = serde_json::from_slice(&fixture(name)).unwrap();
        for (at, by) in changes {
            let places = count(&body) - 1;
            replace(&mut body, at.index(places.max(1)), by);
        }
        let told = tell(kind, event, body.to_string().as_bytes());
        for event in &told.events {
            // What rules match by is one clean line, whatever the host was made to say.
            prop_assert!(!event.happening.is_empty(), "{event:?}");
        }
    }

    #[test]
    fn broken_rules_are_told_with_their_place(
        at in any::<Index>(),
        cut in 0..40_usize,
        by in prop_oneof![".{0,20}", "[\\[\\]{}\"'=\\n.!*]{0,8}"],
    ) {
        let text = spliced(include_str!("../../config/rules.toml"), at, cut, &by);
        let lines = text.lines().count().max(1);
        let read = |_: &str| Ok("Fix it.".to_owned());
        let loaded = compile(vec![("rules.toml".to_owned(), text)], &Terms::default(), &read);
        prop_assert!(loaded.rules.is_some() || !loaded.problems.is_empty());
        for problem in &loaded.problems {
            let shown = problem.to_string();
            if let Some(place) = shown.lines().find_map(|line| line.trim_start().strip_prefix("--> rules.toml:")) {
                let line: usize = place.split(':').next().unwrap().parse().unwrap();
                prop_assert!((1..=lines + 1).contains(&line), "{shown}");
            }
        }
    }

    #[test]
    fn broken_settings_are_told_and_show_no_secret(
        at in any::<Index>(),
        cut in 0..40_usize,
        by in prop_oneof![".{0,20}", "[\\[\\]{}\"'=\\n.!*]{0,8}"],
    ) {
        const SECRET: &str = "planted-secret-of-the-tests";
        let default = hookrun::config::annotated_default();
        let written = default.replace("token_file = \"/run/secrets/codegen\"", &format!("token = \"{SECRET}\""));
        assert!(written.contains(SECRET));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookrun.toml");
        std::fs::write(&file, spliced(&written, at, cut, &by)).unwrap();
        let read = Settings::load(Input { file: Some(file), env: Vec::new(), flags: Overrides::default() });
        let problems = match read { Ok((_, problems)) | Err(problems) => problems };
        for problem in problems {
            let shown = problem.to_string();
            prop_assert!(!shown.contains(SECRET), "{shown}");
        }
    }
}
