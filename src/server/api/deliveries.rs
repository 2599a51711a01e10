//! `/api/v1/deliveries`: what came in and what was decided about it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::items::{DeliveryDetail, DeliveryItem, List};
use super::params::{Id, Params, page};
use crate::model::delivery::DeliveryOutcome;
use crate::server::admin::Admin;
use crate::server::problem::{Refusal, Refusals};
use crate::store::{DeliveryFilter, Store};

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Of this source.
    source: Option<String>,
    /// With this outcome: `accepted`, `duplicate`, `ping`, `unmatched` or `not_understood`.
    outcome: Option<String>,
    /// Of this kind, e.g. `ci.failed`.
    kind: Option<String>,
    /// Of this repository or project.
    repo: Option<String>,
    /// About this subject.
    subject: Option<String>,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", operation_id = "listDeliveries", tag = "reading", params(DeliveriesQuery),
    responses((status = 200, description = "One page.", body = List<DeliveryItem>), Refusals))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<List<DeliveryItem>>, Refusal> {
    let filter = DeliveryFilter {
        source: query.source,
        outcome: query.outcome.as_deref().map(outcome).transpose()?,
        kind: query.kind,
        repo: query.repo,
        subject: query.subject,
    };
    let page = admin.store.deliveries(&filter, &page(query.limit, query.cursor)?).await?;
    Ok(Json(List { items: page.items.into_iter().map(DeliveryItem::from).collect(), next: page.next }))
}

/// One delivery.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", operation_id = "getDelivery", tag = "reading", params(("id" = String, Path, description = "Our id.")),
    responses((status = 200, description = "The delivery.", body = DeliveryDetail), Refusals))]
pub(super) async fn one(State(admin): State<Arc<Admin>>, Id(id): Id) -> Result<Json<DeliveryDetail>, Refusal> {
    let record = admin.store.delivery(&id).await?.ok_or(Refusal::NotFound("there is no such delivery".into()))?;
    Ok(Json(DeliveryDetail { delivery: record.into(), body_sha256: hash_of_body(&admin.store, &id).await }))
}

/// Hex SHA-256 of the body of a delivery, as long as it is kept. One that is damaged has none: the rest is shown all the same.
pub(in crate::server) async fn hash_of_body(store: &Store, delivery: &str) -> Option<String> {
    let body = match store.body(delivery).await {
        Ok(stored) => stored?.body,
        Err(error) => {
            tracing::warn!(delivery, %error, "the body of a delivery cannot be read");
            return None;
        }
    };
    // A large one takes longer than a thread that answers may be held up.
    tokio::task::spawn_blocking(move || hex::encode(Sha256::digest(&body))).await.ok()
}

fn outcome(word: &str) -> Result<DeliveryOutcome, Refusal> {
    DeliveryOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or_else(|| {
        let known = DeliveryOutcome::ALL.map(DeliveryOutcome::as_str).join(", ");
        Refusal::BadRequest(format!("\"{word}\" is no outcome; there are {known}").into())
    })
}
