//! `why`, explain, replay and rules diff as the status API and the pages answer them.

use std::time::Duration;

use axum::http::StatusCode;
use hookrun::model::clock::Clock;
use hookrun::model::delivery::SourceKind;
use serde_json::{Value, json};

use crate::daemon::failed_check;
use crate::server_support::{HOSTILE, OPERATOR, RULE, VIEWER, World, ask, get, post};
use crate::webhook_support::signed;

pub(crate) const SHA: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";

impl World {
    /// Takes a failed check of a branch by the real way in; our id of the delivery.
    pub(crate) async fn takes(&self, id: u64, sha: &str, branch: &str) -> String {
        let body = failed_check(id, sha).replace("fix/login", branch);
        let headers = signed(SourceKind::Github, "check_run", body.as_bytes());
        self.clock.advance(Duration::from_secs(1));
        self.intake().receive("github", &headers, body.into()).await.unwrap().delivery
    }

    async fn why(&self, query: &str) -> Value {
        let answer = get(&self.admin(), &format!("/api/v1/why?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    async fn why_of(&self, what: &str) -> Value {
        let what: String = form_urlencoded::byte_serialize(what.as_bytes()).collect();
        self.why(&format!("q={what}")).await
    }
}

fn texts(value: &Value) -> String {
    value.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_rule_that_did_not_fire_is_explained_by_whatever_is_at_hand() {
    let world = World::empty().await;
    let delivery = world.takes(71, SHA, "main").await;
    for what in [
        "https://github.com/acme/widgets/runs/71",
        "https://github.com/acme/widgets/actions/runs/70/job/71",
        "https://github.com/acme/widgets/commit/ec26c3e57ca3a959ca5aad62de7213c562f8c821",
        "ec26c3e",
        "github.com/acme/widgets@main",
        "https://github.com/acme/widgets/tree/main",
        &delivery,
        &format!("http://127.0.0.1:8081/deliveries/{delivery}"),
    ] {
        let story = world.why_of(what).await;
        let answer = story["answer"].as_str().unwrap();
        assert!(answer.contains("fix-failed-checks said no match, branches: main is not wanted"), "{what}: {answer}");
        assert_eq!(story["steps"][0]["delivery"], json!(delivery), "{what}");
        assert_eq!(story["steps"][0]["lines"][0]["why"], "branches: main is not wanted (branches = \"main\")");
    }
    let rule = world.why("rule=fix-failed-checks&since=8h").await;
    assert_eq!((&rule["deliveries"], &rule["asked"]), (&json!(1), &json!(1)));
    assert_eq!(rule["said"], json!([{"what": "no_match: branches: main is not wanted", "times": 1}]));
    assert_eq!(rule["nearest"][0]["delivery"], json!(delivery));
    assert!(rule["answer"].as_str().unwrap().contains("acted on none. The nearest: no match, branches: main"));
    world.clock.advance(Duration::from_hours(9));
    assert_eq!(world.why("rule=fix-failed-checks&since=8h").await["deliveries"], 0);
    let none = world.why("rule=fix-faild-checks").await;
    assert!(none["answer"].as_str().unwrap().contains("did you mean \"fix-failed-checks\"?"), "{none}");
}

#[tokio::test]
async fn what_waits_is_told_with_every_gate_and_until_when() {
    let world = World::empty().await;
    world.takes(71, SHA, "fix/login").await;
    let job = get(&world.admin(), "/api/v1/jobs").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    for what in ["https://github.com/acme/widgets/runs/71", "github.com/acme/widgets@fix/login", SHA, &job] {
        let story = world.why_of(what).await;
        let answer = story["answer"].as_str().unwrap();
        assert!(answer.contains("The rule fix-failed-checks acted; it waits: settling"), "{what}: {answer}");
        assert!(answer.contains(", until 2026-"), "{what}: {answer}");
        let steps = story["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| step["what"].as_str().unwrap()).collect::<Vec<_>>(), ["delivery", "job"]);
        assert_eq!((&steps[1]["job"], &steps[1]["lines"][0]["who"]), (&json!(job), &json!("settle")), "{what}");
    }
}

#[tokio::test]
async fn what_never_came_is_said_with_where_to_look() {
    let world = World::empty().await;
    let story = world.why_of("https://github.com/acme/widgets/pull/42").await;
    assert!(story["answer"].as_str().unwrap().contains("Nothing about acme/widgets#42 on github.com ever came"));
    let advice = texts(&story["advice"]);
    for part in [
        "Nothing of acme/widgets ever came: its webhook is missing",
        "https://github.com/acme/widgets/settings/hooks",
        "/webhooks/github of the public listener",
        "Rules that look at acme/widgets: fix-failed-checks",
    ] {
        assert!(advice.contains(part), "{part} is not in\n{advice}");
    }
    world.takes(1, SHA, "fix/login").await;
    let advice = texts(&world.why_of("https://github.com/acme/widgets/actions/runs/99").await["advice"]);
    assert!(advice.contains("Other things of acme/widgets did come, the last at 2026-"), "{advice}");
    let advice = texts(&world.why_of("https://gitlab.example.com/platform/api/-/pipelines/9").await["advice"]);
    for part in ["https://gitlab.example.com/platform/api/-/hooks", "No configured source", "No rule looks at"] {
        assert!(advice.contains(part), "{part} is not in\n{advice}");
    }
    for (query, status) in [
        ("q=0198c5a2-7d1e-7000-8000-0123456789ab", StatusCode::NOT_FOUND),
        ("q=12", StatusCode::NOT_FOUND),
        ("q=what+is+this", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        ("rule=a&q=b", StatusCode::BAD_REQUEST),
        ("rule=a&since=soon", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(get(&world.admin(), &format!("/api/v1/why?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn a_run_and_its_end_are_part_of_the_story() {
    let (world, story) = World::with_a_story().await;
    for what in ["4711", "https://codegen.com/agent/trace/4711", &story.running] {
        let told = world.why_of(what).await;
        let sent = told["steps"].as_array().unwrap().iter().find(|step| step["what"] == "sent").unwrap().clone();
        assert!(sent["text"].as_str().unwrap().contains("run 4711"), "{what}: {sent}");
        assert_eq!(sent["url"], "https://codegen.example/agent/trace/4711");
    }
}

#[tokio::test]
async fn who_may_read_may_ask_and_only_an_operator_may_replay() {
    let world = World::empty().await;
    let delivery = world.takes(71, SHA, "fix/login").await;
    let admin = world.admin();
    let viewer = [("authorization", &*format!("Bearer {VIEWER}"))];
    let rules = RULE.replace("\"!main\"", "\"main\"");
    let candidate = json!({"files": [{"name": "new.toml", "text": rules}]}).to_string();
    let body: Value = serde_json::from_str(&failed_check(71, SHA)).unwrap();
    let payload = json!({"headers": {"X-GitHub-Event": "check_run"}, "body": body}).to_string();
    let replay = format!("/api/v1/deliveries/{delivery}/replay");
    for (method, path, body, status) in [
        ("GET", &*format!("/api/v1/deliveries/{delivery}/explain"), "", StatusCode::OK),
        ("GET", &format!("/api/v1/deliveries/{delivery}/export"), "", StatusCode::OK),
        ("GET", "/api/v1/deliveries/none/explain", "", StatusCode::NOT_FOUND),
        ("POST", "/api/v1/explain", &payload, StatusCode::OK),
        ("POST", "/api/v1/explain", "{}", StatusCode::BAD_REQUEST),
        ("POST", "/api/v1/rules/diff?since=7d", &candidate, StatusCode::OK),
        (
            "POST",
            "/api/v1/rules/diff?since=7d",
            "{\"files\":[{\"name\":\"a\",\"text\":\"[[rule]]\"}]}",
            StatusCode::BAD_REQUEST,
        ),
        ("POST", &replay, "{}", StatusCode::FORBIDDEN),
        ("POST", "/api/v1/replay?since=1d", "", StatusCode::FORBIDDEN),
    ] {
        let answer = ask(&admin, method, path, &viewer, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
    let large = json!({"headers": {}, "body": {"text": "x".repeat(5 << 20)}}).to_string();
    assert_eq!(post(&admin, "/api/v1/explain", &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let foreign = [("authorization", &*format!("Bearer {OPERATOR}")), ("origin", "https://evil.example")];
    assert_eq!(ask(&admin, "POST", "/api/v1/explain", &foreign, &payload).await.status, StatusCode::FORBIDDEN);

    let explained = post(&admin, "/api/v1/explain", &payload).await.json();
    assert_eq!(explained["verdicts"][0]["now"]["decision"], "duplicate");
    let dry = post(&admin, &replay, "{}").await.json();
    assert_eq!(
        (&dry["recorded_as"], &dry["report"]["verdicts"][0]["now"]["decision"]),
        (&Value::Null, &json!("joined"))
    );
    let done = post(&admin, &replay, "{\"execute\": true}").await.json();
    assert!(done["recorded_as"].is_string(), "{done}");
    let many = post(&admin, "/api/v1/replay?since=1d&rule=fix-failed-checks", "").await.json();
    // The replay itself is none of what came.
    assert_eq!((&many["deliveries"], many["items"].as_array().unwrap().len()), (&json!(1), 1));
    let item = get(&admin, &format!("/api/v1/deliveries/{}", done["recorded_as"].as_str().unwrap())).await.json();
    assert_eq!(item["replay_of"], json!(delivery));
}

/// What replays record, and what arrives while they go on, would otherwise be replayed in its turn, without end.
#[tokio::test]
async fn many_replays_end_with_what_had_come_when_they_began() {
    let world = World::empty().await;
    for id in 0..5_u64 {
        world.takes(id, &format!("{id}c26c3e57ca3a959ca5aad62de7213c562f8c821"), "fix").await;
    }
    let (mut cursor, mut looked, mut pages) = (String::new(), 0, 0);
    loop {
        let path = format!("/api/v1/replay?since=7d&limit=2&execute=true{cursor}");
        let page = post(&world.admin(), &path, "").await.json();
        looked += page["deliveries"].as_u64().unwrap();
        pages += 1;
        world.takes(10 + pages, &format!("{pages}d26c3e57ca3a959ca5aad62de7213c562f8c821"), "fix").await;
        match page["next"].as_str() {
            Some(next) if pages < 10 => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    assert_eq!((looked, pages), (5, 3));
    for cursor in ["x", "1.x", "x.MDE5MTBhNmUtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw"] {
        let answer = post(&world.admin(), &format!("/api/v1/replay?since=7d&cursor={cursor}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{cursor}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_diff_is_told_in_pages_rule_by_rule() {
    let world = World::empty().await;
    for id in 0..5_u64 {
        world
            .takes(id, &format!("{id}c26c3e57ca3a959ca5aad62de7213c562f8c821"), if id < 2 { "main" } else { "fix" })
            .await;
    }
    let rules = RULE.replace("\"!main\"", "\"main\"");
    let candidate = json!({"files": [{"name": "new.toml", "text": rules}]}).to_string();
    let (mut cursor, mut sums, mut looked) = (String::new(), [0, 0, 0], 0);
    loop {
        let path = format!("/api/v1/rules/diff?since=7d&limit=2{cursor}");
        let page = post(&world.admin(), &path, &candidate).await.json();
        looked += page["deliveries"].as_u64().unwrap();
        for rule in page["rules"].as_array().unwrap() {
            assert_eq!(rule["rule"], "fix-failed-checks");
            for (at, shift) in ["starts", "stops", "stays"].into_iter().enumerate() {
                sums[at] += rule[shift].as_u64().unwrap();
            }
            assert!(rule["examples"][0]["received_at"].as_str().unwrap().starts_with("2026-"));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((sums, looked), ([2, 3, 0], 5));
}

#[tokio::test]
async fn the_search_box_leads_to_the_story_and_a_strangers_words_stay_words() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let page = get(&admin, &format!("/why?q={}", story.queued)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("name=\"q\"") && page.body.contains("The story of"), "{}", page.body);
    let hostile: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let refused = get(&admin, &format!("/why?q={hostile}")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    for page in [&page, &refused, &get(&admin, "/why").await] {
        assert!(!page.body.contains("<script>document"), "{}", page.body);
    }
    let delivery = world.takes(71, SHA, "fix/login").await;
    let shown = get(&admin, &format!("/deliveries/{delivery}")).await;
    let link = format!("/deliveries/{delivery}/explain");
    assert!(shown.body.contains(&link));
    let explained = get(&admin, &link).await;
    assert!(explained.body.contains("fix-failed-checks") && explained.body.contains(&format!("Fix {SHA}")));
    let moment = world.clock.now().to_rfc3339();
    assert!(moment.starts_with("2026-"));
}
