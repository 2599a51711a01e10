//! Breakers and shrunken windows as people see them: status, dashboard, metrics, and who may release one.

use std::time::Duration;

use axum::http::StatusCode;
use hookrun::model::limits::CallClass;
use hookrun::store::Slot;
use serde_json::json;

use crate::server_support::{HOSTILE, OPERATOR, VIEWER, World, ask, get, post};

const RELEASE: &str = "/api/v1/breakers/access/release";

#[tokio::test]
async fn an_open_breaker_is_shown_everywhere_and_released_by_operators_only() {
    let world = World::empty().await;
    let admin = world.admin();
    assert_eq!(get(&admin, "/api/v1/status").await.json()["breakers"], json!([]));
    world.deny().await;
    world.clock.advance(Duration::from_mins(1));
    let job = world.accept_job("fix-failed-checks", "github.com/acme/w@waiting").await;

    let breaker = get(&admin, "/api/v1/status").await.json()["breakers"][0].clone();
    assert_eq!(
        (&breaker["name"], &breaker["probes"], &breaker["probing"]),
        (&json!("access"), &json!(0), &json!(false))
    );
    assert_eq!(breaker["since"], "2026-03-01T12:00:00.000Z");
    assert_eq!(breaker["until"], "2026-03-01T12:05:00.000Z");
    assert_eq!(breaker["classes"].as_array().unwrap().len(), CallClass::ALL.len());
    assert!(breaker["reason"].as_str().unwrap().contains("401"), "{breaker}");
    assert!(get(&admin, &format!("/api/v1/jobs/{job}")).await.json()["state"] == "queued");

    let page = get(&admin, "/").await.body;
    for shown in ["Held back by breakers", "<b>access</b> no calls go out", "the next probe goes"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(!page.contains(HOSTILE), "a stranger's words are text");
    let metrics = get(&admin, "/metrics").await.body;
    for line in ["hookrun_breaker_open{breaker=\"access\"} 1", "hookrun_breaker_open{breaker=\"billing\"} 0"] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in:\n{metrics}");
    }

    let as_viewer = [("authorization", format!("Bearer {VIEWER}"))];
    let as_viewer: Vec<_> = as_viewer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ask(&admin, "POST", RELEASE, &as_viewer, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.store.breakers().await.unwrap().len(), 1);
    let button = ask(&admin, "GET", "/", &[("authorization", &format!("Bearer {OPERATOR}"))], "").await.body;
    assert!(
        button.contains("action=\"&#x2f;breakers&#x2f;access&#x2f;release\"")
            || button.contains("/breakers/access/release"),
        "{button}"
    );
    let released = post(&admin, RELEASE, "").await;
    assert_eq!((released.status, released.json()), (StatusCode::OK, json!({ "name": "access", "waiting": 1 })));
    assert_eq!(world.store.breakers().await.unwrap(), []);
    assert_eq!(post(&admin, RELEASE, "").await.status, StatusCode::NOT_FOUND);
    let page = get(&admin, "/").await.body;
    assert!(!page.contains("Held back by breakers"), "{page}");
}

#[tokio::test]
async fn a_window_says_what_was_taken_and_what_is_left_to_others() {
    let world = World::empty().await;
    let admin = world.admin();
    let create = async |key: &str| get(&admin, "/api/v1/status").await.json()["windows"][0][key].clone();
    assert_eq!((create("setting").await, create("headroom").await), (json!(10), json!(1)));
    assert_eq!(create("shrunk").await, json!(null));
    let Slot::Taken(call) = world.store.take_slots(CallClass::Create.charged(), "test").await.unwrap() else {
        panic!("a slot is free")
    };
    world.store.limited(&call, CallClass::Create, Duration::from_secs(1), "429").await.unwrap();
    assert_eq!((create("limit").await, create("setting").await), (json!(5), json!(10)));
    assert_eq!(create("shrunk").await, "5 of 10: shrunk by a 429 at 2026-03-01T12:00:00.000Z");
    let page = get(&admin, "/").await.body;
    for shown in ["5 of 10: shrunk by a 429", "1 more are left to others"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let metrics = get(&admin, "/metrics").await.body;
    let line = "hookrun_window_slots_taken{class=\"create\"} 5";
    assert!(metrics.lines().any(|shown| shown == line), "{line} is not in:\n{metrics}");
}
