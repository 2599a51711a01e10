//! Bans, set-up commands, check settings and pull requests.

use serde_json::{Value, json};

use super::bench::{Bench, TOKEN, config, org};

#[tokio::test]
async fn a_ban_stops_what_works_and_flags_the_change_until_it_is_lifted() {
    let bench = Bench::unlimited();
    for path in ["agent/run/ban", "agent/run/remove-from-pr"] {
        let (ended, works) = (bench.create("first").await, bench.create("second\nsandbox: life=1h").await);
        bench.advance(60_000);
        for id in [ended, works] {
            bench.post(&org(path), json!({"agent_run_id": id, "before_card_order_id": null})).await;
        }
        bench.advance(7_200_000);
        assert_eq!(bench.run(ended).await["status"], "COMPLETE", "its end stays");
        assert_eq!(bench.run(works).await["status"], "CANCELLED");
        let banned = |id| bench.sandbox.runs().into_iter().any(|run| run.id == id && run.banned);
        assert!(banned(ended) && banned(works));
        bench.post(&org("agent/run/unban"), json!({"agent_run_id": works})).await;
        assert!(!banned(works) && banned(ended));
        assert_eq!(bench.run(works).await["status"], "CANCELLED", "what was stopped stays so");
    }
    for path in ["agent/run/ban", "agent/run/unban", "agent/run/remove-from-pr"] {
        let gone = bench.call("POST", &org(path), Some(TOKEN), Some(r#"{"agent_run_id": 7}"#)).await;
        assert_eq!((gone.status, &gone.json()["message"]), (404, &json!("Agent run not found.")));
        for wrong in ["{}", r#"{"agent_run_id": "x"}"#, r#"{"agent_run_id": 7, "after_card_order_id": 1}"#] {
            assert_eq!(bench.call("POST", &org(path), Some(TOKEN), Some(wrong)).await.status, 422, "{path} {wrong}");
        }
    }
}

#[tokio::test]
async fn a_run_that_works_can_be_told_more() {
    let bench = Bench::unlimited();
    let id = bench.create("first\nsandbox: life=1h").await;
    bench.advance(1000);
    let told = bench.post(&org("agent/run/resume"), json!({"agent_run_id": id, "prompt": "second"})).await;
    assert_eq!(told["status"], "ACTIVE");
    bench.advance(5000);
    let done = bench.run(id).await;
    assert_eq!((&done["status"], &done["result"]), (&json!("COMPLETE"), &json!("Done: second")));
}

#[tokio::test]
async fn set_up_commands_make_a_run_of_their_own_kind() {
    let bench = Bench::unlimited();
    let made = bench.post(&org("setup-commands/generate"), json!({"repo_id": 101, "prompt": "Use make."})).await;
    let id = made["agent_run_id"].as_i64().unwrap();
    assert_eq!(made["status"], "ACTIVE");
    bench.advance(5000);
    let run = bench.run(id).await;
    assert_eq!(
        (&run["status"], &run["source_type"], &run["url"]),
        (&json!("COMPLETE"), &json!("SETUP_COMMANDS"), &Value::Null)
    );
    assert_eq!((&run["metadata"], &run["github_pull_requests"]), (&Value::Null, &json!([])));
    assert_eq!(bench.get(&org("agent/runs?source_type=API")).await["total"], 0);
    assert_eq!(bench.get(&org("agent/runs?source_type=SETUP_COMMANDS")).await["items"][0]["id"], id);
    bench.post(&org("setup-commands/generate"), json!({"repo_id": 102})).await;
    assert_eq!(bench.sandbox.runs()[1].prompts, ["Generate set-up commands for acme/gears."]);
}

#[tokio::test]
async fn set_up_commands_have_a_window_of_their_own() {
    let bench = Bench::new(config());
    let path = org("setup-commands/generate");
    for status in [200, 200, 200, 200, 200, 429] {
        let reply = bench.call("POST", &path, Some(TOKEN), Some(r#"{"repo_id": 101}"#)).await;
        assert_eq!(reply.status, status);
    }
    bench.create("creates have theirs").await;
}

#[tokio::test]
async fn check_settings_are_kept_as_they_were_put() {
    let bench = Bench::unlimited();
    let path = org("repos/check-suite-settings?repo_id=101");
    let default = bench.get(&path).await;
    assert_eq!(default["check_retry_count"], 3);
    let put = json!({"check_retry_count": 0, "ignored_checks": ["lint"], "check_retry_counts": {"e2e": 1},
        "custom_prompts": {"e2e": "Look at the log."}, "high_priority_apps": null});
    let reply = bench.call("PUT", &path, Some(TOKEN), Some(&put.to_string())).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let settings = bench.get(&path).await;
    assert_eq!((&settings["check_retry_count"], &settings["ignored_checks"]), (&json!(0), &json!(["lint"])));
    assert_eq!(settings["custom_prompts"], json!({"e2e": "Look at the log."}));
    assert_eq!(settings["high_priority_apps"], json!([]));
    assert_eq!(bench.get(&org("repos/check-suite-settings?repo_id=102")).await, default);
    for wrong in [
        r#"{"check_retry_count": 11}"#,
        r#"{"check_retry_count": -1}"#,
        r#"{"ignored_checks": [1]}"#,
        r#"{"check_retry_counts": {"e2e": "often"}}"#,
        r#"{"custom_prompts": ["x"]}"#,
    ] {
        assert_eq!(bench.call("PUT", &path, Some(TOKEN), Some(wrong)).await.status, 422, "{wrong}");
    }
    let missing = bench.call("GET", &org("repos/check-suite-settings"), Some(TOKEN), None).await;
    assert_eq!(missing.json()["detail"][0]["loc"], json!(["query", "repo_id"]));
    assert_eq!(bench.call("GET", &path, None, None).await.status, 403);
}

#[tokio::test]
async fn the_pull_request_of_a_run_can_be_edited() {
    let bench = Bench::unlimited();
    let id = bench.post(&org("agent/run"), json!({"prompt": "Do it", "repo_id": 101})).await["id"].as_i64().unwrap();
    bench.advance(5000);
    for path in [org(&format!("prs/{id}")), org(&format!("repos/101/prs/{id}"))] {
        let reply = bench.call("PATCH", &path, Some(TOKEN), Some(r#"{"state": "closed"}"#)).await.json();
        assert_eq!(
            (&reply["success"], &reply["number"], &reply["state"]),
            (&json!(true), &json!(id), &json!("closed"))
        );
        for wrong in ["{}", r#"{"state": "merged"}"#, r#"{"state": 1}"#] {
            let reply = bench.call("PATCH", &path, Some(TOKEN), Some(wrong)).await;
            assert_eq!(reply.json()["detail"].as_array().map(Vec::len), Some(1), "{wrong}: {}", reply.text);
        }
    }
    let none = bench.call("PATCH", &org("prs/7"), Some(TOKEN), Some(r#"{"state": "open"}"#)).await.json();
    assert_eq!((&none["success"], none["error"].is_string()), (&json!(false), true));
}
