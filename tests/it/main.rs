//! The integration tests, in one binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod config;
mod config_file;
mod lifecycle;
mod telemetry;
