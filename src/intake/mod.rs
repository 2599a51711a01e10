//! Delivery in, verdicts and one transaction out.

use crate::model::delivery::DeliveryOutcome;

/// What became of a webhook that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Our id of the delivery; `None` when nothing is kept of it.
    pub delivery: Option<String>,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// The jobs that were made or joined.
    pub jobs: Vec<String>,
    /// What is missing for rules to decide, e.g. `"draft unknown: subscribe to pull_request"`.
    pub missing: Vec<String>,
}

/// Why a webhook is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Unknown source, missing or wrong signature.
    Unauthorized,
    /// Malformed; the reason is shown.
    BadRequest(String),
    /// Not a content type that the host sends; the reason is shown.
    UnsupportedMediaType(String),
    /// The signed timestamp is out of tolerance.
    Stale,
    /// It cannot be committed now.
    Overloaded {
        /// Seconds until another try is worth it.
        retry_after_s: u64,
    },
    /// It failed here; logged by the intake.
    Internal,
}
