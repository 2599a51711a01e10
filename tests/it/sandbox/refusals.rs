//! What the calls answer when something is wrong with the request.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::bench::{Bench, TOKEN, check, org, request};

/// The problems of a 422 as (loc, type, msg).
fn problems(body: &Value) -> Vec<(Value, &str, &str)> {
    let problems = body["detail"].as_array().unwrap().iter();
    problems.map(|one| (one["loc"].clone(), one["type"].as_str().unwrap(), one["msg"].as_str().unwrap())).collect()
}

const INTEGER: &str = "Input should be a valid integer, unable to parse string as an integer";
const STRING: &str = "Input should be a valid string";
const OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

#[tokio::test]
async fn a_body_that_does_not_fit_is_refused_as_the_framework_does() {
    let bench = Bench::unlimited();
    let table = [
        ("", json!(["body"]), "missing", "Field required"),
        ("[]", json!(["body"]), "model_attributes_type", OBJECT),
        ("null", json!(["body"]), "model_attributes_type", OBJECT),
        ("{}", json!(["body", "prompt"]), "missing", "Field required"),
        (r#"{"prompt":null}"#, json!(["body", "prompt"]), "string_type", STRING),
        (r#"{"prompt":5}"#, json!(["body", "prompt"]), "string_type", STRING),
        (r#"{"prompt":"x","repo_id":"a"}"#, json!(["body", "repo_id"]), "int_parsing", INTEGER),
        (r#"{"prompt":"x","repo_id":[]}"#, json!(["body", "repo_id"]), "int_type", "Input should be a valid integer"),
        (
            r#"{"prompt":"x","repo_id":1.5}"#,
            json!(["body", "repo_id"]),
            "int_from_float",
            "Input should be a valid integer, got a number with a fractional part",
        ),
        (
            r#"{"prompt":"x","repo_id":1e30}"#,
            json!(["body", "repo_id"]),
            "int_parsing_size",
            "Unable to parse input string as an integer, exceeded maximum size",
        ),
        (
            r#"{"prompt":"x","metadata":[]}"#,
            json!(["body", "metadata"]),
            "dict_type",
            "Input should be a valid dictionary",
        ),
        (r#"{"prompt":"x","images":"a"}"#, json!(["body", "images"]), "list_type", "Input should be a valid list"),
        (r#"{"prompt":"x","images":["a",1]}"#, json!(["body", "images", 1]), "string_type", STRING),
        (r#"{"prompt":"x","model":1}"#, json!(["body", "model"]), "string_type", STRING),
        (
            r#"{"prompt":"x","agent_type":"gpt"}"#,
            json!(["body", "agent_type"]),
            "literal_error",
            "Input should be 'codegen' or 'claude_code'",
        ),
    ];
    for (body, loc, kind, msg) in table {
        let reply = bench.call("POST", &org("agent/run"), Some(TOKEN), Some(body)).await;
        assert_eq!(reply.status, 422, "{body}");
        assert_eq!(problems(&reply.json()), [(loc, kind, msg)], "{body}");
    }
    for body in ["{", "{\"prompt\":\"x\"} x", "{\"prompt\":NaN}", "prompt=x"] {
        let reply = bench.call("POST", &org("agent/run"), Some(TOKEN), Some(body)).await.json();
        assert_eq!(problems(&reply)[0].1, "json_invalid", "{body}");
    }
    assert!(bench.sandbox.runs().is_empty(), "a refused create makes no run");
}

#[tokio::test]
async fn all_problems_are_told_at_once() {
    let bench = Bench::unlimited();
    let sent = r#"{"repo_id":"a","agent_type":5}"#;
    let reply = bench.call("POST", "/v1/organizations/abc/agent/run", Some(TOKEN), Some(sent)).await.json();
    let told: Vec<Value> = problems(&reply).into_iter().map(|(loc, ..)| loc).collect();
    assert_eq!(
        json!(told),
        json!([["path", "org_id"], ["body", "prompt"], ["body", "repo_id"], ["body", "agent_type"]])
    );
    let reply = bench.call("POST", &org("agent/run/resume"), Some(TOKEN), Some(r#"{"images":[1]}"#)).await.json();
    let told: Vec<Value> = problems(&reply).into_iter().map(|(loc, ..)| loc).collect();
    assert_eq!(json!(told), json!([["body", "agent_run_id"], ["body", "prompt"], ["body", "images", 0]]));
}

#[tokio::test]
async fn a_path_or_query_that_does_not_fit_is_refused_as_the_framework_does() {
    let bench = Bench::unlimited();
    let id = bench.create("p").await;
    let logs = format!("/v1/alpha/organizations/42/agent/run/{id}/logs");
    let source = "Input should be 'LOCAL', 'SLACK', 'GITHUB', 'GITHUB_CHECK_SUITE', 'GITHUB_PR_REVIEW', 'LINEAR', 'API', \
        'CHAT', 'JIRA', 'CLICKUP', 'MONDAY' or 'SETUP_COMMANDS'";
    let least = |number: u8| format!("Input should be greater than or equal to {number}");
    let most = "Input should be less than or equal to 100".to_owned();
    let flag = "Input should be a valid boolean, unable to interpret input".to_owned();
    let integer = INTEGER.to_owned();
    let table = [
        (org("agent/run/abc"), json!(["path", "agent_run_id"]), "int_parsing", integer.clone()),
        ("/v1/organizations/x/agent/runs".to_owned(), json!(["path", "org_id"]), "int_parsing", integer.clone()),
        (org("users/abc"), json!(["path", "user_id"]), "int_parsing", integer.clone()),
        (org("agent/runs?limit=0"), json!(["query", "limit"]), "greater_than_equal", least(1)),
        (org("agent/runs?limit=101"), json!(["query", "limit"]), "less_than_equal", most.clone()),
        (org("agent/runs?limit="), json!(["query", "limit"]), "int_parsing", integer.clone()),
        (org("agent/runs?skip=-1"), json!(["query", "skip"]), "greater_than_equal", least(0)),
        (org("agent/runs?user_id=me"), json!(["query", "user_id"]), "int_parsing", integer.clone()),
        (org("agent/runs?source_type=api"), json!(["query", "source_type"]), "enum", source.to_owned()),
        (org("users?limit=101"), json!(["query", "limit"]), "less_than_equal", most.clone()),
        (org("repos?skip=x"), json!(["query", "skip"]), "int_parsing", integer.clone()),
        ("/v1/organizations?limit=0".to_owned(), json!(["query", "limit"]), "greater_than_equal", least(1)),
        (format!("{logs}?reverse=perhaps"), json!(["query", "reverse"]), "bool_parsing", flag),
        (format!("{logs}?limit=1000"), json!(["query", "limit"]), "less_than_equal", most),
    ];
    for (path, loc, kind, msg) in table {
        let reply = bench.call("GET", &path, Some(TOKEN), None).await;
        assert_eq!(reply.status, 422, "{path}");
        assert_eq!(problems(&reply.json()), [(loc, kind, msg.as_str())], "{path}");
    }
    // Leniency that the framework shows: spaces and signs, unknown parameters, the last of several.
    let page = bench.get(&org("agent/runs?limit=7&limit=%2B5&unknown=1")).await;
    assert_eq!(page["size"], 5);
}

#[tokio::test]
async fn a_body_must_be_called_json() {
    let bench = Bench::unlimited();
    for (content_type, status) in [("text/plain", 422), ("application/problem+json; charset=utf-8", 200)] {
        let request = Request::post(org("agent/run"))
            .header("authorization", format!("bearer {TOKEN}"))
            .header("content-type", content_type)
            .body(Body::from(r#"{"prompt":"p"}"#))
            .unwrap();
        let reply = bench.send(request).await;
        check("POST", &org("agent/run"), &reply);
        assert_eq!(reply.status, status, "{content_type}");
    }
}

#[tokio::test]
async fn every_call_wants_a_known_token_and_its_organization() {
    let bench = Bench::unlimited();
    let id = bench.create("p").await;
    let resume = json!({"agent_run_id": id, "prompt": "more"}).to_string();
    let calls = |org: i64| {
        vec![
            ("POST", format!("/v1/organizations/{org}/agent/run"), Some(r#"{"prompt":"p"}"#)),
            ("POST", format!("/v1/organizations/{org}/agent/run/resume"), Some(resume.as_str())),
            ("GET", format!("/v1/organizations/{org}/agent/run/{id}"), None),
            ("GET", format!("/v1/organizations/{org}/agent/runs"), None),
            ("GET", format!("/v1/alpha/organizations/{org}/agent/run/{id}/logs"), None),
            ("GET", format!("/v1/organizations/{org}/users"), None),
            ("GET", format!("/v1/organizations/{org}/users/1001"), None),
            ("GET", format!("/v1/organizations/{org}/repos"), None),
            ("GET", format!("/v1/organizations/{org}/integrations"), None),
        ]
    };
    let mut without_token = calls(42);
    without_token.push(("GET", "/v1/users/me".to_owned(), None));
    without_token.push(("GET", "/v1/organizations".to_owned(), None));
    for (method, path, body) in without_token {
        for token in [None, Some(""), Some("unknown"), Some("first-token-of-the-sandbo")] {
            assert_eq!(bench.call(method, &path, token, body).await.status, 403, "{method} {path} {token:?}");
        }
    }
    for (method, path, body) in calls(43) {
        let reply = bench.call(method, &path, Some(TOKEN), body).await;
        assert_eq!(reply.status, 403, "{method} {path}");
        assert_eq!(reply.json()["message"], "You do not have access to this organization.");
    }
    assert_eq!(bench.sandbox.runs().len(), 1);
    assert_eq!(bench.sandbox.runs()[0].prompts, ["p"]);
}

#[tokio::test]
async fn only_the_bearer_scheme_is_taken() {
    let bench = Bench::unlimited();
    for header in [TOKEN.to_owned(), format!("Basic {TOKEN}"), format!("Token {TOKEN}")] {
        let request = Request::get("/v1/users/me").header("authorization", header).body(Body::empty()).unwrap();
        assert_eq!(bench.send(request).await.status, 403);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let bench = Bench::unlimited();
    let resume = Some(r#"{"agent_run_id":7,"prompt":"p"}"#);
    for (method, path, body, message) in [
        ("GET", org("agent/run/7"), None, "Agent run not found."),
        ("GET", "/v1/alpha/organizations/42/agent/run/7/logs".to_owned(), None, "Agent run not found."),
        ("POST", org("agent/run/resume"), resume, "Agent run not found."),
        ("GET", org("users/7"), None, "User not found."),
    ] {
        let reply = bench.call(method, &path, Some(TOKEN), body).await;
        assert_eq!(reply.json(), json!({"message": message, "status_code": 404}), "{path}");
        assert_eq!(reply.status, 404, "{path}");
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_played_are_answered_by_the_framework() {
    let bench = Bench::unlimited();
    for (method, path, status, detail) in [
        ("GET", "/".to_owned(), 404, "Not Found"),
        ("GET", "/v1".to_owned(), 404, "Not Found"),
        ("GET", "/docs".to_owned(), 404, "Not Found"),
        ("GET", org("agent/runs/"), 404, "Not Found"),
        ("POST", org("agent/run/cancel"), 404, "Not Found"),
        ("POST", org("sandbox/5/analyze-logs"), 404, "Not Found"),
        ("GET", org("agent/run/ban"), 405, "Method Not Allowed"),
        ("DELETE", org("repos/check-suite-settings"), 405, "Method Not Allowed"),
        ("GET", org("agent/run/7/logs"), 404, "Not Found"),
        ("GET", org("cli/rules"), 404, "Not Found"),
        ("GET", org("agent/run"), 405, "Method Not Allowed"),
        ("PUT", org("agent/runs"), 405, "Method Not Allowed"),
        ("DELETE", org("agent/run/7"), 405, "Method Not Allowed"),
        ("POST", "/v1/users/me".to_owned(), 405, "Method Not Allowed"),
    ] {
        let reply = bench.send(request(method, &path, Some(TOKEN), None)).await;
        assert_eq!((reply.status, reply.json()), (status, json!({"detail": detail})), "{method} {path}");
    }
    let head = bench.send(request("HEAD", &org("agent/runs"), Some(TOKEN), None)).await;
    assert_eq!(head.status, 405);
}
