//! The files of `config/` that are made from the code: JSON schemas and the OpenAPI document.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::server_support::{World, get};

/// What `hookrun schema` prints.
fn printed(what: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_hookrun")).args(["schema", what]).env_clear().output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn generated_files_are_what_the_code_says() {
    for (what, name) in
        [("settings", "hookrun.schema.json"), ("rules", "rules.schema.json"), ("openapi", "openapi.json")]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == printed(what),
            "config/{name} is old; write it with: cargo run -- schema {what} > config/{name}"
        );
    }
}

#[test]
fn both_shipped_files_name_their_schema() {
    for name in ["hookrun", "rules"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/{name}.toml"));
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().next(), Some(format!("#:schema {name}.schema.json").as_str()));
    }
}

#[tokio::test]
async fn the_document_is_the_one_that_is_served() {
    let served = get(&World::empty().await.admin(), "/api/v1/openapi.json").await.json();
    assert_eq!(served, serde_json::from_str::<Value>(&printed("openapi")).unwrap());
}
