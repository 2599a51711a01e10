//! The ceiling of `scripts/bench`: a bare server that verifies a GitHub webhook, parses what it needs, and stores nothing.

use std::borrow::Cow;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use tokio::net::TcpListener;

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    check_run: CheckRun<'a>,
    #[serde(borrow)]
    repository: Repository<'a>,
}

#[derive(Deserialize)]
struct CheckRun<'a> {
    id: u64,
    #[serde(borrow)]
    head_sha: Cow<'a, str>,
    #[serde(borrow)]
    conclusion: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Repository<'a> {
    #[serde(borrow)]
    full_name: Cow<'a, str>,
}

/// The status that a request is answered with.
fn answer(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let mut claimed = [0; 32];
    let given = headers.get("x-hub-signature-256").and_then(|value| value.as_bytes().strip_prefix(b"sha256="));
    if given.is_none_or(|digits| hex::decode_to_slice(digits, &mut claimed).is_err()) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return StatusCode::INTERNAL_SERVER_ERROR };
    mac.update(body);
    if mac.verify_slice(&claimed).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(read) = serde_json::from_slice::<Body<'_>>(body) else { return StatusCode::BAD_REQUEST };
    let wanted = read.action == "completed"
        && read.check_run.conclusion.as_deref() == Some("failure")
        && read.check_run.id > 0
        && read.check_run.head_sha.len() == 40
        && read.repository.full_name.contains('/');
    if wanted { StatusCode::ACCEPTED } else { StatusCode::OK }
}

/// Serves until the process is ended.
pub(crate) async fn serve(secret: String) {
    let handler = move |headers: HeaderMap, body: Bytes| {
        let status = answer(secret.as_bytes(), &headers, &body);
        std::future::ready((status, "{\"delivery\":\"00000000-0000-0000-0000-000000000000\",\"jobs\":[]}"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("it is bound"));
    axum::serve(listener, Router::new().route("/webhooks/github", post(handler))).await.expect("it serves");
}
