//! The lives of runs: their status words, directions in prompts, resumes, traces, and holding them.

use hookrun::sandbox::{SandboxConfig, Speed};
use serde_json::{Value, json};

use super::bench::{Bench, TOKEN, config, org, request};

async fn status(bench: &Bench, id: i64) -> Value {
    bench.run(id).await["status"].clone()
}

async fn logs(bench: &Bench, id: i64, query: &str) -> Value {
    bench.get(&format!("/v1/alpha/organizations/42/agent/run/{id}/logs{query}")).await
}

/// The trace as (type, observation).
fn steps(logs: &Value) -> Vec<(String, Value)> {
    let steps = logs["logs"].as_array().unwrap().iter();
    steps.map(|step| (step["message_type"].as_str().unwrap().to_owned(), step["observation"].clone())).collect()
}

#[tokio::test]
async fn a_run_is_complete_five_seconds_after_its_creation() {
    let bench = Bench::unlimited();
    let id = bench.create("Fix the build\nof acme/widgets").await;
    for (millis, word) in
        [(3999, "ACTIVE"), (1, "EVALUATION"), (999, "EVALUATION"), (1, "COMPLETE"), (86_400_000, "COMPLETE")]
    {
        bench.advance(millis);
        assert_eq!(status(&bench, id).await, word, "after {millis} more");
    }
    let run = bench.run(id).await;
    assert_eq!(run["result"], "Done: Fix the build");
    assert!(run["summary"].is_string());
    assert_eq!(run["created_at"], "2026-03-01T12:00:00.123Z", "its creation stays");
}

#[tokio::test]
async fn a_finished_run_of_a_known_repository_has_a_pull_request() {
    let bench = Bench::unlimited();
    for (repo, url) in [
        (json!(101), Some("https://github.com/acme/widgets/pull/")),
        (json!(102), Some("https://github.com/acme/gears/pull/")),
        (json!(103), None),
        (json!(null), None),
    ] {
        let run = bench.post(&org("agent/run"), json!({"prompt": "Do it", "repo_id": repo})).await;
        let id = run["id"].as_i64().unwrap();
        bench.advance(4999);
        assert_eq!(bench.run(id).await["github_pull_requests"], json!([]), "not before its end");
        bench.advance(1);
        let changes = bench.run(id).await["github_pull_requests"].clone();
        match url {
            Some(url) => {
                assert!(changes[0]["url"].as_str().unwrap().starts_with(url), "{changes}");
                assert_eq!(changes[0]["head_branch_name"], format!("codegen/run-{id}"));
                assert_eq!(changes[0]["title"], "Do it");
            }
            None => assert_eq!(changes, json!([])),
        }
        assert_eq!(bench.get(&org("agent/runs")).await["items"][0]["github_pull_requests"], changes);
    }
}

#[tokio::test]
async fn a_prompt_directs_its_run() {
    let bench = Bench::unlimited();
    for (prompt, life, word, result, changes) in [
        ("Fix it\nsandbox: status=ERROR", 5000, "ERROR", json!(null), 0),
        ("sandbox: status=TIMEOUT\nsandbox: result=It took too long.", 5000, "TIMEOUT", json!("It took too long."), 0),
        ("  sandbox: life = 30s\nlong", 30_000, "COMPLETE", json!("Done: sandbox: life = 30s"), 1),
        ("short\nsandbox: life=10ms\nsandbox: pr=none", 10, "COMPLETE", json!("Done: short"), 0),
        ("wait\nsandbox: status=PAUSED", 5000, "PAUSED", json!(null), 0),
        (
            "text\nsandbox: life=soon\nsandbox: status=\n a sandbox: status=ERROR",
            5000,
            "COMPLETE",
            json!("Done: text"),
            1,
        ),
    ] {
        let run = bench.post(&org("agent/run"), json!({"prompt": prompt, "repo_id": 101})).await;
        let id = run["id"].as_i64().unwrap();
        bench.advance(life - 1);
        assert_eq!(status(&bench, id).await, "EVALUATION", "{prompt}");
        bench.advance(1);
        let run = bench.run(id).await;
        assert_eq!((&run["status"], &run["result"]), (&json!(word), &result), "{prompt}");
        assert_eq!(run["github_pull_requests"].as_array().unwrap().len(), changes, "{prompt}");
    }
}

#[tokio::test]
async fn speed_divides_the_life_and_nothing_else() {
    let fast = Bench::new(SandboxConfig { speed: Speed::new(50.0).unwrap(), ..config() });
    let id = fast.create("p").await;
    fast.advance(99);
    assert_eq!(status(&fast, id).await, "EVALUATION");
    fast.advance(1);
    assert_eq!(status(&fast, id).await, "COMPLETE");
    let directed = fast.create("p\nsandbox: life=10s").await;
    fast.advance(199);
    assert_eq!(status(&fast, directed).await, "EVALUATION");
    fast.advance(1);
    assert_eq!(status(&fast, directed).await, "COMPLETE");
    for _ in 0..8 {
        fast.create("p").await;
    }
    fast.advance(50_000);
    let refused = fast.call("POST", &org("agent/run"), Some(TOKEN), Some(r#"{"prompt":"p"}"#)).await;
    assert_eq!(refused.status, 429, "the windows are not sped up");

    let still = Bench::new(SandboxConfig { speed: Speed::new(1e-300).unwrap(), ..config() });
    let id = still.create("p").await;
    still.advance(u64::from(u32::MAX));
    assert_eq!(status(&still, id).await, "ACTIVE");
    for wrong in ["0", "-1", "NaN", "inf", "", "fast"] {
        assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_resume_answers_the_same_run_and_makes_it_live_again() {
    let bench = Bench::unlimited();
    let sent = json!({"prompt": "Do it", "repo_id": 101, "metadata": {"job": "1"}});
    let id = bench.post(&org("agent/run"), sent).await["id"].as_i64().unwrap();
    bench.advance(60_000);
    let before = bench.run(id).await;
    let resumed = bench.post(&org("agent/run/resume"), json!({"agent_run_id": id, "prompt": "Still red"})).await;
    assert_eq!((&resumed["id"], &resumed["status"]), (&json!(id), &json!("ACTIVE")));
    assert_eq!((&resumed["metadata"], &resumed["created_at"]), (&before["metadata"], &before["created_at"]));
    assert_eq!(resumed["github_pull_requests"], before["github_pull_requests"], "its change stays");
    assert_eq!(resumed["result"], json!(null));
    assert_eq!(bench.get(&org("agent/runs")).await["total"], 1);
    bench.advance(4999);
    assert_eq!(status(&bench, id).await, "EVALUATION");
    bench.advance(1);
    let done = bench.run(id).await;
    assert_eq!((&done["status"], &done["result"]), (&json!("COMPLETE"), &json!("Done: Still red")));
    assert_eq!(done["github_pull_requests"].as_array().unwrap().len(), 1);
    let other_end = json!({"agent_run_id": id, "prompt": "again\nsandbox: status=FAILED\nsandbox: life=1s"});
    bench.post(&org("agent/run/resume"), other_end).await;
    bench.advance(1000);
    assert_eq!(status(&bench, id).await, "FAILED");
}

#[tokio::test]
async fn the_trace_holds_every_prompt_and_grows_with_the_run() {
    let bench = Bench::unlimited();
    let id = bench.create("Do it\nhookrun job 7").await;
    let first = logs(&bench, id, "").await;
    assert_eq!(steps(&first), [("USER_MESSAGE".to_owned(), json!("Do it\nhookrun job 7"))]);
    assert_eq!((&first["id"], &first["status"], &first["total_logs"]), (&json!(id), &json!("ACTIVE"), &json!(1)));
    bench.advance(5000);
    bench
        .post(&org("agent/run/resume"), json!({"agent_run_id": id, "prompt": "hookrun job 8\nsandbox: status=ERROR"}))
        .await;
    bench.advance(5000);
    let all = logs(&bench, id, "").await;
    let kinds: Vec<String> = steps(&all).into_iter().map(|(kind, _)| kind).collect();
    let life = ["USER_MESSAGE", "PLAN_EVALUATION", "ACTION"];
    let expected: Vec<&str> = life.iter().chain(&["FINAL_ANSWER"]).chain(&life).chain(&["ERROR"]).copied().collect();
    assert_eq!(kinds, expected);
    assert_eq!(steps(&all)[4].1, "hookrun job 8\nsandbox: status=ERROR");
    let times: Vec<&str> =
        all["logs"].as_array().unwrap().iter().map(|log| log["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");

    let newest = logs(&bench, id, "?reverse=true&limit=3&skip=3").await;
    assert_eq!(
        steps(&newest).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(),
        ["USER_MESSAGE", "FINAL_ANSWER", "ACTION"]
    );
    let envelope = ["total_logs", "page", "size", "pages"].map(|name| newest[name].clone());
    assert_eq!(json!(envelope), json!([8, 2, 3, 3]));
}

#[tokio::test]
async fn a_run_can_be_held_in_any_status_and_released() {
    let bench = Bench::unlimited();
    let id = bench.create("p").await;
    let path = format!("/sandbox/runs/{id}/status");
    for word in [json!("PAUSED"), json!(null), json!("DAYDREAMING")] {
        let reply = bench.send(request("POST", &path, None, Some(&json!({"status": word}).to_string()))).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        bench.advance(60_000);
        assert_eq!(status(&bench, id).await, word, "held against the clock");
    }
    assert_eq!(bench.send(request("DELETE", &path, None, None)).await.status, 200);
    assert_eq!(status(&bench, id).await, "COMPLETE", "its time had gone on");

    assert!(bench.sandbox.hold(id, Some("STOPPED".to_owned())));
    bench.post(&org("agent/run/resume"), json!({"agent_run_id": id, "prompt": "go on"})).await;
    assert_eq!(status(&bench, id).await, "ACTIVE", "a resume lets it go");
    assert!(!bench.sandbox.hold(7, None) && !bench.sandbox.release(7));
    assert_eq!(bench.send(request("DELETE", "/sandbox/runs/7/status", None, None)).await.status, 404);
    for wrong in ["{}", "PAUSED", r#"{"status":1}"#, r#"{"state":"PAUSED"}"#] {
        assert_eq!(bench.send(request("POST", &path, None, Some(wrong))).await.status, 422, "{wrong}");
    }
}
