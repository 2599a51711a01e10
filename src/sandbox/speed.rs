//! How much faster than usual runs live.

use std::str::FromStr;
use std::time::Duration;

/// What a run's life is divided by: a positive number, 1 by default. Nothing else in the sandbox is sped up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// `factor` if it is a positive, finite number.
    pub fn new(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self(factor))
    }

    /// How long a life of `span` takes.
    pub(super) fn shorten(self, span: Duration) -> Duration {
        Duration::try_from_secs_f64(span.as_secs_f64() / self.0).unwrap_or(Duration::MAX)
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self(1.0)
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().ok().and_then(Self::new).ok_or_else(|| format!("\"{text}\" is no speed; write a number above 0"))
    }
}
