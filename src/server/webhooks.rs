//! The public listener: webhooks and health, nothing else.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Mutex;

use super::body::{BodyLimits, BodyReader};
use super::problem::{Cause, Refusal, method_not_allowed, not_found};
use crate::intake::{Receipt, Rejection};
use crate::model::clock::{Clock, Timestamp};
use crate::model::delivery::DeliveryOutcome;
use crate::store::Store;
use crate::telemetry::{self, Metric};

/// For so long the answer about readiness is good: to ask is to wait for a turn to write, and anybody may ask.
const READY_LASTS: Duration = Duration::from_secs(1);

type Receiving = Pin<Box<dyn Future<Output = Result<Receipt, Rejection>> + Send>>;

/// The public listener.
pub struct Webhooks {
    receive: Box<dyn Fn(String, HeaderMap, Bytes) -> Receiving + Send + Sync>,
    store: Store,
    clock: Arc<dyn Clock>,
    bodies: BodyReader,
    /// When readiness was asked last, and what was wrong.
    ready: Mutex<Option<(Timestamp, Option<String>)>>,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("bodies", &self.bodies).finish_non_exhaustive()
    }
}

/// The answer to a webhook that was taken.
#[derive(Serialize)]
struct Taken {
    delivery: String,
    outcome: &'static str,
    jobs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Webhooks {
    /// `receive` is handed the source's name, the headers and the body as it arrived; it verifies and commits.
    pub fn new<F>(
        receive: impl Fn(String, HeaderMap, Bytes) -> F + Send + Sync + 'static,
        store: Store,
        clock: Arc<dyn Clock>,
        limits: BodyLimits,
    ) -> Self
    where
        F: Future<Output = Result<Receipt, Rejection>> + Send + 'static,
    {
        let receive = Box::new(move |source, headers, body| -> Receiving { Box::pin(receive(source, headers, body)) });
        Self { receive, store, clock, bodies: BodyReader::new(limits), ready: Mutex::new(None) }
    }

    /// Everything that the listener answers.
    pub fn router(self) -> Router {
        let webhooks = Router::new().route("/webhooks/{source}", post(webhook).fallback(wrong_method));
        webhooks.merge(health()).with_state(Arc::new(self))
    }

    /// Health checks alone, for a process that takes no webhooks.
    pub fn health(self) -> Router {
        health().with_state(Arc::new(self))
    }

    async fn take(&self, source: &str, request: Request) -> Result<Receipt, Refusal> {
        let (head, body) = request.into_parts();
        let arrived = self.bodies.read(&head.headers, body).await.inspect_err(count_refused)?;
        telemetry::measure(Metric::WebhookBytes, &[], arrived.bytes.len() as f64);
        let began = self.clock.now();
        let receipt = (self.receive)(source.to_owned(), head.headers, arrived.bytes).await;
        telemetry::measure(Metric::AcceptSeconds, &[], self.clock.now().since(began).as_secs_f64());
        drop(arrived.holding);
        Ok(receipt?)
    }
}

fn health() -> Router<Arc<Webhooks>> {
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

/// Counts a request that is refused before the intake sees it; what the intake refuses it counts itself.
fn count_refused(refusal: &Refusal) {
    let reason = match refusal {
        Refusal::TooSlow => "timeout",
        Refusal::TooLarge(_) => "size",
        Refusal::UnsupportedMediaType(_) => "media_type",
        Refusal::MethodNotAllowed => "method",
        Refusal::Busy { .. } => "overload",
        _ => "malformed",
    };
    telemetry::count(Metric::Refused, &[("reason", reason)]);
}

fn count_answer(status: StatusCode) {
    telemetry::count(Metric::WebhookRequests, &[("answer", status.as_str())]);
}

async fn wrong_method() -> Refusal {
    let refusal = method_not_allowed().await;
    count_refused(&refusal);
    count_answer(refusal.status());
    refusal
}

async fn webhook(
    State(webhooks): State<Arc<Webhooks>>,
    source: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A path that is no text names no source; it is answered like any other unknown one.
    let source = source.map(|Path(source)| source).unwrap_or_default();
    let began = webhooks.clock.now();
    let taken = webhooks.take(&source, request).await;
    let millis = webhooks.clock.now().since(began).as_millis() as u64;
    let source = loggable(&source);
    match taken {
        Ok(receipt) => {
            let accepted = receipt.outcome == DeliveryOutcome::Accepted;
            let status = if accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
            let outcome = receipt.outcome.as_str();
            count_answer(status);
            let (delivery, jobs) = (receipt.delivery.as_str(), receipt.jobs.len());
            tracing::info!(source, delivery, outcome, status = status.as_u16(), jobs, millis, "webhook taken");
            let taken = Taken { delivery: receipt.delivery, outcome, jobs: receipt.jobs, notes: receipt.notes };
            (status, Json(taken)).into_response()
        }
        Err(refusal) => {
            let status = refusal.status().as_u16();
            count_answer(refusal.status());
            let reason = refusal.to_string();
            let mut response = refusal.into_response();
            if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
                tracing::error!(source, status, millis, cause, "webhook not taken");
            } else {
                tracing::warn!(source, status, millis, reason, "webhook refused");
            }
            response
        }
    }
}

/// Anybody may write anything into the path; only what could be a source's name is written into the log.
fn loggable(source: &str) -> &str {
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if source.len() <= 64 && source.bytes().all(named) { source } else { "?" }
}

async fn ready(State(webhooks): State<Arc<Webhooks>>) -> Response {
    let mut last = webhooks.ready.lock().await;
    let now = webhooks.clock.now();
    let recent = last.as_ref().filter(|(at, _)| (*at..at.plus(READY_LASTS)).contains(&now));
    let cause = if let Some((_, cause)) = recent {
        cause.clone()
    } else {
        let cause = webhooks.store.ping().await.err().map(|error| error.to_string());
        if let Some(error) = &cause {
            tracing::error!(error, "not ready");
        }
        *last = Some((webhooks.clock.now(), cause.clone()));
        cause
    };
    match cause {
        None => Json(serde_json::json!({"status": "ready"})).into_response(),
        Some(cause) => Refusal::Busy { retry_after_s: 5, cause }.into_response(),
    }
}
