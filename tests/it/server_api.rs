//! The status API: what it tells, its document, its pages of lists, the acts.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hookrun::store::Retention;
use serde_json::{Value, json};

use crate::server_support::{HOSTILE, RULE, World, get, post};
use crate::server_why::SHA;

/// Checks an answer against the OpenAPI document's word for it.
fn valid(document: &Value, template: &str, method: &str, status: u16, answer: &Value) {
    let responses = &document["paths"][template][method]["responses"];
    let exact = &responses[status.to_string()];
    let (said, kind) = if exact.is_null() {
        (&responses[format!("{}XX", status / 100)], "application/problem+json")
    } else {
        (exact, "application/json")
    };
    let mut schema = said["content"][kind]["schema"].clone();
    assert!(schema.is_object(), "{method} {template} does not tell of {status}");
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path)).collect();
    assert!(errors.is_empty(), "{method} {template}: {errors:#?} in {answer:#}");
}

async fn document(router: &Router) -> Value {
    get(router, "/api/v1/openapi.json").await.json()
}

#[tokio::test]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    let kept = include_str!("../../config/openapi.json");
    let world = World::empty().await;
    assert_eq!(document(&world.admin()).await, serde_json::from_str::<Value>(kept).unwrap());
}

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let document = document(&admin).await;
    let mut asked = BTreeSet::new();
    let taken = world.takes(71, SHA, "fix/login").await;
    for (template, path, status) in [
        ("/api/v1/status", "/api/v1/status".to_owned(), 200),
        ("/api/v1/status", "/api/v1/status?x=1".to_owned(), 400),
        ("/api/v1/deliveries", "/api/v1/deliveries".to_owned(), 200),
        ("/api/v1/deliveries/{id}", format!("/api/v1/deliveries/{}", story.denied), 200),
        ("/api/v1/deliveries/{id}", "/api/v1/deliveries/none".to_owned(), 404),
        ("/api/v1/jobs", "/api/v1/jobs".to_owned(), 200),
        ("/api/v1/jobs/{id}", format!("/api/v1/jobs/{}", story.running), 200),
        ("/api/v1/jobs/{id}", format!("/api/v1/jobs/{}", story.queued), 200),
        ("/api/v1/jobs/{id}", "/api/v1/jobs/none".to_owned(), 404),
        ("/api/v1/runs", "/api/v1/runs".to_owned(), 200),
        ("/api/v1/runs/{id}", "/api/v1/runs/4711".to_owned(), 200),
        ("/api/v1/runs/{id}", "/api/v1/runs/1".to_owned(), 404),
        ("/api/v1/runs/{id}", "/api/v1/runs/none".to_owned(), 404),
        ("/api/v1/rules", "/api/v1/rules".to_owned(), 200),
        ("/api/v1/pauses", "/api/v1/pauses".to_owned(), 200),
        ("/api/v1/notices", "/api/v1/notices?open=false".to_owned(), 200),
        ("/api/v1/notices", "/api/v1/notices?open=perhaps".to_owned(), 400),
        ("/api/v1/deliveries/{id}/explain", format!("/api/v1/deliveries/{taken}/explain"), 200),
        ("/api/v1/deliveries/{id}/explain", "/api/v1/deliveries/none/explain".to_owned(), 404),
        ("/api/v1/deliveries/{id}/export", format!("/api/v1/deliveries/{taken}/export"), 200),
        ("/api/v1/why", format!("/api/v1/why?q={}", story.running), 200),
        ("/api/v1/why", "/api/v1/why?rule=fix-failed-checks&since=8h".to_owned(), 200),
        ("/api/v1/why", "/api/v1/why".to_owned(), 400),
    ] {
        let answer = get(&admin, &path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        valid(&document, template, "get", status, &answer.json());
        asked.insert(format!("get {template}"));
    }
    for (act, job, body, status) in [
        ("cancel", &story.queued, "", 200),
        ("cancel", &story.running, "", 409),
        ("adopt", &story.uncertain, "not json", 400),
        ("adopt", &story.uncertain, r#"{"run": 4712}"#, 200),
        ("retry", &story.held, "", 200),
        ("absent", &story.running, "", 409),
    ] {
        let template = format!("/api/v1/jobs/{{id}}/{act}");
        let answer = post(&admin, &format!("/api/v1/jobs/{job}/{act}"), body).await;
        assert_eq!(answer.status.as_u16(), status, "{act}: {}", answer.body);
        valid(&document, &template, "post", status, &answer.json());
        asked.insert(format!("post {template}"));
    }
    let run = "/api/v1/runs/{id}";
    world.deny().await;
    for (template, path, body, status) in [
        ("/api/v1/jobs/{id}/approve", format!("/api/v1/jobs/{}/approve", story.running), "", 409),
        ("/api/v1/pause", "/api/v1/pause".to_owned(), r#"{"what": "rule:x", "for": "4h", "reason": "a look"}"#, 200),
        ("/api/v1/pause", "/api/v1/pause".to_owned(), r#"{"what": "moon"}"#, 400),
        ("/api/v1/resume", "/api/v1/resume".to_owned(), r#"{"what": "rule:x", "dry": true}"#, 200),
        ("/api/v1/resume", "/api/v1/resume".to_owned(), r#"{"what": "all"}"#, 404),
        ("/api/v1/jobs/cancel", "/api/v1/jobs/cancel".to_owned(), r#"{"rule": "review-change"}"#, 200),
        ("/api/v1/jobs/cancel", "/api/v1/jobs/cancel".to_owned(), "{}", 400),
        ("/api/v1/breakers/{name}/release", "/api/v1/breakers/access/release".to_owned(), "", 200),
        ("/api/v1/breakers/{name}/release", "/api/v1/breakers/access/release".to_owned(), "", 404),
        ("/api/v1/breakers/{name}/release", "/api/v1/breakers/moon/release".to_owned(), "", 404),
        ("/api/v1/notices/{id}/settle", "/api/v1/notices/none/settle".to_owned(), "", 404),
        ("/api/v1/subjects/reset-attempts", "/api/v1/subjects/reset-attempts".to_owned(), r#"{"subject": "s"}"#, 200),
        (&*format!("{run}/ban"), "/api/v1/runs/4711/ban".to_owned(), "", 200),
        (&*format!("{run}/unban"), "/api/v1/runs/4711/unban".to_owned(), "", 200),
        (&*format!("{run}/resume"), "/api/v1/runs/4711/resume".to_owned(), r#"{"prompt": "Go on."}"#, 200),
        (&*format!("{run}/resume"), "/api/v1/runs/1/resume".to_owned(), r#"{"prompt": "Go on."}"#, 404),
    ] {
        let answer = post(&admin, &path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        valid(&document, template, "post", status, &answer.json());
        asked.insert(format!("post {template}"));
    }
    let payload = json!({"headers": {"X-GitHub-Event": "check_run"}, "body": {}}).to_string();
    let candidate = json!({"files": [{"name": "new.toml", "text": RULE.replace("!main", "main")}]}).to_string();
    for (template, query, body, status) in [
        ("/api/v1/explain", "", payload.as_str(), 200),
        ("/api/v1/explain", "", "{}", 400),
        ("/api/v1/deliveries/{id}/replay", "", "{\"execute\": true}", 200),
        ("/api/v1/replay", "?since=1d", "", 200),
        ("/api/v1/replay", "", "", 400),
        ("/api/v1/rules/diff", "?since=1d", &candidate, 200),
    ] {
        let answer = post(&admin, &(template.replace("{id}", &taken) + query), body).await;
        assert_eq!(answer.status.as_u16(), status, "{template}: {}", answer.body);
        valid(&document, template, "post", status, &answer.json());
        asked.insert(format!("post {template}"));
    }
    let told: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    assert_eq!(asked, told, "every path of the document is asked for here");
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let names: BTreeSet<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), told.len(), "operation ids are names: {names:?}");
}

#[tokio::test]
async fn the_status_tells_the_whole() {
    let (world, story) = World::with_a_story().await;
    let status = get(&world.admin(), "/api/v1/status").await.json();
    assert_eq!(status["jobs"]["running"], 1);
    assert_eq!(status["jobs"]["queued"], 1);
    assert_eq!(status["jobs"]["held"], 1);
    assert_eq!(status["jobs"]["uncertain"], 1);
    assert_eq!(status["jobs"].as_object().unwrap().len(), 12, "every state is named");
    assert_eq!(status["rules_hash"], "9f8e7d6c5b4a3f2e");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["oldest_waiting"]["id"], story.queued.as_str());
    assert_eq!(status["active_runs"][0]["id"], 4711);
    let window = |class: &str| {
        status["windows"].as_array().unwrap().iter().find(|window| window["class"] == class).cloned().unwrap()
    };
    assert_eq!((&window("create")["limit"], &window("create")["used"]), (&json!(10), &json!(2)));
    assert_eq!(window("create")["free"], 8);
    assert_eq!(window("logs")["free"], 0, "frozen");
    assert_eq!(window("logs")["reason"], HOSTILE);
    let problems = status["problems"].as_array().unwrap();
    let about = |word: &str| problems.iter().any(|problem| problem["message"].as_str().unwrap().contains(word));
    for word in ["class logs", "1 job waits for a person", "1 call ended without an answer", "Run 4711"] {
        assert!(about(word), "{word}: {problems:#?}");
    }
}

#[tokio::test]
async fn a_job_tells_why_it_waits_and_what_was_said() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let queued = get(&admin, &format!("/api/v1/jobs/{}", story.queued)).await.json();
    assert!(queued["reason"].as_str().unwrap().starts_with("settling"), "{queued}");
    assert!(queued["until"].as_str().unwrap().ends_with('Z'));
    assert_eq!(queued["gates"][0]["gate"], "settle");
    assert_eq!(queued["prompt"], Value::Null);
    // Asking is not writing.
    let stored = world.store.job(&story.queued).await.unwrap().unwrap();
    assert_eq!((stored.until, stored.gates.len()), (None, 0));

    let running = get(&admin, &format!("/api/v1/jobs/{}", story.running)).await.json();
    assert!(running["prompt"].as_str().unwrap().contains(HOSTILE));
    assert_eq!(running["run"]["id"], 4711);
    assert_eq!(running["run"]["url"], "https://codegen.example/agent/trace/4711");
    assert_eq!(running["attempt"], 1);
    let delivery = running["deliveries"][0].as_str().unwrap();
    let delivery = get(&admin, &format!("/api/v1/deliveries/{delivery}")).await.json();
    assert_eq!(delivery["verdicts"][0]["job"], story.running.as_str());
    assert_eq!(delivery["verdicts"][1]["decision"], "no_match");

    let run = get(&admin, "/api/v1/runs/4711").await.json();
    assert_eq!(run["job"], story.running.as_str());
    assert_eq!(run["pull_requests"][0]["url"], Value::Null, "an address of another scheme is not told");
}

#[tokio::test]
async fn a_delivery_tells_the_hash_of_its_body_for_as_long_as_that_is_kept() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let told = async |id: &str| {
        let hash = get(&admin, &format!("/api/v1/deliveries/{id}")).await.json()["body_sha256"].clone();
        let page = get(&admin, &format!("/deliveries/{id}")).await;
        assert_eq!((page.status, page.body.contains("SHA-256")), (StatusCode::OK, hash != Value::Null));
        hash
    };
    // Of "{}".
    let hash = json!("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    let made = get(&admin, &format!("/api/v1/jobs/{}", story.running)).await.json();
    let needed = made["deliveries"][0].as_str().unwrap();
    assert_eq!((told(&story.denied).await, told(needed).await), (hash.clone(), hash));
    // One that cannot be read hides nothing else.
    let cut = format!("UPDATE bodies SET body = substr(body, 1, 2) WHERE delivery = '{}'", story.denied);
    assert_eq!(world.database.alter(&cut).await, 1);
    assert_eq!(told(&story.denied).await, Value::Null);
    world.clock.advance(Duration::from_hours(15 * 24));
    let retention = Retention {
        bodies: Duration::from_hours(14 * 24),
        records: Duration::from_hours(90 * 24),
        claims: Duration::from_hours(400 * 24),
    };
    world.store.sweep(&retention).await.unwrap();
    assert_eq!(told(&story.denied).await, Value::Null);
    assert_ne!(told(needed).await, Value::Null, "its job has not ended");
}

#[tokio::test]
async fn lists_filter_and_go_on_where_they_stopped() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let ids = |path: &'static str| {
        let admin = admin.clone();
        async move {
            let list = get(&admin, path).await.json();
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    let newest_first = vec![story.held.clone(), story.queued.clone(), story.uncertain.clone(), story.running.clone()];
    assert_eq!(ids("/api/v1/jobs").await, newest_first);
    assert_eq!(ids("/api/v1/jobs?state=queued,held").await, newest_first[..2]);
    assert_eq!(ids("/api/v1/jobs?rule=fix-failed-checks&state=running").await, newest_first[3..]);
    assert_eq!(ids("/api/v1/jobs?subject=github.com/acme/w@held").await, newest_first[..1]);
    assert_eq!(ids("/api/v1/jobs?source=gitlab").await, Vec::<String>::new());
    assert_eq!(ids("/api/v1/deliveries?outcome=unmatched").await, vec![story.denied.clone()]);
    assert_eq!(ids("/api/v1/deliveries?kind=ci.failed").await.len(), 4);

    for (list, limit, total) in [("jobs", 3, 4), ("deliveries", 2, 5), ("rules", 1, 3), ("runs", 1, 1)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(&admin, &format!("/api/v1/{list}?limit={limit}{cursor}")).await.json();
            let items = page["items"].as_array().unwrap();
            assert!(!items.is_empty() && items.len() <= limit, "{list}: {page}");
            seen.extend(items.iter().map(ToString::to_string));
            let Some(next) = page["next"].as_str() else { break };
            assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{next}");
            cursor = format!("&cursor={next}");
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (total, total), "{list}");
    }
}

#[tokio::test]
async fn a_parameter_that_nobody_knows_is_refused_with_those_that_are() {
    let world = World::empty().await;
    let admin = world.admin();
    for (path, words) in [
        ("/api/v1/jobs?colour=red", &["colour", "state", "rule", "cursor"][..]),
        ("/api/v1/deliveries?state=queued", &["state", "outcome", "kind"]),
        ("/api/v1/runs?limit=1&x=", &["phase", "job"]),
        ("/api/v1/rules?name=a", &["mode", "limit"]),
        ("/api/v1/jobs?state=lazy", &["lazy"]),
        ("/api/v1/deliveries?outcome=nice", &["nice", "not_understood"]),
        ("/api/v1/runs?phase=nice", &["nice", "alive"]),
        ("/api/v1/jobs?limit=0", &["1", "100"]),
        ("/api/v1/jobs?limit=101", &["100"]),
        ("/api/v1/jobs?limit=many", &["limit"]),
        ("/api/v1/jobs?limit=1&limit=2", &["limit"]),
        ("/api/v1/jobs?cursor=%00nonsense", &[]),
        ("/api/v1/rules?cursor=nonsense", &[]),
    ] {
        let answer = get(&admin, path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(words.iter().all(|word| detail.contains(word)), "{path}: {detail}");
    }
}

#[tokio::test]
async fn an_operator_acts_and_the_job_says_who() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let act = |job: &str, act: &str, body: &'static str| {
        let (admin, path) = (admin.clone(), format!("/api/v1/jobs/{job}/{act}"));
        async move { post(&admin, &path, body).await }
    };
    let cancelled = act(&story.queued, "cancel", "").await.json();
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["reason"].as_str().unwrap().contains("ops"), "{cancelled}");
    assert_eq!(act(&story.queued, "cancel", "").await.status, StatusCode::CONFLICT);
    let again = act(&story.queued, "retry", "").await.json();
    assert_eq!((&again["retry_of"], &again["state"]), (&json!(story.queued), &json!("queued")));

    for body in ["", "{}", r#"{"run": "4712"}"#, r#"{"run": 4712, "force": true}"#] {
        assert_eq!(act(&story.uncertain, "adopt", body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let adopted = act(&story.uncertain, "adopt", r#"{"run": 4712}"#).await.json();
    assert_eq!((&adopted["state"], &adopted["run"]["id"]), (&json!("running"), &json!(4712)));
    assert_eq!(act(&story.uncertain, "absent", "").await.status, StatusCode::CONFLICT);
}
