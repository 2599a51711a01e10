//! What is known of a subject decides about events that do not tell it.

use hookrun::model::run::{Run, RunChange};
use hookrun::model::subject::SubjectLookup;
use serde_json::{Value, json};

use super::told::{AGENT, MIA, change, check, comment, sha, suite, workflow_job};
use super::{FIX, Room};
use crate::store_support::alive;

const OWN: &str = "acme/widgets";

#[tokio::test]
async fn a_check_of_a_draft_is_denied_by_what_an_earlier_delivery_said() {
    let room = Room::new(FIX).await;
    let mut draft = change(7, &sha(1), "fix", OWN, MIA);
    draft["pull_request"]["draft"] = true.into();
    room.send("pull_request", &draft).await;
    let reason = room.denied("check_run", &check(1, &sha(1), Some("fix"), "failure")).await;
    assert!(reason.starts_with("draft: "), "{reason}");

    let mut ready = change(7, &sha(1), "fix", OWN, MIA);
    ready["action"] = "ready_for_review".into();
    room.send("pull_request", &ready).await;
    room.queued("check_run", &check(2, &sha(1), Some("fix"), "failure")).await;
}

#[tokio::test]
async fn what_nobody_told_is_a_verdict_and_the_answer_says_what_to_subscribe_to() {
    let room = Room::new(FIX).await;
    let receipt = room.send("check_run", &check(1, &sha(1), None, "failure")).await;
    assert_eq!((receipt.jobs.len(), receipt.notes), (0, vec!["fork unknown: subscribe to pull_request".to_owned()]));

    let mut of_change = suite(2, &sha(2), "fix", "failure");
    of_change["check_suite"]["pull_requests"] = json!([{"number": 7,
        "head": {"ref": "fix", "sha": sha(2), "repo": {"id": 1, "name": "widgets"}},
        "base": {"ref": "main", "sha": sha(0), "repo": {"id": 1, "name": "widgets"}}}]);
    let receipt = room.send("check_suite", &of_change).await;
    assert_eq!((receipt.jobs.len(), receipt.notes), (0, vec!["draft unknown: subscribe to pull_request".to_owned()]));

    // Once it is subscribed to, the same is decided.
    room.send("pull_request", &change(7, &sha(2), "fix", OWN, MIA)).await;
    assert_eq!(room.send("check_suite", &of_change).await.jobs.len(), 1);
}

#[tokio::test]
async fn a_check_on_a_branch_of_the_repository_needs_no_more_facts() {
    let room = Room::new(FIX).await;
    let job = room.queued("check_run", &check(1, &sha(1), Some("main"), "failure")).await;
    assert_eq!(job.subject, "github.com/acme/widgets@main");
}

#[tokio::test]
async fn a_forks_branch_of_the_same_name_is_told_by_its_commit() {
    let room = Room::new(FIX).await;
    room.send("pull_request", &change(7, &sha(1), "main", "stranger/widgets", "stranger")).await;
    let reason = room.denied("workflow_job", &workflow_job(1, &sha(1), "main")).await;
    assert!(reason.starts_with("fork: "), "{reason}");
    // A body that seems to name the repository's own branch does not help the fork.
    let reason = room.denied("check_run", &check(2, &sha(1), Some("main"), "failure")).await;
    assert!(reason.starts_with("fork: "), "{reason}");
    room.queued("check_run", &check(3, &sha(2), Some("main"), "failure")).await;
}

#[tokio::test]
async fn a_fork_that_sends_webhooks_too_is_one_for_the_other_repository_only() {
    const FORK: &str = "stranger/widgets";
    let by_fork = |mut body: Value| {
        body["repository"]["id"] = 2.into();
        body["repository"]["full_name"] = FORK.into();
        body["repository"]["html_url"] = format!("https://github.com/{FORK}").into();
        body
    };
    let anywhere = FIX.replace("acme/*", "**");
    let opened = change(7, &sha(1), "patch", FORK, "stranger");
    let pushed = by_fork(super::told::push(&sha(1), "patch", "stranger"));
    // Both ways around, and both committed together.
    let room = Room::new(&anywhere).await;
    room.send("pull_request", &opened).await;
    room.send("push", &pushed).await;
    let reason = room.denied("check_run", &check(1, &sha(1), None, "failure")).await;
    assert!(reason.starts_with("fork: "), "{reason}");
    let room = Room::new(&anywhere).await;
    room.send("push", &pushed).await;
    room.send("pull_request", &opened).await;
    let job = room.queued("check_run", &by_fork(check(2, &sha(1), Some("patch"), "failure"))).await;
    assert_eq!(job.subject, "github.com/stranger/widgets@patch");
    let room = Room::new(&anywhere).await;
    tokio::join!(room.send("pull_request", &opened), room.send("push", &pushed));
    let reason = room.denied("check_run", &check(1, &sha(1), None, "failure")).await;
    assert!(reason.starts_with("fork: "), "{reason}");
}

#[tokio::test]
async fn our_own_agents_change_starts_nothing() {
    let room = Room::new(FIX).await;
    room.send("pull_request", &change(7, &sha(1), "agent-work", OWN, AGENT)).await;
    let reason = room.denied("check_run", &check(1, &sha(1), Some("agent-work"), "failure")).await;
    assert!(reason.starts_with("agent: the author"), "{reason}");
}

#[tokio::test]
async fn a_branch_that_a_run_of_ours_named_is_our_own_also_after_a_restart() {
    let room = Room::new(FIX).await;
    let job = room.queued("check_run", &check(1, &sha(1), Some("main"), "failure")).await;
    room.advance(60);
    room.run(&job, 4711).await;
    let made = RunChange { branch: Some("codegen/repair".to_owned()), ..RunChange::default() };
    let run = Run { pull_requests: vec![made], status: Some("COMPLETE".to_owned()), ..alive(4711) };
    room.house.store.observe(&[run]).await.unwrap();
    let room = room.restart(FIX).await;
    let reason = room.denied("check_run", &check(2, &sha(2), Some("codegen/repair"), "failure")).await;
    assert_eq!(reason, "agent: a run of ours made this branch; \"agent\" is not in allow");
}

#[tokio::test]
async fn a_comment_on_a_change_is_about_its_branch() {
    let rule = "[[rule]]\nname = \"answer\"\non = [\"comment.created\"]\nrepos = [\"**\"]\ncommand = [\"/agent\"]\n\
                prompt = \"{{ event.comment.args }}\"\n";
    let room = Room::new(rule).await;
    room.send("pull_request", &change(7, &sha(1), "fix", OWN, MIA)).await;
    let job = room.queued("issue_comment", &comment(7, "/agent rename it")).await;
    assert_eq!(job.subject, "github.com/acme/widgets@fix");
    assert_eq!(room.prompt(&job).await, "rename it");
}

#[tokio::test]
async fn a_source_speaks_for_its_repositories_only() {
    let room = Room::new(FIX).await;
    let receipt = room.send_by("narrow", "pull_request", &change(7, &sha(1), "fix", OWN, MIA)).await;
    let delivery = room.delivery(&receipt).await;
    assert!(delivery.reason.contains("may not speak for acme/widgets"), "{}", delivery.reason);
    let receipt = room.send_by("narrow", "check_run", &check(1, &sha(2), Some("main"), "failure")).await;
    assert!(receipt.jobs.is_empty());
    let lookup = SubjectLookup {
        key: "github.com/acme/widgets@fix".to_owned(),
        host: "github.com".to_owned(),
        repo: OWN.to_owned(),
        ..SubjectLookup::default()
    };
    assert_eq!(room.house.store.subject(&lookup).await.unwrap(), None, "nor is it believed");
}

#[tokio::test]
async fn a_commit_of_a_fork_that_was_pushed_to_the_repository_is_the_repositorys_own_push() {
    let rule =
        "[[rule]]\nname = \"notes\"\non = [\"push\"]\nrepos = [\"**\"]\nbranches = [\"main\"]\nprompt = \"Go.\"\n";
    let room = Room::new(rule).await;
    room.send("pull_request", &change(7, &sha(1), "patch", "stranger/widgets", "stranger")).await;
    let job = room.queued("push", &super::told::push(&sha(1), "main", MIA)).await;
    assert_eq!(job.subject, "github.com/acme/widgets@main");
}
