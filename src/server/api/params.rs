//! What a request says in its path, query and body: read whole, or refused in our own words.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use std::time::Duration;

use crate::model::span::parse_span;
use crate::server::admin::{BODY_BYTES, LARGE_BODY_BYTES};
use crate::server::problem::Refusal;
use crate::store::PageRequest;

/// Items of a list when nobody says how many.
const USUAL: u32 = 50;
/// Items of a list at most.
pub(in crate::server) const MOST: u32 = 100;

/// The query, read into a struct that denies unknown fields.
pub(in crate::server) struct Params<T>(pub(in crate::server) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            // "Failed to deserialize query string: colour: unknown field `colour`, expected one of …"
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Refusal::BadRequest(text.replace(" field", " parameter").into())
        })?;
        Ok(Self(params))
    }
}

/// The id in the path.
pub(in crate::server) struct Id(pub(in crate::server) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        // What is no text is the id of nothing.
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::NotFound("there is nothing at this path".into()))?;
        Ok(Self(id))
    }
}

/// The whole body.
pub(in crate::server) struct Content(pub(in crate::server) Bytes);

impl<S: Send + Sync> FromRequest<S> for Content {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        whole(request, state, BODY_BYTES).await.map(Self)
    }
}

/// The whole body, read as JSON into a struct that denies unknown fields.
pub(in crate::server) struct Told<T>(pub(in crate::server) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Told<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Content(body) = Content::from_request(request, state).await?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Refusal::BadRequest(format!("the body: {error}").into()))
    }
}

/// The whole body of a question that holds a payload or rules; its route has a limit of its own.
pub(in crate::server) struct Large(pub(in crate::server) Bytes);

impl<S: Send + Sync> FromRequest<S> for Large {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        whole(request, state, LARGE_BODY_BYTES).await.map(Self)
    }
}

async fn whole<S: Send + Sync>(request: Request, state: &S, limit: usize) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(limit),
        _ => Refusal::BadRequest("the body broke off".into()),
    })
}

/// A span of time, e.g. `8h`.
pub(in crate::server) fn span(text: &str) -> Result<Duration, Refusal> {
    parse_span(text).map_err(|wrong| Refusal::BadRequest(wrong.into()))
}

/// The page that `limit` and `cursor` ask for.
pub(in crate::server) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, Refusal> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::BadRequest(format!("limit must be between 1 and {MOST}").into()));
    }
    Ok(PageRequest { limit, cursor })
}

/// Reads a comma-separated list of words.
pub(in crate::server) fn words<T, E: Into<String>>(
    text: Option<&str>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Refusal> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    words.map(|word| read(word.trim()).map_err(|error| Refusal::BadRequest(error.into().into()))).collect()
}
