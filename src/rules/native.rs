//! The names that hosts give their events, so that a misspelt one is told when rules are read.

use super::pattern::{Patterns, Spelling, split_prefix};
use crate::model::event::Kind;
use crate::model::problem::nearest;

/// An event with the actions that complete its name: none where the name stands alone, `"*"` where any may come, an empty one
/// where it may also be missing.
type Named = (&'static str, &'static [&'static str]);

const ANY: &[&str] = &["*"];
const NONE: &[&str] = &[];

/// GitHub's events (docs.github.com, "Webhook events and payloads"). The actions are told where agents have work.
const GITHUB: &[Named] = &[
    ("branch_protection_configuration", ANY),
    ("branch_protection_rule", ANY),
    ("check_run", &["completed", "created", "requested_action", "rerequested"]),
    ("check_suite", &["completed", "requested", "rerequested"]),
    (
        "code_scanning_alert",
        &[
            "appeared_in_branch",
            "closed_by_user",
            "created",
            "fixed",
            "reopened",
            "reopened_by_user",
            "updated_assignment",
        ],
    ),
    ("commit_comment", &["created"]),
    ("create", NONE),
    ("custom_property", ANY),
    ("custom_property_promoted_to_enterprise", ANY),
    ("custom_property_values", ANY),
    ("delete", NONE),
    (
        "dependabot_alert",
        &["auto_dismissed", "auto_reopened", "created", "dismissed", "fixed", "reintroduced", "reopened"],
    ),
    ("deploy_key", ANY),
    ("deployment", &["", "created"]),
    ("deployment_protection_rule", ANY),
    ("deployment_review", ANY),
    ("deployment_status", &["", "created"]),
    ("discussion", ANY),
    ("discussion_comment", ANY),
    ("fork", NONE),
    ("github_app_authorization", ANY),
    ("gollum", NONE),
    ("installation", ANY),
    ("installation_repositories", ANY),
    ("installation_target", ANY),
    ("integration_installation", ANY),
    ("issue_comment", &["created", "deleted", "edited", "pinned", "unpinned"]),
    ("issue_dependencies", ANY),
    (
        "issues",
        &[
            "assigned",
            "closed",
            "deleted",
            "demilestoned",
            "edited",
            "labeled",
            "locked",
            "milestoned",
            "opened",
            "pinned",
            "reopened",
            "transferred",
            "typed",
            "unassigned",
            "unlabeled",
            "unlocked",
            "unpinned",
            "untyped",
        ],
    ),
    ("label", ANY),
    ("marketplace_purchase", ANY),
    ("member", ANY),
    ("membership", ANY),
    ("merge_group", ANY),
    ("meta", ANY),
    ("milestone", ANY),
    ("org_block", ANY),
    ("organization", ANY),
    ("package", ANY),
    ("page_build", NONE),
    ("personal_access_token_request", ANY),
    ("project", ANY),
    ("project_card", ANY),
    ("project_column", ANY),
    ("projects_v2", ANY),
    ("projects_v2_item", ANY),
    ("projects_v2_status_update", ANY),
    ("public", NONE),
    (
        "pull_request",
        &[
            "assigned",
            "auto_merge_disabled",
            "auto_merge_enabled",
            "closed",
            "converted_to_draft",
            "demilestoned",
            "dequeued",
            "edited",
            "enqueued",
            "labeled",
            "locked",
            "milestoned",
            "opened",
            "ready_for_review",
            "reopened",
            "review_request_removed",
            "review_requested",
            "synchronize",
            "unassigned",
            "unlabeled",
            "unlocked",
        ],
    ),
    ("pull_request_review", &["dismissed", "edited", "submitted"]),
    ("pull_request_review_comment", &["created", "deleted", "edited"]),
    ("pull_request_review_thread", &["resolved", "unresolved"]),
    ("push", NONE),
    ("registry_package", ANY),
    ("release", ANY),
    ("repository", ANY),
    ("repository_advisory", ANY),
    ("repository_dispatch", ANY),
    ("repository_import", NONE),
    ("repository_ruleset", ANY),
    ("repository_vulnerability_alert", ANY),
    ("secret_scanning_alert", ANY),
    ("secret_scanning_alert_location", ANY),
    ("secret_scanning_scan", ANY),
    ("security_advisory", ANY),
    ("security_and_analysis", NONE),
    ("sponsorship", ANY),
    ("star", ANY),
    ("status", NONE),
    ("sub_issues", ANY),
    ("team", ANY),
    ("team_add", NONE),
    ("watch", ANY),
    ("workflow_dispatch", NONE),
    ("workflow_job", &["completed", "in_progress", "queued", "waiting"]),
    ("workflow_run", &["completed", "in_progress", "requested"]),
];

const PIPELINE: &[&str] = &[
    "canceled",
    "canceling",
    "created",
    "failed",
    "manual",
    "pending",
    "preparing",
    "running",
    "scheduled",
    "skipped",
    "success",
    "waiting_for_callback",
    "waiting_for_resource",
];

/// GitLab's events (docs.gitlab.com, "Webhook events"; system hooks by their own names), completed by an action or a status.
const GITLAB: &[Named] = &[
    ("access_token", NONE),
    ("build", PIPELINE),
    ("deployment", &["canceled", "failed", "running", "success"]),
    ("emoji", ANY),
    ("external_status_check", ANY),
    ("feature_flag", NONE),
    ("group_create", NONE),
    ("group_destroy", NONE),
    ("group_rename", NONE),
    ("issue", &["", "close", "open", "reopen", "update"]),
    ("job", PIPELINE),
    ("key_create", NONE),
    ("key_destroy", NONE),
    (
        "merge_request",
        &["", "approval", "approved", "close", "merge", "open", "reopen", "unapproval", "unapproved", "update"],
    ),
    ("milestone", NONE),
    ("note", &["", "create", "update"]),
    ("pipeline", PIPELINE),
    ("project_create", NONE),
    ("project_destroy", NONE),
    ("project_rename", NONE),
    ("project_transfer", NONE),
    ("project_update", NONE),
    ("push", NONE),
    ("release", NONE),
    ("repository_update", NONE),
    ("subgroup_create", NONE),
    ("subgroup_destroy", NONE),
    ("tag_push", NONE),
    ("user_add_to_group", NONE),
    ("user_add_to_team", NONE),
    ("user_create", NONE),
    ("user_destroy", NONE),
    ("user_failed_login", NONE),
    ("user_remove_from_group", NONE),
    ("user_remove_from_team", NONE),
    ("user_rename", NONE),
    ("user_update_for_group", NONE),
    ("user_update_for_team", NONE),
    ("vulnerability", NONE),
    ("wiki_page", ANY),
    ("work_item", &["", "close", "open", "reopen", "update"]),
];

/// Jira's events (developer.atlassian.com, "Webhooks"), without the `jira:` that some begin with.
const JIRA: &[Named] = &[
    ("attachment_created", NONE),
    ("attachment_deleted", NONE),
    ("board_configuration_changed", NONE),
    ("board_created", NONE),
    ("board_deleted", NONE),
    ("board_updated", NONE),
    ("comment_created", NONE),
    ("comment_deleted", NONE),
    ("comment_updated", NONE),
    ("issue_created", NONE),
    ("issue_deleted", NONE),
    ("issue_unknown", NONE),
    ("issue_updated", NONE),
    ("issuelink_created", NONE),
    ("issuelink_deleted", NONE),
    ("project_archived", NONE),
    ("project_created", NONE),
    ("project_deleted", NONE),
    ("project_restored_archived", NONE),
    ("project_updated", NONE),
    ("sprint_closed", NONE),
    ("sprint_created", NONE),
    ("sprint_deleted", NONE),
    ("sprint_started", NONE),
    ("sprint_updated", NONE),
    ("transition", NONE),
    ("user_created", NONE),
    ("user_deleted", NONE),
    ("user_updated", NONE),
    ("version_created", NONE),
    ("version_deleted", NONE),
    ("version_moved", NONE),
    ("version_released", NONE),
    ("version_unreleased", NONE),
    ("version_updated", NONE),
    ("worklog_created", NONE),
    ("worklog_deleted", NONE),
    ("worklog_updated", NONE),
];

/// What is wrong with a native entry of `on`, and what to write instead; `None` when some host may send such an event. A
/// prefix that is no kind of host is the name of a source, of which the rules do not know what it is.
pub(super) fn doubt(entry: &str) -> Option<(String, Option<String>)> {
    let (prefix, name) = split_prefix(entry);
    let prefix = prefix.unwrap_or_default();
    let (host, events) = match prefix {
        "github" => ("GitHub", vec![GITHUB]),
        "gitlab" => ("GitLab", vec![GITLAB]),
        "jira" => ("Jira", vec![JIRA]),
        _ => ("any host", vec![GITHUB, GITLAB, JIRA]),
    };
    let events = || events.iter().copied().flatten();
    let pattern = Patterns::compile(&[name.to_owned()], Spelling::Plain).ok()?;
    if Kind::ALL.iter().any(|kind| pattern.allow_anywhere(kind.as_str()))
        || events().any(|event| sends(*event, name, &pattern))
    {
        return None;
    }
    let (bare, action) = name.split_once('.').map_or((name, None), |(bare, action)| (bare, Some(action)));
    let help = match (events().find(|(event, _)| *event == bare), action) {
        (Some((event, NONE)), _) => Some(format!("write \"{prefix}:{event}\"")),
        (Some((event, _)), None) => Some(format!("write \"{prefix}:{event}.*\", or one of its actions")),
        (Some((event, actions)), Some(action)) => {
            let actions: Vec<&str> = actions.iter().copied().filter(|action| !action.is_empty()).collect();
            nearest(action, actions.iter().copied())
                .map(|near| format!("did you mean \"{prefix}:{event}.{near}\"?"))
                .or_else(|| Some(format!("its actions are {}", actions.join(", "))))
        }
        (None, _) => nearest(bare, events().map(|(event, _)| *event)).map(|near| {
            let action = action.map_or_else(String::new, |action| format!(".{action}"));
            format!("did you mean \"{prefix}:{near}{action}\"?")
        }),
    };
    Some((format!("no event of {host} is named \"{name}\""), help))
}

fn sends((event, actions): Named, name: &str, pattern: &Patterns) -> bool {
    match actions {
        [] => pattern.allow_anywhere(event),
        ["*"] => {
            let own = format!("{event}.");
            name.starts_with(&own) || (pattern.may_meet(&format!("{own}*")) && name.contains('*'))
        }
        _ => actions.iter().any(|action| match *action {
            "" => pattern.allow_anywhere(event),
            action => pattern.allow_anywhere(&format!("{event}.{action}")),
        }),
    }
}

/// Whether an event of this name tells of a suite or a whole workflow and never of a single check.
pub(super) fn is_suite(entry: &str) -> bool {
    let (_, name) = split_prefix(entry);
    matches!(name.split('.').next(), Some("check_suite" | "workflow_run"))
}
