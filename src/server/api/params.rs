//! What a list may be asked for: parameters that are spelt right, or a refusal that names the right ones.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::server::problem::Refusal;
use crate::store::PageRequest;

/// Items of a list when nobody says how many.
const USUAL: u32 = 50;
/// Items of a list at most.
const MOST: u32 = 100;

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

/// The page that `limit` and `cursor` ask for.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, Refusal> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::BadRequest(format!("limit must be between 1 and {MOST}").into()));
    }
    Ok(PageRequest { limit, cursor })
}

/// Reads a comma-separated list of words.
pub(super) fn words<T, E: Into<String>>(
    text: Option<&str>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Refusal> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    words.map(|word| read(word.trim()).map_err(|error| Refusal::BadRequest(error.into().into()))).collect()
}
