//! The brakes over the status API: pausing with what it holds back, lifting, cancelling many, asking runs.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hookrun::model::job::JobState;
use serde_json::{Value, json};

use crate::server_support::{OPERATOR, VIEWER, World, ask, get, post};

async fn acted(admin: &Router, path: &str, body: Value) -> Value {
    let answer = post(admin, &format!("/api/v1/{path}"), &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {}", answer.body);
    answer.json()
}

async fn refused(admin: &Router, path: &str, body: Value, status: StatusCode, word: &str) {
    let answer = post(admin, &format!("/api/v1/{path}"), &body.to_string()).await;
    assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(word), "{path} {body}: {detail}");
}

#[tokio::test]
async fn a_pause_tells_what_it_holds_back_and_is_lifted_by_name() {
    let world = World::empty().await;
    let admin = world.admin();
    for subject in ["a", "b", "c"] {
        world.accept_job("fix-failed-checks", subject).await;
    }
    world.clock.advance(Duration::from_hours(2));
    world.accept_job("review-change", "d").await;

    let answer = acted(&admin, "pause", json!({ "what": "all", "for": "4h", "reason": "the bill" })).await;
    assert_eq!((&answer["pause"]["what"], &answer["pause"]["by"]), (&json!("all"), &json!("ops")));
    assert_eq!(answer["pause"]["reason"], "the bill");
    assert_eq!(answer["held_back"]["waiting"], 4);
    let rules = answer["held_back"]["rules"].as_array().unwrap();
    let told = rules
        .iter()
        .map(|rule| (rule["rule"].as_str().unwrap(), rule["within_hour"].as_u64(), rule["within_day"].as_u64()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [("fix-failed-checks", Some(0), Some(3)), ("review-change", Some(1), Some(0))]
    );
    acted(&admin, "pause", json!({ "what": "rule:review-change" })).await;
    let in_force = get(&admin, "/api/v1/pauses").await.json();
    assert_eq!(in_force["items"].as_array().unwrap().len(), 2);
    assert_eq!(get(&admin, "/api/v1/status").await.json()["pauses"], in_force["items"]);

    let look = acted(&admin, "resume", json!({ "what": "all", "dry": true })).await;
    assert_eq!((&look["lifted"], &look["held_back"]["waiting"]), (&json!(false), &json!(4)));
    assert_eq!(look["held_back"]["other_pauses"][0]["what"], "rule:review-change");
    assert_eq!(get(&admin, "/api/v1/pauses").await.json(), in_force, "a look lifts nothing");
    assert_eq!(acted(&admin, "resume", json!({ "what": "all" })).await["lifted"], true);
    refused(&admin, "resume", json!({ "what": "all" }), StatusCode::NOT_FOUND, "not paused").await;
    assert_eq!(get(&admin, "/api/v1/pauses").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_pause_that_means_nothing_is_refused_in_words() {
    let world = World::empty().await;
    let admin = world.admin();
    for (body, word) in [
        (json!({ "what": "moon" }), "rule"),
        (json!({ "what": "rule:" }), "which rule"),
        (json!({}), "what"),
        (json!({ "what": "all", "for": "soon" }), "span of time"),
        (json!({ "what": "all", "until": "tomorrow" }), "2026"),
        (json!({ "what": "all", "until": "2020-01-01T00:00:00Z" }), "over already"),
        (json!({ "what": "all", "for": "1h", "until": "2099-01-01T00:00:00Z" }), "not both"),
        (json!({ "what": "all", "untill": "1h" }), "untill"),
    ] {
        refused(&admin, "pause", body, StatusCode::BAD_REQUEST, word).await;
    }
    assert_eq!(get(&admin, "/api/v1/pauses").await.json()["items"], json!([]));
}

#[tokio::test]
async fn stopping_what_runs_makes_one_ban_for_each_run_in_the_scope() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let elsewhere = acted(&admin, "pause", json!({ "what": "rule:review-change", "stop_running": true })).await;
    assert_eq!(elsewhere["stopping"], json!([]));
    let paused = acted(&admin, "pause", json!({ "what": "all", "stop_running": true })).await;
    let [stopping] = &paused["stopping"].as_array().unwrap()[..] else { panic!("{paused}") };
    let job = world.store.job(stopping.as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!((job.action.as_str(), job.target, job.state), ("ban", Some(4711), JobState::Queued));
    assert!(job.reason.contains("ops"), "{}", job.reason);
    assert_eq!(job.subject, world.store.job(&story.running).await.unwrap().unwrap().subject);
    let again = acted(&admin, "pause", json!({ "what": "all", "stop_running": true })).await;
    assert_eq!(again["stopping"], paused["stopping"], "a second click is no second ban");
    // The uncertain one may have a run, which nobody knows yet: it cannot be stopped, and that is said.
    assert_eq!((&elsewhere["being_sent"], &again["being_sent"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn many_are_cancelled_only_when_it_is_said_and_only_those_that_are_meant() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    world.clock.advance(Duration::from_hours(48));
    let young = world.accept_job("review-change", "young").await;
    let meant = json!({ "rule": "review-change", "older_than": "1d" });
    let look = acted(&admin, "jobs/cancel", meant.clone()).await;
    assert_eq!((&look["dry"], &look["count"], &look["cancelled"]), (&json!(true), &json!(2), &json!(0)));
    assert_eq!(look["examples"][0]["id"], story.queued.as_str(), "the oldest first");
    assert_eq!(world.store.job(&story.queued).await.unwrap().unwrap().state, JobState::Queued);

    let mut body = meant;
    body["dry"] = false.into();
    let done = acted(&admin, "jobs/cancel", body).await;
    assert_eq!((&done["count"], &done["cancelled"]), (&json!(2), &json!(2)));
    for (job, state) in [
        (&story.queued, JobState::Cancelled),
        (&story.held, JobState::Cancelled),
        (&young, JobState::Queued),
        (&story.running, JobState::Running),
        (&story.uncertain, JobState::Uncertain),
    ] {
        let job = world.store.job(job).await.unwrap().unwrap();
        assert_eq!(job.state, state, "{}", job.subject);
        if state == JobState::Cancelled {
            assert!(job.reason.contains("ops") && job.ended_at.is_some(), "{job:?}");
        }
    }
    let counts = get(&admin, "/api/v1/status").await.json()["jobs"].clone();
    assert_eq!((&counts["cancelled"], &counts["queued"]), (&json!(2), &json!(1)));
    let since = acted(&admin, "jobs/cancel", json!({ "since": "1h" })).await;
    assert_eq!(since["count"], 1);
    for (body, word) in [
        (json!({}), "older_than"),
        (json!({ "dry": false }), "older_than"),
        (json!({ "state": "running" }), "running"),
        (json!({ "older_than": "long" }), "span of time"),
        (json!({ "rules": "x" }), "rules"),
    ] {
        refused(&admin, "jobs/cancel", body, StatusCode::BAD_REQUEST, word).await;
    }
}

#[tokio::test]
async fn a_job_that_was_sent_and_is_held_is_not_cancelled_with_others() {
    let (world, story) = World::with_a_story().await;
    world.store.hold(&story.uncertain, None, "nobody knows whether it has a run").await.unwrap();
    let done = acted(&world.admin(), "jobs/cancel", json!({ "state": "queued,held", "dry": false })).await;
    assert_eq!(done["cancelled"], 2);
    assert_eq!(world.store.job(&story.uncertain).await.unwrap().unwrap().state, JobState::Held);
}

#[tokio::test]
async fn what_a_person_asks_of_a_run_is_a_job_that_names_them() {
    let (world, _) = World::with_a_story().await;
    let admin = world.admin();
    let job = acted(&admin, "runs/4711/resume", json!({ "prompt": " Add a test. " })).await;
    assert_eq!((&job["action"], &job["priority"], &job["state"]), (&json!("tell"), &json!("people"), &json!("queued")));
    let id = job["id"].as_str().unwrap();
    assert_eq!(world.store.job(id).await.unwrap().unwrap().message.as_deref(), Some("Add a test."));
    let same = acted(&admin, "runs/4711/resume", json!({ "prompt": "Add a test." })).await;
    assert_eq!(same["id"], id, "a second click is no second call");
    refused(&admin, "runs/4711/resume", json!({ "prompt": "Other." }), StatusCode::CONFLICT, "something else").await;
    refused(&admin, "runs/4711/resume", json!({ "prompt": " " }), StatusCode::BAD_REQUEST, "empty").await;
    refused(&admin, "runs/4712/ban", json!({}), StatusCode::NOT_FOUND, "no such run").await;
    assert_eq!(acted(&admin, "runs/4711/unban", json!({})).await["action"], "unban");
}

#[tokio::test]
async fn each_who_waits_knows_its_place_and_its_time() {
    let world = World::empty().await;
    let admin = world.admin();
    let first = world.accept_job("fix-failed-checks", "a").await;
    let second = world.accept_job("review-change", "b").await;
    let third = world.accept_job("fix-failed-checks", "c").await;
    let place = async |job: &str| get(&admin, &format!("/api/v1/jobs/{job}")).await.json()["position"].clone();
    assert_eq!([place(&first).await, place(&second).await, place(&third).await], [1, 2, 3].map(|at| json!(at)));
    let job = get(&admin, &format!("/api/v1/jobs/{first}")).await.json();
    assert_eq!((&job["answer"], &job["expected_at"]), (&json!("wait"), &job["until"]), "{job}");
    acted(&admin, "pause", json!({ "what": "rule:fix-failed-checks" })).await;
    assert_eq!([place(&first).await, place(&second).await], [Value::Null, json!(1)], "what is paused stands aside");
}

#[tokio::test]
async fn only_operators_from_our_own_pages_use_the_buttons() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let forms = [
        ("/pause".to_owned(), "scope=all"),
        ("/resume".to_owned(), "what=all"),
        (format!("/jobs/{}/cancel", story.held), ""),
        ("/runs/4711/ban".to_owned(), ""),
        ("/subjects/reset-attempts".to_owned(), "subject=s"),
        ("/notices/none/settle".to_owned(), ""),
    ];
    let (operator, viewer) = (format!("Bearer {OPERATOR}"), format!("Bearer {VIEWER}"));
    for (path, body) in &forms {
        let as_viewer = ask(&admin, "POST", path, &[("authorization", &viewer)], body).await;
        assert_eq!(as_viewer.status, StatusCode::FORBIDDEN, "{path}");
        let foreign = [("authorization", operator.as_str()), ("origin", "http://evil.example")];
        assert_eq!(ask(&admin, "POST", path, &foreign, body).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let press = async |path: &str, body: &str| {
        let answer = post(&admin, path, body).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.body);
        answer.header("location").to_owned()
    };
    assert_eq!(press("/pause", "scope=rule&name=review-change&for=4h&reason=a+look").await, "/");
    let page = get(&admin, "/resume?what=rule:review-change").await.body;
    assert!(page.contains("What would be let go") && page.contains("a look"), "{page}");
    assert_eq!(press("/resume", "what=rule%3Areview-change").await, "/");
    assert_eq!(press(&format!("/jobs/{}/cancel", story.held), "").await, format!("/jobs/{}", story.held));
    assert!(press("/runs/4711/resume", "prompt=Go+on.").await.starts_with("/jobs/"));
    assert_eq!(post(&admin, &format!("/jobs/{}/burn", story.queued), "").await.status, StatusCode::NOT_FOUND);
    let seen = ask(&admin, "GET", "/", &[("authorization", &viewer)], "").await.body;
    assert!(!seen.contains("method=\"post\""), "who may not act sees no buttons: {seen}");
}
