//! The queue: candidates, release, windows, attempts, runs, acts.

use std::time::Duration;

use hookrun::model::acceptance::AttemptReset;
use hookrun::model::clock::Clock;
use hookrun::model::event::Check;
use hookrun::model::gate::GateOutcome;
use hookrun::model::id::new_id;
use hookrun::model::job::{JobRequest, JobState};
use hookrun::model::limits::CallClass;
use hookrun::model::run::{Run, RunChange};
use hookrun::model::subject::{CheckUpdate, Facts, SubjectLookup, SubjectUpdate};
use hookrun::store::{Released, Slot, StoreError};

use super::store_support::{CREATE, House, SUBJECT, alive, answer, release, request};

fn on(subject: &str, repo: &str, key: &str) -> JobRequest {
    JobRequest { subject: subject.into(), repo: Some(repo.into()), ..request(key, key) }
}

#[tokio::test]
async fn candidates_are_the_heads_of_lanes_whose_subject_is_free() {
    let house = House::new().await;
    let busy = house.queued(on("s1", "acme/a", "1")).await;
    let behind = house.queued(on("s1", "acme/a", "2")).await;
    house.clock.advance(Duration::from_millis(1));
    let next = house.queued(on("s2", "acme/a", "3")).await;
    house.clock.advance(Duration::from_millis(1));
    let elsewhere = house.queued(on("s3", "acme/b", "4")).await;
    let later = JobRequest { settle: Duration::from_mins(5), ..on("s4", "acme/c", "5") };
    let later = house.queued(later).await;
    house.run(&busy.id, 1).await;
    let ids = |jobs: Vec<hookrun::model::job::Job>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    // The lane that was not served yet goes first.
    assert_eq!(ids(house.store.candidates(10, &[]).await.unwrap()), vec![elsewhere.id.clone(), next.id.clone()]);
    assert_eq!(ids(house.store.candidates(1, &[]).await.unwrap()), vec![elsewhere.id.clone()]);
    assert_eq!(house.store.next_due().await.unwrap(), Some(later.due_at));
    // What becomes due between the look and the question is not overlooked.
    house.clock.set(later.due_at);
    assert_eq!(house.store.next_due().await.unwrap(), Some(later.due_at));
    house.store.observe(&[Run { status: Some("COMPLETE".into()), ..alive(1) }]).await.unwrap();
    assert_eq!(ids(house.store.candidates(10, &[]).await.unwrap()), vec![elsewhere.id, later.id, behind.id]);
    assert_eq!(house.store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn a_release_is_all_or_nothing() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    let until = house.clock.now().plus(Duration::from_mins(1));
    let waits = house
        .store
        .release(release(&job.id, job.revision), |snapshot| {
            assert_eq!(snapshot.job, job);
            assert_eq!((snapshot.active.on_subject, snapshot.attempts, snapshot.sha_counted), (0, Some(0), false));
            assert_eq!(snapshot.windows.len(), CallClass::ALL.len());
            answer(GateOutcome::Wait("not yet".into(), Some(until)))
        })
        .await
        .unwrap();
    assert_eq!(waits, Released::Waits { reason: "not yet".into(), until: Some(until) });
    assert_eq!(house.job(&job.id).await, job);
    assert_eq!(house.store.prompt(&job.id).await.unwrap(), None);
    assert!(house.store.windows().await.unwrap().iter().all(|window| window.used == 0));

    let stale = house.store.release(release(&job.id, job.revision + 1), |_| panic!("nobody is asked")).await.unwrap();
    assert_eq!(stale, Released::Changed);

    let Released::Go { job: sent, call } = house.release(&job.id).await else { panic!("it goes") };
    assert_eq!((sent.state, sent.tries, sent.attempt), (JobState::Submitting, 1, 1));
    assert_eq!(sent.submitted_at, Some(house.clock.now()));
    assert_eq!(house.store.prompt(&job.id).await.unwrap().unwrap(), format!("Fix it.\nhookrun job {}", job.id));
    let windows = house.store.windows().await.unwrap();
    assert_eq!((windows[0].used, windows[1].used, windows[2].used), (1, 1, 0));
    assert_eq!(house.counted(&job.id).await, Some(1));
    assert_eq!(house.store.release(release(&job.id, sent.revision), |_| panic!()).await.unwrap(), Released::Changed);

    house.store.run_created(&job.id, &call, &alive(9)).await.unwrap();
    let running = house.job(&job.id).await;
    assert_eq!((running.state, running.run), (JobState::Running, Some(alive(9))));
    // Whoever does not know whether that was stored may say it again; another run is not the job's.
    house.store.run_created(&job.id, &call, &alive(9)).await.unwrap();
    let other = house.store.run_created(&job.id, &call, &alive(10)).await;
    assert!(matches!(other, Err(StoreError::Conflict(_))), "{other:?}");
    assert_eq!(house.job(&job.id).await.run, Some(alive(9)));
}

#[tokio::test]
async fn no_gate_can_let_a_job_through_a_full_or_frozen_window() {
    let house = House::new().await;
    for n in 0..10 {
        let job = house.queued(on(&format!("s{n}"), "acme/a", &n.to_string())).await;
        house.send(&job.id).await;
    }
    let job = house.queued(on("s", "acme/a", "k")).await;
    assert!(matches!(house.release(&job.id).await, Released::Waits { until: None, .. }));
    assert_eq!(house.state(&job.id).await, JobState::Queued);

    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    let until = house.clock.now().plus(Duration::from_secs(9));
    house.store.freeze(CallClass::Standard, until, "429").await.unwrap();
    house.store.freeze(CallClass::Standard, house.clock.now().plus(Duration::from_secs(2)), "429").await.unwrap();
    assert!(matches!(house.release(&job.id).await, Released::Waits { until: Some(at), .. } if at == until));
    house.clock.advance(Duration::from_secs(9));
    house.send(&job.id).await;
}

#[tokio::test]
async fn a_slot_is_free_one_full_window_after_the_answer() {
    let house = House::new().await;
    let mut calls = Vec::new();
    for _ in 0..10 {
        let Slot::Taken(call) = house.store.take_slots(&CREATE, "test").await.unwrap() else { panic!("it is free") };
        calls.push(call);
    }
    // All are under way: nobody knows when one is free.
    house.clock.advance(Duration::from_hours(1));
    assert!(matches!(house.store.take_slots(&CREATE, "test").await.unwrap(), Slot::Full { until: None, .. }));
    // None of the classes is taken when one is full.
    assert_eq!(house.store.windows().await.unwrap()[1].used, 10);
    house.store.end_call(&calls[0]).await.unwrap();
    let ended = house.clock.now();
    house.clock.advance(Duration::from_secs(7));
    house.store.end_call(&calls[0]).await.unwrap();
    // The first end counts.
    let free_at = ended.plus(Duration::from_mins(1));
    let full = house.store.take_slots(&CREATE, "test").await.unwrap();
    assert!(matches!(full, Slot::Full { until: Some(at), .. } if at == free_at), "{full:?}");
    house.clock.set(free_at.minus(Duration::from_millis(1)));
    assert!(matches!(house.store.take_slots(&CREATE, "test").await.unwrap(), Slot::Full { .. }));
    house.clock.set(free_at);
    assert!(matches!(house.store.take_slots(&CREATE, "test").await.unwrap(), Slot::Taken(_)));
}

#[tokio::test]
async fn ends_in_the_future_count_as_now() {
    let house = House::new().await;
    for _ in 0..10 {
        let Slot::Taken(call) = house.store.take_slots(&CREATE, "test").await.unwrap() else { panic!("it is free") };
        house.store.end_call(&call).await.unwrap();
    }
    let hour = Duration::from_hours(1);
    house.clock.set(house.clock.now().minus(hour));
    let now = house.clock.now();
    let create = house.store.windows().await.unwrap()[0];
    assert_eq!((create.used, create.next_free), (10, Some(now.plus(Duration::from_mins(1)))));
}

#[tokio::test]
async fn attempts_count_commits_and_only_what_was_done() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    let call = house.send(&job.id).await;
    let later = house.clock.now().plus(Duration::from_mins(1));
    house.store.not_taken(&job.id, &call, "402", later).await.unwrap();
    let back = house.job(&job.id).await;
    assert_eq!((back.state, back.due_at, back.tries, back.attempt), (JobState::Queued, later, 1, 0));
    assert_eq!(house.counted(&job.id).await, Some(0));
    house.run(&job.id, 1).await;
    // Another job on the same commit counts nothing, and takes back nothing that is not its own.
    let twin = house.queued(request("k2", "2")).await;
    let call = house.send(&twin.id).await;
    house.store.refused(&twin.id, &call, "422").await.unwrap();
    assert_eq!((house.state(&twin.id).await, house.counted(&twin.id).await), (JobState::Dead, Some(1)));
    let next = house.queued(JobRequest { sha: Some("b2".into()), ..request("k3", "3") }).await;
    let Released::Go { job: next, .. } = house.release(&next.id).await else { panic!("it goes") };
    assert_eq!(next.attempt, 2);
}

fn check(name: &str, aggregate: bool, outcome: &str) -> CheckUpdate {
    let check = Check { name: name.into(), aggregate, outcome: outcome.into(), ..Check::default() };
    CheckUpdate { host: "github.com".into(), repo: "acme/widgets".into(), sha: "a1".into(), check }
}

#[tokio::test]
async fn green_resets_attempts_unless_a_check_is_red_or_unfinished() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    house.run(&job.id, 1).await;
    let tell = async |checks: Vec<CheckUpdate>, green: bool| {
        let (host, repo, sha) = ("github.com".into(), "acme/widgets".into(), "a1".into());
        let green = green.then(|| AttemptReset::Green { subject: SUBJECT.into(), host, repo, sha });
        let delivery = house.delivery();
        house
            .store
            .accept(hookrun::model::acceptance::Acceptance { checks, resets: green.into_iter().collect(), ..delivery })
            .await
            .unwrap();
        house.counted(&job.id).await
    };
    assert_eq!(tell(vec![check("lint", false, "failure"), check("test", false, "in_progress")], true).await, Some(1));
    assert_eq!(tell(vec![check("lint", false, "success")], true).await, Some(1), "one is unfinished");
    assert_eq!(tell(vec![check("test", false, "Success"), check("suite", true, "failure")], false).await, Some(1));
    assert_eq!(tell(Vec::new(), true).await, Some(1), "another suite is red");
    assert_eq!(tell(vec![check("suite", true, "success")], true).await, Some(0));
    assert_eq!(tell(vec![check("e2e", true, "failure")], false).await, Some(1), "it was green before all was told");
    assert_eq!(tell(vec![check("e2e", true, "success")], true).await, Some(0));
}

#[tokio::test]
async fn a_persons_push_resets_attempts_only_when_no_run_of_ours_is_near() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    house.run(&job.id, 1).await;
    let push = async || {
        let mut delivery = house.delivery();
        delivery.resets.push(AttemptReset::HumanPush { subject: SUBJECT.into() });
        house.store.accept(delivery).await.unwrap();
        house.counted(&job.id).await
    };
    assert_eq!(push().await, Some(1), "it runs");
    house.store.observe(&[Run { status: Some("COMPLETE".into()), ..alive(1) }]).await.unwrap();
    house.clock.advance(Duration::from_secs(899));
    assert_eq!(push().await, Some(1), "it ended just now");
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(push().await, Some(0));
}

#[tokio::test]
async fn runs_are_followed_and_lead_their_jobs() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    house.run(&job.id, 5).await;
    let seen = |status: &str| Run { status: Some(status.into()), ..alive(5) };
    let followed = house.store.followed(house.clock.now()).await.unwrap();
    assert_eq!((followed[0].run_id, followed[0].submitted_at), (5, job.created_at));
    house.clock.advance(Duration::from_secs(10));
    let url = Some("https://gitlab.com/acme/pay/api/-/merge_requests/3".to_owned());
    let named = RunChange { url, title: None, branch: Some("codegen/fix".into()) };
    let plain = RunChange { branch: Some("codegen/plain".into()), ..RunChange::default() };
    // Longer than an index of PostgreSQL takes; that sees no repetition in it.
    let endless = (0..200).map(|_| new_id(house.clock.now()).split_off(14)).collect::<String>();
    let endless = RunChange { branch: Some(endless), ..RunChange::default() };
    let changes = house
        .store
        .observe(&[Run { pull_requests: vec![named, endless, plain], ..seen("A_NEW_WORD") }, alive(77)])
        .await
        .unwrap();
    assert!(changes.is_empty());
    assert_eq!(house.store.followed(house.clock.now()).await.unwrap()[0].seen_at, house.clock.now());
    assert_eq!(house.store.run(77).await.unwrap(), None);
    for key in ["gitlab.com/acme/pay/api@codegen/fix", "github.com/acme/widgets@codegen/plain"] {
        let lookup = SubjectLookup { key: key.into(), ..SubjectLookup::default() };
        assert_eq!(house.store.subject(&lookup).await.unwrap().unwrap().facts.ours, Some(true), "{key}");
    }
    let lookup = SubjectLookup { key: SUBJECT.into(), ..SubjectLookup::default() };
    assert_eq!(house.store.subject(&lookup).await.unwrap().unwrap().facts.last_run, Some(5));

    house.store.give_up(&job.id, "too old").await.unwrap();
    let lost_at = house.clock.now();
    assert_eq!(house.store.followed(lost_at).await.unwrap()[0].state, JobState::Lost);
    assert!(house.store.followed(lost_at.plus(Duration::from_millis(1))).await.unwrap().is_empty());
    for (word, from, to) in
        [("ACTIVE", JobState::Lost, JobState::Running), ("COMPLETE", JobState::Running, JobState::Succeeded)]
    {
        let changes = house.store.observe(&[seen(word)]).await.unwrap();
        assert_eq!((changes[0].from, changes[0].to), (from, to));
    }
    assert!(house.store.observe(&[seen("ACTIVE")]).await.unwrap().is_empty(), "an ended job stays ended");
}

#[tokio::test]
async fn an_answer_that_comes_too_late_still_ends_its_call() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    let call = house.send(&job.id).await;
    let other = house.queued(on("s", "acme/b", "2")).await;
    let wrong = house.store.run_created(&other.id, &call, &alive(1)).await;
    assert!(matches!(wrong, Err(StoreError::Conflict(_))));
    assert_eq!(house.state(&other.id).await, JobState::Queued);
    house.clock.advance(Duration::from_mins(1));
    assert_eq!(house.store.windows().await.unwrap()[0].used, 0);
}

#[tokio::test]
async fn acts_go_only_where_the_states_allow() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    assert!(matches!(house.store.adopt(&job.id, &alive(1), "").await, Err(StoreError::Conflict(_))));
    assert!(matches!(house.store.absent(&job.id, "").await, Err(StoreError::Conflict(_))));
    assert!(matches!(house.store.cancel("nothing", "").await, Err(StoreError::NotFound(_))));
    let stale = house.store.hold(&job.id, Some(job.revision - 1), "stale").await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))));
    house.store.hold(&job.id, Some(job.revision), "look at it").await.unwrap();
    assert_eq!(house.store.retry(&job.id).await.unwrap(), job.id);
    house.store.cancel(&job.id, "no").await.unwrap();
    assert!(matches!(house.store.cancel(&job.id, "no").await, Err(StoreError::Conflict(_))));
    let again = house.store.retry(&job.id).await.unwrap();
    let new = house.job(&again).await;
    assert_eq!((new.retry_of.as_deref(), new.state, new.events), (Some(job.id.as_str()), JobState::Queued, 1));
    assert_eq!(house.store.joined(&again).await.unwrap(), house.store.joined(&job.id).await.unwrap());
    assert!(matches!(house.store.retry(&job.id).await, Err(StoreError::Conflict(_))), "one waits already");
    house.bring(&again, JobState::Uncertain, 0).await;
    house.store.absent(&again, "proved").await.unwrap();
    assert_eq!((house.state(&again).await, house.counted(&again).await), (JobState::Queued, Some(0)));
}

#[tokio::test]
async fn a_subject_is_found_by_fork_key_number_and_commit() {
    let house = House::new().await;
    let learn = async |key: &str, facts: Facts| {
        let mut delivery = house.delivery();
        let (host, repo) = ("github.com".to_owned(), "acme/widgets".to_owned());
        delivery.subjects.push(SubjectUpdate { key: key.into(), host, repo, facts, ..SubjectUpdate::default() });
        house.store.accept(delivery).await.unwrap();
    };
    let head = |sha: &str| Some(sha.to_owned());
    let fork = "github.com/mallory/widgets@main";
    learn("github.com/acme/widgets@main", Facts { head_sha: head("m1"), draft: Some(false), ..Facts::default() }).await;
    learn(fork, Facts { head_sha: head("f1"), fork: Some(true), change: Some(7), ..Facts::default() }).await;
    // The fork moved on: checks of what it pushed before are still its own. It does not become ours by silence.
    learn(fork, Facts { head_sha: head("f2"), draft: Some(true), ..Facts::default() }).await;
    let find = async |key: &str, change: Option<u64>, sha: &str| {
        let (host, repo) = ("github.com".to_owned(), "acme/widgets".to_owned());
        let lookup = SubjectLookup { key: key.into(), host, repo, change, sha: head(sha) };
        house.store.subject(&lookup).await.unwrap().map(|known| known.key)
    };
    for sha in ["f1", "f2"] {
        assert_eq!(find("github.com/acme/widgets@main", None, sha).await.as_deref(), Some(fork), "{sha}");
    }
    assert_eq!(find("github.com/acme/widgets@main", None, "x").await.unwrap(), "github.com/acme/widgets@main");
    assert_eq!(find("", Some(7), "x").await.as_deref(), Some(fork));
    assert_eq!(find("", None, "m1").await.unwrap(), "github.com/acme/widgets@main");
    assert_eq!(find("", None, "x").await, None);
    let lookup = SubjectLookup { key: fork.into(), ..SubjectLookup::default() };
    let facts = house.store.subject(&lookup).await.unwrap().unwrap().facts;
    assert_eq!((facts.draft, facts.change, facts.head_sha.as_deref()), (Some(true), Some(7), Some("f2")));
}
