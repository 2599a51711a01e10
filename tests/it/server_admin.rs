//! Who gets past the admin listener's guard: tokens, sessions, `Host`, `Origin`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use tower::ServiceExt;

use crate::server_support::{Answer, OPERATOR, VIEWER, World, ask, get, post};

const READS: [&str; 6] =
    ["/", "/fragment/dashboard", "/api/v1/status", "/api/v1/jobs", "/api/v1/openapi.json", "/metrics"];

async fn bearer(router: &axum::Router, method: &str, path: &str, token: &str) -> Answer {
    ask(router, method, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

/// Logs in with `token` at an address that the browser reached by `origin`; answers the cookie's whole text.
async fn session(router: &axum::Router, token: &str, origin: &str) -> String {
    let answer = ask(router, "POST", "/login", &[("origin", origin)], &format!("token={token}")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    assert_eq!(answer.header("location"), "/");
    answer.header("set-cookie").to_owned()
}

fn pair(cookie: &str) -> &str {
    cookie.split(';').next().unwrap()
}

#[tokio::test]
async fn with_tokens_nobody_reads_without_one() {
    let world = World::empty().await;
    let admin = world.admin();
    for path in READS {
        let answer = ask(&admin, "GET", path, &[], "").await;
        if path == "/" {
            assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/login"));
        } else {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        for token in [OPERATOR, VIEWER] {
            assert_eq!(bearer(&admin, "GET", path, token).await.status, StatusCode::OK, "{path}");
        }
        for wrong in ["", "wrong", &OPERATOR[1..], &format!("{OPERATOR}x")] {
            assert_ne!(bearer(&admin, "GET", path, wrong).await.status, StatusCode::OK, "{path} {wrong}");
        }
    }
    let basic = ask(&admin, "GET", "/api/v1/status", &[("authorization", &format!("Basic {OPERATOR}"))], "").await;
    assert_eq!(basic.status, StatusCode::UNAUTHORIZED);
    for open in ["/login", "/assets/app.css", "/assets/app.js", "/assets/favicon.svg"] {
        assert_eq!(ask(&admin, "GET", open, &[], "").await.status, StatusCode::OK, "{open}");
    }
}

#[tokio::test]
async fn without_tokens_everybody_reads_and_nobody_acts() {
    let world = World::empty().await;
    let admin = world.admin_with(Vec::new());
    for path in READS {
        assert_eq!(ask(&admin, "GET", path, &[], "").await.status, StatusCode::OK, "{path}");
    }
    let act = ask(&admin, "POST", "/api/v1/jobs/x/cancel", &[], "").await;
    assert_eq!(act.status, StatusCode::FORBIDDEN);
    assert!(act.body.contains("admin.tokens"), "{}", act.body);
    let login = ask(&admin, "GET", "/login", &[], "").await;
    assert_eq!((login.status, login.header("location")), (StatusCode::SEE_OTHER, "/"));
    assert_eq!(ask(&admin, "POST", "/login", &[], "token=").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_act_needs_an_operator() {
    let world = World::empty().await;
    let admin = world.admin();
    for act in ["retry", "cancel", "adopt", "absent"] {
        let path = format!("/api/v1/jobs/none/{act}");
        assert_eq!(ask(&admin, "POST", &path, &[], "").await.status, StatusCode::UNAUTHORIZED, "{act}");
        assert_eq!(bearer(&admin, "POST", &path, VIEWER).await.status, StatusCode::FORBIDDEN, "{act}");
        assert_eq!(post(&admin, &path, r#"{"run": 1}"#).await.status, StatusCode::NOT_FOUND, "{act}");
        assert_eq!(get(&admin, &path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{act}");
    }
}

#[tokio::test]
async fn a_session_stands_for_its_token_until_it_ends() {
    let world = World::empty().await;
    let admin = world.admin();
    let cookie = session(&admin, VIEWER, "http://127.0.0.1:8081").await;
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(VIEWER), "{cookie}");
    assert!(session(&admin, VIEWER, "https://127.0.0.1:8081").await.contains("; Secure"));

    let with = |cookie: String| {
        let admin = admin.clone();
        async move { ask(&admin, "GET", "/api/v1/status", &[("cookie", &cookie)], "").await.status }
    };
    let mine = pair(&cookie).to_owned();
    assert_eq!(with(format!("other=1; {mine}")).await, StatusCode::OK);
    // Neither another name nor a later end can be written into it.
    let (name, rest) = mine.split_once('=').unwrap();
    let parts: Vec<_> = rest.split('.').collect();
    let later = format!("{name}={}.{}.{}", parts[0], parts[1].parse::<i64>().unwrap() + 1, parts[2]);
    let other = format!("{name}={}.{}.{}", hex::encode("ops"), parts[1], parts[2]);
    for forged in [later, other, format!("{name}="), format!("{name}=a.b.c"), format!("{mine}0")] {
        assert_eq!(with(forged.clone()).await, StatusCode::UNAUTHORIZED, "{forged}");
    }
    // A wrong Authorization header is not saved by a good cookie.
    let both = [("cookie", mine.as_str()), ("authorization", "Bearer wrong")];
    assert_eq!(ask(&admin, "GET", "/api/v1/status", &both, "").await.status, StatusCode::UNAUTHORIZED);

    let bye = ask(&admin, "POST", "/logout", &[("cookie", &mine), ("origin", "http://127.0.0.1:8081")], "").await;
    assert_eq!(bye.status, StatusCode::SEE_OTHER);
    assert!(bye.header("set-cookie").contains("Max-Age=0"));

    world.clock.advance(Duration::from_hours(12) - Duration::from_millis(1));
    assert_eq!(with(mine.clone()).await, StatusCode::OK);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(with(mine).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_wrong_token_gets_the_form_again() {
    let world = World::empty().await;
    let admin = world.admin();
    for body in ["token=wrong", "token=", "", "name=ops"] {
        let answer = ask(&admin, "POST", "/login", &[], body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.body.contains("No such token") && answer.header("set-cookie").is_empty());
    }
}

#[tokio::test]
async fn other_sites_pages_cannot_act_through_a_browser() {
    let world = World::empty().await;
    let admin = world.admin();
    let cookie = session(&admin, OPERATOR, "http://127.0.0.1:8081").await;
    let cookie = pair(&cookie);
    let act = |headers: Vec<(&'static str, &'static str)>| {
        let (admin, cookie) = (admin.clone(), cookie.to_owned());
        async move {
            let all: Vec<_> = [("cookie", cookie.as_str())].into_iter().chain(headers).collect();
            ask(&admin, "POST", "/api/v1/jobs/none/cancel", &all, "").await.status
        }
    };
    assert_eq!(act(vec![("origin", "http://127.0.0.1:8081")]).await, StatusCode::NOT_FOUND);
    assert_eq!(act(vec![]).await, StatusCode::FORBIDDEN);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8081.evil.example", ""] {
        assert_eq!(act(vec![("origin", origin)]).await, StatusCode::FORBIDDEN, "{origin}");
    }
    let twice = vec![("origin", "http://127.0.0.1:8081"), ("origin", "http://evil.example")];
    assert_eq!(act(twice).await, StatusCode::FORBIDDEN);
    // A page elsewhere cannot log its reader in or out either.
    for path in ["/login", "/logout"] {
        let headers = [("origin", "http://evil.example"), ("cookie", cookie)];
        let answer = ask(&admin, "POST", path, &headers, &format!("token={OPERATOR}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    // Scripts with a token send no Origin; one that does must say the truth.
    assert_eq!(post(&admin, "/api/v1/jobs/none/cancel", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_our_own_names_are_served() {
    let world = World::empty().await;
    let admin = world.admin();
    let good = [
        "127.0.0.1",
        "127.0.0.1:8081",
        "127.1.2.3:80",
        "[::1]:8081",
        "[::1]",
        "localhost:8081",
        "LOCALHOST",
        "hookrun.example",
        "hookrun.example:8443",
        "HookRun.Example",
    ];
    let bad = [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8081",
        "10.0.0.1",
        "0.0.0.0",
        "localhost.evil.example",
        "xhookrun.example",
        "",
        ":",
        "[::2]",
    ];
    let token = format!("Bearer {OPERATOR}");
    for (hosts, status) in [(&good[..], StatusCode::OK), (&bad[..], StatusCode::MISDIRECTED_REQUEST)] {
        for host in hosts {
            for path in ["/api/v1/status", "/login", "/assets/app.js"] {
                let answer = ask(&admin, "GET", path, &[("host", host), ("authorization", &token)], "").await;
                assert_eq!(answer.status, status, "{host} {path}");
            }
        }
    }
    let twice = [("host", "127.0.0.1"), ("host", "evil.example"), ("authorization", token.as_str())];
    assert_eq!(ask(&admin, "GET", "/api/v1/status", &twice, "").await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn every_answer_carries_the_headers_for_browsers() {
    let world = World::empty().await;
    let admin = world.admin();
    let mut answers =
        vec![ask(&admin, "GET", "/", &[], "").await, ask(&admin, "GET", "/x", &[("host", "evil")], "").await];
    for path in ["/", "/login", "/assets/app.js", "/api/v1/status", "/metrics", "/nothing", "/jobs/none"] {
        answers.push(get(&admin, path).await);
    }
    for answer in answers {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_like_everything_else() {
    let world = World::empty().await;
    let admin = world.admin();
    for path in ["/api/v1/jobs/%ff", "/api/v1/runs/%ff", "/api/v1/deliveries/%ff", "/jobs/%ff", "/deliveries/%ff"] {
        let answer = bearer(&admin, "GET", path, OPERATOR).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    let large = "x".repeat(70_000);
    for path in ["/login", "/api/v1/jobs/x/adopt"] {
        let answer = ask(&admin, "POST", path, &[("authorization", &format!("Bearer {OPERATOR}"))], &large).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn metrics_are_those_of_the_process_and_of_the_store() {
    let (world, _) = World::with_a_story().await;
    world.clock.advance(Duration::from_secs(10));
    let answer = get(&world.admin(), "/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "hookrun_up 1",
        "hookrun_jobs{state=\"queued\"} 1",
        "hookrun_jobs{state=\"succeeded\"} 0",
        "hookrun_window_slots{class=\"create\"} 10",
        "hookrun_window_slots_used{class=\"create\"} 2",
        "hookrun_window_frozen{class=\"logs\"} 1",
        "hookrun_window_frozen{class=\"create\"} 0",
        "hookrun_oldest_waiting_seconds 11",
    ] {
        assert!(answer.body.lines().any(|known| known == line), "{line} in {}", answer.body);
    }
}

/// A body that never comes.
struct Never;

impl HttpBody for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    let world = World::empty().await;
    let admin = world.admin();
    tokio::time::pause();
    let request = Request::post("/login").header("host", "localhost").body(Body::new(Never)).unwrap();
    let response = admin.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}
