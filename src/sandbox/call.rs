//! The calls of the Codegen API that are played: their names, methods, paths and classes.

use axum::http::Method;
use serde::{Deserialize, Serialize};

use crate::model::limits::CallClass;

/// A call of the Codegen API that the sandbox plays; its name is how fault scripts and the journal spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Create an agent run.
    Create,
    /// Read one run.
    Get,
    /// List runs, newest first.
    List,
    /// Say something to a run and make it live again.
    Resume,
    /// Read a run's trace.
    Logs,
    /// The organizations of the token's user.
    Organizations,
    /// The users of an organization.
    Users,
    /// One user of an organization.
    User,
    /// The token's own user.
    Me,
    /// The repositories of an organization.
    Repos,
    /// The integrations of an organization.
    Integrations,
}

impl Call {
    /// Every call that is played.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::Get,
        Self::List,
        Self::Resume,
        Self::Logs,
        Self::Organizations,
        Self::Users,
        Self::User,
        Self::Me,
        Self::Repos,
        Self::Integrations,
    ];

    /// The method that it answers to.
    pub fn method(self) -> Method {
        match self {
            Self::Create | Self::Resume => Method::POST,
            _ => Method::GET,
        }
    }

    /// Its path as the OpenAPI document (version 1.0.0) writes it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Create => "/v1/organizations/{org_id}/agent/run",
            Self::Get => "/v1/organizations/{org_id}/agent/run/{agent_run_id}",
            Self::List => "/v1/organizations/{org_id}/agent/runs",
            Self::Resume => "/v1/organizations/{org_id}/agent/run/resume",
            Self::Logs => "/v1/alpha/organizations/{org_id}/agent/run/{agent_run_id}/logs",
            Self::Organizations => "/v1/organizations",
            Self::Users => "/v1/organizations/{org_id}/users",
            Self::User => "/v1/organizations/{org_id}/users/{user_id}",
            Self::Me => "/v1/users/me",
            Self::Repos => "/v1/organizations/{org_id}/repos",
            Self::Integrations => "/v1/organizations/{org_id}/integrations",
        }
    }

    /// The one window that it is charged to. The OpenAPI states a limit for each call except resume, which is standard
    /// here: charging it as a create is the caution of a careful client.
    pub fn class(self) -> CallClass {
        match self {
            Self::Create => CallClass::Create,
            Self::Logs => CallClass::Logs,
            _ => CallClass::Standard,
        }
    }
}
