//! What a delivery says, in one vocabulary for every host.
//!
//! An [`Event`] is plain data: it is stored as JSON with each job that it caused and shown to rules, templates and
//! pages. `None` means that the body did not say; what nobody said stays unknown (see [`super::subject`]).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kinds of happenings, the same on every host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A check, suite, workflow, job, status or pipeline ended in failure.
    CiFailed,
    /// … ended in success.
    CiSucceeded,
    /// … was cancelled.
    CiCancelled,
    /// A change (pull or merge request) was opened or reopened.
    ChangeOpened,
    /// Commits were pushed to a change, or its text or base was edited.
    ChangeUpdated,
    /// A label was added to a change.
    ChangeLabeled,
    /// A draft became ready for review.
    ChangeReady,
    /// Somebody was asked to review a change.
    ChangeReviewRequested,
    /// A change was merged.
    ChangeMerged,
    /// A change was closed without being merged.
    ChangeClosed,
    /// A review was submitted.
    ReviewSubmitted,
    /// A comment was written on a change, an issue, a review or a commit.
    CommentCreated,
    /// An issue was opened or reopened.
    IssueOpened,
    /// An issue was edited.
    IssueUpdated,
    /// A label was added to an issue.
    IssueLabeled,
    /// An issue was assigned.
    IssueAssigned,
    /// An issue moved to another status.
    IssueTransitioned,
    /// An issue was closed.
    IssueClosed,
    /// Commits were pushed to a branch.
    Push,
    /// A tag was pushed.
    TagPushed,
    /// A deployment failed.
    DeploymentFailed,
    /// A security alert was opened.
    AlertOpened,
    /// A repository was created.
    RepoCreated,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::CiFailed,
        Self::CiSucceeded,
        Self::CiCancelled,
        Self::ChangeOpened,
        Self::ChangeUpdated,
        Self::ChangeLabeled,
        Self::ChangeReady,
        Self::ChangeReviewRequested,
        Self::ChangeMerged,
        Self::ChangeClosed,
        Self::ReviewSubmitted,
        Self::CommentCreated,
        Self::IssueOpened,
        Self::IssueUpdated,
        Self::IssueLabeled,
        Self::IssueAssigned,
        Self::IssueTransitioned,
        Self::IssueClosed,
        Self::Push,
        Self::TagPushed,
        Self::DeploymentFailed,
        Self::AlertOpened,
        Self::RepoCreated,
    ];

    /// The kind as rules spell it, e.g. `"ci.failed"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CiFailed => "ci.failed",
            Self::CiSucceeded => "ci.succeeded",
            Self::CiCancelled => "ci.cancelled",
            Self::ChangeOpened => "change.opened",
            Self::ChangeUpdated => "change.updated",
            Self::ChangeLabeled => "change.labeled",
            Self::ChangeReady => "change.ready",
            Self::ChangeReviewRequested => "change.review_requested",
            Self::ChangeMerged => "change.merged",
            Self::ChangeClosed => "change.closed",
            Self::ReviewSubmitted => "review.submitted",
            Self::CommentCreated => "comment.created",
            Self::IssueOpened => "issue.opened",
            Self::IssueUpdated => "issue.updated",
            Self::IssueLabeled => "issue.labeled",
            Self::IssueAssigned => "issue.assigned",
            Self::IssueTransitioned => "issue.transitioned",
            Self::IssueClosed => "issue.closed",
            Self::Push => "push",
            Self::TagPushed => "tag.pushed",
            Self::DeploymentFailed => "deployment.failed",
            Self::AlertOpened => "alert.opened",
            Self::RepoCreated => "repo.created",
        }
    }

    /// Whether it is one of `ci.*`.
    pub fn is_ci(self) -> bool {
        matches!(self, Self::CiFailed | Self::CiSucceeded | Self::CiCancelled)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| format!("\"{text}\" is no event kind"))
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// For how long two equal bodies without any other identity are one happening.
pub const MOMENT: Duration = Duration::from_mins(1);

/// One thing that a delivery says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The kind in our words; `None` when the host's event has no kind of ours (rules can still name it natively).
    pub kind: Option<Kind>,
    /// The host's own name, e.g. `"github:check_run.completed"`, `"gitlab:pipeline.failed"`, `"jira:issue_updated"`.
    pub native: String,
    /// The name of the configured source that sent it.
    pub source: String,
    /// The host of the object, lower case, e.g. `"github.com"`, `"gitlab.example.com"`, `"acme.atlassian.net"`.
    pub host: String,
    /// The full path of the repository that the event belongs to (for a change: the one it is to be merged into).
    pub repo: Option<String>,
    /// Whether that repository is private or internal (everybody who acts there is then a member, and hosts do not say so).
    pub repo_private: Option<bool>,
    /// The tracker project, e.g. `"OPS"`.
    pub project: Option<String>,
    /// What it is about.
    pub subject: Subject,
    /// The branch that the commit is on.
    pub branch: Option<String>,
    /// The branch that the change is to be merged into.
    pub base: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The host's own word for how it ended or what state it is in now, e.g. `"timed_out"`, `"approved"`.
    pub outcome: Option<String>,
    /// Where a person can look at it.
    pub url: Option<String>,
    /// The text that a person wrote: title and body of a change or issue, the comment, the review.
    pub text: Option<String>,
    /// The labels that the subject has now.
    pub labels: Option<Vec<String>>,
    /// What is new: the label added, the status moved to, the assignee, the reviewer asked, the review state, the tag.
    pub to: Vec<String>,
    /// Who did it.
    pub actor: Option<Person>,
    /// Who opened the change or issue.
    pub author: Option<Person>,
    /// The change (pull or merge request).
    pub change: Option<Change>,
    /// The issue.
    pub issue: Option<Issue>,
    /// The comment.
    pub comment: Option<Comment>,
    /// The review.
    pub review: Option<Review>,
    /// The single check that ended, when the event names one (check run, job, status; a failed build of a pipeline).
    pub checks: Vec<Check>,
    /// Identity of the happening: host + object + occurrence, whoever tells it and however often. A rule
    /// claims each once.
    pub happening: String,
    /// Whether that identity is nothing but a body that no signature ties to a moment: the same one may come again and
    /// mean it, so it counts as the same for [`MOMENT`] only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub momentary: bool,
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `host/head-repo@branch`, `host/repo@sha` (unknown origin), `host/repo#n` or `jira-site/KEY`; empty when the
    /// event is about none of these (a star, an organisation).
    pub key: String,
    /// Where the commit comes from.
    pub origin: Origin,
}

/// Where the commit of a code subject comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Not a matter of code.
    #[default]
    None,
    /// A branch of the repository itself: pushing there needs write access.
    Base,
    /// A branch of another repository.
    Fork,
    /// The body does not tell.
    Unknown,
}

/// A person or machine account on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// Login, user name or account id: what rules name.
    pub login: String,
    /// The name for display, when the body gives one.
    pub name: Option<String>,
    /// Whether it is a bot; `None` when the body does not tell.
    pub bot: Option<bool>,
    /// The relation to the repository as the host puts it, upper case: `OWNER`, `MEMBER`, `COLLABORATOR`, …
    /// (for Jira: the accountType, lower case).
    pub association: Option<String>,
}

/// A pull or merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Its number within the repository.
    pub number: u64,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub body: Option<String>,
    /// Where it can be looked at.
    pub url: Option<String>,
    /// Whether it is a draft.
    pub draft: Option<bool>,
    /// Whether it is open.
    pub open: Option<bool>,
    /// Whether it was merged.
    pub merged: Option<bool>,
    /// The repository of its head branch, full path.
    pub head_repo: Option<String>,
    /// Its head branch.
    pub branch: Option<String>,
    /// Its base branch.
    pub base: Option<String>,
    /// Its head commit.
    pub sha: Option<String>,
}

/// An issue or ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Issue {
    /// `"17"` or `"OPS-17"`.
    pub key: String,
    /// Its title or summary.
    pub title: Option<String>,
    /// Its description, as plain text.
    pub body: Option<String>,
    /// Where it can be looked at.
    pub url: Option<String>,
    /// Its status, e.g. `"open"`, `"In Progress"`.
    pub status: Option<String>,
    /// Its type, e.g. `"Bug"`.
    #[serde(rename = "type")]
    pub issue_type: Option<String>,
    /// Its priority, e.g. `"High"`.
    pub priority: Option<String>,
    /// Its components.
    pub components: Vec<String>,
    /// Logins of its assignees.
    pub assignees: Vec<String>,
}

/// A comment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comment {
    /// Its id on the host.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Where it can be looked at.
    pub url: Option<String>,
    /// The file it is attached to, for a comment on a diff.
    pub path: Option<String>,
    /// The line it is attached to.
    pub line: Option<u64>,
    /// What follows the command of the rule that matched; set by matching, never by a body.
    pub args: Option<String>,
}

/// A review.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Review {
    /// `approved`, `changes_requested`, `commented`, `dismissed`.
    pub state: String,
    /// Its text.
    pub body: Option<String>,
    /// Where it can be looked at.
    pub url: Option<String>,
}

/// One check: a check run, a job, a status, a build of a pipeline; or a whole suite, workflow or pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it stands for a whole suite, workflow or pipeline rather than a single check.
    pub aggregate: bool,
    /// The host's word for its outcome or state, e.g. `failure`, `success`, `in_progress`.
    pub outcome: String,
    /// Where it can be looked at.
    pub url: Option<String>,
    /// What it says about itself: title and summary of a check run, description of a status, failure reason of a job.
    pub summary: Option<String>,
    /// The app or stage it belongs to.
    pub group: Option<String>,
}
