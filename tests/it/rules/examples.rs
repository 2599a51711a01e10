//! The shipped example rules: without problems, and their JSON schema knows them.

use std::path::Path;

use hookrun::rules::{json_schema, load};

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules.toml")
}

#[test]
fn the_example_rules_have_no_problems_and_each_has_a_test() {
    let loaded = load(&shipped());
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
    let rules = load(&shipped()).rules.unwrap();
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
    let names: Vec<_> = load(folder.path()).rules.unwrap().rules().map(|rule| rule.name).collect();
    assert_eq!(names, ["first", "second"]);
    write("c.toml", &rule("third", "../p.md"));
    let loaded = load(folder.path());
    assert!(loaded.rules.is_none());
    assert_eq!(loaded.problems[0].message, "\"../p.md\" is not a file of the rules' folder");
    assert!(load(&folder.path().join("none.toml")).problems[0].message.starts_with("cannot be read"));
}
