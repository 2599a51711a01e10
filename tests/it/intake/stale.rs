//! Stale.
