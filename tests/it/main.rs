//! The integration tests, linked once: one module for each room and one for the real binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod codegen;
mod config;
mod config_file;
mod daemon;
mod generated;
mod intake;
mod lifecycle;
mod month;
mod readme;
mod rules;
mod sandbox;
mod secrecy;
mod server_admin;
mod server_api;
mod server_browser;
mod server_metrics;
mod server_pages;
mod server_support;
mod server_wire;
mod store_accept;
mod store_lists;
mod store_queue;
mod store_support;
mod support;
mod telemetry;
mod webhook_core;
mod webhook_github;
mod webhook_gitlab;
mod webhook_jira;
mod webhook_payloads;
mod webhook_signatures;
mod webhook_support;
mod webhook_verify;
mod worker;
