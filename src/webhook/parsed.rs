//! A payload, read once: what the reader of its host may ask of it.

use super::{github, gitlab, jira};
use crate::model::delivery::SourceKind;

/// A payload that is known to be one well-formed JSON object.
#[derive(Debug)]
pub(super) enum Parsed {
    Github(github::Body),
    Gitlab(gitlab::Body),
    Jira(jira::Body),
}

impl Parsed {
    /// Reads a payload of a host and checks every byte of it.
    pub(super) fn read(kind: SourceKind, payload: &[u8]) -> Result<Self, String> {
        Ok(match kind {
            SourceKind::Github => Self::Github(github::read(payload)?),
            SourceKind::Gitlab => Self::Gitlab(gitlab::read(payload)?),
            SourceKind::Jira => Self::Jira(jira::read(payload)?),
        })
    }
}
