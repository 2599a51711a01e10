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
    /// Stop the agents of a run's change, and leave the change alone from then on.
    Ban,
    /// Look after a run's change again.
    Unban,
    /// The same as a ban, under another name.
    RemoveFromPr,
    /// Make a run that generates set-up commands for a repository.
    SetupCommands,
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
    /// What Codegen does by itself about the failed checks of a repository.
    CheckSettings,
    /// Change that.
    PutCheckSettings,
    /// Open, close or draft a pull request.
    EditPr,
    /// The same with the repository in the path.
    EditRepoPr,
}

impl Call {
    /// Every call that is played.
    pub const ALL: [Self; 19] = [
        Self::Create,
        Self::Get,
        Self::List,
        Self::Resume,
        Self::Ban,
        Self::Unban,
        Self::RemoveFromPr,
        Self::SetupCommands,
        Self::Logs,
        Self::Organizations,
        Self::Users,
        Self::User,
        Self::Me,
        Self::Repos,
        Self::Integrations,
        Self::CheckSettings,
        Self::PutCheckSettings,
        Self::EditPr,
        Self::EditRepoPr,
    ];

    /// The method that it answers to.
    pub fn method(self) -> Method {
        match self {
            Self::Create | Self::Resume | Self::Ban | Self::Unban | Self::RemoveFromPr | Self::SetupCommands => {
                Method::POST
            }
            Self::PutCheckSettings => Method::PUT,
            Self::EditPr | Self::EditRepoPr => Method::PATCH,
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
            Self::Ban => "/v1/organizations/{org_id}/agent/run/ban",
            Self::Unban => "/v1/organizations/{org_id}/agent/run/unban",
            Self::RemoveFromPr => "/v1/organizations/{org_id}/agent/run/remove-from-pr",
            Self::SetupCommands => "/v1/organizations/{org_id}/setup-commands/generate",
            Self::Logs => "/v1/alpha/organizations/{org_id}/agent/run/{agent_run_id}/logs",
            Self::Organizations => "/v1/organizations",
            Self::Users => "/v1/organizations/{org_id}/users",
            Self::User => "/v1/organizations/{org_id}/users/{user_id}",
            Self::Me => "/v1/users/me",
            Self::Repos => "/v1/organizations/{org_id}/repos",
            Self::Integrations => "/v1/organizations/{org_id}/integrations",
            Self::CheckSettings | Self::PutCheckSettings => "/v1/organizations/{org_id}/repos/check-suite-settings",
            Self::EditPr => "/v1/organizations/{org_id}/prs/{pr_id}",
            Self::EditRepoPr => "/v1/organizations/{org_id}/repos/{repo_id}/prs/{pr_id}",
        }
    }

    /// The one window that it is charged to. The OpenAPI states no limit for resume, bans and check settings; they are
    /// standard here (charging a resume as a create is the caution of a careful client). So is the editing of pull
    /// requests, whose own window of 30 in a minute no client of ours comes near.
    pub fn class(self) -> CallClass {
        match self {
            Self::Create => CallClass::Create,
            Self::SetupCommands => CallClass::SetupCommands,
            Self::Logs => CallClass::Logs,
            _ => CallClass::Standard,
        }
    }
}
