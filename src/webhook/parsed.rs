//! A payload, read once: what the reader of its host may ask of it.

use std::sync::Arc;

use super::{github, gitlab, jira};
use crate::model::delivery::SourceKind;

/// A payload that is known to be one well-formed JSON object.
#[derive(Clone, Debug)]
pub(super) enum Parsed {
    Github(Arc<github::Body>),
    Gitlab(Arc<gitlab::Body>),
    Jira(Arc<jira::Body>),
}

impl Parsed {
    /// Reads a payload of a host and checks every byte of it.
    pub(super) fn read(kind: SourceKind, payload: &[u8]) -> Result<Self, String> {
        Ok(match kind {
            SourceKind::Github => Self::Github(github::read(payload)?.into()),
            SourceKind::Gitlab => Self::Gitlab(gitlab::read(payload)?.into()),
            SourceKind::Jira => Self::Jira(jira::read(payload)?.into()),
        })
    }
}
