//! The traps of GitLab's webhooks, each with a small body of our own.

use hookrun::model::acceptance::AttemptReset;
use hookrun::model::delivery::SourceKind::Gitlab;
use hookrun::model::event::{Kind, Origin};
use hookrun::webhook::{Reading, Understood};
use serde_json::{Value, json};

use super::webhook_support::{altered, fixture, kinds, only, tell};

const SHA: &str = "bcbb5ec396a2c0f828686f14fac9b80b780504f2";

fn gitlab(body: &Value) -> Understood {
    tell(Gitlab, "Some Hook", &serde_json::to_vec(body).unwrap())
}

#[test]
fn gitlab_pipelines_tell_what_broke() {
    let told = tell(Gitlab, "Pipeline Hook", &fixture("gitlab.pipeline.failed.json"));
    let event = only(&told);
    assert_eq!(event.kind, Some(Kind::CiFailed));
    assert_eq!(
        (event.subject.key.as_str(), event.subject.origin),
        ("gitlab.example.com/acme/widgets@fix/login", Origin::Base)
    );
    assert_eq!(event.happening, "gitlab.example.com/pipeline/31/2026-01-15 15:26:29 UTC");
    let failed: Vec<&str> = event.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(failed, ["unit"], "lint may fail");
    let states = told.checks.iter().map(|update| (update.check.name.as_str(), update.check.outcome.as_str()));
    assert_eq!(states.collect::<Vec<_>>(), [("CI #31", "failed"), ("unit #31", "failed"), ("lint #31", "neutral")]);
    let job = tell(Gitlab, "Job Hook", &fixture("gitlab.job.failed.json"));
    assert_eq!(job.checks[0].check.name, "unit #31", "the same check, told in another way");
    assert_eq!(event.change.as_ref().unwrap().number, 16);
    let fork = altered("gitlab.pipeline.failed.json", &[("\"source_project_id\":2", "\"source_project_id\":9")]);
    let told = tell(Gitlab, "Pipeline Hook", &fork);
    let event = only(&told);
    assert_eq!(
        (event.subject.key.as_str(), event.subject.origin),
        ("gitlab.example.com/acme/widgets!16", Origin::Fork)
    );
    let elsewhere = altered(
        "gitlab.pipeline.failed.json",
        &[("\"target_project_id\":2", "\"target_project_id\":9"), ("merge_request_event", "push")],
    );
    let event = tell(Gitlab, "Pipeline Hook", &elsewhere).events.remove(0);
    assert_eq!((event.change, event.subject.origin), (None, Origin::Base), "the branch is this project's own");
    let green = altered(
        "gitlab.pipeline.failed.json",
        &[("\"status\":\"failed\",\"detailed", "\"status\":\"success\",\"detailed")],
    );
    assert!(matches!(tell(Gitlab, "Pipeline Hook", &green).resets[..], [AttemptReset::Green { .. }]));
}

#[test]
fn gitlab_jobs_without_a_project_and_their_status() {
    let job = |changes: &Value| {
        let mut body = json!({"object_kind": "build", "ref": "main", "tag": false, "sha": SHA, "build_id": 378,
            "build_name": "unit", "build_stage": "test", "build_status": "failed", "build_allow_failure": false,
            "build_failure_reason": "unknown_failure", "project_id": 2, "project_name": "Acme / Widgets",
            "commit": {"id": 31, "sha": SHA},
            "repository": {"name": "widgets", "homepage": "https://gitlab.example.com:8443/acme/sub/widgets"}});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        gitlab(&body)
    };
    let told = job(&json!({}));
    let event = only(&told);
    assert_eq!((event.kind, told.native.as_str()), (Some(Kind::CiFailed), "gitlab:build.failed"));
    assert_eq!(event.repo.as_deref(), Some("acme/sub/widgets"));
    assert_eq!(event.subject.key, "gitlab.example.com:8443/acme/sub/widgets@main");
    assert_eq!(event.sha.as_deref(), Some(SHA));
    assert_eq!(job(&json!({"build_allow_failure": true})).reading, Reading::NoKind);
    assert_eq!(job(&json!({"build_allow_failure": true})).checks[0].check.outcome, "neutral");
    assert_eq!(kinds(&job(&json!({"build_status": "success"}))), [Kind::CiSucceeded], "whatever the reason says");
    let for_request = job(&json!({"ref": "refs/merge-requests/16/head"}));
    assert_eq!(only(&for_request).subject.origin, Origin::Unknown);
    assert_eq!(only(&for_request).change.as_ref().unwrap().number, 16);
}

fn merge_request(action: &str, attributes: &Value, changes: &Value) -> Understood {
    let mut body = json!({"object_kind": "merge_request", "user": {"id": 1, "username": "mia", "name": "Mia"},
        "project": {"id": 2, "path_with_namespace": "acme/widgets", "web_url": "https://gitlab.example.com/acme/widgets",
            "visibility_level": 0},
        "labels": [{"title": "bug"}], "changes": changes,
        "object_attributes": {"id": 90, "iid": 16, "title": "Fix login", "state": "opened", "action": action,
            "author_id": 1, "source_branch": "fix/login", "target_branch": "main", "source_project_id": 2,
            "target_project_id": 2, "draft": false, "last_commit": {"id": SHA}, "updated_at": "2026-01-15 15:26:29 UTC"}});
    for (key, value) in attributes.as_object().unwrap() {
        body["object_attributes"][key] = value.clone();
    }
    gitlab(&body)
}

#[test]
fn one_gitlab_update_may_say_several_things() {
    let changes = json!({
        "labels": {"previous": [{"title": "bug"}], "current": [{"title": "bug"}, {"title": "agent"}]},
        "draft": {"previous": true, "current": false},
        "title": {"previous": "Draft: Fix login", "current": "Fix login"},
        "reviewers": {"previous": [], "current": [{"username": "joe"}]},
    });
    let told = merge_request("update", &json!({}), &changes);
    assert_eq!(kinds(&told), [Kind::ChangeReady, Kind::ChangeLabeled, Kind::ChangeReviewRequested]);
    assert_eq!(told.events[1].to, ["agent"], "only what is new");
    assert_eq!(told.events[2].to, ["joe"]);
    assert_eq!(told.events[0].labels.as_deref(), Some(&["bug".to_owned()][..]));
    assert_eq!(told.subjects[0].facts.author.as_ref().unwrap().login, "mia");
    let pushed = merge_request("update", &json!({"oldrev": "0123"}), &json!({}));
    assert_eq!(kinds(&pushed), [Kind::ChangeUpdated]);
    assert_eq!(pushed.subjects[0].facts.last_pusher.as_ref().unwrap().login, "mia");
    let assigned = merge_request("update", &json!({}), &json!({"assignees": {"previous": [], "current": []}}));
    assert_eq!(assigned.reading, Reading::NoKind);
    assert_eq!(kinds(&merge_request("open", &json!({}), &json!({}))), [Kind::ChangeOpened, Kind::ChangeLabeled]);
    assert_eq!(kinds(&merge_request("merge", &json!({"state": "merged"}), &json!({}))), [Kind::ChangeMerged]);
    assert_eq!(kinds(&merge_request("approval", &json!({}), &json!({}))), [Kind::ReviewSubmitted]);
    assert_eq!(merge_request("unapproved", &json!({}), &json!({})).reading, Reading::NoKind);
}

#[test]
fn gitlab_bots_are_known_by_their_names() {
    let bot = |username: &str| {
        let told =
            gitlab(&json!({"object_kind": "push", "ref": "refs/heads/main", "after": SHA, "user_username": username,
            "project": {"path_with_namespace": "acme/widgets", "web_url": "https://gitlab.example.com/acme/widgets"},
            "commits": [{"id": SHA, "message": "m", "author": {"name": "Mia", "email": "mia@example.com"}}]}));
        (only(&told).actor.as_ref().unwrap().bot, told.resets.len())
    };
    for name in ["project_22_bot", "project_22_bot_1f3c", "group_7_bot_9a", "service_account_abc", "renovate-bot"] {
        assert_eq!(bot(name), (Some(true), 0), "{name}");
    }
    for name in ["mia", "project_manager", "botany"] {
        assert_eq!(bot(name), (Some(false), 1), "{name}");
    }
}

#[test]
fn gitlab_notes_of_the_system_are_no_comments() {
    let note = |changes: &Value| {
        let mut body = json!({"object_kind": "note", "user": {"id": 1, "username": "mia"},
            "project": {"path_with_namespace": "acme/widgets", "web_url": "https://gitlab.example.com/acme/widgets"},
            "object_attributes": {"id": 5, "note": "please fix", "noteable_type": "MergeRequest", "system": false},
            "merge_request": {"id": 90, "iid": 16, "source_branch": "fix/login", "target_branch": "main",
                "source_project_id": 2, "target_project_id": 2, "last_commit": {"id": SHA}, "state": "opened"}});
        for (key, value) in changes.as_object().unwrap() {
            body["object_attributes"][key] = value.clone();
        }
        gitlab(&body)
    };
    let told = note(&json!({}));
    assert_eq!(kinds(&told), [Kind::CommentCreated]);
    assert_eq!(told.events[0].subject.key, "gitlab.example.com/acme/widgets@fix/login");
    assert_eq!(told.events[0].comment.as_ref().unwrap().body, "please fix");
    assert_eq!(note(&json!({"system": true})).reading, Reading::NoKind);
    assert_eq!(note(&json!({"action": "update"})).reading, Reading::NoKind);
}

#[test]
fn gitlab_tells_where_a_head_came_from_and_how_a_change_ended() {
    let request = |attributes: Value| {
        let mut body = json!({"object_kind": "merge_request", "user": {"username": "mia"},
            "project": {"id": 2, "path_with_namespace": "acme/widgets", "web_url": "https://gitlab.example.com/acme/widgets"},
            "object_attributes": {"id": 90, "iid": 16, "action": "update", "state": "opened", "title": "PAY-7: mend",
                "source_branch": "fix", "target_branch": "main", "source_project_id": 2, "target_project_id": 2,
                "last_commit": {"id": SHA}, "updated_at": "2026-01-15 15:26:29 UTC"}});
        for (key, value) in attributes.as_object().unwrap() {
            body["object_attributes"][key] = value.clone();
        }
        gitlab(&body).subjects.remove(0)
    };
    let before = "1ca7e340460796fe3eb17e2ea1b383ac4a9d2b26";
    let pushed = request(json!({"oldrev": before}));
    assert_eq!((pushed.head_before.as_deref(), pushed.facts.head_sha.as_deref()), (Some(before), Some(SHA)));
    assert_eq!((pushed.mentions, pushed.merged, pushed.by_agent), (vec!["PAY-7".to_owned()], false, false));
    let edited = request(json!({}));
    assert_eq!((edited.head_before, edited.facts.last_pusher), (None, None));
    let merged = request(json!({"action": "merge", "state": "merged"}));
    assert_eq!((merged.merged, merged.facts.open), (true, Some(false)));
    let locked = request(json!({"state": "locked"}));
    assert_eq!((locked.merged, locked.facts.open), (false, Some(true)), "it is being merged");

    let push = |before: &str, after: &str| {
        gitlab(&json!({"object_kind": "push", "ref": "refs/heads/fix", "before": before, "after": after,
            "user_username": "mia", "project": {"path_with_namespace": "acme/widgets",
                "web_url": "https://gitlab.example.com/acme/widgets"}, "commits": []}))
        .subjects
        .remove(0)
    };
    let none = "0".repeat(40);
    assert_eq!(push(before, SHA).head_before.as_deref(), Some(before));
    assert_eq!(push(&none, SHA).head_before, None);
    let gone = push(SHA, &none);
    assert_eq!((gone.deleted, gone.head_before.as_deref(), gone.facts.head_sha), (true, Some(SHA), None));
}
