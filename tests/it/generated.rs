//! The generated files in `config/` are what the code generates now.

use std::path::Path;
use std::process::Command;

#[test]
fn generated_files_have_not_drifted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (of, file) in [
        ("settings", "config/hookrun.schema.json"),
        ("rules", "config/rules.schema.json"),
        ("openapi", "config/openapi.json"),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_hookrun")).args(["schema", of]).output().unwrap();
        assert!(out.status.success());
        let generated = String::from_utf8(out.stdout).unwrap();
        let kept = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(generated == kept, "{file} has drifted; run: cargo run -- schema {of} > {file}");
    }
}
