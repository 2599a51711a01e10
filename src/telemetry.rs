//! Logs, spans and metrics: how the program tells what it does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether `level` is a filter that `start` would take.
pub fn check_level(level: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    tracing_subscriber::EnvFilter::try_new(level).map(drop)
}
