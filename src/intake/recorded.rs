//! A request as files hold it: headers and body, as the tests of rules and `deliveries export` write them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::delivery::SourceKind;
use crate::store::StoredBody;

/// The header without which no host's body is read.
const CONTENT_TYPE: &str = "content-type";
const JSON: &str = "application/json";

/// A request that was recorded, or written by hand. It proves nothing about its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its headers, with names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// `{"headers": {…}, "body": {…}}`; the body keeps its text to the letter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    headers: BTreeMap<String, String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Recorded {
    /// A request of these headers and this body; without a content type it counts as JSON.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>, body: Bytes) -> Self {
        let lower = |(name, value): (String, String)| (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        let mut headers: Vec<_> = headers.into_iter().map(lower).collect();
        if !headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
            headers.push((CONTENT_TYPE.to_owned(), JSON.to_owned()));
        }
        Self { headers, body }
    }

    /// Reads `{"headers": {…}, "body": {…}}`; `None` when the text is something else, such as a body alone.
    pub fn read(text: &str) -> Option<Self> {
        let written: Written<'_> = serde_json::from_str(text).ok()?;
        Some(Self::new(written.headers, Bytes::copy_from_slice(written.body.get().as_bytes())))
    }

    /// What a stored delivery was, in the same form; `payload` is its JSON text. A form body is told as the JSON in it.
    pub fn write(stored: &StoredBody, payload: &str) -> Result<Box<RawValue>, serde_json::Error> {
        let mut headers: BTreeMap<String, String> = stored.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE.to_owned(), JSON.to_owned());
        let body = RawValue::from_string(payload.to_owned())?;
        serde_json::value::to_raw_value(&Written { headers, body: &body })
    }

    /// The kind of host that sends such headers; Jira's are like anybody's.
    pub fn kind(&self) -> SourceKind {
        let sent = |prefix: &str| self.headers.iter().any(|(name, _)| name.starts_with(prefix));
        if sent("x-github-") {
            SourceKind::Github
        } else if sent("x-gitlab-") {
            SourceKind::Gitlab
        } else {
            SourceKind::Jira
        }
    }
}
