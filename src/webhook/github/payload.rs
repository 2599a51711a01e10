//! The parts of GitHub's payloads that are read (docs.github.com, "Webhook events and payloads").

use crate::webhook::tolerant::{self, Id};

tolerant::objects! {
    /// All top-level fields of all events that are read.
    struct Payload {
        action: Option<String>,
        repository: Option<Repository>,
        organization: Option<Account>,
        sender: Option<Account>,
        check_run: Option<CheckRun>,
        check_suite: Option<CheckSuite>,
        workflow_run: Option<WorkflowRun>,
        workflow_job: Option<WorkflowJob>,
        workflow: Option<Named>,
        pull_request: Option<PullRequest>,
        issue: Option<Issue>,
        comment: Option<Comment>,
        review: Option<Review>,
        label: Option<Named>,
        assignee: Option<Account>,
        requested_reviewer: Option<Account>,
        requested_team: Option<Named>,
        deployment: Option<Deployment>,
        deployment_status: Option<DeploymentStatus>,
        alert: Option<Alert>,
        commit_oid: Option<String>,
        reference("ref"): Option<String>,
        before: Option<String>,
        after: Option<String>,
        deleted: Option<bool>,
        compare: Option<String>,
        head_commit: Option<HeadCommit>,
        pusher: Option<Pusher>,
        id: Option<Id>,
        sha: Option<String>,
        state: Option<String>,
        context: Option<String>,
        description: Option<String>,
        target_url: Option<String>,
        updated_at: Option<String>,
        branches: Vec<StatusBranch>,
    }

    struct Repository {
        id: Option<u64>,
        name: Option<String>,
        full_name: Option<String>,
        owner: Option<Account>,
        private: Option<bool>,
        visibility: Option<String>,
        html_url: Option<String>,
        url: Option<String>,
    }

    struct Account {
        login: Option<String>,
        name: Option<String>,
        kind("type"): Option<String>,
        html_url: Option<String>,
        url: Option<String>,
    }

    struct Named { name: Option<String>, slug: Option<String> }

    struct CheckRun {
        id: Option<Id>,
        name: Option<String>,
        head_sha: Option<String>,
        status: Option<String>,
        conclusion: Option<String>,
        completed_at: Option<String>,
        html_url: Option<String>,
        details_url: Option<String>,
        output: Option<Output>,
        app: Option<Named>,
        check_suite: Option<CheckSuite>,
        pull_requests: Vec<PullReference>,
    }

    struct Output { title: Option<String>, summary: Option<String> }

    struct CheckSuite {
        id: Option<Id>,
        head_branch: Option<String>,
        head_sha: Option<String>,
        status: Option<String>,
        conclusion: Option<String>,
        updated_at: Option<String>,
        app: Option<Named>,
        pull_requests: Vec<PullReference>,
    }

    struct WorkflowRun {
        id: Option<Id>,
        name: Option<String>,
        run_attempt: Option<Id>,
        head_branch: Option<String>,
        head_sha: Option<String>,
        status: Option<String>,
        conclusion: Option<String>,
        html_url: Option<String>,
        head_repository: Option<Repository>,
        pull_requests: Vec<PullReference>,
    }

    struct WorkflowJob {
        id: Option<Id>,
        run_id: Option<Id>,
        name: Option<String>,
        workflow_name: Option<String>,
        head_branch: Option<String>,
        head_sha: Option<String>,
        status: Option<String>,
        conclusion: Option<String>,
        html_url: Option<String>,
    }

    /// A pull request as CI bodies name it.
    struct PullReference { number: Option<u64>, head: Option<Side>, base: Option<Side> }

    struct Side {
        branch("ref"): Option<String>,
        sha: Option<String>,
        repo: Option<Repository>,
    }

    struct PullRequest {
        id: Option<Id>,
        number: Option<u64>,
        title: Option<String>,
        body: Option<String>,
        html_url: Option<String>,
        state: Option<String>,
        draft: Option<bool>,
        merged: Option<bool>,
        merged_at: Option<String>,
        created_at: Option<String>,
        updated_at: Option<String>,
        user: Option<Account>,
        author_association: Option<String>,
        labels: Option<Labels>,
        head: Option<Side>,
        base: Option<Side>,
    }

    struct Issue {
        id: Option<Id>,
        number: Option<u64>,
        title: Option<String>,
        body: Option<String>,
        html_url: Option<String>,
        state: Option<String>,
        draft: Option<bool>,
        created_at: Option<String>,
        updated_at: Option<String>,
        user: Option<Account>,
        author_association: Option<String>,
        labels: Option<Labels>,
        assignees: Vec<Account>,
        category("type"): Option<Named>,
        pull_request: Option<Named>,
    }

    struct Comment {
        id: Option<Id>,
        body: Option<String>,
        html_url: Option<String>,
        user: Option<Account>,
        author_association: Option<String>,
        path: Option<String>,
        line: Option<u64>,
        original_line: Option<u64>,
        commit_id: Option<String>,
        created_at: Option<String>,
        updated_at: Option<String>,
    }

    struct Review {
        id: Option<Id>,
        body: Option<String>,
        state: Option<String>,
        html_url: Option<String>,
        user: Option<Account>,
        author_association: Option<String>,
        commit_id: Option<String>,
    }

    struct Deployment { branch("ref"): Option<String>, sha: Option<String>, environment: Option<String> }

    struct DeploymentStatus {
        id: Option<Id>,
        state: Option<String>,
        description: Option<String>,
        environment: Option<String>,
        target_url: Option<String>,
        log_url: Option<String>,
    }

    struct Alert {
        id: Option<Id>,
        number: Option<Id>,
        html_url: Option<String>,
        state: Option<String>,
        updated_at: Option<String>,
        rule: Option<AlertRule>,
        security_advisory: Option<Advisory>,
        secret_type_display_name: Option<String>,
        affected_package_name: Option<String>,
    }

    struct AlertRule { description: Option<String> }
    struct Advisory { summary: Option<String> }

    struct HeadCommit { message: Option<String>, url: Option<String>, author: Option<CommitAuthor> }

    struct CommitAuthor { name: Option<String>, email: Option<String>, username: Option<String> }

    struct Pusher { name: Option<String> }

    struct StatusBranch { name: Option<String>, commit: Option<StatusCommit> }
    struct StatusCommit { sha: Option<String> }
}

/// The names of a list of labels; a wrong type anywhere leaves them unknown instead of empty.
#[derive(Debug)]
pub(super) struct Labels(pub(super) Vec<String>);

impl tolerant::Field for Option<Labels> {
    fn from_seq<'de, A: serde::de::SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        let labels = Vec::<Named>::from_seq(seq)?;
        Ok(Some(Labels(labels.into_iter().filter_map(|label| label.name).collect())))
    }
}
