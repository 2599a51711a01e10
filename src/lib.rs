//! hookrun: webhooks of git hosts and trackers become coding-agent runs.

pub mod config;
pub mod lifecycle;
pub mod model;
pub mod sandbox;
pub mod telemetry;
