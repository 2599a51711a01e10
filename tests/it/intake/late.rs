//! One run per commit: what comes late is told to that run, once; what comes in time is one job, on both sides of a kill.

use hookrun::model::decision::Ruling;
use hookrun::model::delivery::{DeliveryOutcome, SourceKind};
use hookrun::model::job::{Job, JobState};
use hookrun::model::policy::Priority;
use hookrun::model::run::Run;
use hookrun::store::Released;
use serde_json::json;

use super::told::{MIA, change, check, sha, suite, ticket};
use super::{FIX, Room};
use crate::store_support::alive;
use crate::webhook_support::signed;

const OWN: &str = "acme/widgets";
const BRANCH: &str = "fix";

/// A check of the one commit fails, under a rule that begins its `then` with "resume".
async fn fails(room: &Room, id: u32) -> (Ruling, String, Job) {
    let body = check(id, &sha(1), Some(BRANCH), "failure");
    let accepted = room.altered("check_run", &body, |it| it.requests[0].1.follow_up = true).await;
    let verdict = &accepted.verdicts[0];
    let job = room.house.job(verdict.job.as_ref().unwrap()).await;
    (verdict.decision, verdict.reason.clone(), job)
}

async fn ends(room: &Room, run: i64) {
    room.house.store.observe(&[Run { status: Some("COMPLETE".to_owned()), ..alive(run) }]).await.unwrap();
}

#[tokio::test]
async fn what_comes_late_is_one_follow_up_to_the_run_of_its_commit() {
    let room = Room::new(FIX).await;
    let (_, _, first) = fails(&room, 1).await;
    room.advance(60);
    room.run(&first, 4711).await;
    let (decision, reason, follow_up) = fails(&room, 2).await;
    assert_eq!((decision, reason.as_str()), (Ruling::Queued, "a follow-up to the run of this commit"));
    assert_eq!((follow_up.target, follow_up.follows.as_deref()), (Some(4711), Some(first.id.as_str())));
    assert_eq!((follow_up.priority, &follow_up.key), (Priority::People, &first.key));
    // Further late ones join it, also after a kill.
    let (decision, _, joined) = fails(&room, 3).await;
    assert_eq!((decision, joined.id == follow_up.id), (Ruling::Joined, true));
    let room = room.killed(FIX).await;
    let (decision, _, joined) = fails(&room, 4).await;
    assert_eq!((decision, joined.id == follow_up.id, joined.events), (Ruling::Joined, true, 3));
    // Once it was sent there is no other: late only.
    room.advance(60);
    ends(&room, 4711).await;
    assert_eq!(fails(&room, 5).await.0, Ruling::Joined, "it waits still");
    room.advance(60);
    room.house.send(&follow_up.id).await;
    assert_eq!(fails(&room, 6).await.0, Ruling::Late);
    assert_eq!(room.jobs().await.len(), 2);
}

#[tokio::test]
async fn a_follow_up_that_nobody_wanted_opens_no_other_one_and_no_run() {
    for state in [JobState::Cancelled, JobState::Dead] {
        let room = Room::new(FIX).await;
        let (_, _, first) = fails(&room, 1).await;
        room.advance(60);
        room.run(&first, 4711).await;
        let (_, _, follow_up) = fails(&room, 2).await;
        room.house.bring(&follow_up.id, state, 0).await;
        let (decision, _, late) = fails(&room, 3).await;
        assert_eq!((decision, late.id), (Ruling::Late, first.id), "{state}");
    }
}

#[tokio::test]
async fn a_run_that_has_ended_is_followed_up_by_nothing() {
    let room = Room::new(FIX).await;
    let (_, _, first) = fails(&room, 1).await;
    room.advance(60);
    room.run(&first, 4711).await;
    ends(&room, 4711).await;
    assert_eq!(fails(&room, 2).await.0, Ruling::Late);
}

#[tokio::test]
async fn a_follow_up_to_what_is_being_sent_learns_the_run_or_goes_home() {
    for taken in [true, false] {
        let room = Room::new(FIX).await;
        let (_, _, first) = fails(&room, 1).await;
        room.advance(60);
        let Released::Go { call, .. } = room.release(&first).await else { panic!("it goes") };
        let (decision, _, follow_up) = fails(&room, 2).await;
        assert_eq!((decision, follow_up.target), (Ruling::Queued, None));
        if taken {
            room.house.store.run_created(&first.id, &call, &alive(4711)).await.unwrap();
            assert_eq!(room.house.job(&follow_up.id).await.target, Some(4711));
        } else {
            let now = hookrun::model::clock::Clock::now(&*room.house.clock);
            room.house.store.not_taken(&first.id, &call, "429", now).await.unwrap();
            assert_eq!(room.house.state(&follow_up.id).await, JobState::Superseded);
            assert_eq!(room.house.job(&first.id).await.events, 2);
            // Sent once more it may be followed up, for the first one told nobody anything.
            room.run(&first, 4711).await;
            let (decision, _, again) = fails(&room, 3).await;
            assert_eq!((decision, again.target), (Ruling::Queued, Some(4711)));
        }
    }
}

#[tokio::test]
async fn twenty_check_run_events_per_sha_each_told_several_times_are_one_job_that_lists_them_all() {
    let mut room = Room::new(FIX).await;
    for round in 0..3 {
        for id in 1..=20 {
            // Each is told by both hooks, as created and as completed, and all again.
            let completed = check(id, &sha(1), Some(BRANCH), "failure");
            let mut created = completed.clone();
            created["action"] = "created".into();
            room.send_by("org-hook", "check_run", &created).await;
            room.send("check_run", &completed).await;
            if id == 10 {
                room = if round == 1 { room.killed(FIX).await } else { room.restart(FIX).await };
            }
        }
    }
    let jobs = room.jobs().await;
    assert_eq!((jobs.len(), jobs[0].events), (1, 20));
    let names: Vec<_> = (1..=20).map(|id| format!("check-{id}")).collect();
    assert_eq!(room.prompt(&jobs[0]).await, format!("Fix {}: {}.", sha(1), names.join(" ")));
}

#[tokio::test]
async fn what_was_answered_with_2xx_is_there_after_a_kill() {
    let room = Room::new(FIX).await;
    let receipts: Vec<_> = [
        room.send("check_run", &check(1, &sha(1), Some(BRANCH), "failure")).await,
        room.send("check_run", &check(2, &sha(1), Some(BRANCH), "failure")).await,
    ]
    .into();
    let room = room.killed(FIX).await;
    let job = room.house.job(&receipts[0].jobs[0]).await;
    assert_eq!((job.state, job.events, &receipts[1].jobs), (JobState::Queued, 2, &receipts[0].jobs));
    assert_eq!(room.house.store.joined(&job.id).await.unwrap().len(), 2);
    let again = room.send("check_run", &check(2, &sha(1), Some(BRANCH), "failure")).await;
    assert_eq!(again.outcome, DeliveryOutcome::Duplicate);
}

/// The same delivery under an id of the sender's.
async fn under(room: &Room, guid: &str) -> DeliveryOutcome {
    let body = check(1, &sha(1), Some(BRANCH), "failure").to_string();
    let mut headers = signed(SourceKind::Github, "check_run", body.as_bytes());
    headers.insert("x-github-delivery", guid.parse().unwrap());
    room.post("repo-hook", &headers, &body).await.unwrap().outcome
}

#[tokio::test]
async fn same_guid_x5_in_4_ms() {
    let room = Room::new(FIX).await;
    let all = tokio::join!(
        under(&room, "same"),
        under(&room, "same"),
        under(&room, "same"),
        under(&room, "same"),
        under(&room, "same")
    );
    let all = <[_; 5]>::from(all);
    assert_eq!(all.iter().filter(|it| **it == DeliveryOutcome::Accepted).count(), 1);
    assert_eq!((room.jobs().await.len(), room.jobs().await[0].events), (1, 1));
}

#[tokio::test]
async fn one_body_under_two_guids() {
    let room = Room::new(FIX).await;
    assert_eq!(under(&room, "one").await, DeliveryOutcome::Accepted);
    assert_eq!(under(&room, "two").await, DeliveryOutcome::Duplicate);
    assert_eq!((room.jobs().await.len(), room.jobs().await[0].events), (1, 1));
}

#[tokio::test]
async fn same_guid_to_two_rules_both_must_run() {
    let room = Room::new(&format!("{FIX}{}", FIX.replace("\"fix\"", "\"tell\""))).await;
    assert_eq!(under(&room, "same").await, DeliveryOutcome::Accepted);
    assert_eq!(under(&room, "same").await, DeliveryOutcome::Duplicate);
    let mut rules: Vec<_> = room.jobs().await.into_iter().map(|job| job.rule).collect();
    rules.sort();
    assert_eq!(rules, ["fix", "tell"]);
}

#[tokio::test]
async fn rule_disabled_during_redelivery_must_not_burn_the_dedupe_key() {
    for idle in ["mode = \"off\"\non =", "mode = \"shadow\"\non ="] {
        let room = Room::new(&FIX.replace("on =", idle)).await;
        assert_eq!(under(&room, "same").await, DeliveryOutcome::Unmatched);
        assert_eq!(under(&room, "same").await, DeliveryOutcome::Unmatched);
        let room = room.restart(FIX).await;
        assert_eq!(under(&room, "same").await, DeliveryOutcome::Accepted);
        assert_eq!(under(&room, "same").await, DeliveryOutcome::Duplicate);
    }
}

#[tokio::test]
async fn fork_pr_with_empty_pull_requests() {
    let room = Room::new(FIX).await;
    room.send("pull_request", &change(7, &sha(1), BRANCH, "stranger/widgets", "stranger")).await;
    // Neither branch nor change: the commit tells whose it is.
    let reason = room.denied("check_run", &check(1, &sha(1), None, "failure")).await;
    assert!(reason.starts_with("fork: "), "{reason}");
}

#[tokio::test]
async fn pull_requests_from_another_repo() {
    let room = Room::new(FIX).await;
    let mut body = suite(1, &sha(1), BRANCH, "failure");
    body["check_suite"]["pull_requests"] = json!([{"number": 99,
        "head": {"ref": BRANCH, "sha": sha(1), "repo": {"id": 77, "name": "elsewhere"}},
        "base": {"ref": "main", "sha": sha(0), "repo": {"id": 77, "name": "elsewhere"}}}]);
    room.queued("check_suite", &body).await;
    let known = room.known(BRANCH).await;
    assert_eq!((known.change, known.head_sha), (None, None));
}

#[tokio::test]
async fn two_rules_on_one_pr_share_the_cap() {
    let rules =
        format!("{FIX}{}", FIX.replace("\"fix\"", "\"tell\"").replace("ci.failed", "github:check_run.completed"));
    let room = Room::new(&rules).await;
    room.send("pull_request", &change(7, &sha(1), BRANCH, OWN, MIA)).await;
    for commit in 1..=4 {
        let receipt = room.send("check_run", &check(commit, &sha(commit), Some(BRANCH), "failure")).await;
        room.advance(60);
        for (at, id) in receipt.jobs.iter().enumerate() {
            let job = room.house.job(id).await;
            if commit == 4 {
                assert_eq!(room.release(&job).await, Released::Dead);
                continue;
            }
            let run = i64::from(commit) * 10 + at as i64;
            room.run(&job, run).await;
            ends(&room, run).await;
        }
        assert_eq!(receipt.jobs.len(), 2);
        room.advance(16 * 60);
    }
}

#[tokio::test]
async fn a_rule_acts_once_on_a_changelog_with_two_fields() {
    let rule = "[[rule]]\nname = \"work\"\non = [\"issue.labeled\", \"issue.transitioned\"]\nrepos = [\"**\"]\n\
                repo = \"acme/widgets\"\nprompt = \"Work.\"\n";
    for mode in ["live", "shadow"] {
        let room = Room::new(&rule.replace("on =", &format!("mode = \"{mode}\"\non ="))).await;
        let items = json!([{"fieldId": "labels", "fromString": "", "toString": "agent"},
            {"fieldId": "status", "fromString": "Open", "toString": "To Do"}]);
        let receipt = room.jira(&ticket("acme.atlassian.net", "OPS-17", &items)).await;
        let verdicts = room.delivery(&receipt).await.verdicts;
        let said: Vec<_> = verdicts.iter().map(|verdict| (verdict.decision, verdict.event)).collect();
        let first = if mode == "live" { Ruling::Queued } else { Ruling::Shadow };
        assert_eq!(said, [(first, 0), (Ruling::NoMatch, 1)], "{verdicts:?}");
        assert!(verdicts[1].reason.starts_with("once per delivery"), "{}", verdicts[1].reason);
        assert_eq!(room.jobs().await.len(), usize::from(mode == "live"));
    }
}
