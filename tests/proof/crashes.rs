//! A bounded random crash test: `kill -9` again and again while webhooks arrive from many senders and creates go out.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::{Answer, http, send};
use crate::house::{House, Service};
use crate::wait::number;

const SENDERS: usize = 8;
/// New causes for each life: enough that a kill meets deliveries and creates, few enough that all can be followed.
const CAUSES: usize = 24;
/// The longest that a life may take, after it listens, when it ends at a moment.
const LIFE_MILLIS: u64 = 250;
/// The most answers that a life may give; there are causes enough for that, though each sender loses one at a kill.
const ANSWERS: u64 = 12;

/// Numbers that a seed gives again (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What the senders share.
struct Load {
    /// Where webhooks go now; none while nobody listens.
    address: watch::Receiver<Option<String>>,
    /// One permit for each cause that may be told.
    causes: Semaphore,
    next: AtomicU64,
    answers: Mutex<Vec<Answer>>,
    /// Causes whose sender got no answer, or a refusal.
    unanswered: Mutex<Vec<Cause>>,
    /// Changes with every acknowledgement.
    answered: watch::Sender<u64>,
}

impl Load {
    /// Sends one webhook after another as long as the permits last; half of what is not acknowledged is sent again.
    async fn send_on(self: Arc<Self>, http: reqwest::Client, mut dice: Dice) {
        let mut address = self.address.clone();
        let (mut again, mut dead) = (None, None);
        loop {
            let cause = if let Some(cause) = again.take() {
                cause
            } else {
                let Ok(permit) = self.causes.acquire().await else { return };
                permit.forget();
                Cause(self.next.fetch_add(1, Ordering::Relaxed))
            };
            let listens = |now: &Option<String>| now.is_some() && *now != dead;
            let Ok(now) = address.wait_for(listens).await.map(|it| it.clone().unwrap_or_default()) else { return };
            match send(&http, &now, cause).await {
                Some(answer) if answer.acknowledged() => {
                    self.answers.lock().unwrap().push(answer);
                    self.answered.send_modify(|count| *count += 1);
                }
                lost => {
                    // Killed in the middle: the next one to ask is the one that is started next.
                    dead = lost.is_none().then_some(now);
                    if dice.below(2) == 0 {
                        again = Some(cause);
                    } else {
                        self.unanswered.lock().unwrap().push(cause);
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_under_load_nothing_is_lost_and_nothing_doubled() {
    let kills = number("HOOKRUN_TEST_KILLS").unwrap_or(20);
    let seed = number("HOOKRUN_TEST_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    // Shown when it fails, and by --nocapture.
    println!("{kills} kills, HOOKRUN_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let service = Service::start().await;
    let house = House::new(&service.address);
    let (tell, address) = watch::channel(None);
    let load = Arc::new(Load {
        address,
        causes: Semaphore::new(0),
        next: AtomicU64::new(0),
        answers: Mutex::default(),
        unanswered: Mutex::default(),
        answered: watch::Sender::new(0),
    });
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(load.clone().send_on(http(), Dice(dice.below(u64::MAX))));
    }

    for _ in 0..kills {
        load.causes.add_permits(CAUSES);
        let mut daemon = house.serve().await;
        let mut answered = load.answered.subscribe();
        let before = *answered.borrow();
        tell.send_replace(Some(daemon.webhooks.clone()));
        // Half of the lives end at a moment, half with an answer: there the POST of its job is just about to leave.
        if dice.below(2) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(LIFE_MILLIS))).await;
        } else {
            let enough = before + 1 + dice.below(ANSWERS);
            answered.wait_for(|count| *count >= enough).await.unwrap();
        }
        daemon.process.kill().await;
        tell.send_replace(None);
    }

    let daemon = house.serve().await;
    tell.send_replace(Some(daemon.webhooks.clone()));
    load.causes.close();
    senders.join_all().await;
    let answers = std::mem::take(&mut *load.answers.lock().unwrap());
    let unanswered = load.unanswered.lock().unwrap().len();
    println!("{} acknowledged, {unanswered} not", answers.len());
    audit(&daemon, &service, &answers).await;
}
