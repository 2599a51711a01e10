//! The integration tests, one module for each room.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod codegen;
mod sandbox;
mod worker;
