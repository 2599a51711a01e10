//! Expressions: what they read, what is unknown, and what is misspelt.

use hookrun::model::decision::Ruling::{Denied, Failed, NoMatch, Queued};
use hookrun::model::event::{Event, Issue};
use hookrun::model::subject::Facts;

use super::*;
use crate::webhook_support::tell;

fn when(on: &str, expression: &str) -> RuleSet {
    rule(&format!("on = [\"{on}\"]\nwhen = \"{expression}\""))
}

#[test]
fn an_expression_holds_or_not() {
    queues(&when("ci.failed", "event.outcome == 'failure' and 'unit' in event.check.name"), &ci(), None);
    says(&when("ci.failed", "event.outcome == 'x'"), &ci(), None, NoMatch, "when: it does not hold");
    queues(&when("change.*", "event.change and 'bug' in event.labels"), &change(), None);
}

#[test]
fn meaning_2_a_rule_that_used_an_unknown_does_not_run_and_says_which() {
    let by_priority = when("issue.*", "event.issue.priority == 'High'");
    says(&by_priority, &ticket("Done"), None, Denied, "when: event.issue.priority unknown");
    let negated = when("issue.*", "event.issue.priority != 'Low'");
    says(&negated, &ticket("Done"), None, Denied, "when: event.issue.priority unknown");
    let high = Issue { priority: Some("High".to_owned()), ..ticket("Done").issue.unwrap() };
    queues(&by_priority, &Event { issue: Some(high), ..ticket("Done") }, None);
    says(&when("ci.failed", "not event.change"), &ci(), None, Denied, "when: event.change unknown");
}

#[test]
fn meaning_2_an_unknown_that_a_short_circuit_skips_was_not_used() {
    queues(&when("ci.failed", "event.outcome == 'failure' or event.base == 'main'"), &ci(), None);
    let other_way = when("ci.failed", "event.base == 'main' or event.outcome == 'failure'");
    says(&other_way, &ci(), None, Denied, "when: event.base unknown");
    queues(&other_way, &ci(), Some(&Facts { base: Some("main".to_owned()), ..Facts::default() }));
}

#[test]
fn what_an_event_cannot_have_is_absent_and_not_unknown() {
    queues(&when("comment.created", "not event.change"), &comment("hi"), None);
    says(&when("comment.created", "event.change"), &comment("hi"), None, NoMatch, "when: it does not hold");
}

#[test]
fn the_payload_is_read_where_a_rule_reads_it() {
    let one = when("ci.failed", "event.payload.runs[1].big and event.payload.n == 7");
    let decide = |body: &str| judge_with(&one, &ci(), None, body)[0].verdict.decision;
    assert_eq!(decide(r#"{"n":7,"runs":[{"big":false},{"big":true}]}"#), Queued);
    assert_eq!(decide(r#"{"n":8,"runs":[{},{"big":true}]}"#), NoMatch);
    assert_eq!(decide(r#"{"n":7,"n":8,"runs":[{},{"big":true}]}"#), NoMatch);
    assert_eq!(decide("{}"), Failed);
    let unread = when("ci.failed", "event.outcome == 'failure'");
    assert_eq!(judge_with(&unread, &ci(), None, "not json at all")[0].verdict.decision, Queued);
}

#[test]
fn complete_lays_what_is_known_under_what_is_said_and_may_be_repeated() {
    let facts = Facts {
        change: Some(42),
        draft: Some(true),
        base: Some("main".to_owned()),
        branch: Some("other".to_owned()),
        ..Facts::default()
    };
    let event = ci();
    let once = hookrun::rules::complete(&event, Some(&facts)).into_owned();
    assert_eq!((once.branch.as_deref(), once.base.as_deref()), (Some("fix"), Some("main")));
    assert_eq!(once.change.as_ref().map(|change| (change.number, change.draft)), Some((42, Some(true))));
    assert_eq!(*hookrun::rules::complete(&once, Some(&facts)), once);
}

#[test]
fn meaning_5_an_issue_born_with_a_label_counts_as_labelled_and_a_later_edit_never_does() {
    let labelled = rule("on = [\"issue.labeled\"]\nto = [\"agent\"]");
    let acts = |action: &str| {
        let person = serde_json::json!({"login": "mia", "id": 1, "type": "User"});
        let body = serde_json::json!({
            "action": action,
            "issue": {"id": 5, "number": 17, "title": "T", "state": "open", "labels": [{"name": "agent"}], "user": person,
                "author_association": "MEMBER", "created_at": "2026-01-15T10:00:00Z", "updated_at": "2026-01-15T10:00:00Z"},
            "repository": {"id": 1, "name": "widgets", "full_name": "acme/widgets", "private": true,
                "html_url": "https://github.com/acme/widgets"},
            "sender": person,
        });
        let told = tell(SourceKind::Github, "issues", body.to_string().as_bytes());
        let said = told.events.iter().flat_map(|event| judge_with(&labelled, event, None, "{}"));
        said.filter(|one| one.verdict.decision == Queued).count()
    };
    assert_eq!(acts("opened"), 1);
    assert_eq!(acts("edited"), 0);
}
