//! hookrun: webhooks of git hosts and trackers become coding-agent runs.

pub mod intake;
pub mod model;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod webhook;
