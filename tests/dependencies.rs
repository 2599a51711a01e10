//! What we build on: licences that we may ship, one registry as the only source, and no crate twice without a reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences whose terms a shipped binary meets by naming them.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are in the tree twice, and why. Anything else that doubles is a failure, and so is a line here that no
/// longer holds.
const TWICE: &[(&str, &str)] = &[
    ("base64", "sqlx 0.9 is a step behind hyper-util and us"),
    ("block-buffer", "of the two digest crates"),
    ("cpufeatures", "of the two digest crates"),
    ("crypto-common", "of the two digest crates"),
    ("digest", "sqlx 0.9 signs in to PostgreSQL with sha2 0.10; signatures are checked with the maintained 0.11"),
    ("getrandom", "ring, uuid and test crates each need another one"),
    ("hashbrown", "sqlx 0.9 is a step behind indexmap"),
    ("rand", "metrics-exporter-prometheus and test crates are at different steps"),
    ("rand_core", "of the two rand crates"),
    ("sha2", "of the two digest crates"),
    ("syn", "half of the derive macros have moved to syn 3"),
];

fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let used: BTreeSet<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let all = metadata["packages"].as_array().unwrap();
    all.iter().filter(|package| used.contains(package["id"].as_str().unwrap())).cloned().collect()
}

/// What others wrote.
fn foreign() -> impl Iterator<Item = Value> {
    packages().into_iter().filter(|package| !package["source"].is_null())
}

/// Whether an SPDX expression (or the older form with `/`) can be met with [`LICENCES`] alone.
fn allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // AND binds tighter than OR, and no crate of ours nests deeper than "(A OR B) AND C", for which asking each AND
    // part of each alternative is stricter, never laxer, than the real meaning.
    if expression.contains('(') {
        return flat.split(" AND ").all(|part| part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())));
    }
    flat.split(" OR ").any(|part| part.split(" AND ").all(|licence| LICENCES.contains(&licence.trim())))
}

#[test]
fn every_licence_may_be_shipped() {
    let wrong: Vec<String> = foreign()
        .filter(|package| !allowed(package["license"].as_str().unwrap_or("none")))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_licence_that_may_not_be_shipped_is_noticed() {
    assert!(allowed("MIT OR GPL-3.0"));
    assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(allowed("Apache-2.0/MIT"));
    assert!(!allowed("GPL-3.0"));
    assert!(!allowed("MIT AND GPL-3.0"));
    assert!(!allowed("(MIT OR Apache-2.0) AND GPL-3.0"));
    assert!(!allowed("none"));
}

#[test]
fn everything_comes_from_the_one_registry() {
    let sources: BTreeSet<String> =
        packages().iter().filter_map(|package| package["source"].as_str().map(str::to_owned)).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

#[test]
fn nothing_is_in_the_tree_twice_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap().to_owned();
        versions.entry(name).or_default().insert(package["version"].as_str().unwrap().to_owned());
    }
    let twice: BTreeSet<&str> =
        versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    let unlisted: Vec<_> = twice.difference(&listed).map(|name| (name, &versions[*name])).collect();
    assert!(unlisted.is_empty(), "twice without a reason: {unlisted:#?}");
    let stale: Vec<_> = listed.difference(&twice).collect();
    assert!(stale.is_empty(), "listed, but no longer twice: {stale:?}");
}
