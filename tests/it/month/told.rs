//! What GitHub tells of the team's month, no more than is read.

use hookrun::model::clock::Timestamp;
use serde_json::{Value, json};

pub(super) const MIA: &str = "mia";
pub(super) const AGENT: &str = "codegen-sh[bot]";

/// A commit by its number.
pub(super) fn sha(number: u64) -> String {
    format!("{number:040x}")
}

/// The branch of a change.
pub(super) fn branch(number: u32) -> String {
    format!("work-{number}")
}

fn account(login: &str) -> Value {
    json!({"login": login, "type": if login.ends_with("[bot]") { "Bot" } else { "User" }})
}

fn about(mut body: Value, repo: &str, sender: &str) -> Value {
    body["repository"] = json!({"id": 1, "full_name": repo, "private": false, "default_branch": "main",
        "html_url": format!("https://github.com/{repo}")});
    body["sender"] = account(sender);
    body
}

fn pull_request(repo: &str, number: u32, sha: &str, at: Timestamp) -> Value {
    let side = |name: &str, sha: &str| json!({"ref": name, "sha": sha, "repo": {"id": 1, "full_name": repo, "html_url": format!("https://github.com/{repo}")}});
    json!({"id": 1000 + number, "number": number, "title": "A change", "state": "open", "draft": false,
        "html_url": format!("https://github.com/{repo}/pull/{number}"), "user": account(MIA),
        "author_association": "MEMBER", "labels": [], "created_at": at.to_rfc3339(), "updated_at": at.to_rfc3339(),
        "head": side(&branch(number), sha), "base": side("main", &"0".repeat(40))})
}

/// A person opens a change.
pub(super) fn opened(repo: &str, number: u32, sha: &str, at: Timestamp) -> Value {
    about(json!({"action": "opened", "number": number, "pull_request": pull_request(repo, number, sha, at)}), repo, MIA)
}

/// Its head moves.
pub(super) fn synchronized(repo: &str, number: u32, before: &str, sha: &str, by: &str, at: Timestamp) -> Value {
    let body = json!({"action": "synchronize", "number": number, "before": before, "after": sha,
        "pull_request": pull_request(repo, number, sha, at)});
    about(body, repo, by)
}

/// A push to a branch.
pub(super) fn push(repo: &str, branch: &str, before: &str, sha: &str, by: &str) -> Value {
    let body = json!({"ref": format!("refs/heads/{branch}"), "before": before, "after": sha,
        "head_commit": {"id": sha, "message": "Work", "author": {"name": by, "username": by}}});
    about(body, repo, by)
}

/// One of several checks of a commit fails.
pub(super) fn check(repo: &str, branch: &str, sha: &str, which: u64, at: Timestamp) -> Value {
    let id = u64::from_str_radix(&sha[28..], 16).unwrap() * 10 + which;
    let body = json!({"action": "completed", "check_run": {
        "id": id, "name": format!("check-{which}"), "head_sha": sha, "status": "completed", "conclusion": "failure",
        "completed_at": at.to_rfc3339(), "html_url": format!("https://github.com/{repo}/runs/{id}"),
        "check_suite": {"id": id, "head_branch": branch, "head_sha": sha}, "pull_requests": []}});
    about(body, repo, MIA)
}

/// Somebody comments on a change.
pub(super) fn comment(repo: &str, number: u32, id: u64, by: &str) -> Value {
    let body = json!({"action": "created",
        "issue": {"id": 5, "number": number, "title": "A change", "state": "open", "user": account(MIA),
            "author_association": "MEMBER", "labels": [], "draft": false,
            "html_url": format!("https://github.com/{repo}/pull/{number}"), "pull_request": {}},
        "comment": {"id": id, "body": "Quota exceeded, please try again.", "user": account(by), "author_association": "NONE",
            "html_url": format!("https://github.com/{repo}/pull/{number}#issuecomment-{id}")}});
    about(body, repo, by)
}
