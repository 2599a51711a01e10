//! What the README tells people to write works as it stands.

use std::path::Path;
use std::process::Command;

use hookrun::config::{Input, Settings};
use hookrun::model::policy::Terms;
use hookrun::rules::compile;

/// The TOML in the README, without the indentation that it has in a list.
fn toml_blocks() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(opening) = lines.by_ref().find(|line| line.trim_start().starts_with("```toml")) {
        let indent = opening.len() - opening.trim_start().len();
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.trim_start().starts_with("```"))
            .map(|line| line.get(indent..).unwrap_or_default())
            .collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

fn block_with(mark: &str) -> String {
    let mut fitting = toml_blocks().into_iter().filter(|block| block.contains(mark));
    fitting.next().unwrap_or_else(|| panic!("no block of TOML in the README has {mark}"))
}

#[test]
fn the_settings_that_it_shows_are_all_that_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let settings = block_with("[sources.github]").replace("/etc/hookrun/secrets", here).replace("/etc/hookrun", here);
    std::fs::write(folder.path().join("hookrun.toml"), settings).unwrap();
    for secret in ["ops", "codegen", "github"] {
        std::fs::write(folder.path().join(secret), "0123456789abcdef0123456789abcdef\n").unwrap();
    }
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let copied =
        Command::new("cp").arg("-r").args([config.join("rules.toml"), config.join("prompts")]).arg(here).status();
    assert!(copied.unwrap().success());
    let out = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(["check", "--config", "hookrun.toml"])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert_eq!(said, "", "a newcomer is greeted with warnings");
}

#[test]
fn the_rule_that_it_shows_has_no_problems() {
    let loaded = compile(vec![("README.md".to_owned(), block_with("[[rule]]"))], &Terms::default(), &|name| {
        Err(format!("no {name}"))
    });
    let problems: String = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, "");
    assert_eq!(loaded.rules.unwrap().rules().count(), 1);
}

#[test]
fn the_ceilings_that_it_shows_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookrun.toml");
    let shown = block_with("[limits]");
    std::fs::write(&file, format!("{shown}\norg_id = 7\ntoken = \"a-token\"\n")).unwrap();
    let (settings, _) = Settings::load(Input { file: Some(file), ..Input::default() }).unwrap();
    let terms = settings.rules.terms;
    assert_eq!((terms.all.len(), terms.files["payments.toml"].limits.len()), (2, 2));
    assert_eq!(settings.codegen.cost.unwrap().of(50), "about 40.00 EUR");
}

/// A variable wins over the file that a team mounts into the container: their PostgreSQL must not silently become a file, nor
/// their rules our examples.
#[test]
fn the_image_overrides_nothing_but_where_it_listens() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile")).unwrap();
    let set: Vec<&str> = text.split("HOOKRUN_").skip(1).map(|rest| rest.split(['=', ' ']).next().unwrap()).collect();
    assert_eq!(set, ["WEBHOOKS__LISTEN"]);
}
