//! What the calls answer when all is well.

use std::collections::BTreeSet;

use hookrun::sandbox::{Call, Sandbox};
use serde_json::{Value, json};

use super::bench::{Bench, OTHER_TOKEN, TOKEN, config, org, request};

#[tokio::test]
async fn a_created_run_has_every_documented_field() {
    let bench = Bench::unlimited();
    let metadata = json!({"hookrun": {"job": "7", "deep": [1, null, {"ü": "\u{0}"}]}});
    let sent = json!({"prompt": "Fix it", "metadata": metadata, "repo_id": 101, "model": "m", "agent_type": "claude_code",
        "images": ["data:image/png;base64,AA=="]});
    let run = bench.post(&org("agent/run"), sent).await;
    let fields: BTreeSet<&str> = run.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = [
        "id",
        "organization_id",
        "status",
        "created_at",
        "web_url",
        "result",
        "summary",
        "source_type",
        "github_pull_requests",
        "metadata",
    ];
    assert_eq!(fields, documented.into_iter().collect());
    assert_eq!(run["organization_id"], 42);
    assert_eq!(run["status"], "ACTIVE");
    assert_eq!(run["created_at"], "2026-03-01T12:00:00.123Z");
    assert_eq!(run["source_type"], "API");
    assert_eq!(run["metadata"], metadata);
    assert_eq!((&run["result"], &run["summary"]), (&Value::Null, &Value::Null));
    assert_eq!(run["github_pull_requests"], json!([]));
    assert!(run["web_url"].as_str().unwrap().starts_with("https://"));
    assert_eq!(bench.run(run["id"].as_i64().unwrap()).await, run);
}

#[tokio::test]
async fn ids_grow_and_go_on_growing_in_a_new_sandbox() {
    let bench = Bench::unlimited();
    let (first, second) = (bench.create("a").await, bench.create("b").await);
    assert!(second > first);
    bench.advance(10_000);
    let later = Bench { sandbox: Sandbox::new(config(), bench.clock.clone()), clock: bench.clock };
    assert!(later.create("c").await > second);
}

#[tokio::test]
async fn the_list_is_newest_first_filtered_and_paged() {
    let bench = Bench::unlimited();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(bench.create(&format!("run {number}")).await);
    }
    let other =
        bench.call("POST", &org("agent/run"), Some(OTHER_TOKEN), Some(r#"{"prompt":"theirs"}"#)).await.json()["id"]
            .as_i64()
            .unwrap();
    let all = bench.get(&org("agent/runs")).await;
    let newest_first: Vec<i64> = [other].into_iter().chain(ids.iter().rev().copied()).collect();
    assert_eq!(listed(&all), newest_first);
    assert_eq!(envelope(&all), (6, 1, 100, 1));

    let me = bench.get("/v1/users/me").await["id"].as_i64().unwrap();
    let mine = bench.get(&org(&format!("agent/runs?user_id={me}&source_type=API&skip=2&limit=2"))).await;
    assert_eq!(listed(&mine), [ids[2], ids[1]]);
    assert_eq!(envelope(&mine), (5, 2, 2, 3));
    let past_the_end = bench.get(&org("agent/runs?skip=6")).await;
    assert_eq!((listed(&past_the_end), envelope(&past_the_end).0), (vec![], 6));
    assert_eq!(envelope(&bench.get(&org("agent/runs?source_type=JIRA")).await), (0, 1, 100, 0));
    assert_eq!(envelope(&bench.get(&org("agent/runs?user_id=5")).await).0, 0);
}

#[tokio::test]
async fn every_token_has_a_user_of_its_own() {
    let bench = Bench::unlimited();
    let first = bench.get("/v1/users/me").await;
    let second = bench.call("GET", "/v1/users/me", Some(OTHER_TOKEN), None).await.json();
    assert_ne!(first["id"], second["id"]);
    assert_ne!(first["github_username"], second["github_username"]);
    assert_eq!(bench.get(&org("users")).await["items"], json!([first, second]));
    assert_eq!(bench.get(&org(&format!("users/{}", second["id"]))).await, second);
}

#[tokio::test]
async fn the_organization_has_its_repositories_and_integrations() {
    let bench = Bench::unlimited();
    let repos = bench.get(&org("repos")).await;
    let names: Vec<&Value> = repos["items"].as_array().unwrap().iter().map(|repo| &repo["full_name"]).collect();
    assert_eq!(names, ["acme/widgets", "acme/gears"]);
    assert_eq!(repos["items"][1]["name"], "gears");
    assert_eq!(envelope(&bench.get(&org("repos?skip=1&limit=1")).await), (2, 2, 1, 2));
    let furthest = bench.get(&org(&format!("repos?skip={}&limit=1", i64::MAX))).await;
    assert_eq!((&furthest["items"], envelope(&furthest)), (&json!([]), (2, i64::MAX, 1, 2)));
    assert_eq!(bench.get("/v1/organizations").await["items"][0]["id"], 42);
    let integrations = bench.get(&org("integrations")).await;
    let active = integrations["integrations"].as_array().unwrap().iter().filter(|one| one["active"] == true).count();
    assert_eq!(integrations["total_active_integrations"], active);
}

#[tokio::test]
async fn any_repository_id_is_taken() {
    let bench = Bench::unlimited();
    for repo in [json!(null), json!(0), json!(-5), json!(9_999_999_999_i64), json!("101"), json!(101.0)] {
        bench.post(&org("agent/run"), json!({"prompt": "p", "repo_id": repo})).await;
    }
    let repos: Vec<Option<i64>> = bench.sandbox.runs().into_iter().map(|run| run.repo_id).collect();
    assert_eq!(repos, [None, Some(0), Some(-5), Some(9_999_999_999), Some(101), Some(101)]);
}

#[tokio::test]
async fn the_journal_tells_what_arrived_and_how_it_was_answered() {
    let bench = Bench::unlimited();
    let id = bench.create("p").await;
    bench.advance(10);
    bench.call("GET", &org("agent/run/999999999"), Some(OTHER_TOKEN), None).await;
    bench.call("GET", "/v1/users/me", None, None).await;
    bench.send(request("GET", "/nowhere?x=1", Some(TOKEN), None)).await;
    let reply = bench.send(request("GET", "/sandbox/calls", None, None)).await;
    let calls = reply.json();
    let told: Vec<Value> = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            json!([
                call["number"],
                call["call"],
                call["class"],
                call["method"],
                call["path"],
                call["user_id"],
                call["status"]
            ])
        })
        .collect();
    let expected = json!([
        [1, "create", "create", "POST", org("agent/run"), 1001, 200],
        [2, "get", "standard", "GET", org("agent/run/999999999"), 1002, 404],
        [3, "me", "standard", "GET", "/v1/users/me", null, 403],
        [4, null, null, "GET", "/nowhere?x=1", null, 404],
    ]);
    assert_eq!(json!(told), expected);
    let calls = bench.sandbox.calls();
    assert_eq!(calls[1].arrived_at.since(calls[0].arrived_at).as_millis(), 10);
    assert!(calls.iter().all(|call| call.answered_at == Some(call.arrived_at)));

    let runs = bench.send(request("GET", "/sandbox/runs", None, None)).await.json();
    assert_eq!((&runs[0]["id"], &runs[0]["prompts"]), (&json!(id), &json!(["p"])));
}

#[test]
fn the_played_calls_are_those_of_the_document() {
    let document: Value = serde_json::from_str(include_str!("../../fixtures/codegen-openapi.json")).unwrap();
    for call in Call::ALL {
        let operation = &document["paths"][call.path()][call.method().as_str().to_ascii_lowercase()];
        assert!(operation.is_object(), "{call:?}");
    }
}

fn listed(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|run| run["id"].as_i64().unwrap()).collect()
}

/// total, page, size, pages
fn envelope(page: &Value) -> (i64, i64, i64, i64) {
    let number = |name: &str| page[name].as_i64().unwrap();
    (number("total"), number("page"), number("size"), number("pages"))
}
