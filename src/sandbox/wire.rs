//! The HTTP side of a call: arrival, token, limit, fault, answer, and how a broken answer leaves.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::Value;

use super::answer::Answer;
use super::asked::Asked;
use super::call::Call;
use super::fault::{Fault, When};
use super::{Admission, Sandbox};

/// Images travel inside the JSON, so bodies may be large.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// The routes of the API, and the framework's answers for all others.
pub(super) fn routes(sandbox: &Arc<Sandbox>) -> Router {
    let mut router = Router::new();
    // Several calls may share a path.
    for path in BTreeSet::from(Call::ALL.map(Call::path)) {
        let sandbox = Arc::clone(sandbox);
        let route = any(move |params: RawPathParams, request: Request| async move {
            let call = Call::ALL.into_iter().find(|call| call.path() == path && call.method() == request.method());
            match call {
                Some(call) => serve(&sandbox, call, &params, request).await,
                // `…/agent/run/cancel` would be a path of its own that is not played, not a run.
                None if params.iter().any(|(_, id)| id.parse::<i64>().is_err()) => {
                    turn_away(&sandbox, &request, StatusCode::NOT_FOUND)
                }
                None => turn_away(&sandbox, &request, StatusCode::METHOD_NOT_ALLOWED),
            }
        });
        router = router.route(path, route);
    }
    let sandbox = Arc::clone(sandbox);
    router.fallback(move |request: Request| async move { turn_away(&sandbox, &request, StatusCode::NOT_FOUND) })
}

/// A path or method that is not played: `FastAPI`'s own answers.
fn turn_away(sandbox: &Sandbox, request: &Request, status: StatusCode) -> Response {
    let number = sandbox.strayed(request.method(), request.uri());
    sandbox.answered(number, Some(status));
    Answer::detail(status, status.canonical_reason().unwrap_or_default()).into_response()
}

async fn serve(sandbox: &Sandbox, call: Call, params: &RawPathParams, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return Answer::detail(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large").into_response();
    };
    let (number, admission) = sandbox.arrived(call, &parts, bearer(&parts.headers));
    let asked = Asked {
        path: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        query: form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        content_type: parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned),
        body,
    };
    let response = match admission {
        Err(refusal) => Some(refusal.into_response()),
        Ok(Admission { user, fault: None }) => Some(sandbox.play(call, user, &asked, None).into_response()),
        Ok(Admission { user, fault: Some(fault) }) => misbehave(sandbox, call, user, &asked, fault).await,
    };
    sandbox.answered(number, response.as_ref().map(Response::status));
    response.unwrap_or_else(|| Response::new(Body::new(Torn)))
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Plays a fault; none when the answer is lost.
async fn misbehave(sandbox: &Sandbox, call: Call, user: i64, asked: &Asked, fault: Fault) -> Option<Response> {
    if let Fault::Slow { millis, when: When::Before } = fault {
        tokio::time::sleep(Fault::delay(millis)).await;
    }
    let works = fault.when() == When::After || matches!(fault, Fault::Slow { .. });
    let answer = works.then(|| sandbox.play(call, user, asked, Some(&fault)));
    if let Fault::Slow { millis, when: When::After } = fault {
        tokio::time::sleep(Fault::delay(millis)).await;
    }
    match fault {
        Fault::Lost { .. } => None,
        Fault::RateLimited { retry_after } => {
            let refusal = Answer::documented(StatusCode::TOO_MANY_REQUESTS, call);
            Some(Answer { retry_after, ..refusal }.into_response())
        }
        Fault::Error { status, .. } => Some(Answer::documented(status_of(status), call).into_response()),
        Fault::Html { status, .. } => {
            let status = status_of(status);
            let title = status.canonical_reason().unwrap_or_default();
            Some(
                (status, Html(format!("<html><head><title>{title}</title></head><body>{title}</body></html>")))
                    .into_response(),
            )
        }
        Fault::Truncated {} => answer.map(|answer| truncated(&answer)),
        _ => answer.map(Answer::into_response),
    }
}

/// A number that is no status at all counts as a plain server error.
fn status_of(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A whole HTTP message that holds half of its JSON.
fn truncated(answer: &Answer) -> Response {
    let text = answer.body.to_string();
    let half: String = text.chars().take(text.chars().count() / 2).collect();
    (answer.status, [(header::CONTENT_TYPE, "application/json")], half).into_response()
}

/// Changes the runs in an answer (one run, or the items of a list) as a fault says.
pub(super) fn bend(body: &mut Value, fault: &Fault) {
    let bend_run = |run: &mut Value| {
        let Some(fields) = run.as_object_mut().filter(|fields| fields.contains_key("web_url")) else { return };
        match fault {
            Fault::Status { status } => {
                fields.insert("status".to_owned(), Value::from(status.clone()));
            }
            Fault::NoMetadata {} => {
                fields.remove("metadata");
            }
            _ => {}
        }
    };
    match body.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(bend_run),
        None => bend_run(body),
    }
}

/// A body that fails before its first byte: the server gives up the connection without having sent anything.
struct Torn;

impl hyper::body::Body for Torn {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}
