//! hookrun: webhooks of git hosts and trackers become coding-agent runs.

pub mod codegen;
pub mod config;
pub mod lifecycle;
pub mod model;
pub mod rules;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod webhook;
pub mod worker;
