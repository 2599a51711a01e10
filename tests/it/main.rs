//! Every integration test, linked once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server_admin;
mod server_api;
mod server_browser;
mod server_pages;
mod server_support;
mod server_wire;
