//! Several processes beside one PostgreSQL: they share queue and windows, and what dies, hangs or is cut off is taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookrun::lifecycle::Lifecycle;
use hookrun::model::clock::{Clock, SystemClock, Timestamp};
use hookrun::model::decision::Ruling;
use hookrun::model::gate::GateOutcome;
use hookrun::model::job::{JobRequest, JobState};
use hookrun::model::limits::{CallClass, ClassLimits, RateLimit};
use hookrun::store::{Released, Slot, Store, StoreError};
use tokio::net::TcpListener;

use super::database::Database;
use super::store_support::{House, alive, answer, release, request};
use super::support::{ManualClock, START, install_tls, until};
use super::worker::bench::{Setting, accept, worker};

/// Longer than a process that is not heard of counts as alive.
const DEATH: Duration = Duration::from_secs(61);

/// Processes that share a database, as their stores.
struct Cluster {
    database: Database,
    clock: Arc<ManualClock>,
    stores: Vec<Store>,
}

impl Cluster {
    async fn of(size: usize) -> Self {
        let mut cluster = Self { database: Database::postgres().await, clock: ManualClock::new(), stores: Vec::new() };
        for _ in 0..size {
            let store = cluster.join().await;
            cluster.stores.push(store);
        }
        cluster
    }

    async fn join(&self) -> Store {
        self.database.open(ClassLimits::default(), self.clock.clone()).await.unwrap()
    }

    /// The same as seen by one of them.
    fn house(&self, at: usize) -> House {
        // The database of a house is only looked at to open it again, which nobody does here.
        House { database: Database::sqlite(), clock: self.clock.clone(), store: self.stores[at].clone() }
    }
}

/// Lets a process that was silent say that it lives, as it does before it makes a call.
async fn beat(store: &Store) {
    let Slot::Taken(call) = store.take_slots(&[CallClass::LogAnalysis], "a call").await.unwrap() else { panic!() };
    assert!(store.may_make(&call).await.unwrap());
    store.end_call(&call).await.unwrap();
}

/// It could not read what the new one writes.
#[tokio::test]
async fn a_process_beside_one_of_a_newer_version_sends_nothing_more() {
    let cluster = Cluster::of(1).await;
    let store = &cluster.stores[0];
    let Slot::Taken(call) = store.take_slots(&[CallClass::LogAnalysis], "a call").await.unwrap() else { panic!() };
    cluster.database.alter("INSERT INTO schema_steps (version) VALUES (9999)").await;
    cluster.clock.advance(DEATH);
    let made = store.may_make(&call).await;
    assert!(matches!(&made, Err(StoreError::Schema(reason)) if reason.contains("newer hookrun")), "{made:?}");
    // Nor does it take the slots and duties of those that could.
    store.end_call(&call).await.unwrap();
    let house = cluster.house(0);
    let job = house.queued(request("k", "1")).await;
    let released = store.release(release(&job.id, job.revision), |_| answer(GateOutcome::Go)).await;
    assert!(matches!(released, Err(StoreError::Schema(_))), "{released:?}");
    let slot = store.take_slots(&[CallClass::Logs], "a call").await;
    assert!(matches!(slot, Err(StoreError::Schema(_))), "{slot:?}");
    assert!(matches!(store.has_duty("follow").await, Err(StoreError::Schema(_))));
    assert_eq!(house.state(&job.id).await, JobState::Queued);
    let windows = store.windows().await.unwrap();
    assert!(windows.iter().all(|it| it.used == u32::from(it.class == CallClass::LogAnalysis)), "{windows:?}");
}

#[tokio::test]
async fn one_window_is_shared_by_all() {
    let cluster = Cluster::of(3).await;
    let mut taken = Vec::new();
    for turn in 0..12 {
        match cluster.stores[turn % 3].take_slots(&[CallClass::Create], "a call").await.unwrap() {
            Slot::Taken(call) => taken.push((turn % 3, call)),
            Slot::Full { reason, .. } => assert_eq!(reason, "the create window is full (10 of 10)"),
        }
    }
    assert_eq!(taken.len(), 10);
    for (of, call) in taken {
        cluster.stores[of].end_call(&call).await.unwrap();
    }
    let full = async |at: usize| {
        matches!(cluster.stores[at].take_slots(&[CallClass::Create], "a call").await.unwrap(), Slot::Full { .. })
    };
    cluster.clock.advance(Duration::from_millis(59_999));
    assert!(full(1).await);
    cluster.clock.advance(Duration::from_millis(1));
    assert!(!full(2).await);
}

/// Everybody looks at once whether there is room, and takes it.
#[tokio::test]
async fn however_many_ask_at_once_no_more_is_taken_than_there_is() {
    let cluster = Cluster::of(3).await;
    for round in 0..50 {
        let asks = (0..24).map(|at| {
            let store = cluster.stores[at % 3].clone();
            tokio::spawn(async move { (at % 3, store.take_slots(&[CallClass::Create], "a call").await.unwrap()) })
        });
        let (mut taken, asks) = (Vec::new(), asks.collect::<Vec<_>>());
        for ask in asks {
            if let (of, Slot::Taken(call)) = ask.await.unwrap() {
                taken.push((of, call));
            }
        }
        assert_eq!(taken.len(), 10, "round {round}");
        for (of, call) in taken {
            cluster.stores[of].end_call(&call).await.unwrap();
        }
        cluster.clock.advance(Duration::from_mins(2));
    }
}

/// The clock of one machine as it was set by the database: it may be behind by what the answer took.
#[derive(Debug)]
struct Behind(Arc<ManualClock>);

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn wall(&self) -> Timestamp {
        self.0.wall()
    }

    fn behind(&self) -> Duration {
        Duration::from_millis(7)
    }
}

#[tokio::test]
async fn a_slot_is_free_by_the_clock_of_every_machine() {
    let (database, clock) = (Database::postgres().await, ManualClock::new());
    let limits = ClassLimits { create: RateLimit::new(1, 60), ..ClassLimits::default() };
    let store = database.open(limits, Arc::new(Behind(clock.clone()))).await.unwrap();
    let Slot::Taken(call) = store.take_slots(&[CallClass::Create], "a call").await.unwrap() else { panic!() };
    store.end_call(&call).await.unwrap();
    for (after, free) in [(60_006, false), (60_007, true)] {
        clock.set(START.plus(Duration::from_millis(after)));
        let slot = store.take_slots(&[CallClass::Create], "a call").await.unwrap();
        assert_eq!(matches!(slot, Slot::Taken(_)), free, "{after} ms later");
    }
}

#[tokio::test]
async fn one_job_is_sent_by_one_of_them() {
    let cluster = Cluster::of(3).await;
    let house = cluster.house(0);
    for round in 0..8 {
        let job = house.queued(request(&format!("k{round}"), &round.to_string())).await;
        let tries = cluster.stores.iter().map(|store| {
            let (store, release) = (store.clone(), release(&job.id, job.revision));
            tokio::spawn(async move { store.release(release, |_| answer(GateOutcome::Go)).await.unwrap() })
        });
        let tries: Vec<_> = tries.collect();
        let mut sent = 0;
        for tried in tries {
            match tried.await.unwrap() {
                Released::Go { call, job } => {
                    sent += 1;
                    house.store.run_created(&job.id, &call, &alive(round)).await.unwrap();
                }
                Released::Changed => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(sent, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_happening_that_all_are_told_makes_one_job() {
    let cluster = Cluster::of(3).await;
    for round in 0..8 {
        let mut told = Vec::new();
        for at in 0..3 {
            let house = cluster.house(at);
            let delivery = house.asking([request(&format!("k{round}"), &round.to_string())]);
            told.push(tokio::spawn(async move { house.store.accept(delivery).await.unwrap() }));
        }
        let mut rulings = Vec::new();
        for told in told {
            rulings.push(told.await.unwrap().verdicts[0].decision);
        }
        rulings.sort_by_key(|ruling| *ruling != Ruling::Queued);
        assert_eq!(rulings, [Ruling::Queued, Ruling::Duplicate, Ruling::Duplicate]);
    }
}

#[tokio::test]
async fn what_a_dead_one_was_sending_is_uncertain_and_its_slots_are_given_back() {
    let cluster = Cluster::of(2).await;
    let dead = cluster.house(0);
    let job = dead.queued(request("k", "1")).await;
    dead.send(&job.id).await;
    cluster.clock.advance(Duration::from_secs(59));
    beat(&cluster.stores[1]).await;
    assert_eq!(dead.state(&job.id).await, JobState::Submitting, "it may yet be alive");
    cluster.clock.advance(Duration::from_secs(20));
    beat(&cluster.stores[1]).await;
    assert_eq!(dead.state(&job.id).await, JobState::Uncertain);
    let used = async || {
        let windows = cluster.stores[1].windows().await.unwrap();
        windows.iter().find(|window| window.class == CallClass::Create).unwrap().used
    };
    // Nobody knows when it was answered, if it was: it counts from the takeover on.
    cluster.clock.advance(Duration::from_millis(59_999));
    assert_eq!(used().await, 1);
    cluster.clock.advance(Duration::from_millis(1));
    assert_eq!(used().await, 0);
}

#[tokio::test]
async fn one_that_hung_learns_that_it_counts_as_dead_before_it_sends() {
    let cluster = Cluster::of(2).await;
    let hung = cluster.house(0);
    let job = hung.queued(request("k", "1")).await;
    let call = hung.send(&job.id).await;
    cluster.clock.advance(DEATH);
    beat(&cluster.stores[1]).await;
    assert!(!hung.store.may_make(&call).await.unwrap(), "others have taken over");
    // From now on it is one of them again; that call is nobody's all the same.
    beat(&hung.store).await;
    assert!(!hung.store.may_make(&call).await.unwrap());
    // What it says of its old call changes nothing that others have settled since.
    hung.store.absent(&job.id, "no run").await.unwrap();
    let again = cluster.house(1).send(&job.id).await;
    let late = hung.store.not_taken(&job.id, &call, "refused", cluster.clock.now()).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
    let late = hung.store.run_created(&job.id, &call, &alive(1)).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
    assert_eq!(hung.state(&job.id).await, JobState::Submitting);
    cluster.stores[1].run_created(&job.id, &again, &alive(2)).await.unwrap();
    assert_eq!(hung.job(&job.id).await.run.unwrap().id, 2);
}

#[tokio::test]
async fn an_answer_that_comes_after_the_takeover_is_the_jobs_run_as_long_as_it_was_not_sent_again() {
    for settled_as_absent in [false, true] {
        let cluster = Cluster::of(2).await;
        let slow = cluster.house(0);
        let job = slow.queued(request("k", "1")).await;
        let call = slow.send(&job.id).await;
        cluster.clock.advance(DEATH);
        beat(&cluster.stores[1]).await;
        if settled_as_absent {
            cluster.stores[1].absent(&job.id, "the list does not show it yet").await.unwrap();
        }
        slow.store.run_created(&job.id, &call, &alive(7)).await.unwrap();
        let now = cluster.house(1).job(&job.id).await;
        assert_eq!((now.state, now.run.unwrap().id), (JobState::Running, 7));
    }
}

#[tokio::test]
async fn a_duty_is_one_processes_until_it_is_not_heard_of() {
    let cluster = Cluster::of(2).await;
    let [first, second] = &cluster.stores[..] else { panic!() };
    assert!(first.has_duty("follow").await.unwrap());
    assert!(!second.has_duty("follow").await.unwrap());
    assert!(second.has_duty("sweep").await.unwrap(), "each duty by itself");
    let mut seen = second.replicas().await.unwrap();
    seen.sort_by_key(|it| it.this);
    assert_eq!(
        seen.iter().map(|it| (it.this, it.duties.join(" "))).collect::<Vec<_>>(),
        [(false, "follow".to_owned()), (true, "sweep".to_owned())]
    );
    cluster.clock.advance(Duration::from_secs(31));
    assert!(second.has_duty("follow").await.unwrap());
    assert!(!first.has_duty("follow").await.unwrap());
    // Who leaves leaves everything.
    second.close().await.unwrap();
    assert!(first.has_duty("follow").await.unwrap());
    assert_eq!(first.replicas().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_duty_that_was_given_up_is_anybody_elses() {
    let cluster = Cluster::of(2).await;
    let [first, second] = &cluster.stores[..] else { panic!() };
    assert!(first.has_duty("follow").await.unwrap());
    first.give_up_duty("follow").await.unwrap();
    assert!(!first.has_duty("follow").await.unwrap(), "others go first");
    assert!(second.has_duty("follow").await.unwrap());
    // Who has it not gives up nothing of somebody else's.
    first.give_up_duty("follow").await.unwrap();
    assert!(second.has_duty("follow").await.unwrap());
    second.give_up_duty("follow").await.unwrap();
    cluster.clock.advance(Duration::from_secs(31));
    assert!(first.has_duty("follow").await.unwrap(), "after a while it may be able to again");
}

/// The database is heard, the service is not.
#[tokio::test]
async fn a_process_that_cannot_reach_the_service_lets_another_one_follow() {
    install_tls();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (database, setting) = (Database::postgres().await, Setting::default());
    let cut_off = database.open(setting.limits, clock.clone()).await.unwrap();
    let other = database.open(setting.limits, clock.clone()).await.unwrap();
    let job = accept(&cut_off, clock.now(), ("github", "acme/widgets"), "main", &"a".repeat(40), false).await;
    let go = cut_off.release(release(&job, 0), |_| answer(GateOutcome::Go)).await.unwrap();
    let Released::Go { call, .. } = go else { panic!("{go:?}") };
    cut_off.run_created(&job, &call, &alive(1)).await.unwrap();
    assert!(cut_off.has_duty("follow").await.unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let life = Lifecycle::new();
    worker(&setting, closed, &cut_off, clock.clone(), Duration::from_millis(50), &life.soft()).spawn(&life);
    until("the duty of another", async || other.has_duty("follow").await.unwrap().then_some(())).await;
    assert!(!cut_off.has_duty("follow").await.unwrap());
    life.stop(Duration::from_mins(1)).await;
}

/// The clock of a machine that may be paused.
#[derive(Debug, Default)]
struct Pausable {
    inner: SystemClock,
    /// How long it has stood still, in milliseconds.
    stood: AtomicI64,
}

impl Clock for Pausable {
    fn now(&self) -> Timestamp {
        Timestamp(self.inner.now().0 - self.stood.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        self.inner.wall()
    }

    fn follow(&self, at: Timestamp, within: Duration) {
        self.inner.follow(at, within);
        self.stood.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_machine_that_was_paused_waits_for_a_window_before_it_goes_on() {
    let (database, clock) = (Database::postgres().await, Arc::new(Pausable::default()));
    let store = database.open(ClassLimits::default(), clock.clone()).await.unwrap();
    clock.stood.store(20_000, Ordering::SeqCst);
    let soon = tokio::time::timeout(
        Duration::from_secs(30),
        until("its clock to be set", async || (clock.stood.load(Ordering::SeqCst) == 0).then_some(())),
    );
    soon.await.expect("nobody looked at the next sign of life");
    assert_eq!(store.freezes().await.unwrap().len(), CallClass::ALL.len());
}

/// What others gave up when a process hung is settled by its answer as long as nobody has settled it.
#[tokio::test]
async fn every_answer_that_comes_after_the_takeover_counts_as_long_as_the_job_was_not_settled() {
    for held in [false, true] {
        let cluster = Cluster::of(2).await;
        let slow = cluster.house(0);
        let mut sent = Vec::new();
        for name in ["k", "l", "m", "n"] {
            let job = slow.queued(JobRequest { subject: name.to_owned(), ..request(name, name) }).await;
            let call = slow.send(&job.id).await;
            sent.push((job.id, call));
        }
        cluster.clock.advance(DEATH);
        beat(&cluster.stores[1]).await;
        let [not_taken, refused, told, unanswered] = &sent[..] else { panic!() };
        for (job, _) in &sent {
            assert_eq!(slow.state(job).await, JobState::Uncertain);
            if held {
                cluster.stores[1].hold(job, None, "nobody can tell").await.unwrap();
            }
        }
        slow.store.not_taken(&not_taken.0, &not_taken.1, "not sent", cluster.clock.now()).await.unwrap();
        slow.store.refused(&refused.0, &refused.1, "422").await.unwrap();
        slow.store.run_told(&told.0, &told.1, &alive(3)).await.unwrap();
        cluster.clock.advance(Duration::from_secs(20));
        slow.store.unanswered(&unanswered.0, &unanswered.1, "timed out").await.unwrap();
        assert_eq!(slow.state(&not_taken.0).await, JobState::Queued);
        assert_eq!(slow.counted(&not_taken.0).await, Some(0), "what was not sent is no attempt");
        assert_eq!(slow.state(&refused.0).await, JobState::Dead);
        let now = slow.job(&told.0).await;
        assert_eq!((now.state, now.run.unwrap().id), (JobState::Running, 3));
        let doubted = if held { JobState::Held } else { JobState::Uncertain };
        assert_eq!(slow.state(&unanswered.0).await, doubted);
        // Its call went on until now: before the list can tell of it the usual time must pass once more.
        let ended = slow.store.uncertain().await.unwrap().pop().map(|each| each.ended_at);
        assert_eq!(ended, (!held).then(|| cluster.clock.now()));
    }
}

#[tokio::test]
async fn work_that_one_takes_in_wakes_the_others() {
    let cluster = Cluster::of(2).await;
    let house = cluster.house(0);
    // Once it wakes by itself, because it has begun to listen; every other time it is because of the others' work. Nobody
    // looks by himself here, so it is never woken if it is not told.
    for round in 0..4 {
        let woken = cluster.stores[1].woken();
        house.queued(request(&format!("k{round}"), &round.to_string())).await;
        let heard = tokio::time::timeout(Duration::from_secs(20), woken).await;
        assert!(heard.is_ok(), "nothing was heard of the work of round {round}");
    }
}

#[tokio::test]
async fn sessions_that_are_cut_off_cost_an_error_and_no_more() {
    let cluster = Cluster::of(2).await;
    let house = cluster.house(0);
    let before = house.queued(request("k", "1")).await;
    cluster.database.cut_off().await;
    let taken =
        until("the database again", async || match house.store.accept(house.asking([request("l", "2")])).await {
            Ok(accepted) => Some(accepted),
            Err(StoreError::Busy(_)) => None,
            Err(other) => panic!("{other}"),
        });
    assert_eq!(taken.await.verdicts[0].decision, Ruling::Queued, "what was refused left nothing behind");
    until("reading again", async || cluster.stores[1].job(&before.id).await.ok()).await;
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_holds_up_nobody() {
    let cluster = Cluster::of(2).await;
    let house = cluster.house(0);
    let job = house.queued(request("k", "1")).await;
    for _ in 0..20 {
        let store = cluster.stores[0].clone();
        let (id, revision) = (job.id.clone(), job.revision);
        let given_up = tokio::spawn(async move { store.hold(&id, Some(revision + 1000), "never").await.is_ok() });
        tokio::task::yield_now().await;
        given_up.abort();
        cluster.stores[1].take_slots(&[CallClass::Logs], "a call").await.unwrap();
    }
    assert_eq!(house.state(&job.id).await, JobState::Queued);
}
