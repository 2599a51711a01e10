//! A day at the limit: bursts of jobs with everything else that is called between them, random latencies, several callers,
//! crashes with calls under way, and a clock that is set by an hour while nothing runs. Not one call of ours is refused,
//! and no slot is left idle.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use hookrun::model::limits::{CallClass, ClassLimits};
use hookrun::store::{CallId, Slot, Store};

use super::limiter::{Endpoint, Kind, Limiter};
use super::world::{Dice, SetClock, days, open, seed};
use crate::database::{Database, on_postgres};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Callers that ask for slots at the same time.
const CALLERS: usize = 3;

/// What happens at a time. In this order where the time is the same: what was answered has ended before anybody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Answer(usize),
    Up,
    Crash,
    Burst,
    Look,
    Side,
}

/// A call that was sent.
struct Sent {
    id: CallId,
    endpoint: Endpoint,
    /// Which life of the process sent it.
    life: u32,
}

/// A burst of jobs.
struct Burst {
    at: u64,
    /// When the last of them could have been sent at best, and when it was.
    ideal: u64,
    last: u64,
    left: u64,
}

/// When creates could be sent at best: each slot is free one window after the answer, and while nothing runs nothing is
/// sent. Written without a look at the store.
#[derive(Default)]
struct Ideal {
    free_at: BinaryHeap<Reverse<u64>>,
    last: u64,
    down: VecDeque<(u64, u64)>,
}

impl Ideal {
    fn send(&mut self, queued_at: u64, latency: u64) -> u64 {
        let free = if self.free_at.len() < 10 { 0 } else { self.free_at.pop().unwrap().0 };
        let mut at = free.max(queued_at).max(self.last);
        for (from, to) in &self.down {
            if (*from..*to).contains(&at) {
                at = *to;
            }
        }
        self.last = at;
        self.free_at.push(Reverse(at + latency + MINUTE));
        at
    }
}

struct Day {
    clock: Arc<SetClock>,
    database: Database,
    store: Option<Store>,
    dice: Dice,
    limiter: Limiter,
    events: BinaryHeap<Reverse<(u64, Event, u64)>>,
    /// Events of the same time and kind stay in their order.
    made: u64,
    sent: Vec<Sent>,
    /// When somebody looks.
    looks: BTreeSet<u64>,
    /// The jobs that wait, by the burst that they came with.
    queue: VecDeque<usize>,
    bursts: Vec<Burst>,
    ideal: Ideal,
    life: u32,
    refused: Vec<String>,
    exact: bool,
    seed: u64,
}

impl Day {
    async fn new(kind: Kind, seed: u64, exact: bool) -> Self {
        let clock = SetClock::new(true);
        let database = Database::new().await;
        let store = open(&database, ClassLimits::default(), clock.clone()).await;
        Self {
            clock,
            database,
            store: Some(store),
            dice: Dice(seed),
            limiter: Limiter::new(kind),
            events: BinaryHeap::new(),
            made: 0,
            sent: Vec::new(),
            looks: BTreeSet::new(),
            queue: VecDeque::new(),
            bursts: Vec::new(),
            ideal: Ideal::default(),
            life: 0,
            refused: Vec::new(),
            exact,
            seed,
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.made += 1;
        self.events.push(Reverse((time, event, self.made)));
    }

    /// A latency as the service may have it: mostly quick, sometimes up to 25 s.
    fn latency(&mut self) -> u64 {
        if self.dice.once_in(4) { self.dice.between(1_000, 25_000) } else { self.dice.between(10, 800) }
    }

    /// The call is on its way: it arrives somewhere before its answer does.
    fn send(&mut self, id: CallId, endpoint: Endpoint) -> u64 {
        let (now, latency) = (self.clock.time(), self.latency());
        let arrives = now + self.dice.between(0, latency - 1);
        let number = self.sent.len();
        self.sent.push(Sent { id, endpoint, life: self.life });
        self.at(arrives, Event::Arrive(number));
        self.at(now + latency, Event::Answer(number));
        latency
    }

    /// Every caller asks at once, again and again while one of them gets a slot.
    async fn look(&mut self) {
        loop {
            let Some(store) = self.store.clone() else { return };
            let asking = CALLERS.min(self.queue.len());
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..asking {
                let store = store.clone();
                asked.spawn(async move { store.take_slots(CallClass::Create.charged(), "job").await.unwrap() });
            }
            let (mut taken, mut next) = (0, None);
            for slot in asked.join_all().await {
                match slot {
                    Slot::Taken(id) => {
                        taken += 1;
                        let resume = self.dice.once_in(10);
                        let latency = self.send(id, if resume { Endpoint::Resume } else { Endpoint::Create });
                        let burst = self.queue.pop_front().unwrap();
                        let now = self.clock.time();
                        let burst = &mut self.bursts[burst];
                        burst.ideal = self.ideal.send(burst.at, latency);
                        burst.last = now;
                        burst.left -= 1;
                        if self.exact {
                            assert_eq!(now, burst.ideal, "seed {}: a slot was idle, or used too early", self.seed);
                        }
                    }
                    Slot::Full { until, .. } => next = until,
                }
            }
            if let Some(until) = next {
                let until = self.clock.time_of(until);
                assert!(until > self.clock.time(), "asked again at once");
                if self.looks.insert(until) {
                    self.at(until, Event::Look);
                }
            }
            if taken == 0 {
                return;
            }
        }
    }

    /// What is called beside creates, as far as there are slots: never more of the shared window than leaves creates theirs.
    async fn side(&mut self) {
        let Some(store) = self.store.clone() else { return };
        let (endpoint, class) = match self.dice.between(0, 9) {
            0 => (Endpoint::SetupCommands, CallClass::SetupCommands),
            1 => (Endpoint::AnalyzeLogs, CallClass::LogAnalysis),
            2 | 3 => (Endpoint::Logs, CallClass::Logs),
            4..=6 => (Endpoint::Get, CallClass::Standard),
            _ => (Endpoint::List, CallClass::Standard),
        };
        let windows = store.windows().await.unwrap();
        if windows[1].free() <= 30 {
            return;
        }
        if let Slot::Taken(id) = store.take_slots(class.charged(), "side").await.unwrap() {
            self.send(id, endpoint);
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(call) => {
                let (endpoint, now) = (self.sent[call].endpoint, self.clock.time());
                if !self.limiter.lets(endpoint, now) {
                    self.refused.push(format!("{endpoint:?} at {now} ms"));
                }
            }
            Event::Answer(call) => {
                // The answer to a process that is no more reaches nobody.
                let heard = self.store.clone().filter(|_| self.sent[call].life == self.life);
                if let Some(store) = heard {
                    store.end_call(&self.sent[call].id).await.unwrap();
                    self.look().await;
                }
            }
            Event::Burst => {
                let jobs = self.dice.between(150, 300);
                let at = self.clock.time();
                let burst = self.bursts.len();
                self.bursts.push(Burst { at, ideal: at, last: at, left: jobs });
                self.queue.extend(std::iter::repeat_n(burst, jobs as usize));
                self.at(at + 1, Event::Side);
                self.look().await;
            }
            Event::Look => {
                let now = self.clock.time();
                self.looks.retain(|at| *at > now);
                self.look().await;
            }
            Event::Side => {
                self.side().await;
                if !self.queue.is_empty() {
                    let next = self.clock.time() + self.dice.between(500, 6_000);
                    self.at(next, Event::Side);
                }
            }
            Event::Crash => {
                let Some(store) = self.store.take() else { return };
                // Nothing is said to anybody: calls under way stay open in the file, as when the process is killed.
                store.close().await.unwrap();
                drop(store);
                self.life += 1;
                let (now, up) = (self.clock.time(), self.clock.time() + self.dice.between(50, 20_000));
                self.ideal.down.push_back((now, up));
                let hours = self.dice.between(0, 2) as i64 - 1;
                // Where the database tells the time, it is not set while a process is down.
                if !on_postgres() {
                    self.clock.set_by(hours * HOUR as i64);
                }
                self.at(up, Event::Up);
            }
            Event::Up => {
                self.store = Some(open(&self.database, ClassLimits::default(), self.clock.clone()).await);
                self.look().await;
            }
        }
    }

    async fn run(&mut self) {
        while let Some(Reverse((time, event, _))) = self.events.pop() {
            self.clock.go_to(time);
            self.happen(event).await;
        }
    }
}

/// A day of bursts against a limiter of this kind; with crashes in the midst of them unless it is to be exact.
async fn day(kind: Kind, usual: u64, crashes: bool) {
    let seed = seed(usual);
    let mut day = Day::new(kind, seed, !crashes).await;
    // Busy days have a burst an hour.
    let bursts = days().map_or(2, |days| days * 24);
    let length = days().map_or(DAY, |days| days * DAY);
    for burst in 0..bursts {
        let at = length / bursts * burst + day.dice.between(0, HOUR / 4);
        day.at(at, Event::Burst);
        if crashes {
            let at = at + day.dice.between(MINUTE, 10 * MINUTE);
            day.at(at, Event::Crash);
        }
    }
    day.run().await;
    assert!(
        day.refused.is_empty(),
        "seed {seed}: {} were refused: {:?}",
        day.refused.len(),
        &day.refused[..day.refused.len().min(5)]
    );
    assert!(day.sent.len() > 200 * bursts as usize / 2, "seed {seed}: only {} calls", day.sent.len());
    for burst in &day.bursts {
        let (took, best) = (burst.last - burst.at, burst.ideal - burst.at);
        assert_eq!(burst.left, 0, "seed {seed}");
        assert!(took * 100 <= best * 101, "seed {seed}: {took} ms instead of {best} ms");
    }
}

#[tokio::test]
async fn a_day_without_crashes_uses_every_slot_at_once_and_no_other() {
    day(Kind::Sliding, 1, false).await;
}

#[tokio::test]
async fn a_day_against_a_sliding_window() {
    day(Kind::Sliding, 2, true).await;
}

#[tokio::test]
async fn a_day_against_a_fixed_window() {
    day(Kind::Fixed, 3, true).await;
}

#[tokio::test]
async fn a_day_against_a_window_that_begins_with_the_first_call() {
    day(Kind::FixedFromFirst, 4, true).await;
}

#[tokio::test]
async fn a_day_against_a_limit_that_all_calls_of_the_token_share() {
    day(Kind::PerToken, 5, true).await;
}

#[tokio::test]
async fn a_day_against_a_limit_of_each_endpoint() {
    day(Kind::PerEndpoint, 6, true).await;
}

/// A limiter that lets too little through is noticed by these tests: they do not pass by themselves.
#[test]
fn the_limiters_refuse_what_is_too_much() {
    for kind in [Kind::Sliding, Kind::Fixed, Kind::FixedFromFirst, Kind::PerToken, Kind::PerEndpoint] {
        let mut limiter = Limiter::new(kind);
        let mut let_through =
            |from: u64, calls: u64, endpoint| (0..calls).filter(|call| limiter.lets(endpoint, from + call)).count();
        assert_eq!(let_through(120_000, 12, Endpoint::Create), 10, "{kind:?}");
        assert_eq!(let_through(179_000, 5, Endpoint::Create), 0, "{kind:?}");
        assert_eq!(let_through(181_000, 12, Endpoint::Create), 10, "{kind:?}");
        let lists = if kind == Kind::PerToken { 50 } else { 60 };
        assert_eq!(let_through(182_000, 70, Endpoint::List), lists, "{kind:?}");
        assert_eq!(let_through(250_000, 70, Endpoint::Logs), 60, "{kind:?}");
    }
}
