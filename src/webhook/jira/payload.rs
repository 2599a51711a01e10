//! The parts of Jira's payloads that are read: webhooks of Cloud and Data Center, workflow post functions, and the
//! formats of Automation.

use serde::de::{MapAccess, SeqAccess};

use super::prose::Prose;
use crate::webhook::tolerant::{self, Field, Id, Int};

tolerant::objects! {
    /// All top-level fields of all events that are read.
    struct Payload {
        timestamp: Option<Int>,
        webhook_event("webhookEvent"): Option<String>,
        event_type("issue_event_type_name"): Option<String>,
        user: Option<User>,
        issue: Option<Issue>,
        comment: Option<Comment>,
        changelog: Option<Changelog>,
        transition: Option<Transition>,
        project: Option<Project>,
        worklog: Option<Located>,
        // Automation format: the top level is the issue.
        id: Option<Id>,
        key: Option<String>,
        address("self"): Option<String>,
        fields: Option<Fields>,
    }

    struct User {
        account_id("accountId"): Option<String>,
        name: Option<String>,
        key: Option<String>,
        display_name("displayName"): Option<String>,
        account_type("accountType"): Option<String>,
        address("self"): Option<String>,
    }

    struct Issue {
        id: Option<Id>,
        key: Option<String>,
        address("self"): Option<String>,
        fields: Option<Fields>,
    }

    struct Fields {
        summary: Option<String>,
        description: Option<Prose>,
        labels: Option<Texts>,
        status: Option<Status>,
        resolution: Option<Named>,
        issue_type("issuetype"): Option<Named>,
        priority: Option<Named>,
        components: Vec<Named>,
        assignee: Option<User>,
        creator: Option<User>,
        reporter: Option<User>,
        project: Option<Project>,
        updated: Option<String>,
    }

    struct Named { name: Option<String> }

    struct Status { name: Option<String>, category("statusCategory"): Option<StatusCategory> }
    struct StatusCategory { key: Option<String> }

    struct Project { key: Option<String>, address("self"): Option<String> }

    struct Located { address("self"): Option<String> }

    struct Comment {
        id: Option<Id>,
        body: Option<Prose>,
        author: Option<User>,
        created: Option<String>,
        updated: Option<String>,
        address("self"): Option<String>,
    }

    struct Changelog { id: Option<Id>, items: Vec<Item> }

    struct Item {
        field: Option<String>,
        field_id("fieldId"): Option<String>,
        from: Option<String>,
        from_string("fromString"): Option<String>,
        to: Option<String>,
        to_string("toString"): Option<String>,
    }

    struct Transition { to_status: Option<String> }
}

/// A list of texts; no list leaves them unknown instead of empty.
#[derive(Debug)]
pub(super) struct Texts(pub(super) Vec<String>);

impl Field for Option<Texts> {
    fn from_seq<'de, A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        Vec::from_seq(seq).map(|texts| Some(Texts(texts)))
    }
}

impl Field for Option<Prose> {
    fn from_text(text: &str) -> Self {
        Option::<String>::from_text(text).map(Prose)
    }
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Prose::from_document(map).map(Some)
    }
}
