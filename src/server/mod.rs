//! The two listeners: webhooks and health for the world, and status API, dashboard and metrics for the team.
//!
//! ```text
//! serve.rs     connections of a listener        problem.rs   every refusal
//! webhooks.rs  the public listener              body.rs, budget.rs   reading bodies
//! admin.rs     the admin listener               guard.rs, auth.rs    who may read and act
//! api/         the status API and its OpenAPI   pages/, overview.rs  the dashboard
//! why/         the story of what a person points at
//! metrics.rs   /metrics
//! ```

mod admin;
mod api;
mod auth;
mod body;
mod brakes;
mod budget;
mod budgets;
mod gather;
mod guard;
mod metrics;
mod overview;
mod pages;
mod problem;
mod serve;
mod spending;
mod standing;
mod webhooks;
mod why;

pub use admin::{Admin, AdminParts, Gates, RuleInForce, RulesInForce};
pub use api::openapi;
pub use body::BodyLimits;
pub use serve::serve;
pub use webhooks::Webhooks;
