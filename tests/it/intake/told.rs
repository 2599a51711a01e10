//! What GitHub sends about `acme/widgets`, no more than is read.

use serde_json::{Value, json};

pub(super) const MIA: &str = "mia";
pub(super) const AGENT: &str = "codegen-sh[bot]";

fn account(login: &str) -> Value {
    json!({"login": login, "type": if login.ends_with("[bot]") { "Bot" } else { "User" }})
}

fn about(mut body: Value, sender: &str) -> Value {
    body["repository"] = json!({"id": 1, "name": "widgets", "full_name": "acme/widgets", "private": false,
        "html_url": "https://github.com/acme/widgets", "default_branch": "main"});
    body["sender"] = account(sender);
    body
}

/// The full id of a commit that tests call by a number.
pub(super) fn sha(number: u32) -> String {
    format!("{number:040x}")
}

/// A check run that ended, on a branch of the repository if one is named.
pub(super) fn check(id: u32, sha: &str, branch: Option<&str>, conclusion: &str) -> Value {
    let body = json!({"action": "completed", "check_run": {
        "id": id, "name": format!("check-{id}"), "head_sha": sha, "status": "completed", "conclusion": conclusion,
        "completed_at": "2026-01-15T10:03:12Z", "html_url": format!("https://github.com/acme/widgets/runs/{id}"),
        "check_suite": {"id": id, "head_branch": branch, "head_sha": sha}, "pull_requests": []}});
    about(body, MIA)
}

/// A check run that has begun.
pub(super) fn begun(id: u32, sha: &str, branch: &str) -> Value {
    let mut body = check(id, sha, Some(branch), "");
    body["action"] = "created".into();
    body["check_run"]["status"] = "in_progress".into();
    body["check_run"]["conclusion"] = Value::Null;
    body["check_run"]["completed_at"] = Value::Null;
    body
}

/// A suite that ended.
pub(super) fn suite(id: u32, sha: &str, branch: &str, conclusion: &str) -> Value {
    let body = json!({"action": "completed", "check_suite": {
        "id": id, "head_sha": sha, "head_branch": branch, "status": "completed", "conclusion": conclusion,
        "updated_at": "2026-01-15T10:04:00Z", "app": {"slug": "ci", "name": "CI"}, "pull_requests": []}});
    about(body, MIA)
}

/// A workflow job that failed; its branch may be a fork's of the same name.
pub(super) fn workflow_job(id: u32, sha: &str, branch: &str) -> Value {
    let body = json!({"action": "completed", "workflow_job": {
        "id": id, "run_id": 9, "name": "build", "head_sha": sha, "head_branch": branch, "status": "completed",
        "conclusion": "failure", "html_url": "https://github.com/acme/widgets/actions/runs/9/job/1"}});
    about(body, MIA)
}

/// A change of a person of the team, from a branch of `head_repo`.
pub(super) fn change(number: u32, sha: &str, branch: &str, head_repo: &str, author: &str) -> Value {
    let body = json!({"action": "opened", "number": number, "pull_request": {
        "id": 1000 + number, "number": number, "title": "A change", "state": "open", "draft": false,
        "html_url": format!("https://github.com/acme/widgets/pull/{number}"), "user": account(author),
        "author_association": "MEMBER", "labels": [], "created_at": "2026-01-15T09:00:00Z",
        "updated_at": "2026-01-15T09:00:00Z",
        "head": {"ref": branch, "sha": sha, "repo": {"id": if head_repo == "acme/widgets" { 1 } else { 2 },
            "full_name": head_repo, "html_url": format!("https://github.com/{head_repo}")}},
        "base": {"ref": "main", "sha": super::told::sha(0), "repo": {"id": 1, "full_name": "acme/widgets",
            "html_url": "https://github.com/acme/widgets"}}}});
    about(body, author)
}

/// A comment of a member on a change, which is told in an issue's shape.
pub(super) fn comment(number: u32, text: &str) -> Value {
    let body = json!({"action": "created",
        "issue": {"id": 5, "number": number, "title": "A change", "state": "open", "user": account(MIA),
            "author_association": "MEMBER", "labels": [], "draft": false,
            "html_url": format!("https://github.com/acme/widgets/pull/{number}"), "pull_request": {}},
        "comment": {"id": 77, "body": text, "user": account(MIA), "author_association": "MEMBER",
            "html_url": format!("https://github.com/acme/widgets/pull/{number}#issuecomment-77")}});
    about(body, MIA)
}

/// A push to a branch of the repository, of which nothing is said about the head before.
pub(super) fn push(sha: &str, branch: &str, sender: &str) -> Value {
    push_over(&super::told::sha(0), sha, branch, sender)
}

/// A push to a branch of the repository over the head `before`.
pub(super) fn push_over(before: &str, sha: &str, branch: &str, sender: &str) -> Value {
    let body = json!({"ref": format!("refs/heads/{branch}"), "before": before, "after": sha,
        "head_commit": {"id": sha, "message": "Work", "author": {"name": sender, "username": sender}}});
    about(body, sender)
}

/// A branch of the repository was deleted.
pub(super) fn deleted(before: &str, branch: &str) -> Value {
    let mut body = push_over(before, &sha(0), branch, MIA);
    body["deleted"] = true.into();
    body
}

/// The end of a change.
pub(super) fn ended(mut change: Value, merged: bool) -> Value {
    change["action"] = "closed".into();
    change["pull_request"]["state"] = "closed".into();
    change["pull_request"]["merged"] = merged.into();
    change["pull_request"]["updated_at"] = "2026-01-15T11:00:00Z".into();
    change
}

/// An issue of a member was opened.
pub(super) fn issue(number: u32, title: &str) -> Value {
    let body = json!({"action": "opened", "issue": {"id": 500 + number, "number": number, "title": title,
        "state": "open", "user": account(MIA), "author_association": "MEMBER", "labels": [], "assignees": [],
        "html_url": format!("https://github.com/acme/widgets/issues/{number}"),
        "created_at": "2026-01-15T09:00:00Z", "updated_at": "2026-01-15T09:00:00Z"}});
    about(body, MIA)
}

/// A ticket of a Jira site as it is told when it is changed.
pub(super) fn ticket(site: &str, key: &str, items: &Value) -> Value {
    json!({"webhookEvent": "jira:issue_updated", "timestamp": 1_768_471_000_000_i64,
        "user": {"accountId": "5b10", "displayName": "Mia", "accountType": "atlassian"},
        "issue": {"id": "10042", "key": key, "self": format!("https://{site}/rest/api/2/issue/10042"),
            "fields": {"summary": "Checkout 500s", "labels": ["agent"], "status": {"name": "To Do"},
                "creator": {"accountId": "5b10", "displayName": "Mia", "accountType": "atlassian"},
                "project": {"key": key.split('-').next()}}},
        "changelog": {"id": format!("{site}{key}"), "items": items}})
}
