//! The traps of Jira's webhooks, each with a small body of our own.

use hookrun::model::delivery::SourceKind::Jira;
use hookrun::model::event::Kind;
use hookrun::webhook::{Reading, Understood};
use serde_json::{Value, json};

use super::webhook_support::{kinds, only, tell};

fn jira(body: &Value) -> Understood {
    tell(Jira, "", &serde_json::to_vec(body).unwrap())
}

fn jira_issue(fields: &Value) -> Value {
    let mut issue = json!({"id": "10042", "key": "PAY-7", "self": "https://acme.atlassian.net/rest/api/2/issue/10042",
        "fields": {"summary": "Checkout 500s", "labels": ["codegen"], "status": {"name": "To Do"},
            "project": {"key": "PAY"}}});
    for (key, value) in fields.as_object().unwrap() {
        issue["fields"][key] = value.clone();
    }
    issue
}

#[test]
fn jira_updates_say_what_their_changelog_names() {
    let update = |items: Value| {
        jira(&json!({"webhookEvent": "jira:issue_updated", "timestamp": 1, "issue": jira_issue(&json!({})),
            "user": {"accountId": "5b10", "displayName": "Mia", "accountType": "app"},
            "changelog": {"id": "10124", "items": items}}))
    };
    let told = update(json!([
        {"field": "labels", "fromString": "p1", "toString": "codegen p1"},
        {"field": "Статус", "fieldId": "status", "fromString": "Open", "toString": "To Do"},
        {"field": "assignee", "from": null, "to": "7a20", "toString": "Joe"},
        {"field": "resolution", "fromString": null, "toString": "Done"},
        {"field": "priority", "fromString": "Low", "toString": "High"},
    ]));
    let all = [Kind::IssueLabeled, Kind::IssueTransitioned, Kind::IssueAssigned, Kind::IssueClosed, Kind::IssueUpdated];
    assert_eq!(kinds(&told), all);
    let new: Vec<String> = told.events.iter().flat_map(|event| event.to.clone()).collect();
    assert_eq!(new, ["codegen", "To Do", "7a20", "Done"]);
    assert!(told.events.iter().all(|event| event.happening == "acme.atlassian.net/issue/10042/changelog/10124"));
    assert_eq!(told.events[0].actor.as_ref().unwrap().bot, Some(true));
    assert_eq!(told.events[0].url.as_deref(), Some("https://acme.atlassian.net/browse/PAY-7"));
    assert_eq!(update(json!([{"field": "labels", "fromString": "p1", "toString": ""}])).reading, Reading::NoKind);
    assert_eq!(kinds(&update(json!([{"field": "Rank", "toString": "higher"}]))), [Kind::IssueUpdated]);
}

#[test]
fn jira_fields_that_are_told_many_times_make_one_event_of_each_kind() {
    let item = |number: usize| match number % 3 {
        0 => json!({"field": "labels", "fromString": "", "toString": format!("l{number}")}),
        1 => json!({"field": "status", "fromString": "Open", "toString": format!("s{number}")}),
        _ => json!({"field": "assignee", "to": format!("a{number}")}),
    };
    let items: Vec<Value> = (0..900).map(item).collect();
    let told = jira(&json!({"webhookEvent": "jira:issue_updated", "issue": jira_issue(&json!({})),
        "changelog": {"id": "1", "items": items}}));
    assert_eq!(kinds(&told), [Kind::IssueLabeled, Kind::IssueTransitioned, Kind::IssueAssigned]);
    assert!(told.events.iter().all(|event| event.to.len() == 300));
    assert_eq!(told.events[0].to[..2], ["l0", "l3"]);
    let many = "x ".repeat(100_000);
    let told = jira(&json!({"webhookEvent": "jira:issue_updated", "issue": jira_issue(&json!({})),
        "changelog": {"id": "1", "items": [{"field": "labels", "fromString": "", "toString": many}]}}));
    assert_eq!(told.events[0].to.len(), 1000);
}

#[test]
fn jira_server_tells_comments_as_updates() {
    let comment = json!({"id": "10200", "author": {"name": "mia", "displayName": "Mia"}, "body": "fix it",
        "created": "2026-01-15T10:05:12.000+0000", "updated": "2026-01-15T10:05:12.000+0000"});
    let update = |event_type: Option<&str>, comment: &Value| {
        jira(&json!({"webhookEvent": "jira:issue_updated", "issue_event_type_name": event_type, "comment": comment,
            "issue": jira_issue(&json!({})), "timestamp": 1}))
    };
    for event_type in [Some("issue_commented"), None] {
        let told = update(event_type, &comment);
        assert_eq!(kinds(&told), [Kind::CommentCreated], "{event_type:?}");
        assert_eq!(only(&told).actor.as_ref().unwrap().bot, Some(false), "no apps among the users of a server");
    }
    assert_eq!(update(Some("issue_comment_edited"), &comment).reading, Reading::NoKind);
    assert_eq!(update(Some("issue_comment_deleted"), &Value::Null).reading, Reading::NoKind);
    let cloud = jira(&json!({"webhookEvent": "comment_created", "comment": comment, "issue": jira_issue(&json!({}))}));
    assert_eq!(only(&cloud).happening, only(&update(None, &comment)).happening, "told twice, once is enough");
    let bare = jira(&json!({"webhookEvent": "comment_created", "comment": comment}));
    assert_eq!((only(&bare).kind, only(&bare).subject.key.as_str()), (Some(Kind::CommentCreated), ""));
}

#[test]
fn jira_issues_are_born_labelled_moved_and_assigned() {
    let told = jira(&json!({"webhookEvent": "jira:issue_created", "timestamp": "1768471392000",
        "issue": jira_issue(&json!({"assignee": {"accountId": "7a20"}}))}));
    let all = [Kind::IssueOpened, Kind::IssueLabeled, Kind::IssueTransitioned, Kind::IssueAssigned];
    assert_eq!(kinds(&told), all);
    assert_eq!(told.events[2].to, ["To Do"]);
    assert_eq!(told.subjects[0].key, "acme.atlassian.net/PAY-7");
    assert_eq!(told.subjects[0].repo, "PAY");
}

#[test]
fn jira_bodies_without_an_event_name() {
    let post_function = json!({"timestamp": 5, "transition": {"from_status": "To Do", "to_status": "Ready"}, "comment": "",
        "issue": jira_issue(&json!({}))});
    let told = jira(&post_function);
    assert_eq!((kinds(&told), &told.events[0].to), (vec![Kind::IssueTransitioned], &vec!["Ready".to_owned()]));
    assert!(matches!(jira(&json!({"issue": jira_issue(&json!({}))})).reading, Reading::NotUnderstood { .. }));
}

#[test]
fn jira_documents_become_plain_text() {
    let paragraph = |content: Value| json!({"type": "paragraph", "content": content});
    let description = json!({"type": "doc", "version": 1, "content": [
        paragraph(json!([{"type": "text", "text": "Hello "}, {"type": "mention", "attrs": {"id": "1", "text": "@Mia"}}])),
        {"type": "bulletList", "content": [{"type": "listItem", "content": [paragraph(json!([{"type": "text", "text": "one"}]))]}]},
    ]});
    let told =
        jira(&json!({"webhookEvent": "jira:issue_created", "issue": jira_issue(&json!({"description": description}))}));
    assert_eq!(told.events[0].issue.as_ref().unwrap().body.as_deref(), Some("Hello @Mia\none"));
}

#[test]
fn jira_documents_of_any_shape_are_read_without_keeping_their_nodes() {
    let body = |description: &str| {
        let issue = jira_issue(&json!({"description": "HERE"}));
        let whole = json!({"webhookEvent": "jira:issue_created", "issue": issue}).to_string();
        let told = tell(Jira, "", whole.replace("\"HERE\"", description).as_bytes());
        told.events[0].issue.as_ref().unwrap().body.clone().unwrap()
    };
    let odd = r#"{"content": [1, "x", null, true, 1.5, -1, [{"text": "no"}], {"text": "yes"}, {"content": "no"}]}"#;
    assert_eq!(body(odd), "yes");
    assert_eq!(body(r#"{"content": {"text": "no"}}"#), "");
    let late = r#"{"content": [{"content": [{"text": "b"}], "text": "a", "type": "paragraph"}, {"text": "c"}]}"#;
    assert_eq!(body(late), "ab\nc");
    assert_eq!(body(r#"{"content": [{"text": "first"}], "content": [{"text": "last"}]}"#), "last");
    let line = r#"{"type": "paragraph", "content": [{"text": "x"}]}"#;
    let lines = format!("{{\"content\": [{}]}}", vec![line; 1500].join(","));
    assert_eq!(body(&lines).lines().count(), 1500);
}
