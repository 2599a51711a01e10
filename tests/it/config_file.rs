//! The annotated settings file and the JSON schema say what the code does.

use std::time::Duration;

use hookrun::config::{annotated_default, json_schema};
use hookrun::model::run::RepoTarget;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::config::{Case, LONG, drawn};

/// The annotated file with its secrets in a folder that exists.
fn annotated() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ops", "codegen", "github", "jira", "jira-automation"] {
        std::fs::write(folder.path().join(name), format!("{LONG}\n")).unwrap();
    }
    let signing = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=\n";
    std::fs::write(folder.path().join("gitlab"), signing).unwrap();
    let text = annotated_default().replace("/run/secrets", folder.path().to_str().unwrap());
    (folder, text)
}

/// What stands in the annotated file and is no default: what one must say oneself.
const EXAMPLES: [&str; 9] = [
    "tokens",
    "org_id",
    "token_file",
    "\"gitlab:platform/pay/api\"",
    "kind",
    "secrets",
    "signing_tokens",
    "header_secret",
    "event",
];

#[test]
fn the_annotated_file_works_and_shows_the_defaults() {
    let (_folder, text) = annotated();
    let (settings, warnings) = Case::new(&text).load().unwrap_or_else(|problems| panic!("{}", drawn(&problems)));
    assert_eq!(warnings, []);
    assert_eq!(settings.codegen.repos["gitlab:platform/pay/api"], RepoTarget::Name("acme/pay-api".to_owned()));
    assert_eq!(settings.sources["jira"].max_age, Some(Duration::from_hours(24)));
    let mut defaults = 0;
    for line in text.lines() {
        let key = line.split(" = ").next().unwrap();
        let table = line.starts_with('[') || line.starts_with('#') || !line.contains(" = ");
        if table || EXAMPLES.contains(&key) {
            continue;
        }
        let without = Case::new(&text.replacen(&format!("\n{line}\n"), "\n", 1)).settings();
        assert_eq!(format!("{without:?}"), format!("{settings:?}"), "{line}");
        assert_eq!(without.database.url.expose_secret(), settings.database.url.expose_secret());
        defaults += 1;
    }
    assert!(defaults > 25, "only {defaults} lines were tried");
}

#[test]
fn every_setting_stands_in_the_annotated_file() {
    fn names(schema: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
            found.extend(properties.keys().cloned());
        }
        match schema {
            serde_json::Value::Object(object) => object.values().for_each(|value| names(value, found)),
            serde_json::Value::Array(list) => list.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    names(&json_schema(), &mut found);
    assert!(found.len() > 50, "{found:?}");
    for name in found {
        let there = [format!("{name} = "), format!("[{name}"), format!(".{name}]"), format!("[rules.{name}.")];
        assert!(there.iter().any(|text| annotated_default().contains(text)), "{name}");
    }
}

#[test]
fn the_schema_takes_the_annotated_file_and_refuses_what_loading_refuses() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let annotated = json(annotated_default());
    let errors: Vec<_> = validator.iter_errors(&annotated).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    for wrong in
        ["[webhooks]\nlisen = \"x\"", "[webhooks]\nmax_body = \"25\"", "[codegen]\norg_id = \"7\"", "webhooks = []"]
    {
        assert!(!validator.is_valid(&json(wrong)), "{wrong}");
    }
}
