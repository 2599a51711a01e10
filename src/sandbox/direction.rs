//! Directions inside a prompt: lines like `sandbox: status=ERROR` by which a person plays an outcome by hand.

use std::time::Duration;

use crate::model::span::parse_span;

/// How long a run lives unless its prompt says otherwise.
const LIFE: Duration = Duration::from_secs(5);

/// How one life of a run goes.
///
/// A line of the prompt that begins with `sandbox:` directs it: `status=WORD` (the status at the end, `COMPLETE` by
/// default), `life=SPAN` (5 s by default), `result=TEXT` (to the end of the line), `pr=none` (no pull request).
/// Directions that are not understood are left alone: they are text for the agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) life: Duration,
    pub(super) status: String,
    pub(super) result: Option<String>,
    pub(super) pull_request: bool,
}

impl Direction {
    /// Reads the directions of a prompt.
    pub(super) fn of(prompt: &str) -> Self {
        let mut direction = Self { life: LIFE, status: "COMPLETE".to_owned(), result: None, pull_request: true };
        for line in prompt.lines() {
            let Some((key, value)) = line.trim().strip_prefix("sandbox:").and_then(|line| line.split_once('=')) else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "status" if !value.is_empty() => value.clone_into(&mut direction.status),
                "life" => direction.life = parse_span(value).unwrap_or(direction.life),
                "result" => direction.result = Some(value.to_owned()),
                "pr" if value == "none" => direction.pull_request = false,
                _ => {}
            }
        }
        direction
    }
}
