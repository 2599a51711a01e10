//! The paths under `/sandbox`, by which a person or a test directs the sandbox and looks into it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::FaultRule;
use super::journal::CallRecord;
use super::runs::SandboxRun;
use super::{Sandbox, fault_script};

/// The body of `POST /sandbox/runs/{id}/status`; a null status is possible and must be written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    #[serde(deserialize_with = "Option::deserialize")]
    status: Option<String>,
}

/// The routes; they ask for no token and are charged to no window.
pub(super) fn routes(sandbox: &Arc<Sandbox>) -> Router {
    Router::new()
        .route("/sandbox/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/sandbox/calls", get(calls))
        .route("/sandbox/runs", get(runs))
        .route("/sandbox/runs/{id}/status", post(hold).delete(release))
        .with_state(Arc::clone(sandbox))
}

async fn faults(State(sandbox): State<Arc<Sandbox>>) -> Json<Vec<FaultRule>> {
    Json(sandbox.pending_faults())
}

async fn add_faults(State(sandbox): State<Arc<Sandbox>>, body: Bytes) -> (StatusCode, Json<Value>) {
    match fault_script(&String::from_utf8_lossy(&body)) {
        Ok(rules) => {
            sandbox.faults(rules);
            (StatusCode::OK, Json(json!(sandbox.pending_faults())))
        }
        Err(error) => refuse(&error.to_string()),
    }
}

async fn clear_faults(State(sandbox): State<Arc<Sandbox>>) -> StatusCode {
    sandbox.clear_faults();
    StatusCode::NO_CONTENT
}

async fn calls(State(sandbox): State<Arc<Sandbox>>) -> Json<Vec<CallRecord>> {
    Json(sandbox.calls())
}

async fn runs(State(sandbox): State<Arc<Sandbox>>) -> Json<Vec<SandboxRun>> {
    Json(sandbox.runs())
}

async fn hold(State(sandbox): State<Arc<Sandbox>>, Path(id): Path<i64>, body: Bytes) -> (StatusCode, Json<Value>) {
    match serde_json::from_slice::<Hold>(&body) {
        Ok(Hold { status }) => found(sandbox.hold(id, status), id),
        Err(error) => refuse(&error.to_string()),
    }
}

async fn release(State(sandbox): State<Arc<Sandbox>>, Path(id): Path<i64>) -> (StatusCode, Json<Value>) {
    found(sandbox.release(id), id)
}

fn found(found: bool, id: i64) -> (StatusCode, Json<Value>) {
    if found {
        (StatusCode::OK, Json(json!({"id": id})))
    } else {
        (StatusCode::NOT_FOUND, Json(json!({"detail": format!("there is no run {id}")})))
    }
}

fn refuse(detail: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": detail})))
}
