//! The integration tests, one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod webhook_core;
mod webhook_payloads;
mod webhook_signatures;
mod webhook_support;
mod webhook_traps;
mod webhook_verify;
