//! No secret is logged, stored or shown: marked ones are planted wherever one can stand, and looked for everywhere.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookrun::model::clock::{Clock, SystemClock};
use hookrun::model::limits::ClassLimits;
use hookrun::store::{DeliveryFilter, PageRequest, Store, StoreOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::daemon::{Process, http};
use super::support::until;
use super::webhook_support::{hub, standard};

/// Stands in every secret of this test and nowhere else.
const MARK: &str = "c4nary";
const SIGNING_KEY: &[u8] = b"c4nary-32-bytes-of-a-signing-key";

const SETTINGS: &str = r#"
[webhooks]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
tokens = [{ name = "ops", role = "operator", secret = "c4nary-operator-token" },
          { name = "eve", role = "viewer", secret_file = "viewer" }]
[codegen]
base_url = "SANDBOX"
org_id = 7
token_file = "codegen"
[rules]
path = "rules.toml"
[sources.github]
kind = "github"
secrets = ["c4nary-github-secret", { label = "next", secret_file = "github" }]
[sources.gitlab]
kind = "gitlab"
signing_tokens = ["SIGNING"]
tokens = ["c4nary-gitlab-token"]
allow_token_fallback = true
[sources.jira]
kind = "jira"
header_secret = { name = "X-Hookrun-Token", secret = "c4nary-jira-token" }
event = "issue.transitioned"
[log]
level = "trace"
format = "FORMAT"
"#;

const RULES: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
settle = "0s"
prompt = "{{ event.repo }} failed"
"#;

/// An agent service that refuses everything, and repeats in its answer whatever it was sent.
async fn parrot() -> SocketAddr {
    let repeat = |headers: HeaderMap, body: String| async move {
        let token = headers["authorization"].to_str().unwrap().to_owned();
        let message = format!("{token} may not do this: {body}");
        (StatusCode::FORBIDDEN, Json(json!({"message": message, "status_code": 403})))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(repeat)).await });
    address
}

/// Everything of a database as text, but for what is packed: bodies are kept as they came, and their headers are looked at
/// by [`kept_headers`].
fn everything_in(database: &Path) -> String {
    let conn = rusqlite::Connection::open(database).unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut names = conn.prepare(sql).unwrap();
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut text = String::new();
    for table in names("SELECT name FROM sqlite_master WHERE type = 'table'") {
        for column in names(&format!("SELECT name FROM pragma_table_info('{table}')")) {
            if (table.as_str(), column.as_str()) == ("bodies", "body") {
                continue;
            }
            let select = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE {column} IS NOT NULL");
            let mut cells = conn.prepare(&select).unwrap();
            for cell in cells.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
                writeln!(text, "{table}.{column}: {}", String::from_utf8_lossy(&cell.unwrap())).unwrap();
            }
        }
    }
    text
}

/// The headers that are stored with the bodies, as `source name: value`, each once.
async fn kept_headers(database: &Path) -> BTreeSet<String> {
    let options = StoreOptions { url: format!("sqlite:{}", database.display()), limits: ClassLimits::default() };
    let store = Store::open(options, Arc::new(SystemClock::new())).await.unwrap();
    let all = PageRequest { limit: 100, cursor: None };
    let mut kept = BTreeSet::new();
    for delivery in store.deliveries(&DeliveryFilter::default(), &all).await.unwrap().items {
        let stored = store.body(&delivery.id).await.unwrap().unwrap();
        kept.extend(stored.headers.iter().map(|(name, value)| format!("{} {name}: {value}", stored.source)));
    }
    store.close().await.unwrap();
    kept
}

/// What is needed to understand a body again, and nothing else, whatever a request carries.
const KEPT: [&str; 10] = [
    "github content-type: application/json",
    "github x-github-delivery: of-github",
    "github x-github-event: check_run",
    "gitlab content-type: application/json",
    "gitlab idempotency-key: of-gitlab",
    "gitlab webhook-id: 1",
    "gitlab x-gitlab-event-uuid: of-an-event",
    "gitlab x-gitlab-event: Push Hook",
    "jira content-type: application/json",
    "jira x-atlassian-webhook-identifier: of-jira",
];

/// A body with a secret in a field that no rule prints; said to be failed, so that it makes a job.
///
/// A failed check of a commit of its own: of one commit the second would be late if the first was sent by then.
fn body(id: u64) -> String {
    json!({
        "action": "completed",
        "check_run": {
            "id": id, "name": "unit-tests", "head_sha": format!("{id:040x}"),
            "status": "completed", "conclusion": "failure", "completed_at": "2026-01-15T10:03:12Z",
            "output": {"text": "DATABASE_PASSWORD=c4nary-of-the-body"},
            "check_suite": {"id": 5, "head_branch": "fix/login"},
        },
        "repository": {"id": 1, "full_name": "acme/widgets", "html_url": "https://github.com/acme/widgets"},
        "sender": {"login": "mia", "id": 2, "type": "User"},
    })
    .to_string()
}

/// What anybody may add to a request without being asked.
fn with_secrets(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request
        .header("authorization", "Bearer c4nary-authorization")
        .header("cookie", "session=c4nary-cookie; hookrun_session=c4nary-session")
        .header("x-api-key", "c4nary-api-key")
        .header("content-type", "application/json")
}

/// What is said of the settings in a folder, with which nothing is wrong.
fn checked(folder: &Path) -> String {
    let check = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(["check", "--config", "hookrun.toml"])
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    assert_eq!(check.status.code(), Some(0), "{said}");
    said
}

async fn nothing_is_told(format: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let signing = format!("whsec_{}", STANDARD.encode(SIGNING_KEY));
    let settings = SETTINGS
        .replace("SANDBOX", &format!("http://{}", parrot().await))
        .replace("SIGNING", &signing)
        .replace("FORMAT", format);
    for (name, text) in [
        ("hookrun.toml", settings.as_str()),
        ("rules.toml", RULES),
        ("viewer", "c4nary-viewer-token"),
        ("codegen", "c4nary-codegen-token"),
        ("github", "c4nary-github-secret-2"),
    ] {
        std::fs::write(path(name), text).unwrap();
    }
    let mut told = vec![("check".to_owned(), checked(folder.path()))];

    let mut process = Process::start(&["serve", "--config", "hookrun.toml"], folder.path());
    let (webhooks, admin, http) = (process.address(), process.address(), http());
    let post = |source: &str| with_secrets(http.post(format!("{webhooks}/webhooks/{source}?token=c4nary-query&a=b")));

    let now = (SystemClock::new().wall().0 / 1000).to_string();
    let github = |id, key: &str| {
        post("github")
            .header("x-github-event", "check_run")
            .header("x-github-delivery", "of-github")
            .header("x-hub-signature-256", hub(key.as_bytes(), body(id).as_bytes()))
            .body(body(id))
    };
    let gitlab = || {
        post("gitlab")
            .header("x-gitlab-event", "Push Hook")
            .header("x-gitlab-event-uuid", "of-an-event")
            .header("idempotency-key", "of-gitlab")
            .header("x-gitlab-token", "c4nary-gitlab-token")
    };
    let jira = |token| {
        post("jira").header("x-atlassian-webhook-identifier", "of-jira").header("x-hookrun-token", token).body("{}")
    };
    let signed = |body: &'static str| {
        let signature = standard(&signing, "1", &now, body.as_bytes());
        gitlab()
            .header("webhook-id", "1")
            .header("webhook-timestamp", &now)
            .header("webhook-signature", signature)
            .body(body)
    };
    let mut jobs = Vec::new();
    for (expected, request) in [
        (202, github(1, "c4nary-github-secret")),
        (202, github(2, "c4nary-github-secret-2")),
        (401, github(3, "c4nary-of-somebody-else")),
        (200, signed(r#"{"object_kind": "push", "note": "c4nary-of-the-body"}"#)),
        (400, signed(r#"["c4nary-of-the-body"]"#)),
        (401, gitlab().header("webhook-signature", "v1,c4nary").body("{}")),
        (200, gitlab().body("{}")),
        (200, jira("c4nary-jira-token")),
        (401, jira("c4nary-jira-tokem")),
        (401, post("nobody").body("{}")),
    ] {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert_eq!(status, expected, "{text}");
        let taken: Value = serde_json::from_str(&text).unwrap();
        jobs.extend(taken["jobs"].as_array().into_iter().flatten().map(|id| id.as_str().unwrap().to_owned()));
        told.push(("an answer".to_owned(), text));
    }

    let read = |path: String| {
        let request = http.get(format!("{admin}{path}")).bearer_auth("c4nary-viewer-token");
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    // The service refuses the job, and what it says becomes the reason why the job waits.
    until("the service's refusal", async || {
        read(format!("/api/v1/jobs/{}", jobs[0])).await.contains("may not do this").then_some(())
    })
    .await;
    let lists = ["status", "deliveries", "jobs", "runs", "rules"].map(|list| format!("/api/v1/{list}"));
    let pages = ["/", "/metrics", "/fragment/dashboard", "/login?token=x"].map(ToOwned::to_owned);
    let details = [format!("/jobs/{}", jobs[0]), format!("/api/v1/jobs/{}", jobs[0])];
    for path in lists.into_iter().chain(pages).chain(details) {
        told.push((path.clone(), read(path).await));
    }
    // So that something was looked at: groups are measured where they are committed, on a thread of their own.
    let (_, metrics) = told.iter().find(|(place, _)| place == "/metrics").unwrap();
    let groups = metrics.lines().find_map(|line| line.strip_prefix("hookrun_group_size_count ")).unwrap();
    assert!(groups.parse::<u64>().unwrap() > 0, "{metrics}");
    for token in ["c4nary-operator-token", "c4nary-of-somebody-else"] {
        let login = http.post(format!("{admin}/login")).body(format!("token={token}")).send().await.unwrap();
        told.push(("log-in".to_owned(), format!("{:?} {}", login.headers().clone(), login.text().await.unwrap())));
    }
    process.end();
    told.push(("the log".to_owned(), std::fs::read_to_string(path("serve.log")).unwrap()));
    told.push(("the database".to_owned(), everything_in(&path("data/hookrun.db"))));
    for (place, text) in told {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(MARK)).collect();
        assert!(lines.is_empty(), "{place} tells a secret: {lines:#?}");
    }
    assert_eq!(kept_headers(&path("data/hookrun.db")).await, BTreeSet::from(KEPT.map(str::to_owned)));
}

#[tokio::test]
async fn no_secret_is_told_by_a_text_log_or_anything_else() {
    nothing_is_told("text").await;
}

#[tokio::test]
async fn no_secret_is_told_by_a_json_log_or_anything_else() {
    nothing_is_told("json").await;
}
