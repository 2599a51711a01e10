//! Codegen's own Python SDK against the sandbox: run where a fitting Python is found, its recorded requests everywhere.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use hookrun::model::clock::SystemClock;
use hookrun::sandbox::{Sandbox, SandboxConfig, Speed, serve};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::bench::{Bench, ORG, TOKEN, check, config};

/// The exit code of `scripts/sdk-check` when no Python is there that the SDK runs on.
const NO_PYTHON: i32 = 3;

/// A request as `scripts/sdk-check --record` writes it down.
#[derive(Deserialize)]
struct Recorded {
    method: String,
    path: String,
    headers: serde_json::Map<String, Value>,
    authorization: Option<String>,
    body: Option<Value>,
}

#[tokio::test]
async fn the_sdk_works_against_the_sandbox_unchanged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = SandboxConfig { speed: Speed::new(5.0).unwrap(), ..config() };
    let sandbox = Sandbox::new(config, Arc::new(SystemClock::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, sandbox.clone(), async { stopped.await.unwrap() }));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sdk-check");
    let output = Command::new(script)
        .args([address.as_str(), TOKEN, &ORG.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(NO_PYTHON) {
        assert!(std::env::var_os("CI").is_none(), "CI must run the SDK: {told}");
        // Not by println, which the test harness hides.
        writeln!(std::io::stderr(), "SKIPPED the_sdk_works_against_the_sandbox_unchanged: {told}").unwrap();
        return;
    }
    assert!(output.status.success(), "{told}");
    assert!(sandbox.calls().iter().any(|call| call.status == Some(429)), "{told}");
}

#[tokio::test]
async fn the_recorded_requests_of_the_sdk_are_answered_with_the_fields_that_it_reads() {
    let recorded: Vec<Recorded> =
        serde_json::from_str(include_str!("../../fixtures/codegen/sdk-requests.json")).unwrap();
    let bench = Bench::unlimited();
    let id = bench.create("the run that is read").await;
    let mut kinds = Vec::new();
    for sent in recorded {
        let path = sent.path.replace("{run}", &id.to_string()).replace("{org}", &ORG.to_string());
        let path = path.replace("{user}", "1001");
        let mut request = Request::builder().method(sent.method.as_str()).uri(&path);
        for (name, value) in &sent.headers {
            request = request.header(name, value.as_str().unwrap());
        }
        if let Some(authorization) = sent.authorization {
            request = request.header("authorization", authorization.replace('…', TOKEN));
        }
        let body = sent.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let reply = bench.send(request.body(body).unwrap()).await;
        check(&sent.method, &path, &reply);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        let kind = sent.path.replace("/v1/organizations/{org}/", "");
        read_as_the_sdk_does(&kind, &reply.json());
        kinds.push(kind);
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["/v1/organizations", "agent/run", "agent/run/{run}", "users", "users/{user}"]);
}

/// The types that the SDK's models insist on.
fn read_as_the_sdk_does(kind: &str, answer: &Value) {
    let text_or_null = |value: &Value| value.is_string() || value.is_null();
    let user = |user: &Value| {
        user["id"].is_i64()
            && user["github_user_id"].is_string()
            && user["github_username"].is_string()
            && ["email", "avatar_url", "full_name"].iter().all(|name| text_or_null(&user[name]))
    };
    let page = || ["total", "page", "size", "pages"].iter().all(|name| answer[name].is_i64());
    let good = match kind {
        "agent/run" | "agent/run/{run}" => {
            answer["id"].is_i64()
                && answer["organization_id"] == json!(ORG)
                && answer["status"].is_string()
                && answer["created_at"].is_string()
                && answer["web_url"].is_string()
                && text_or_null(&answer["result"])
        }
        "users" => page() && answer["items"].as_array().unwrap().iter().all(user),
        "users/{user}" => user(answer),
        _ => page() && answer["items"][0]["id"] == json!(ORG) && answer["items"][0]["name"].is_string(),
    };
    assert!(good, "{kind}: {answer}");
}
