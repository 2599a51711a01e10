//! `[codegen]`: the agent service, its limits, and how its repositories are called.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;

use crate::model::limits::ClassLimits;

/// `[codegen]`, checked.
#[derive(Clone, Debug)]
pub struct CodegenSettings {
    /// Where the API is, without a slash at the end, e.g. `"https://api.codegen.com"`.
    pub base_url: String,
    /// The organisation whose runs are created.
    pub org_id: i64,
    /// The bearer token.
    pub token: SecretString,
    /// The API's limits, less the headroom that is left to other users of the token.
    pub limits: ClassLimits,
    /// What Codegen calls the repositories whose name differs there, by `"source-or-kind:full/path"`.
    pub repos: BTreeMap<String, RepoTarget>,
    /// Whether a job whose repository Codegen does not know is held instead of sent without one.
    pub require_repo: bool,
    /// How often the lists of runs are read while runs are active.
    pub poll_interval: Duration,
    /// How old a run becomes before it is no longer followed.
    pub give_up_after: Duration,
}

/// How Codegen knows a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RepoTarget {
    /// By its full name there, e.g. "acme/widgets".
    Name(String),
    /// By its id there.
    Id(i64),
}
