//! The shipped example rules: without problems, known to their JSON schema, and saying to real-looking deliveries what
//! their own tests expect.

use std::path::Path;

use bytes::Bytes;
use hookrun::model::clock::Timestamp;
use hookrun::model::delivery::SourceKind;
use hookrun::model::event::Event;
use hookrun::model::policy::Terms;
use hookrun::model::subject::{Facts, SubjectUpdate};
use hookrun::rules::{Judgement, Occasion, RuleSet, RuleTest, complete, json_schema, load};
use hookrun::webhook::{Delivery, understand};

use super::KEY;
use crate::webhook_support::source;

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules.toml")
}

#[test]
fn the_example_rules_have_no_problems_and_each_has_a_test() {
    let loaded = load(&shipped(), &Terms::default());
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let rules = loaded.rules.unwrap();
    let names: Vec<String> = rules.rules().map(|rule| rule.name).collect();
    assert_eq!(names.len(), 10);
    for name in names {
        assert!(rules.tests().iter().any(|test| test.rule.as_ref() == Some(&name)), "{name} has no test");
    }
}

#[test]
fn every_delivery_of_a_test_is_there_as_headers_and_body() {
    let rules = load(&shipped(), &Terms::default()).rules.unwrap();
    for file in rules.tests().iter().flat_map(|test| test.given.iter().chain([&test.delivery])) {
        let text = std::fs::read_to_string(shipped().with_file_name(file)).unwrap();
        let delivery: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(delivery["headers"].is_object() && delivery["body"].is_object(), "{file}");
    }
}

#[test]
fn the_schema_accepts_the_examples_and_knows_what_rules_mean() {
    let schema = json_schema();
    let text = std::fs::read_to_string(shipped()).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&serde_json::to_value(file).unwrap()).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!validator.is_valid(&serde_json::json!({ "rule": [{ "nam": "x" }] })));
    assert!(!validator.is_valid(&serde_json::json!({ "rule": [{ "mode": "dead" }] })));
    assert!(schema.to_string().contains("The branch that the change is to be merged into"));
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_nothing_outside_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let rule = |name: &str, prompt: &str| {
        format!("[[rule]]\nname = \"{name}\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt_file = \"{prompt}\"\n")
    };
    write("b.toml", &rule("second", "p.md"));
    write("a.toml", &rule("first", "p.md"));
    write("p.md", "go");
    write("notes.txt", "not read");
    let names: Vec<_> = load(folder.path(), &Terms::default()).rules.unwrap().rules().map(|rule| rule.name).collect();
    assert_eq!(names, ["first", "second"]);
    write("c.toml", &rule("third", "../p.md"));
    let loaded = load(folder.path(), &Terms::default());
    assert!(loaded.rules.is_none());
    assert_eq!(loaded.problems[0].message, "\"../p.md\" is not a file of the rules' folder");
    assert!(
        load(&folder.path().join("none.toml"), &Terms::default()).problems[0].message.starts_with("cannot be read")
    );
}

/// A delivery of `config/`, as it is after its signature was checked.
fn delivery(file: &str) -> Delivery {
    let text = std::fs::read_to_string(shipped().with_file_name(file)).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let headers: Vec<(String, String)> = told["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
        .collect();
    let sent = |prefix: &str| headers.iter().any(|(name, _)| name.starts_with(prefix));
    let kind = match () {
        () if sent("x-github") => SourceKind::Github,
        () if sent("x-gitlab") => SourceKind::Gitlab,
        () => SourceKind::Jira,
    };
    let body = Bytes::from(told["body"].to_string());
    Delivery::restored(&source(kind), &headers, body, "main", Timestamp(0)).unwrap()
}

/// What is known of the event's subject after `told`.
fn facts(event: &Event, told: &[SubjectUpdate]) -> Option<Facts> {
    let mut facts: Option<Facts> = None;
    for update in told.iter().filter(|update| update.key == event.subject.key) {
        facts.get_or_insert_default().absorb(update.facts.clone());
    }
    facts
}

fn run(rules: &RuleSet, test: &RuleTest) -> Vec<Judgement> {
    let mut told: Vec<SubjectUpdate> =
        test.given.iter().flat_map(|file| understand(&delivery(file)).subjects).collect();
    let delivery = delivery(&test.delivery);
    let said = understand(&delivery);
    told.extend(said.subjects);
    let judge = |event: &Event| {
        let facts = facts(event, &told);
        rules.judge(&Occasion {
            event: &complete(event, facts.as_ref()),
            facts: facts.as_ref(),
            subject_key: &event.subject.key,
            context: "",
            payload: delivery.payload(),
            source_kind: delivery.kind(),
            agents: delivery.agents(),
            delivery: "d1",
            instance_key: &KEY,
        })
    };
    said.events.iter().flat_map(judge).collect()
}

#[test]
fn the_tests_of_the_example_rules_hold() {
    let rules = load(&shipped(), &Terms::default()).rules.unwrap();
    for test in rules.tests() {
        let all = run(&rules, test);
        let of_rule = |one: &&Judgement| test.rule.as_ref().is_none_or(|rule| one.verdict.rule == *rule);
        let candidates: Vec<&Judgement> = all.iter().filter(of_rule).collect();
        let one = candidates
            .iter()
            .find(|one| one.verdict.decision.as_str() == test.decision)
            .unwrap_or_else(|| panic!("{}: {:?}", test.name, all.iter().map(|one| &one.verdict).collect::<Vec<_>>()));
        if let Some(reason) = &test.reason {
            assert!(one.verdict.reason.contains(reason), "{}: {}", test.name, one.verdict.reason);
        }
        if let Some(key) = &test.key {
            assert_eq!(one.verdict.key.as_ref(), Some(key), "{}", test.name);
        }
        if let Some(repo) = &test.repo {
            assert_eq!(one.rendered.as_ref().unwrap().repo.as_ref(), Some(repo), "{}", test.name);
        }
        for part in &test.prompt {
            let prompt = &one.rendered.as_ref().unwrap().prompt;
            assert!(prompt.contains(part), "{}: {prompt}", test.name);
        }
    }
}
