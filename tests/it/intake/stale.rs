//! Stale work stops: what waits is superseded when it turns stale, and what runs is told where its rule wants that.

use hookrun::model::decision::Ruling;
use hookrun::model::job::{Job, JobState, StaleOn};
use hookrun::model::policy::{Action, OnStale, Priority};
use hookrun::model::run::Run;
use hookrun::store::Released;
use serde_json::Value;

use super::told::{AGENT, MIA, change, check, ended, push_over, sha, suite};
use super::{FIX, Room};
use crate::store_support::alive;

const OWN: &str = "acme/widgets";
const BRANCH: &str = "fix";
const ALL: StaleOn = StaleOn { head: true, closed: true, green: true };

/// A failed check of a commit makes a job that these things make pointless.
async fn waits(room: &Room, id: u32, commit: u32, stale_on: StaleOn) -> Job {
    let body = check(id, &sha(commit), Some(BRANCH), "failure");
    let accepted = room.altered("check_run", &body, |it| it.requests[0].1.stale_on = stale_on).await;
    assert_eq!(accepted.verdicts[0].decision, Ruling::Queued, "{:?}", accepted.verdicts);
    room.house.job(&accepted.jobs[0]).await
}

/// Sends what a rule with `on_stale` is to hear of.
async fn heard(room: &Room, event: &str, body: &Value, on_stale: OnStale) {
    room.altered(event, body, |it| it.on_stale = vec![("fix".to_owned(), on_stale)]).await;
}

/// A run works on the first commit of the branch.
async fn works(room: &Room) -> Job {
    room.send("push", &push_over(&sha(0), &sha(1), BRANCH, MIA)).await;
    let job = waits(room, 1, 1, ALL).await;
    room.advance(60);
    room.run(&job, 4711).await;
    job
}

async fn acts(room: &Room) -> Vec<Job> {
    room.jobs().await.into_iter().filter(|job| job.action != Action::Run).collect()
}

#[tokio::test]
async fn head_moved_while_queued() {
    let room = Room::new(FIX).await;
    room.send("push", &push_over(&sha(0), &sha(1), BRANCH, MIA)).await;
    let job = waits(&room, 1, 1, ALL).await;
    let asked = StaleOn { head: false, ..ALL };
    let elsewhere = check(2, &sha(1), Some("other"), "failure");
    let other = room.altered("check_run", &elsewhere, |it| {
        it.requests[0].1.stale_on = ALL;
        it.requests[0].1.key = "other".to_owned();
    });
    let other = room.house.job(&other.await.jobs[0]).await;
    room.send("push", &push_over(&sha(1), &sha(2), BRANCH, MIA)).await;
    let job = room.house.job(&job.id).await;
    assert_eq!(job.state, JobState::Superseded);
    assert_eq!(job.reason, format!("a newer commit: {} is the head of its branch now", sha(2)));
    assert_eq!(room.house.state(&other.id).await, JobState::Queued, "it is about another branch");
    // The next commit has a job of its own, and what was asked for on purpose stays.
    let next = waits(&room, 3, 2, asked).await;
    room.send("push", &push_over(&sha(2), &sha(3), BRANCH, AGENT)).await;
    assert_eq!(room.house.state(&next.id).await, JobState::Queued);
}

#[tokio::test]
async fn head_moved_while_held_for_a_person() {
    let room = Room::new(FIX).await;
    let [waiting, sent] = [1, 2].map(|id| waits(&room, id, id, ALL));
    let (waiting, sent) = (waiting.await, sent.await);
    room.house.store.hold(&waiting.id, None, "approval").await.unwrap();
    room.advance(60);
    room.house.bring(&sent.id, JobState::Uncertain, 0).await;
    room.house.store.hold(&sent.id, None, "a row without metadata").await.unwrap();
    room.send("push", &push_over(&sha(2), &sha(3), BRANCH, MIA)).await;
    room.send("push", &push_over(&sha(1), &sha(2), BRANCH, MIA)).await;
    // Nobody told of the first commit as a head before; the overtaken push does, and the newer head is known.
    room.send("push", &push_over(&sha(3), &sha(4), BRANCH, MIA)).await;
    assert_eq!(room.house.state(&waiting.id).await, JobState::Superseded);
    assert_eq!(room.house.state(&sent.id).await, JobState::Held, "it may have a run");
}

#[tokio::test]
async fn a_commit_that_nobody_told_of_as_a_head_may_be_the_newer_one() {
    let room = Room::new(FIX).await;
    let job = waits(&room, 1, 9, ALL).await;
    room.send("push", &push_over(&sha(1), &sha(2), BRANCH, MIA)).await;
    assert_eq!(room.house.state(&job.id).await, JobState::Queued);
    room.send("push", &push_over(&sha(9), &sha(10), BRANCH, MIA)).await;
    assert_eq!(room.house.state(&job.id).await, JobState::Superseded);
}

#[tokio::test]
async fn a_push_that_is_told_again_supersedes_nothing() {
    let room = Room::new(FIX).await;
    for (before, after) in [(0, 1), (1, 2)] {
        room.send("push", &push_over(&sha(before), &sha(after), BRANCH, MIA)).await;
    }
    let job = waits(&room, 1, 2, ALL).await;
    room.send("push", &push_over(&sha(0), &sha(1), BRANCH, MIA)).await;
    assert_eq!(room.house.state(&job.id).await, JobState::Queued);
}

#[tokio::test]
async fn pr_closed_while_queued() {
    for (merged, how) in [(true, "merged"), (false, "closed")] {
        let room = Room::new(FIX).await;
        let pull = change(7, &sha(1), BRANCH, OWN, MIA);
        room.send("pull_request", &pull).await;
        let job = waits(&room, 1, 1, StaleOn { closed: true, ..StaleOn::default() }).await;
        let kept = waits(&room, 2, 2, StaleOn { head: true, ..StaleOn::default() }).await;
        room.send("pull_request", &ended(pull.clone(), merged)).await;
        let job = room.house.job(&job.id).await;
        assert_eq!((job.state, job.reason), (JobState::Superseded, format!("its change #7 was {how}")));
        assert_eq!(room.house.state(&kept.id).await, JobState::Queued);
        // It was closed once; what comes afterwards is not stale by that.
        let after = waits(&room, 3, 1, StaleOn { closed: true, ..StaleOn::default() }).await;
        room.send("pull_request", &ended(pull, merged)).await;
        assert_eq!(room.house.state(&after.id).await, JobState::Queued);
    }
}

#[tokio::test]
async fn green_while_queued() {
    let room = Room::new(FIX).await;
    let job = waits(&room, 1, 1, ALL).await;
    let other = waits(&room, 2, 2, ALL).await;
    room.send("check_suite", &suite(5, &sha(1), BRANCH, "success")).await;
    assert_eq!(room.house.state(&job.id).await, JobState::Queued, "its check is red still");
    room.send("check_run", &check(1, &sha(1), Some(BRANCH), "success")).await;
    assert_eq!(room.house.state(&job.id).await, JobState::Queued, "a check alone proves nothing");
    room.send("check_suite", &suite(5, &sha(1), BRANCH, "success")).await;
    let job = room.house.job(&job.id).await;
    assert_eq!((job.state, job.reason), (JobState::Superseded, format!("every check of {} is green now", sha(1))));
    assert_eq!(room.house.state(&other.id).await, JobState::Queued);
}

#[tokio::test]
async fn what_supersedes_a_job_may_make_the_one_that_takes_its_place() {
    let rule = "[[rule]]\nname = \"look\"\non = [\"push\"]\nrepos = [\"**\"]\nper = \"subject\"\nprompt = \"look\"\n";
    let room = Room::new(rule).await;
    let send = async |before: u32, after: u32| {
        let body = push_over(&sha(before), &sha(after), BRANCH, MIA);
        let accepted = room.altered("push", &body, |it| it.requests[0].1.stale_on = ALL).await;
        assert_eq!(accepted.verdicts[0].decision, Ruling::Queued);
        room.house.job(&accepted.jobs[0]).await
    };
    let first = send(0, 1).await;
    let second = send(1, 2).await;
    assert_eq!(room.house.state(&first.id).await, JobState::Superseded);
    assert_eq!((room.house.state(&second.id).await, second.key == first.key), (JobState::Queued, true));
}

#[tokio::test]
async fn a_run_is_told_once_that_somebody_else_moved_its_head() {
    let room = Room::new(FIX).await;
    let job = works(&room).await;
    let push = push_over(&sha(1), &sha(2), BRANCH, MIA);
    heard(&room, "push", &push, OnStale::Tell).await;
    heard(&room, "push", &push, OnStale::Tell).await;
    let told = acts(&room).await;
    assert_eq!(told.len(), 1);
    let act = &told[0];
    assert_eq!((act.action, act.state, act.priority), (Action::Tell, JobState::Queued, Priority::People));
    assert_eq!((act.target, act.follows.as_deref(), act.events), (Some(4711), Some(job.id.as_str()), 0));
    assert_eq!((&act.rule, &act.subject, &act.context), (&job.rule, &job.subject, &job.context));
    assert_eq!(
        act.reason,
        format!(
            "The head of the branch that you work on has moved to {}, and it was not you who pushed it. Take the newer \
             commit into account before you go on.",
            sha(2)
        )
    );
    assert_eq!(act.message.as_ref(), Some(&act.reason), "what is said does not change with where it stands");
    assert_eq!(room.house.state(&job.id).await, JobState::Running);
    // What waits to be said of a head is pointless once that has moved on.
    room.advance(1);
    heard(&room, "push", &push_over(&sha(2), &sha(3), BRANCH, MIA), OnStale::Tell).await;
    let told = acts(&room).await;
    assert_eq!(told.iter().map(|act| act.state).collect::<Vec<_>>(), [JobState::Queued, JobState::Superseded]);
}

#[tokio::test]
async fn a_run_is_not_told_of_its_own_pushes() {
    let room = Room::new(FIX).await;
    works(&room).await;
    heard(&room, "push", &push_over(&sha(1), &sha(2), BRANCH, AGENT), OnStale::Tell).await;
    assert!(acts(&room).await.is_empty());
    // A branch of a run's own is pushed to in whatever name.
    let made = hookrun::model::run::RunChange { branch: Some(BRANCH.to_owned()), ..Default::default() };
    room.house.store.observe(&[Run { pull_requests: vec![made], ..alive(4711) }]).await.unwrap();
    heard(&room, "push", &push_over(&sha(2), &sha(3), BRANCH, MIA), OnStale::Tell).await;
    assert!(acts(&room).await.is_empty());
}

#[tokio::test]
async fn a_run_that_pushes_in_the_name_of_a_person_is_not_told_of_itself_for_ever() {
    let room = Room::new(FIX).await;
    works(&room).await;
    for commit in 2..20 {
        heard(&room, "push", &push_over(&sha(commit - 1), &sha(commit), BRANCH, MIA), OnStale::Tell).await;
    }
    assert_eq!(acts(&room).await.len(), 3);
}

#[tokio::test]
async fn a_run_whose_change_was_closed_is_told_or_banned_as_its_rule_says() {
    for (wanted, action) in
        [(OnStale::Tell, Some(Action::Tell)), (OnStale::Ban, Some(Action::Ban)), (OnStale::Leave, None)]
    {
        let room = Room::new(FIX).await;
        let pull = change(7, &sha(1), BRANCH, OWN, MIA);
        room.send("pull_request", &pull).await;
        works(&room).await;
        let mut closed = ended(pull, true);
        closed["sender"] = serde_json::json!({"login": "joe", "type": "User"});
        heard(&room, "pull_request", &closed, wanted).await;
        let told = acts(&room).await;
        assert_eq!(told.first().map(|act| act.action), action);
        if let Some(act) = told.first() {
            let sentence = "The change #7 that you work on was merged. Stop here: nothing more is to be done.";
            assert_eq!(act.reason, sentence);
        }
    }
}

#[tokio::test]
async fn a_run_that_has_ended_is_told_nothing_any_more() {
    let room = Room::new(FIX).await;
    let job = works(&room).await;
    heard(&room, "push", &push_over(&sha(1), &sha(2), BRANCH, MIA), OnStale::Tell).await;
    room.house.store.observe(&[Run { status: Some("COMPLETE".to_owned()), ..alive(4711) }]).await.unwrap();
    let act = acts(&room).await.remove(0);
    assert_eq!((act.state, act.reason.as_str()), (JobState::Superseded, "the run that it was for has ended"));
    heard(&room, "push", &push_over(&sha(2), &sha(3), BRANCH, MIA), OnStale::Tell).await;
    assert_eq!((acts(&room).await.len(), room.house.state(&job.id).await), (1, JobState::Succeeded));
}

#[tokio::test]
async fn what_is_being_sent_is_told_when_its_run_is_known() {
    let room = Room::new(FIX).await;
    room.send("push", &push_over(&sha(0), &sha(1), BRANCH, MIA)).await;
    let job = waits(&room, 1, 1, ALL).await;
    room.advance(60);
    let Released::Go { call, .. } = room.release(&job).await else { panic!("it goes") };
    heard(&room, "push", &push_over(&sha(1), &sha(2), BRANCH, MIA), OnStale::Tell).await;
    assert_eq!(acts(&room).await[0].target, None);
    room.house.store.run_created(&job.id, &call, &alive(4711)).await.unwrap();
    assert_eq!(acts(&room).await[0].target, Some(4711));
}

#[tokio::test]
async fn an_act_that_is_asked_for_twice_is_one_while_it_waits() {
    let room = Room::new(FIX).await;
    let job = works(&room).await;
    let ban = async || room.house.store.make_act(Action::Ban, 4711, &job.id, "everything is paused").await.unwrap();
    let act = ban().await;
    assert_eq!(ban().await, act);
    let stored = room.house.job(&act).await;
    assert_eq!(
        (stored.action, stored.target, stored.reason.as_str()),
        (Action::Ban, Some(4711), "everything is paused")
    );
    room.house.store.cancel(&act, "not wanted").await.unwrap();
    assert_ne!(ban().await, act);
}

#[tokio::test]
async fn what_was_to_be_told_to_a_run_that_never_was_does_not_wait_for_ever() {
    let room = Room::new(FIX).await;
    room.send("push", &push_over(&sha(0), &sha(1), BRANCH, MIA)).await;
    let job = waits(&room, 1, 1, ALL).await;
    room.advance(60);
    room.house.bring(&job.id, JobState::Uncertain, 0).await;
    heard(&room, "push", &push_over(&sha(1), &sha(2), BRANCH, MIA), OnStale::Tell).await;
    room.house.store.hold(&job.id, None, "a row without metadata").await.unwrap();
    room.house.store.cancel(&job.id, "a person looked: there is no run").await.unwrap();
    assert_eq!(acts(&room).await.iter().map(|act| act.state).collect::<Vec<_>>(), [JobState::Superseded]);
}
