//! The house rules that the compiler does not know: which room may use which, and how files are kept.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

/// Rooms that everyone may use; they use only each other.
const GROUND: [&str; 3] = ["model", "telemetry", "lifecycle"];

/// Every other room, and what it may use beside the ground and itself.
const ROOMS: [(&str, &[&str]); 11] = [
    ("config", &[]),
    ("webhook", &[]),
    ("rules", &[]),
    ("store", &[]),
    ("sandbox", &[]),
    ("intake", &["webhook", "rules", "store"]),
    ("codegen", &["store"]),
    ("worker", &["rules", "store", "codegen"]),
    ("server", &["rules", "store", "intake", "codegen"]),
    ("cli", EVERYTHING),
    ("app", EVERYTHING),
];

const EVERYTHING: &[&str] =
    &["config", "webhook", "rules", "store", "sandbox", "intake", "codegen", "worker", "server", "cli", "app"];

const MOST_LINES: usize = 500;

/// What `room` may use, itself included; `None` when there is no such room.
fn allowed(room: &str) -> Option<Vec<&'static str>> {
    let ground = |room| match room {
        "model" => vec!["model"],
        _ => GROUND.to_vec(),
    };
    if room == "main" {
        return Some(vec!["app", "cli", "model", "telemetry", "lifecycle"]);
    }
    if let Some(room) = GROUND.iter().find(|known| **known == room) {
        return Some(ground(*room));
    }
    let (name, more) = ROOMS.iter().find(|(known, _)| *known == room)?;
    Some([ground(*name), vec![*name], more.to_vec()].concat())
}

/// Everything that breaks a rule in `files`, given as (path below `src`, text).
fn violations(files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        if text.lines().count() > MOST_LINES {
            found.push(format!("{path}: more than {MOST_LINES} lines"));
        }
        if !text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 10) {
            found.push(format!("{path}: does not open with a sentence that says its job"));
        }
        let room = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let Some(allowed) = allowed(room) else {
            found.push(format!("{path}: there is no room {room}"));
            continue;
        };
        for (line, used) in used_rooms(path, text) {
            if !allowed.contains(&used.as_str()) {
                found.push(format!("{path}:{line}: {room} may not use {used}"));
            }
        }
    }
    found
}

/// The rooms that a file names, with the lines.
fn used_rooms(path: &str, text: &str) -> Vec<(usize, String)> {
    let code = without_comments(text);
    let mut used = Vec::new();
    for root in ["crate::", "hookrun::"] {
        for (at, _) in code.match_indices(root) {
            let begins_a_name = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !begins_a_name {
                used.extend(first_names(&code[at + root.len()..]).into_iter().map(|name| (line_of(&code, at), name)));
            }
        }
    }
    let depth = path.trim_end_matches("/mod.rs").split('/').count();
    let to_the_root = "super::".repeat(depth);
    for (at, _) in code.match_indices(&to_the_root) {
        let names = first_names(&code[at + to_the_root.len()..]);
        let rooms = names.into_iter().filter(|name| allowed(name).is_some());
        used.extend(rooms.map(|name| (line_of(&code, at), name)));
    }
    used
}

/// The name that a path goes on with, or the names of a `{…}` group.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 1;
    let mut names = vec![name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The text with the lines that are comments emptied.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }.to_owned() + "\n").collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn read_sources(folder: &Path, base: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, base, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(base).unwrap().to_str().expect("names of sources are text").to_owned();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_house_keeps_its_rules() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    read_sources(&base, &base, &mut files);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(files.iter().any(|(path, _)| path.starts_with("model/")), "the sources were not found");
    assert_eq!(violations(&files), Vec::<String>::new());
}

#[test]
fn planted_violations_are_found() {
    let planted = |path: &str, code: &str| violations(&[(path, &format!("//! Says its job.\n{code}\n"))]);
    for (path, code, expected) in [
        ("rules/gates.rs", "use crate::store::Store;", "rules/gates.rs:2: rules may not use store"),
        ("model/job.rs", "use crate::telemetry::count;", "model/job.rs:2: model may not use telemetry"),
        ("worker/mod.rs", "fn f() { crate::intake::g() }", "worker/mod.rs:2: worker may not use intake"),
        (
            "codegen/client.rs",
            "use crate::{model::job, rules::Rule};",
            "codegen/client.rs:2: codegen may not use rules",
        ),
        ("config/mod.rs", "use super::webhook::verify;", "config/mod.rs:2: config may not use webhook"),
        ("config/a.rs", "use super::super::webhook::verify;", "config/a.rs:2: config may not use webhook"),
        ("main.rs", "use hookrun::store::Store;", "main.rs:2: main may not use store"),
        ("helpers/mod.rs", "", "helpers/mod.rs: there is no room helpers"),
    ] {
        assert_eq!(planted(path, code), [expected], "{path}: {code}");
    }
    let long = format!("//! Says its job.\n{}", "\n".repeat(MOST_LINES));
    assert_eq!(violations(&[("store/a.rs", &long)]), ["store/a.rs: more than 500 lines"]);
    let mute = "use std::fmt;\n";
    assert_eq!(violations(&[("store/a.rs", mute)]), ["store/a.rs: does not open with a sentence that says its job"]);
}

#[test]
fn what_is_allowed_is_not_found() {
    let text = "//! Says its job.\n\
                use crate::{model::{job::Job, run::Run}, store::Store};\n\
                // crate::server is only spoken of\n\
                /// [`crate::cli`] too\n\
                pub(in crate::worker) fn f() {}\n\
                use super::rules_of_thumb;\n";
    assert_eq!(violations(&[("worker/follow.rs", text)]), Vec::<String>::new());
    assert_eq!(violations(&[("app.rs", "//! Says its job.\nuse crate::worker;\n")]), Vec::<String>::new());
}
