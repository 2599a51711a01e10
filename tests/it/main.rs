//! The integration tests, one module for each room and one for the real binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod sandbox;
mod store_accept;
mod store_lists;
mod store_queue;
mod store_support;
mod support;
mod webhook_core;
mod webhook_github;
mod webhook_gitlab;
mod webhook_jira;
mod webhook_payloads;
mod webhook_signatures;
mod webhook_support;
mod webhook_verify;
