//! The parts of GitLab's payloads that are read (docs.gitlab.com, "Webhook events" and "System hooks").

use crate::webhook::tolerant::{self, Id, Present};

tolerant::objects! {
    /// All top-level fields of all events that are read.
    struct Payload {
        object_kind: Option<String>,
        event_name: Option<String>,
        user: Option<User>,
        project: Option<Project>,
        repository: Option<Repository>,
        object_attributes: Option<Attributes>,
        labels: Option<Labels>,
        assignees: Vec<User>,
        reviewers: Vec<User>,
        changes: Option<Changes>,
        merge_request: Option<Attributes>,
        issue: Option<Attributes>,
        commit: Option<Commit>,
        builds: Vec<Build>,
        external_approval_rule: Option<Present>,
        // Job Hook: flat.
        build_id: Option<Id>,
        build_name: Option<String>,
        build_stage: Option<String>,
        build_status: Option<String>,
        build_allow_failure: Option<bool>,
        build_failure_reason: Option<String>,
        job_id: Option<Id>,
        job_name: Option<String>,
        job_stage: Option<String>,
        job_status: Option<String>,
        job_allow_failure: Option<bool>,
        job_failure_reason: Option<String>,
        pipeline_id: Option<Id>,
        sha: Option<String>,
        tag: Option<bool>,
        // Push and tag: flat.
        reference("ref"): Option<String>,
        before: Option<String>,
        after: Option<String>,
        checkout_sha: Option<String>,
        user_username: Option<String>,
        user_name: Option<String>,
        commits: Vec<Commit>,
        // Deployment: flat.
        status: Option<String>,
        status_changed_at: Option<String>,
        deployment_id: Option<Id>,
        deployable_url: Option<String>,
        environment: Option<String>,
        commit_url: Option<String>,
        // System hooks: flat.
        path_with_namespace: Option<String>,
        project_id: Option<Id>,
        project_visibility: Option<String>,
        created_at: Option<String>,
    }

    struct User { id: Option<u64>, username: Option<String>, name: Option<String> }

    struct Project {
        id: Option<u64>,
        path_with_namespace: Option<String>,
        web_url: Option<String>,
        homepage: Option<String>,
        visibility_level: Option<u64>,
    }

    struct Repository { homepage: Option<String>, visibility_level: Option<u64> }

    /// `object_attributes`, and the merge request or issue that a note is on.
    struct Attributes {
        id: Option<Id>,
        iid: Option<u64>,
        action: Option<String>,
        state: Option<String>,
        title: Option<String>,
        name: Option<String>,
        description: Option<String>,
        url: Option<String>,
        author_id: Option<u64>,
        created_at: Option<String>,
        updated_at: Option<String>,
        labels: Option<Labels>,
        // Merge requests.
        draft: Option<bool>,
        work_in_progress: Option<bool>,
        source_branch: Option<String>,
        target_branch: Option<String>,
        source_project_id: Option<u64>,
        target_project_id: Option<u64>,
        source: Option<Project>,
        target: Option<Project>,
        last_commit: Option<Commit>,
        oldrev: Option<String>,
        // Issues and work items.
        kind("type"): Option<String>,
        // Notes.
        note: Option<String>,
        noteable_type: Option<String>,
        system: Option<bool>,
        commit_id: Option<String>,
        position: Option<Position>,
        // Pipelines.
        reference("ref"): Option<String>,
        tag: Option<bool>,
        sha: Option<String>,
        status: Option<String>,
        source_word("source"): Option<String>,
        finished_at: Option<String>,
    }

    struct Position { new_path: Option<String>, new_line: Option<u64> }

    struct Changes {
        labels: Option<LabelChange>,
        reviewers: Option<UserChange>,
        assignees: Option<UserChange>,
        draft: Option<FlagChange>,
        title: Option<TextChange>,
        description: Option<Present>,
        target_branch: Option<Present>,
    }

    struct LabelChange { previous: Option<Labels>, current: Option<Labels> }
    struct UserChange { previous: Vec<User>, current: Vec<User> }
    struct FlagChange { previous: Option<bool>, current: Option<bool> }
    struct TextChange { previous: Option<String>, current: Option<String> }

    struct Commit {
        id: Option<String>,
        sha: Option<String>,
        message: Option<String>,
        title: Option<String>,
        url: Option<String>,
        author: Option<CommitAuthor>,
    }

    struct CommitAuthor { name: Option<String>, email: Option<String> }

    struct Build {
        id: Option<Id>,
        name: Option<String>,
        stage: Option<String>,
        status: Option<String>,
        failure_reason: Option<String>,
        allow_failure: Option<bool>,
    }

    struct Label { title: Option<String> }
}

/// The titles of a list of labels; no list leaves them unknown instead of empty.
#[derive(Clone, Debug)]
pub(super) struct Labels(pub(super) Vec<String>);

impl tolerant::Field for Option<Labels> {
    fn from_seq<'de, A: serde::de::SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        let labels = Vec::<Label>::from_seq(seq)?;
        Ok(Some(Labels(labels.into_iter().filter_map(|label| label.title).collect())))
    }
}
