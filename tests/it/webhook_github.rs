//! The traps of GitHub's webhooks, each with a small body of our own, so that they are sprung everywhere.

use bytes::Bytes;
use hookrun::model::acceptance::AttemptReset;
use hookrun::model::delivery::SourceKind::Github;
use hookrun::model::event::{Kind, Origin};
use hookrun::webhook::{Reading, SourceSpec, Understood, understand, verify};
use serde_json::{Value, json};

use super::webhook_support::{NOW, altered, fixture, kinds, only, signed, source, tell};

const CHECK: &str = "github.check_run.completed.failure.json";
const SHA: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";

fn github(event: &str, body: &Value) -> Understood {
    tell(Github, event, &serde_json::to_vec(body).unwrap())
}

fn repository() -> Value {
    json!({"id": 7, "full_name": "acme/widgets", "private": false, "html_url": "https://github.com/acme/widgets"})
}

fn user(login: &str, kind: &str) -> Value {
    json!({"login": login, "type": kind, "html_url": format!("https://github.com/{login}")})
}

fn pull(changes: &Value) -> Value {
    let mut pull = json!({
        "id": 31, "number": 42, "title": "Fix login", "body": "as asked", "state": "open", "draft": false, "merged": false,
        "html_url": "https://github.com/acme/widgets/pull/42", "user": user("mia", "User"), "author_association": "MEMBER",
        "labels": [{"name": "bug"}], "created_at": "2026-01-15T10:00:00Z", "updated_at": "2026-01-15T11:00:00Z",
        "head": {"ref": "fix/login", "sha": SHA, "repo": repository()},
        "base": {"ref": "main", "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", "repo": repository()},
    });
    for (key, value) in changes.as_object().unwrap() {
        pull[key] = value.clone();
    }
    pull
}

fn change(action: &str, sender: &str, changes: &Value, extra: &Value) -> Understood {
    let kind = if sender.ends_with("[bot]") { "Bot" } else { "User" };
    let mut body = json!({"action": action, "pull_request": pull(changes), "repository": repository(), "sender": user(sender, kind)});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    github("pull_request", &body)
}

#[test]
fn a_check_that_is_born_finished_is_one_happening() {
    let completed = tell(Github, "check_run", &fixture(CHECK));
    let created = tell(Github, "check_run", &altered(CHECK, &[("\"action\":\"completed\"", "\"action\":\"created\"")]));
    assert_eq!(kinds(&created), [Kind::CiFailed]);
    assert_eq!(created.native, "github:check_run.created");
    assert_eq!(only(&created).happening, only(&completed).happening);
    assert_eq!(only(&completed).happening, "github.com/check_run/128620228/2026-01-15T10:03:12Z");
    let later = altered(CHECK, &[("10:03:12Z", "10:09:00Z")]);
    assert_ne!(only(&tell(Github, "check_run", &later)).happening, only(&completed).happening);
}

#[test]
fn a_happening_does_not_depend_on_the_source_or_a_header() {
    let body = Bytes::from(fixture(CHECK));
    let other = SourceSpec { name: "org-hook".to_owned(), ..source(Github) };
    let mut headers = signed(Github, "check_run", &body);
    headers.insert("x-github-delivery", "another".parse().unwrap());
    let told = understand(&verify(&other, &headers, &body, NOW).unwrap());
    let event = only(&told);
    assert_eq!(event.source, "org-hook");
    assert_eq!(event.happening, only(&tell(Github, "check_run", &body)).happening);
}

#[test]
fn asking_for_a_check_again_is_no_failure() {
    for action in ["rerequested", "requested_action"] {
        let body = altered(CHECK, &[("\"action\":\"completed\"", &format!("\"action\":\"{action}\""))]);
        let told = tell(Github, "check_run", &body);
        assert_eq!(told.reading, Reading::NoKind, "{action}");
        assert_eq!(told.native, format!("github:check_run.{action}"));
    }
    let body = altered(CHECK, &[("\"action\":\"completed\"", "\"action\":\"rerequested\"")]);
    assert_eq!(tell(Github, "check_run", &body).checks[0].check.outcome, "queued", "the old failure is no more");
}

#[test]
fn a_check_on_an_own_branch_is_trusted_and_names_its_change() {
    let told = tell(Github, "check_run", &fixture(CHECK));
    let event = only(&told);
    assert_eq!(event.subject.key, "github.com/acme/widgets@fix/login");
    assert_eq!(event.subject.origin, Origin::Base);
    assert_eq!((event.branch.as_deref(), event.base.as_deref()), (Some("fix/login"), Some("main")));
    assert_eq!(event.change.as_ref().unwrap().number, 42);
    assert_eq!(event.change.as_ref().unwrap().url.as_deref(), Some("https://github.com/acme/widgets/pull/42"));
    assert_eq!(event.checks[0].summary.as_deref(), Some("3 tests failed\n\nsee log"));
    assert_eq!(told.subjects[0].facts.change, Some(42));
    assert_eq!(told.subjects[0].facts.head_sha.as_deref(), Some(SHA));
    assert_eq!(event.repo_private, Some(true));
    assert_eq!(
        (event.checks[0].name.as_str(), told.checks[0].check.name.as_str()),
        ("unit-tests", "unit-tests #118578147")
    );
}

#[test]
fn empty_pull_requests_and_no_branch_leave_the_origin_unknown() {
    let told = tell(Github, "check_run", &fixture("github.check_run.completed.failure.fork.json"));
    let event = only(&told);
    assert_eq!(event.kind, Some(Kind::CiFailed));
    assert_eq!(event.subject.key, format!("github.com/acme/widgets@{SHA}"));
    assert_eq!(event.subject.origin, Origin::Unknown);
    assert_eq!((&event.branch, &event.change), (&None, &None));
    assert!(told.subjects.is_empty());
}

#[test]
fn changes_of_other_repositories_are_not_taken_for_ours() {
    // A list may hold changes that merge into a fork, or that only share the branch.
    let theirs = altered(
        CHECK,
        &[(
            "\"base\":{\"ref\":\"main\",\"sha\":\"f95f852bd8fca8fcc58a9a2d6c842781e32a215e\",\"repo\":{\"id\":186853002",
            "\"base\":{\"ref\":\"main\",\"sha\":\"f95f852bd8fca8fcc58a9a2d6c842781e32a215e\",\"repo\":{\"id\":99",
        )],
    );
    let event = tell(Github, "check_run", &theirs).events.remove(0);
    assert_eq!((event.change, event.base), (None, None));
    let moved = altered(
        CHECK,
        &[(
            &format!("\"head\":{{\"ref\":\"fix/login\",\"sha\":\"{SHA}\""),
            "\"head\":{\"ref\":\"fix/login\",\"sha\":\"0123\"",
        )],
    );
    assert_eq!(tell(Github, "check_run", &moved).events[0].change, None);
}

#[test]
fn a_workflow_of_a_fork_says_so_and_a_job_leaves_it_open() {
    let own = "github.workflow_run.completed.failure.json";
    let event = tell(Github, "workflow_run", &fixture(own)).events.remove(0);
    assert_eq!((event.kind, event.subject.origin), (Some(Kind::CiFailed), Origin::Base));
    assert_eq!(event.happening, "github.com/workflow_run/289782451/2", "the attempt counts");
    let fork = altered(
        own,
        &[(
            "\"head_repository\":{\"id\":186853002,\"full_name\":\"acme/widgets\"",
            "\"head_repository\":{\"id\":5,\"full_name\":\"eve/widgets\"",
        )],
    );
    let event = tell(Github, "workflow_run", &fork).events.remove(0);
    assert_eq!(event.subject.origin, Origin::Fork);
    assert_eq!(event.subject.key, "github.com/eve/widgets@fix/login");

    let job = github(
        "workflow_job",
        &json!({"action": "completed", "repository": repository(), "sender": user("mia", "User"), "workflow_job": {
            "id": 5, "name": "build", "workflow_name": "CI", "head_branch": "main", "head_sha": SHA,
            "status": "completed", "conclusion": "timed_out"}}),
    );
    assert_eq!(only(&job).kind, Some(Kind::CiFailed));
    assert_eq!(only(&job).subject.origin, Origin::Unknown, "a fork may have a branch main too");
    assert_eq!(only(&job).branch.as_deref(), Some("main"));
}

#[test]
fn conclusions_have_the_kinds_that_they_should() {
    for (conclusion, kind) in [
        ("failure", Some(Kind::CiFailed)),
        ("timed_out", Some(Kind::CiFailed)),
        ("startup_failure", Some(Kind::CiFailed)),
        ("success", Some(Kind::CiSucceeded)),
        ("cancelled", Some(Kind::CiCancelled)),
        ("neutral", None),
        ("skipped", None),
        ("action_required", None),
        ("stale", None),
        ("invented", None),
    ] {
        let told = github(
            "check_suite",
            &json!({"action": "completed", "repository": repository(), "check_suite": {"id": 3, "head_branch": "main",
                "head_sha": SHA, "status": "completed", "conclusion": conclusion, "updated_at": "2026-01-15T10:00:00Z",
                "app": {"slug": "github-actions", "name": "GitHub Actions"}, "pull_requests": []}}),
        );
        assert_eq!(only(&told).kind, kind, "{conclusion}");
        assert!(told.checks[0].check.aggregate);
        assert_eq!(told.resets.len(), usize::from(conclusion == "success"), "{conclusion}");
    }
    let asked = github(
        "check_suite",
        &json!({"action": "requested", "repository": repository(), "check_suite": {"id": 3, "head_branch": "main",
            "head_sha": SHA, "status": "queued", "conclusion": null, "pull_requests": []}}),
    );
    assert_eq!((only(&asked).outcome.as_deref(), asked.checks.len()), (Some("queued"), 0), "it may never end");
    for (state, kind) in [("error", Some(Kind::CiFailed)), ("failure", Some(Kind::CiFailed)), ("pending", None)] {
        let told = github(
            "status",
            &json!({"id": 9, "sha": SHA, "state": state, "context": "ci/x", "repository": repository(), "branches": [
                {"name": "main", "commit": {"sha": "0123"}}, {"name": "fix/login", "commit": {"sha": SHA}}]}),
        );
        assert_eq!(only(&told).kind, kind, "{state}");
        assert_eq!(only(&told).subject.key, "github.com/acme/widgets@fix/login");
        assert!(told.resets.is_empty());
    }
}

#[test]
fn a_body_without_a_repository_is_kept() {
    let told = github(
        "organization",
        &json!({"action": "member_added", "organization": {"login": "acme", "url": "https://api.github.com/orgs/acme"},
            "sender": user("mia", "User")}),
    );
    assert_eq!(told.reading, Reading::NoKind);
    assert_eq!((only(&told).host.as_str(), &only(&told).repo), ("github.com", &None));
    let nameless = github(
        "push",
        &json!({"ref": "refs/heads/main", "after": SHA, "sender": user("mia", "User"),
            "repository": {"name": "widgets", "owner": {"login": "acme"}}}),
    );
    assert_eq!(only(&nameless).repo.as_deref(), Some("acme/widgets"));
}

#[test]
fn of_a_key_that_occurs_twice_the_last_counts() {
    let body = br#"{"action":"completed","action":"created","check_run":{"id":1},"check_run":{"id":2,"id":3,"name":"x",
        "head_sha":"aa","status":"queued","status":"completed","conclusion":"failure","completed_at":"T"},
        "repository":{"full_name":"a/b","full_name":"acme/widgets","html_url":"https://github.com/acme/widgets"}}"#;
    let told = tell(Github, "check_run", body);
    assert_eq!(told.native, "github:check_run.created");
    assert_eq!(only(&told).kind, Some(Kind::CiFailed));
    assert_eq!(only(&told).repo.as_deref(), Some("acme/widgets"));
    assert_eq!(only(&told).happening, "github.com/check_run/3/T");
}

#[test]
fn wrong_types_are_told_apart_from_what_is_not_needed() {
    let body = altered(CHECK, &[("\"name\":\"unit-tests\"", "\"name\":[1]"), ("\"output\":{", "\"output\":7,\"x\":{")]);
    assert_eq!(kinds(&tell(Github, "check_run", &body)), [Kind::CiFailed]);
    let body = altered(CHECK, &[(&format!("\"head_sha\":\"{SHA}\""), "\"head_sha\":{}")]);
    let Reading::NotUnderstood { reason } = tell(Github, "check_run", &body).reading else { panic!() };
    assert_eq!(reason, "check_run.head_sha is missing or of the wrong type");
}

#[test]
fn the_unsigned_event_name_cannot_turn_one_event_into_another() {
    let review = json!({"action": "edited", "pull_request": pull(&json!({})), "review": {"id": 1, "state": "approved"},
        "repository": repository(), "sender": user("eve", "User")});
    assert!(matches!(github("pull_request", &review).reading, Reading::NotUnderstood { .. }));
    let comment = json!({"action": "edited", "issue": {"number": 1}, "comment": {"id": 1, "body": "x"},
        "repository": repository(), "sender": user("eve", "User")});
    assert!(matches!(github("issues", &comment).reading, Reading::NotUnderstood { .. }));
    for event in ["check_suite", "workflow_run", "status", "push", "issues", "pull_request"] {
        let told = tell(Github, event, &fixture(CHECK));
        assert!(matches!(told.reading, Reading::NotUnderstood { .. }), "{event}");
    }
}

#[test]
fn a_change_tells_everything_about_its_subject() {
    let told = change("synchronize", "codegen-sh[bot]", &json!({}), &json!({}));
    let event = only(&told);
    assert_eq!(event.kind, Some(Kind::ChangeUpdated));
    assert_eq!(event.text.as_deref(), Some("Fix login\n\nas asked"));
    let facts = &told.subjects[0].facts;
    assert_eq!(told.subjects[0].key, "github.com/acme/widgets@fix/login");
    assert_eq!((facts.change, facts.draft, facts.fork, facts.open), (Some(42), Some(false), Some(false), Some(true)));
    assert_eq!(facts.labels.as_deref(), Some(&["bug".to_owned()][..]));
    assert_eq!(facts.author.as_ref().unwrap().association.as_deref(), Some("MEMBER"));
    assert_eq!(facts.last_pusher.as_ref().unwrap().bot, Some(true));
    let fork = json!({"id": 8, "full_name": "eve/widgets", "html_url": "https://github.com/eve/widgets"});
    let told = change("opened", "eve", &json!({"head": {"ref": "main", "sha": SHA, "repo": fork}}), &json!({}));
    assert_eq!(
        (told.events[0].subject.key.as_str(), told.events[0].subject.origin),
        ("github.com/eve/widgets@main", Origin::Fork)
    );
    assert_eq!(told.subjects[0].facts.last_pusher, None);
    let gone = change(
        "closed",
        "mia",
        &json!({"state": "closed", "head": {"ref": "main", "sha": SHA, "repo": null}}),
        &json!({}),
    );
    assert_eq!((only(&gone).kind, only(&gone).subject.origin), (Some(Kind::ChangeClosed), Origin::Fork));
    let merged = change("closed", "mia", &json!({"state": "closed", "merged": true}), &json!({}));
    assert_eq!(kinds(&merged), [Kind::ChangeMerged]);
}

#[test]
fn a_change_born_with_a_label_counts_as_labelled_once() {
    let birth = json!({"updated_at": "2026-01-15T10:00:00Z"});
    let opened = change("opened", "mia", &birth, &json!({}));
    assert_eq!(kinds(&opened), [Kind::ChangeOpened, Kind::ChangeLabeled]);
    assert_eq!(opened.events[1].to, ["bug"]);
    // GitHub sends the label on its own as well, a moment later.
    let moment = json!({"updated_at": "2026-01-15T10:00:02Z"});
    let labeled = change("labeled", "mia", &moment, &json!({"label": {"name": "bug"}}));
    assert_eq!(only(&labeled).happening, opened.events[1].happening);
    let later = change("labeled", "mia", &json!({}), &json!({"label": {"name": "bug"}}));
    assert_ne!(only(&later).happening, opened.events[1].happening);
    let edited = change("edited", "mia", &json!({}), &json!({}));
    assert_eq!(kinds(&edited), [Kind::ChangeUpdated], "a later edit is no labelling");
}

#[test]
fn acts_that_need_write_access_show_a_member() {
    let association = |told: &Understood| told.events[0].actor.as_ref().unwrap().association.clone();
    let stranger = json!({"user": user("eve", "User"), "author_association": "NONE"});
    assert_eq!(association(&change("synchronize", "eve", &stranger, &json!({}))).as_deref(), Some("NONE"));
    assert_eq!(association(&change("synchronize", "joe", &stranger, &json!({}))), None);
    let label = json!({"label": {"name": "bug"}});
    assert_eq!(association(&change("labeled", "joe", &stranger, &label)).as_deref(), Some("COLLABORATOR"));
    assert_eq!(association(&change("labeled", "eve", &stranger, &label)).as_deref(), Some("NONE"));
}

#[test]
fn comments_on_a_change_know_it_by_number_only() {
    let body = |pull: Value| {
        json!({"action": "created", "repository": repository(), "sender": user("mia", "User"),
            "issue": {"id": 1, "number": 42, "title": "Fix login", "state": "open", "labels": [], "draft": true,
                "user": user("joe", "User"), "pull_request": pull},
            "comment": {"id": 77, "body": "/agent fix it", "user": user("mia", "User"), "author_association": "OWNER"}})
    };
    let told = github("issue_comment", &body(json!({"url": "x"})));
    let event = only(&told);
    assert_eq!((event.kind, event.subject.origin), (Some(Kind::CommentCreated), Origin::Unknown));
    assert_eq!((event.change.as_ref().unwrap().number, event.happening.as_str()), (42, "github.com/comment/77"));
    assert_eq!(event.text.as_deref(), Some("/agent fix it"));
    assert_eq!(event.actor.as_ref().unwrap().association.as_deref(), Some("OWNER"));
    assert_eq!(event.change.as_ref().unwrap().draft, Some(true));
    assert!(told.subjects.is_empty(), "a row under the number would hide that of the branch");
    let told = github("issue_comment", &body(Value::Null));
    assert_eq!((only(&told).subject.origin, only(&told).change.is_none()), (Origin::None, true));
}

#[test]
fn only_pushes_of_people_count_as_such() {
    let push = |sender: &str, kind: &str, author: Value| {
        github(
            "push",
            &json!({"ref": "refs/heads/fix/login", "after": SHA, "deleted": false, "repository": repository(),
                "sender": user(sender, kind), "head_commit": {"id": SHA, "message": "m", "author": author}}),
        )
    };
    let mia = json!({"name": "Mia", "email": "mia@example.com", "username": "mia"});
    let told = push("mia", "User", mia.clone());
    assert_eq!(kinds(&told), [Kind::Push]);
    assert_eq!(told.resets, [AttemptReset::HumanPush { subject: "github.com/acme/widgets@fix/login".to_owned() }]);
    assert_eq!(told.subjects[0].facts.last_pusher.as_ref().unwrap().login, "mia");
    for (sender, kind, author) in [
        ("renovate[bot]", "Bot", mia.clone()),
        ("codegen-sh", "User", mia.clone()),
        (
            "mia",
            "User",
            json!({"name": "codegen-sh[bot]", "email": "131295404+codegen-sh[bot]@users.noreply.github.com"}),
        ),
        ("mia", "User", json!({"name": "Codegen", "email": "1+codegen-sh[bot]@users.noreply.github.com"})),
        ("mia", "User", Value::Null),
    ] {
        assert!(push(sender, kind, author.clone()).resets.is_empty(), "{sender} {author}");
    }
}

#[test]
fn tags_and_deleted_branches_are_no_pushes() {
    let push = |reference: &str, after: &str| {
        github(
            "push",
            &json!({"ref": reference, "after": after, "repository": repository(), "sender": user("mia", "User")}),
        )
    };
    let zero = "0".repeat(40);
    assert_eq!(push("refs/heads/main", &zero).reading, Reading::NoKind);
    assert_eq!(push("refs/tags/v1", &zero).reading, Reading::NoKind);
    let tag = push("refs/tags/v1", SHA);
    assert_eq!((kinds(&tag), &tag.events[0].to), (vec![Kind::TagPushed], &vec!["v1".to_owned()]));
    // The same tag is told as a creation, too.
    let create = json!({"ref": "v1", "ref_type": "tag", "repository": repository(), "sender": user("mia", "User")});
    assert_eq!(github("create", &create).reading, Reading::NoKind);
}

#[test]
fn alerts_deployments_and_new_repositories() {
    let alert = |event: &str, action: &str| {
        let body = json!({"action": action, "repository": repository(), "alert": {"number": 3, "state": "open"}});
        github(event, &body)
    };
    for event in ["dependabot_alert", "code_scanning_alert", "secret_scanning_alert"] {
        assert_eq!(kinds(&alert(event, "created")), [Kind::AlertOpened], "{event}");
        assert_eq!(alert(event, "fixed").reading, Reading::NoKind, "{event}");
    }
    let (old, new) = (alert("repository_vulnerability_alert", "create"), alert("dependabot_alert", "created"));
    assert_eq!(old.events[0].happening, new.events[0].happening, "two names of one alert");
    let deployment = |state: &str| {
        github(
            "deployment_status",
            &json!({"action": "created", "repository": repository(), "deployment": {"ref": "main", "sha": SHA},
                "deployment_status": {"id": 4, "state": state, "environment": "production"}}),
        )
    };
    assert_eq!(kinds(&deployment("failure")), [Kind::DeploymentFailed]);
    assert_eq!(deployment("success").reading, Reading::NoKind);
    let created = json!({"action": "created", "repository": repository(), "sender": user("mia", "User")});
    assert_eq!(kinds(&github("repository", &created)), [Kind::RepoCreated]);
}

#[test]
fn a_ping_is_no_event() {
    let told = tell(Github, "ping", &fixture("github.ping.json"));
    assert_eq!((told.reading, told.events.len()), (Reading::Ping, 0));
}

#[test]
fn huge_and_hostile_fields_are_cut() {
    let told = github(
        "issues",
        &json!({"action": "opened", "repository": repository(), "sender": user("mia", "User"), "issue": {
            "id": 1, "number": 1, "title": "a\u{0}b", "body": "ü".repeat(300_000),
            "labels": (0..5000).map(|n| json!({"name": format!("l{n}")})).collect::<Vec<_>>()}}),
    );
    assert_eq!(told.events[0].issue.as_ref().unwrap().title.as_deref(), Some("ab"), "no NUL for the database");
    assert_eq!(told.events[0].issue.as_ref().unwrap().body.as_ref().unwrap().len(), 256 * 1024);
    assert_eq!(told.events.len(), 101);
}
