//! hookrun: webhooks of git hosts and trackers become coding-agent runs.
//!
//! ```text
//!  GitHub ─┐                                                                              ┌─> Codegen API
//!  GitLab ─┼─> bytes ─verify─> Delivery ─parse─> Events ─match─> Matches ─claim, join─> Job ┤
//!  Jira  ──┘                     └────────────── one transaction, then 2xx ─────────────┘   └─> Run ─follow─> Outcome
//!                                             queue ──release, render──┘                        │
//!                          status API · dashboard · metrics  <── the store ─────────────────────┘
//! ```
//!
//! The rooms, from the ground up; each may import only what stands above it (`tests/architecture.rs` holds this):
//!
//! | level | room | job |
//! |---|---|---|
//! | 0 | [`model`] | the words: plain data, legal state changes, the clock |
//! | 0 | [`telemetry`], [`lifecycle`] | logs and metrics; signals, cancellation and supervised tasks |
//! | 1 | [`config`] | settings: defaults < file < environment < flags |
//! | 1 | [`webhook`] | bytes become a delivery, a delivery becomes events |
//! | 1 | [`rules`] | the rules file, compiled: matching, gates, prompts |
//! | 1 | [`store`] | what is remembered; the only SQL |
//! | 1 | [`sandbox`] | the Codegen API played locally |
//! | 2 | [`intake`] | a delivery becomes verdicts and one transaction |
//! | 2 | [`codegen`] | the only door to the Codegen API |
//! | 3 | [`worker`] | release, submit, reconcile, follow, sweep |
//! | 3 | [`server`] | the two listeners |
//! | 4 | [`cli`], [`app`] | commands; what joins all rooms |

pub mod app;
pub mod cli;
pub mod codegen;
pub mod config;
pub mod intake;
pub mod lifecycle;
pub mod model;
pub mod rules;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod webhook;
pub mod worker;
