//! The sandbox's windows, exact at their edges.

use hookrun::model::limits::{CallClass, ClassLimits, RateLimit};
use hookrun::sandbox::{Call, Fault, FaultRule, LimitFlag, SandboxConfig};
use serde_json::json;

use super::bench::{Bench, OTHER_TOKEN, TOKEN, config, org};

/// Creates with this token and gives the status.
async fn create(bench: &Bench, token: &str) -> u16 {
    bench.call("POST", &org("agent/run"), Some(token), Some(r#"{"prompt":"p"}"#)).await.status
}

async fn me(bench: &Bench) -> u16 {
    bench.call("GET", "/v1/users/me", Some(TOKEN), None).await.status
}

#[tokio::test]
async fn a_slot_is_free_again_exactly_one_window_later() {
    let bench = Bench::new(config());
    assert_eq!(create(&bench, TOKEN).await, 200);
    bench.advance(30_000);
    for _ in 0..9 {
        assert_eq!(create(&bench, TOKEN).await, 200);
    }
    assert_eq!(create(&bench, TOKEN).await, 429);
    bench.advance(29_999);
    assert_eq!(create(&bench, TOKEN).await, 429);
    bench.advance(1);
    assert_eq!(create(&bench, TOKEN).await, 200, "the first slot is free after 60 s");
    assert_eq!(create(&bench, TOKEN).await, 429, "and only that one");
    bench.advance(29_999);
    assert_eq!(create(&bench, TOKEN).await, 429);
    bench.advance(1);
    for _ in 0..9 {
        assert_eq!(create(&bench, TOKEN).await, 200, "refused calls took no slot");
    }
    assert_eq!(create(&bench, TOKEN).await, 429);
}

#[tokio::test]
async fn the_refusal_is_the_documented_one_and_nothing_is_done() {
    let one = RateLimit::new(1, 60);
    let bench =
        Bench::new(SandboxConfig { limits: Some(ClassLimits { create: one, ..ClassLimits::default() }), ..config() });
    create(&bench, TOKEN).await;
    let refusal = bench.call("POST", &org("agent/run"), Some(TOKEN), Some(r#"{"prompt":"p"}"#)).await;
    assert_eq!(refusal.json(), json!({"message": "Rate limit exceeded. Please try again later.", "status_code": 429}));
    assert!(!refusal.headers.contains_key("retry-after"), "the document knows no such header");
    assert_eq!(bench.sandbox.runs().len(), 1);
}

#[tokio::test]
async fn every_call_is_charged_to_its_own_class_only() {
    let bench = Bench::new(config());
    for _ in 0..10 {
        assert_eq!(create(&bench, TOKEN).await, 200);
    }
    let id = bench.sandbox.runs()[0].id;
    let logs = format!("/v1/alpha/organizations/42/agent/run/{id}/logs");
    for _ in 0..60 {
        assert_eq!(bench.call("GET", &logs, Some(TOKEN), None).await.status, 200);
    }
    let resume = json!({"agent_run_id": id, "prompt": "more"}).to_string();
    for path in [
        "/v1/organizations",
        "/v1/users/me",
        &org("users"),
        &org("users/1001"),
        &org("repos"),
        &org("integrations"),
        &org("agent/runs"),
        &org(&format!("agent/run/{id}")),
    ] {
        assert_eq!(bench.call("GET", path, Some(TOKEN), None).await.status, 200);
    }
    for _ in 0..52 {
        assert_eq!(bench.call("POST", &org("agent/run/resume"), Some(TOKEN), Some(&resume)).await.status, 200);
    }
    assert_eq!(bench.call("POST", &org("agent/run/resume"), Some(TOKEN), Some(&resume)).await.status, 429);
    assert_eq!(me(&bench).await, 429);
    assert_eq!(create(&bench, TOKEN).await, 429);
    assert_eq!(bench.call("GET", &logs, Some(TOKEN), None).await.status, 429);
    bench.advance(30_000);
    assert_eq!(me(&bench).await, 200, "standard: 60 in 30 s");
    assert_eq!(bench.call("GET", &logs, Some(TOKEN), None).await.status, 429, "logs: 60 in 60 s");
    bench.advance(30_000);
    assert_eq!(bench.call("GET", &logs, Some(TOKEN), None).await.status, 200);
}

#[tokio::test]
async fn tokens_do_not_share_a_window() {
    let bench = Bench::new(config());
    for _ in 0..10 {
        create(&bench, TOKEN).await;
    }
    assert_eq!(create(&bench, TOKEN).await, 429);
    assert_eq!(create(&bench, OTHER_TOKEN).await, 200);
}

#[tokio::test]
async fn a_call_that_fails_after_its_token_is_charged_and_an_unknown_token_is_not() {
    let one = RateLimit::new(1, 60);
    let bench =
        Bench::new(SandboxConfig { limits: Some(ClassLimits { create: one, ..ClassLimits::default() }), ..config() });
    assert_eq!(create(&bench, "unknown").await, 403);
    let invalid = bench.call("POST", &org("agent/run"), Some(TOKEN), Some("{}")).await;
    assert_eq!(invalid.status, 422);
    assert_eq!(create(&bench, TOKEN).await, 429);
}

#[tokio::test]
async fn a_played_429_takes_no_slot() {
    let one = RateLimit::new(1, 60);
    let bench =
        Bench::new(SandboxConfig { limits: Some(ClassLimits { create: one, ..ClassLimits::default() }), ..config() });
    bench.sandbox.faults([FaultRule::once(Call::Create, Fault::RateLimited { retry_after: None })]);
    assert_eq!(create(&bench, TOKEN).await, 429);
    assert_eq!(create(&bench, TOKEN).await, 200);
    assert_eq!(create(&bench, TOKEN).await, 429);
}

#[tokio::test]
async fn without_limits_nothing_is_refused() {
    let bench = Bench::unlimited();
    for _ in 0..100 {
        assert_eq!(create(&bench, TOKEN).await, 200);
    }
}

#[test]
fn a_flag_sets_the_limit_of_its_class() {
    let mut limits = ClassLimits::default();
    for (text, class, limit) in [
        ("create=3/10s", CallClass::Create, RateLimit::new(3, 10)),
        ("standard=1/1s", CallClass::Standard, RateLimit::new(1, 1)),
        ("setup_commands=2/1m", CallClass::SetupCommands, RateLimit::new(2, 60)),
        ("log_analysis=9/2h", CallClass::LogAnalysis, RateLimit::new(9, 7200)),
        (" logs = 7/30s ", CallClass::Logs, RateLimit::new(7, 30)),
    ] {
        let flag: LimitFlag = text.parse().unwrap();
        assert_eq!((flag.class, flag.limit), (class, limit), "{text}");
        flag.apply(&mut limits);
        assert_eq!(limits.of(class), limit, "{text}");
    }
    for wrong in ["create", "create=", "create=10", "creates=10/60s", "create=0/60s", "=10/60s", "create=10/0s"] {
        assert!(wrong.parse::<LimitFlag>().is_err(), "{wrong}");
    }
}
