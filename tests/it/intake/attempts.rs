//! No loops: attempts are counted per subject by distinct commits, and few things count them anew.

use hookrun::model::decision::Ruling;
use hookrun::model::job::{Job, JobState};
use hookrun::model::run::Run;
use hookrun::store::Released;

use super::told::{AGENT, MIA, begun, check, push, sha, suite};
use super::{FIX, Room};
use crate::store_support::alive;

const BRANCH: &str = "fix";

/// A check of this commit fails; the job that is due.
async fn fails(room: &Room, commit: u32) -> Job {
    let job = room.queued("check_run", &check(commit, &sha(commit), Some(BRANCH), "failure")).await;
    room.advance(60);
    job
}

async fn ends(room: &Room, run: i64) {
    let ended = Run { status: Some("COMPLETE".to_owned()), ..alive(run) };
    room.house.store.observe(&[ended]).await.unwrap();
}

/// The commit fails, is worked on, and nothing of it is near any more.
async fn is_acted_upon(room: &Room, commit: u32) {
    let job = fails(room, commit).await;
    room.run(&job, i64::from(commit)).await;
    ends(room, i64::from(commit)).await;
    room.advance(16 * 60);
}

/// Three commits were acted upon: the cap.
async fn at_the_cap() -> Room {
    let room = Room::new(FIX).await;
    for commit in 1..=3 {
        is_acted_upon(&room, commit).await;
    }
    room
}

async fn is_dead(room: &Room, commit: u32) {
    let job = fails(room, commit).await;
    assert_eq!(room.release(&job).await, Released::Dead);
    let dead = room.house.job(&job.id).await;
    assert_eq!(dead.state, JobState::Dead);
    assert!(dead.reason.starts_with("attempts: 3 commits"), "{}", dead.reason);
}

#[tokio::test]
async fn after_three_commits_a_person_takes_over() {
    let room = at_the_cap().await;
    is_dead(&room, 4).await;
    let room = room.restart(FIX).await;
    is_dead(&room, 5).await;
    let elsewhere = room.queued("check_run", &check(6, &sha(6), Some("other"), "failure")).await;
    room.advance(60);
    room.run(&elsewhere, 6).await;
}

#[tokio::test]
async fn a_person_may_ask_beyond_the_cap() {
    let room = at_the_cap().await;
    is_dead(&room, 4).await;
    let dead = room.jobs().await.into_iter().find(|job| job.state == JobState::Dead).unwrap();
    let again = room.house.store.retry(&dead.id).await.unwrap();
    room.run(&room.house.job(&again).await, 4).await;
    ends(&room, 4).await;
    is_dead(&room, 5).await;
}

#[tokio::test]
async fn what_did_not_fail_is_no_attempt() {
    let rules = "[[rule]]\nname = \"look\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt = \"look at {{ event.sha }}\"\n";
    let room = Room::new(rules).await;
    for commit in 1..=5 {
        let job = room.queued("push", &push(&sha(commit), BRANCH, MIA)).await;
        room.run(&job, i64::from(commit)).await;
        ends(&room, i64::from(commit)).await;
        room.advance(60);
    }
}

#[tokio::test]
async fn a_green_suite_counts_anew() {
    let room = at_the_cap().await;
    room.send("check_suite", &suite(40, &sha(4), BRANCH, "success")).await;
    is_acted_upon(&room, 5).await;
}

#[tokio::test]
async fn a_green_check_alone_counts_nothing_anew() {
    let room = at_the_cap().await;
    room.send("check_run", &check(40, &sha(4), Some(BRANCH), "success")).await;
    is_dead(&room, 5).await;
}

#[tokio::test]
async fn a_green_suite_of_a_commit_with_a_red_or_unfinished_check_counts_nothing_anew() {
    let room = at_the_cap().await;
    room.send("check_run", &begun(41, &sha(4), BRANCH)).await;
    room.send("check_suite", &suite(40, &sha(4), BRANCH, "success")).await;
    is_dead(&room, 5).await;
    // The third commit's check is red.
    room.send("check_suite", &suite(42, &sha(3), BRANCH, "success")).await;
    is_dead(&room, 6).await;
}

#[tokio::test]
async fn a_suite_that_was_green_before_the_others_were_told_is_no_way_around_the_cap() {
    let room = at_the_cap().await;
    for commit in 4..8 {
        // Every commit has a quick green suite; what fails takes longer.
        room.send("check_suite", &suite(100 + commit, &sha(commit), BRANCH, "success")).await;
        room.send("check_suite", &suite(200 + commit, &sha(commit), BRANCH, "failure")).await;
        room.advance(60);
        let job = room.jobs().await.into_iter().find(|job| job.sha == Some(sha(commit))).unwrap();
        assert_eq!(room.release(&job).await, Released::Dead, "commit {commit}");
    }
}

#[tokio::test]
async fn a_persons_push_counts_anew_and_a_bots_never() {
    let room = at_the_cap().await;
    for bot in [AGENT, "renovate[bot]"] {
        room.send("push", &push(&sha(4), BRANCH, bot)).await;
    }
    is_dead(&room, 5).await;
    room.send("push", &push(&sha(6), BRANCH, MIA)).await;
    is_acted_upon(&room, 6).await;
}

#[tokio::test]
async fn a_push_while_a_run_of_ours_is_near_counts_nothing_anew() {
    let room = Room::new(FIX).await;
    is_acted_upon(&room, 1).await;
    is_acted_upon(&room, 2).await;
    let job = fails(&room, 3).await;
    room.run(&job, 3).await;
    // The agent pushes in the name of a person.
    room.send("push", &push(&sha(4), BRANCH, MIA)).await;
    ends(&room, 3).await;
    room.advance(14 * 60);
    room.send("push", &push(&sha(5), BRANCH, MIA)).await;
    is_dead(&room, 6).await;
}

#[tokio::test]
async fn a_subject_has_one_unfinished_run() {
    let room = Room::new(FIX).await;
    let first = fails(&room, 1).await;
    room.run(&first, 1).await;
    let second = fails(&room, 2).await;
    assert!(matches!(room.release(&second).await, Released::Waits { until: None, .. }));
    assert!(room.house.store.candidates(10, &[]).await.unwrap().is_empty());
    ends(&room, 1).await;
    assert_eq!(room.house.store.candidates(10, &[]).await.unwrap()[0].id, second.id);
    room.run(&second, 2).await;
}

#[tokio::test]
async fn a_commit_that_was_sent_is_not_sent_again_for_a_late_check() {
    let room = Room::new(FIX).await;
    let job = fails(&room, 1).await;
    room.run(&job, 1).await;
    let receipt = room.send("check_run", &check(11, &sha(1), Some(BRANCH), "failure")).await;
    let verdict = &room.delivery(&receipt).await.verdicts[0];
    assert_eq!((verdict.decision, verdict.job.as_deref()), (Ruling::Late, Some(job.id.as_str())));
    assert!(receipt.jobs.is_empty());
}
