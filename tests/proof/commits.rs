//! Death before and after every commit of one job's life, from the first start to the end of its run.

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::{Answer, Daemon, http, send};
use crate::house::{Database, House, Service};
use crate::strace::{Attached, CONNECTS, SENDS, SYNCS, WRITES, failing, kill_from_now_on, killing};
use crate::wait::{long, until};

/// Lives that go on at the same time.
const TOGETHER: usize = 4;
/// Far more calls of one kind than a life has.
const MOST: u32 = 2000;

/// Which calls count. They are counted for each thread by itself.
#[derive(Clone, Copy)]
enum Whose {
    /// Those of every thread since the start, which makes the database first.
    SinceTheStart,
    /// Those of every thread since it listens: the first of all threads is part of the first delivery's commit.
    SinceItListens,
    /// Those of the thread that commits deliveries, since it listens.
    OfTheWriter,
}

/// Where a life ends: at the `nth` of these calls.
#[derive(Clone, Copy)]
struct End {
    whose: Whose,
    calls: &'static str,
    nth: u32,
}

impl End {
    async fn attach(self, daemon: &Daemon) -> Option<Attached> {
        let thread = match self.whose {
            Whose::SinceTheStart => return None,
            Whose::SinceItListens => None,
            Whose::OfTheWriter => Some("writer"),
        };
        Some(kill_from_now_on(daemon.process.id(), thread, self.calls, self.nth).await)
    }
}

/// A life that was ended somewhere, and the daemon that took over.
struct Life {
    house: House,
    daemon: Daemon,
    answers: Vec<Answer>,
    /// Whether the job ended before the call came that was to kill it.
    survived: bool,
}

impl Life {
    /// It died over its delivery, and nobody was answered: whether the delivery was committed by then, as far as the answer
    /// to the second telling shows.
    fn committed_unanswered(&self) -> Option<bool> {
        let [again] = &self.answers[..] else { return None };
        (!self.survived).then_some(again.said["outcome"] == "duplicate")
    }
}

/// Lives on a database of its own until it is killed, or the job has ended. The sender then sends the webhook once more,
/// as hosts do and people who see no answer.
async fn live(end: End, cause: Cause, api: &str) -> Life {
    let house = House::on(Database::sqlite, api);
    let behind = if matches!(end.whose, Whose::SinceTheStart) { killing(end.calls, end.nth) } else { Vec::new() };
    let behind: Vec<&str> = behind.iter().map(String::as_str).collect();
    let (mut answers, mut survived) = (Vec::new(), false);
    if let Ok(mut daemon) = house.try_serve(&behind).await {
        let _attached = end.attach(&daemon).await;
        answers.extend(send(&daemon.http, &daemon.webhooks, cause).await);
        survived = until("the end of the daemon or of the job", async || {
            if daemon.process.is_over() {
                return Some(false);
            }
            succeeded(&daemon).await.then_some(true)
        })
        .await;
        daemon.process.kill().await;
    }
    let daemon = house.serve().await;
    answers.push(daemon.take(cause).await);
    Life { house, daemon, answers, survived }
}

async fn succeeded(daemon: &Daemon) -> bool {
    let url = format!("{}/api/v1/jobs?state=succeeded", daemon.admin);
    let Ok(answer) = http().get(url).bearer_auth(crate::daemon::OPERATOR).send().await else { return false };
    let Ok(jobs) = answer.json::<serde_json::Value>().await else { return false };
    jobs["items"].as_array().is_some_and(|items| !items.is_empty())
}

/// Kills a life at the first of these calls, another one at the second, and so on until lives come to their end. In a
/// short run only every `step`-th call is tried.
async fn at_every(whose: Whose, calls: &'static str, step: u32, first_cause: u64, service: &Service) -> Vec<Life> {
    let step = if long() { 1 } else { step };
    let mut lives = Vec::new();
    for group in (0..MOST).step_by(TOGETHER) {
        let one = |nth: u32| {
            let nth = 1 + (group + nth) * step;
            live(End { whose, calls, nth }, Cause(first_cause + u64::from(nth)), &service.address)
        };
        let group = <[Life; TOGETHER]>::from(tokio::join!(one(0), one(1), one(2), one(3)));
        let over = group.iter().all(|life| life.survived);
        lives.extend(group);
        if over {
            return lives;
        }
    }
    panic!("a life has more than {} calls of {calls}", MOST * step);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_commit_a_job_has_its_one_run_in_the_end() {
    let service = Service::start().await;
    let start = Whose::SinceTheStart;
    let mut lives = at_every(start, SYNCS, 1, 0, &service).await;
    assert!(lives.iter().filter(|life| !life.survived).count() > 4, "too few lives were ended at a commit");
    lives.extend(at_every(start, WRITES, 37, 100_000, &service).await);
    lives.extend(at_every(start, SENDS, 1, 200_000, &service).await);
    lives.extend(at_every(start, CONNECTS, 1, 300_000, &service).await);
    every_one_has_its_run(lives, &service).await;
}

/// The commit of a delivery is made on a thread that does nothing else, long after those that make the database have had
/// their calls counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_within_the_commit_of_a_delivery_its_job_has_one_run_when_it_is_told_again() {
    let service = Service::start().await;
    let mut lives = at_every(Whose::OfTheWriter, SYNCS, 1, 400_000, &service).await;
    lives.extend(at_every(Whose::OfTheWriter, WRITES, 9, 500_000, &service).await);
    for committed in [false, true] {
        let dead = lives.iter().filter(|life| life.committed_unanswered() == Some(committed)).count();
        assert!(dead > 0, "no life ended while the delivery was {}committed", if committed { "" } else { "not yet " });
    }
    lives.extend(at_every(Whose::SinceItListens, SYNCS, 2, 600_000, &service).await);
    every_one_has_its_run(lives, &service).await;
}

/// Each house is looked at by itself, so the others' runs are none of its business.
async fn every_one_has_its_run(lives: Vec<Life>, service: &Service) {
    for Life { house, daemon, answers, .. } in lives {
        crate::audit::audit_own(&daemon, service, &answers).await;
        drop(house);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_synced_is_not_acknowledged() {
    let service = Service::start().await;
    let house = House::new(&service.address);
    // A first start makes the schema, so that the failures meet deliveries.
    house.serve().await.process.kill().await;
    let behind = failing(SYNCS, "EIO", 3, 12);
    let daemon = house.serve_behind(&behind.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut answers = Vec::new();
    let mut refused = Vec::new();
    for cause in (0..40).map(Cause) {
        let answer = send(&daemon.http, &daemon.webhooks, cause).await.expect("an answer");
        if !answer.acknowledged() {
            assert_eq!(answer.status, 503, "{answer:?}");
            refused.push(cause);
        }
        answers.push(answer);
    }
    assert!(!refused.is_empty(), "no sync of a delivery failed");
    // The failures are counted for each thread that commits, so one more may meet some.
    for cause in refused {
        let taken = until("it to be taken after all", async || {
            send(&daemon.http, &daemon.webhooks, cause).await.filter(Answer::acknowledged)
        });
        answers.push(taken.await);
    }
    audit(&daemon, &service, &answers).await;
    assert!(daemon.logged().contains("disk I/O error"), "{}", daemon.logged());
}
