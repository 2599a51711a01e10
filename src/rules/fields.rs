//! What templates and expressions may read: the fields of every root, with their types, and which kinds have them.

use crate::model::event::Kind;

/// The type of a value, as far as it can be known when rules are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Type {
    /// Anything: a payload, the result of a filter.
    Any,
    /// Text, a number, true or false: it has no fields.
    Plain,
    /// An object with these fields.
    Record(&'static Record),
    /// A list of plain values.
    Plains,
    /// A list of objects.
    Records(&'static Record),
}

/// The fields of an object.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    /// What it is called in messages.
    pub(super) name: &'static str,
    /// Its fields.
    pub(super) fields: &'static [(&'static str, Type)],
}

impl Record {
    pub(super) fn field(&self, name: &str) -> Option<Type> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind)
    }
}

use Type::{Any, Plain, Plains, Records};

pub(super) static EVENT: Record = Record {
    name: "event",
    fields: &[
        ("kind", Plain),
        ("native", Plain),
        ("source", Plain),
        ("host", Plain),
        ("repo", Plain),
        ("project", Plain),
        ("subject", Plain),
        ("branch", Plain),
        ("base", Plain),
        ("sha", Plain),
        ("outcome", Plain),
        ("labels", Plains),
        ("to", Plains),
        ("text", Plain),
        ("url", Plain),
        ("actor", Type::Record(&PERSON)),
        ("author", Type::Record(&PERSON)),
        ("change", Type::Record(&CHANGE)),
        ("issue", Type::Record(&ISSUE)),
        ("comment", Type::Record(&COMMENT)),
        ("review", Type::Record(&REVIEW)),
        ("check", Type::Record(&CHECK)),
        ("payload", Any),
    ],
};

pub(super) static PERSON: Record =
    Record { name: "a person", fields: &[("login", Plain), ("name", Plain), ("bot", Plain), ("association", Plain)] };

pub(super) static CHANGE: Record = Record {
    name: "change",
    fields: &[
        ("number", Plain),
        ("title", Plain),
        ("body", Plain),
        ("url", Plain),
        ("draft", Plain),
        ("open", Plain),
        ("merged", Plain),
        ("head_repo", Plain),
        ("branch", Plain),
        ("base", Plain),
        ("sha", Plain),
    ],
};

pub(super) static ISSUE: Record = Record {
    name: "issue",
    fields: &[
        ("key", Plain),
        ("title", Plain),
        ("body", Plain),
        ("url", Plain),
        ("status", Plain),
        ("type", Plain),
        ("priority", Plain),
        ("components", Plains),
        ("assignees", Plains),
    ],
};

pub(super) static COMMENT: Record = Record {
    name: "comment",
    fields: &[("id", Plain), ("body", Plain), ("url", Plain), ("path", Plain), ("line", Plain), ("args", Plain)],
};

pub(super) static REVIEW: Record =
    Record { name: "review", fields: &[("state", Plain), ("body", Plain), ("url", Plain)] };

pub(super) static CHECK: Record = Record {
    name: "check",
    fields: &[
        ("name", Plain),
        ("aggregate", Plain),
        ("outcome", Plain),
        ("url", Plain),
        ("summary", Plain),
        ("group", Plain),
    ],
};

pub(super) static RUN: Record = Record {
    name: "previous",
    fields: &[("id", Plain), ("url", Plain), ("status", Plain), ("result", Plain), ("summary", Plain)],
};

/// The roots that every template and expression may read.
pub(super) const ROOTS: &[(&str, Type)] = &[("event", Type::Record(&EVENT)), ("maps", Any)];

/// The further roots of what is rendered for a job: all joined events, failed checks, and how often it was tried.
pub(super) const JOB_ROOTS: &[(&str, Type)] = &[
    ("event", Type::Record(&EVENT)),
    ("maps", Any),
    ("events", Records(&EVENT)),
    ("failed", Records(&CHECK)),
    ("attempt", Plain),
    ("resumed", Plain),
    ("previous", Type::Record(&RUN)),
];

/// Whether an event of `kind` can have the field `name` of `event`. What it cannot have is absent, not unknown.
pub(super) fn can_have(kind: Option<Kind>, name: &str) -> bool {
    let Some(kind) = kind else { return true };
    let word = kind.as_str();
    let of = |family: &str| word.split('.').next() == Some(family);
    match name {
        "change" | "base" => kind.is_ci() || of("change") || of("review") || of("comment"),
        "branch" | "sha" => !of("issue") && !of("repo") && !of("alert"),
        "issue" | "project" => of("issue") || of("comment"),
        "comment" => of("comment"),
        "review" => of("review"),
        "check" => kind.is_ci(),
        "text" => of("change") || of("issue") || of("comment") || of("review") || of("alert") || of("push"),
        "outcome" => !of("repo") && !of("push") && !of("tag"),
        _ => true,
    }
}
