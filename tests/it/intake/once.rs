//! One cause, one job: however often it is told, by whomever, across restarts; and once more where that is meant.

use std::sync::Arc;

use hookrun::intake::Door;
use hookrun::model::decision::Ruling;
use hookrun::model::delivery::DeliveryOutcome::{Accepted, Duplicate, Unmatched};
use hookrun::model::delivery::SourceKind;
use hookrun::model::job::Job;
use hookrun::rules::Places;
use hookrun::store::Released;
use hookrun::webhook::verify;
use serde_json::json;

use super::told::{MIA, begun, check, push, sha};
use super::{FIX, Room, by_header, github};
use crate::webhook_support::{NOW, signed};

#[tokio::test]
async fn five_copies_at_once_make_one_job() {
    let room = Arc::new(Room::new(FIX).await);
    let copies: Vec<_> = (0..5)
        .map(|_| {
            let room = room.clone();
            tokio::spawn(async move { room.send("check_run", &check(1, &sha(1), Some("fix"), "failure")).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for copy in copies {
        outcomes.push(copy.await.unwrap().outcome);
    }
    outcomes.sort_by_key(|outcome| outcome.as_str());
    assert_eq!(outcomes, [Accepted, Duplicate, Duplicate, Duplicate, Duplicate]);
    assert_eq!(room.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_check_told_as_created_and_as_completed_makes_one_job() {
    let room = Room::new(FIX).await;
    let completed = check(1, &sha(1), Some("fix"), "failure");
    let mut created = completed.clone();
    created["action"] = "created".into();
    assert_eq!(room.send("check_run", &created).await.outcome, Accepted);
    assert_eq!(room.send("check_run", &completed).await.outcome, Duplicate);
    assert_eq!(room.jobs().await.len(), 1);
}

#[tokio::test]
async fn an_organisations_hook_beside_the_repositorys_makes_one_job_also_after_a_restart() {
    let room = Room::new(FIX).await;
    let body = check(1, &sha(1), Some("fix"), "failure");
    assert_eq!(room.send_by("repo-hook", "check_run", &body).await.outcome, Accepted);
    assert_eq!(room.send_by("org-hook", "check_run", &body).await.outcome, Duplicate);
    let room = room.restart(FIX).await;
    assert_eq!(room.send_by("org-hook", "check_run", &body).await.outcome, Duplicate);
    assert_eq!(room.jobs().await.len(), 1);
}

#[tokio::test]
async fn two_rules_on_one_delivery_both_act() {
    let room = Room::new(&format!("{FIX}{}", FIX.replace("\"fix\"", "\"tell\""))).await;
    let receipt = room.send("check_run", &check(1, &sha(1), Some("fix"), "failure")).await;
    let mut rules: Vec<_> = room.jobs().await.into_iter().map(|job| job.rule).collect();
    rules.sort();
    assert_eq!((receipt.jobs.len(), rules), (2, vec!["fix".to_owned(), "tell".to_owned()]));
}

#[tokio::test]
async fn a_redelivery_after_the_rule_was_corrected_makes_a_job() {
    for wrong in [FIX.replace("acme/*", "acme/gadgets"), FIX.replace("on =", "mode = \"off\"\non =")] {
        let room = Room::new(&wrong).await;
        let body = check(1, &sha(1), Some("fix"), "failure");
        assert_eq!(room.send("check_run", &body).await.outcome, Unmatched);
        let room = room.restart(FIX).await;
        assert_eq!(room.send("check_run", &body).await.outcome, Accepted);
        assert_eq!(room.send("check_run", &body).await.outcome, Duplicate);
    }
}

#[tokio::test]
async fn twenty_failed_checks_of_a_commit_are_one_job_that_names_them_all() {
    let room = Room::new(FIX).await;
    for id in 1..=20 {
        let receipt = room.send("check_run", &check(id, &sha(1), Some("fix"), "failure")).await;
        let verdict = &room.delivery(&receipt).await.verdicts[0];
        assert_eq!(verdict.decision, if id == 1 { Ruling::Queued } else { Ruling::Joined });
        room.advance(1);
    }
    let jobs = room.jobs().await;
    assert_eq!((jobs.len(), jobs[0].events), (1, 20));
    let names: Vec<_> = (1..=20).map(|id| format!("check-{id}")).collect();
    assert_eq!(room.prompt(&jobs[0]).await, format!("Fix {}: {}.", sha(1), names.join(" ")));
}

#[tokio::test]
async fn red_leg_while_siblings_run_waits_for_them_and_names_all_that_failed() {
    let room = Room::new(&format!("{FIX}settle = \"checks\"\n")).await;
    room.send("check_run", &begun(2, &sha(1), "fix")).await;
    let job = room.queued("check_run", &check(1, &sha(1), Some("fix"), "failure")).await;
    room.advance(120);
    waits(&room, &job, "1 of the commit's checks have not ended").await;
    room.send("check_run", &check(2, &sha(1), Some("fix"), "failure")).await;
    room.advance(29);
    waits(&room, &job, "settling").await;
    room.advance(1);
    assert_eq!(room.prompt(&job).await, format!("Fix {}: check-1 check-2.", sha(1)));
    room.run(&job, 1).await;
}

#[tokio::test]
async fn zero_check_runs_right_after_push_neither_go_at_once_nor_wait_beyond_settle_max() {
    let rule = "[[rule]]\nname = \"look\"\non = [\"push\"]\nrepos = [\"acme/*\"]\nwho = [\"anyone\"]\n\
                settle = \"checks\"\nsettle_max = \"20m\"\nprompt = \"Look.\"\n";
    let room = Room::new(rule).await;
    let job = room.queued("push", &push(&sha(1), "fix", MIA)).await;
    waits(&room, &job, "settling").await;
    room.advance(20 * 60 - 1);
    waits(&room, &job, "no check of the commit is known yet").await;
    room.advance(1);
    room.run(&job, 1).await;
    // The first check that is told counts, and not that there was none before.
    let job = room.queued("push", &push(&sha(2), "other", MIA)).await;
    room.send("check_run", &check(1, &sha(2), Some("other"), "success")).await;
    room.advance(29);
    waits(&room, &job, "settling").await;
    room.advance(1);
    room.run(&job, 2).await;
}

async fn waits(room: &Room, job: &Job, why: &str) {
    match room.release(job).await {
        Released::Waits { reason, .. } => assert!(reason.contains(why), "{reason}"),
        other => panic!("it does not wait: {other:?}"),
    }
}

#[tokio::test]
async fn a_body_that_nothing_ties_to_a_moment_counts_for_a_minute() {
    let rule = "[[rule]]\nname = \"work\"\non = [\"issue.transitioned\"]\nrepos = [\"**\"]\nwho = [\"anyone\"]\n\
                per = \"event\"\nsettle = \"0s\"\nrepo = \"acme/widgets\"\nprompt = \"Work.\"\n";
    let room = Room::new(rule).await;
    let body = json!({"id": 10042, "key": "PAY-7", "self": "https://acme.atlassian.net/rest/api/2/issue/10042",
        "fields": {"summary": "Checkout 500s", "status": {"name": "Ready for agent"}, "labels": []}})
    .to_string();
    let send = async || room.post("automation", &by_header(), &body).await.unwrap().outcome;
    // The second copy arrives in the next minute of the clock.
    room.advance(59);
    assert_eq!(send().await, Accepted);
    room.advance(1);
    assert_eq!(send().await, Duplicate);
    room.advance(58);
    assert_eq!(send().await, Duplicate);
    let job = room.jobs().await.remove(0);
    room.run(&job, 1).await;
    room.advance(1);
    assert_eq!(send().await, Accepted, "meant again");
    assert_eq!(send().await, Duplicate);
    assert_eq!(room.jobs().await.len(), 2);
}

#[tokio::test]
async fn dry_is_live() {
    let room = Room::new(FIX).await;
    let body = check(1, &sha(1), Some("fix"), "failure").to_string();
    let door = Door { spec: github("repo-hook"), repos: Places::new(&["**".to_owned()]).unwrap() };
    let headers = signed(SourceKind::Github, "check_run", body.as_bytes());
    let delivery = verify(&door.spec, &headers, &body.clone().into(), NOW).unwrap();
    let decide = async || room.intake.decide(&door, delivery.clone(), "the same", NOW).await.unwrap();
    let dry = decide().await;
    let receipt = room.post("repo-hook", &headers, &body).await.unwrap();
    assert_eq!(decide().await, dry, "what was done changes nothing of what is decided");
    let live = room.delivery(&receipt).await.verdicts.remove(0);
    let said = &dry.verdicts[0];
    assert_eq!(
        (&live.rule, live.decision, &live.key, &live.happening, &live.inputs, &live.rules_hash),
        (&said.rule, said.decision, &said.key, &said.happening, &said.inputs, &said.rules_hash)
    );
    let joined = room.house.store.joined(&receipt.jobs[0]).await.unwrap();
    assert_eq!(joined[0].event, dry.events[0], "what is rendered later is what was decided upon");
}
