//! The integration tests, one binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod webhook_core;
mod webhook_github;
mod webhook_gitlab;
mod webhook_jira;
mod webhook_payloads;
mod webhook_signatures;
mod webhook_support;
mod webhook_verify;
