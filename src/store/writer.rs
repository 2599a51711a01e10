//! Group commit: one transaction for every delivery that arrived while the last one was being committed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::bodies::{self, Body, Packer};
use super::errors::{Result, StoreError};
use super::{Inner, Store, accept, filing};
use crate::model::acceptance::{Acceptance, Accepted};
use crate::model::event::Event;
use crate::telemetry::{self, Metric};

/// Deliveries in one transaction, at most.
pub(super) const GROUP: usize = 256;

/// Deliveries that may wait for the next transaction; what is over waits in its own request.
const WAITING: usize = 1024;

/// How much was committed since the store was opened, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commits {
    /// Deliveries.
    pub deliveries: u64,
    /// The transactions that committed them.
    pub transactions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    deliveries: AtomicU64,
    transactions: AtomicU64,
    /// The last group could not be committed.
    failing: AtomicBool,
}

impl Counters {
    /// Whether the last write that anybody waited for failed.
    pub(super) fn are_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// A write failed for want of a database, or came to its end.
    pub(super) fn note(&self, failed: bool) {
        self.failing.store(failed, Ordering::Relaxed);
    }
}

/// A delivery with what can be prepared outside of the transaction.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Without its body.
    pub(super) acceptance: Acceptance,
    /// How many bytes the body had as it arrived.
    pub(super) size: usize,
    /// The body.
    pub(super) body: Body,
}

/// A delivery that waits for its commit.
#[derive(Debug)]
struct Arrival {
    prepared: Prepared,
    answer: oneshot::Sender<Result<Accepted>>,
}

/// The way to the writer, until the store is closed.
#[derive(Debug)]
pub(super) struct Accepting {
    arrivals: Mutex<Option<mpsc::Sender<Arrival>>>,
    /// Told when the last group is committed and answered.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Accepting {
    /// Starts what commits groups. It ends with the last handle of the store, or when it is closed.
    ///
    /// It has a thread of its own: bodies are packed, and in the process written and synced, at one go, which holds up nobody
    /// who answers requests.
    pub(super) fn start(store: Weak<Inner>) -> Self {
        let (arrivals, mut arriving) = mpsc::channel(WAITING);
        let (ends, ended) = oneshot::channel();
        let writing = async move {
            let mut group = Vec::with_capacity(GROUP);
            let mut packer = Packer::default();
            let answers = TaskTracker::new();
            // How long it must be quiet for filing to begin; nothing is to be filed without one.
            let mut quiet = Some(filing::QUIET);
            loop {
                let arrived = arriving.recv_many(&mut group, GROUP);
                let arrived = match quiet {
                    Some(quiet) => tokio::time::timeout(quiet, arrived).await,
                    None => Ok(arrived.await),
                };
                let Some(inner) = store.upgrade() else { break };
                let pause = match arrived {
                    Ok(0) => break,
                    Ok(_) => {
                        commit(&inner, &mut group, &mut packer, &answers).await;
                        filing::QUIET
                    }
                    Err(_) => filing::while_quiet(&inner).await,
                };
                quiet = inner.unfiled.any().then_some(pause);
            }
            answers.close();
            answers.wait().await;
            let _ = ends.send(());
        };
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("writer".to_owned());
        if let Err(error) = thread.spawn(move || runtime.block_on(writing)) {
            tracing::error!(%error, "there is no thread for the writer");
        }
        Self { arrivals: Mutex::new(Some(arrivals)), ended: Mutex::new(Some(ended)) }
    }

    /// Takes nothing more, and waits until everything that was taken is answered.
    pub(super) async fn close(&self) {
        drop(self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended
            && ended.await.is_err()
        {
            tracing::error!("the writer failed");
        }
    }

    /// Fails when deliveries are not taken any more.
    pub(super) fn check(&self) -> Result<()> {
        self.sender().map(drop)
    }

    fn sender(&self) -> Result<mpsc::Sender<Arrival>> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.as_ref().filter(|sender| !sender.is_closed()).cloned().ok_or_else(gone)
    }
}

fn gone() -> StoreError {
    StoreError::Busy("the writer has ended".into())
}

/// Commits one group and answers everybody in it.
async fn commit(inner: &Arc<Inner>, group: &mut Vec<Arrival>, packer: &mut Packer, told: &TaskTracker) {
    let (prepared, answers): (Vec<_>, Vec<_>) = group.drain(..).map(|it| (it.prepared, it.answer)).unzip();
    // A sender that hung up does not need its answer; what it sent is kept all the same.
    match together(inner, &prepared, packer).await {
        Ok(accepted) => {
            // Told, and forgotten, where requests are answered: the next group begins meanwhile.
            told.spawn(async move {
                for (answer, accepted) in answers.into_iter().zip(accepted) {
                    let _ = answer.send(Ok(accepted));
                }
                drop(prepared);
            });
        }
        // A full disk or a locked file is the same for each of them.
        Err(StoreError::Busy(reason)) => {
            for answer in answers {
                let _ = answer.send(Err(StoreError::Busy(reason.clone())));
            }
        }
        Err(StoreError::Damaged(reason)) => {
            for answer in answers {
                let _ = answer.send(Err(StoreError::Damaged(reason.clone())));
            }
        }
        Err(error) if prepared.len() > 1 => {
            // One bad request must not take the others with it.
            tracing::warn!(%error, deliveries = prepared.len(), "a group is committed one by one");
            for (prepared, answer) in prepared.iter().zip(answers) {
                let one = together(inner, std::slice::from_ref(prepared), packer).await;
                let _ = answer.send(one.map(|mut one| one.remove(0)));
            }
        }
        Err(error) => {
            if let Some(answer) = answers.into_iter().next() {
                let _ = answer.send(Err(error));
            }
        }
    }
}

async fn together(inner: &Inner, group: &[Prepared], packer: &mut Packer) -> Result<Vec<Accepted>> {
    let written = write(inner, group, packer).await;
    match &written {
        Ok(_) => inner.commits.note(false),
        Err(StoreError::Busy(_) | StoreError::Damaged(_)) => inner.commits.note(true),
        // It is about the data.
        Err(_) => {}
    }
    written
}

async fn write(inner: &Inner, group: &[Prepared], packer: &mut Packer) -> Result<Vec<Accepted>> {
    let packs = packer.pack(group);
    let mut tx = inner.db.begin().await?;
    let (accepted, due) = accept::group(&mut tx, group, &packs, inner.clock.now()).await?;
    let filed = inner.unfiled.keep_up(&mut tx, group.len()).await?;
    let unfiled = if tx.is_postgres() { 0 } else { group.len() };
    // Other processes are told by the commit itself. Here who looks is asked only now: before the commit a look could have
    // begun that does not see it.
    let shared = inner.db.is_shared();
    tx.commit_here(shared && due.is_some()).await?;
    if !shared && due.is_some_and(|due| inner.is_news(due)) {
        inner.wake.notify_waiters();
    }
    inner.unfiled.note(unfiled, filed);
    inner.commits.deliveries.fetch_add(group.len() as u64, Ordering::Relaxed);
    inner.commits.transactions.fetch_add(1, Ordering::Relaxed);
    telemetry::measure(Metric::GroupSize, &[], group.len() as f64);
    Ok(accepted)
}

/// What the row of a delivery tells of its first event.
fn told(event: Event) -> Event {
    let Event { kind, repo, project, subject, sha, happening, .. } = event;
    Event { kind, repo, project, subject, sha, happening, ..Event::default() }
}

impl Store {
    /// Commits a delivery with everything that follows from it, together with all that arrived meanwhile. `Ok` means
    /// that it is synced to disk; after [`StoreError::Busy`] nothing of it was kept.
    pub async fn accept(&self, mut acceptance: Acceptance) -> Result<Accepted> {
        let body = std::mem::take(&mut acceptance.body);
        let size = body.len();
        let body = if size > bodies::PACK {
            // Off the threads that answer requests. The body goes as soon as it is packed.
            let packed = tokio::task::spawn_blocking(move || bodies::pack_alone(&body)).await;
            Body::Packed(packed.map_err(|_| gone())?)
        } else {
            Body::Plain(body)
        };
        if acceptance.requests.is_empty() {
            // No job takes its events; of the first its row tells some.
            acceptance.events = acceptance.events.into_iter().take(1).map(told).collect();
        }
        let (answer, answered) = oneshot::channel();
        let arrival = Arrival { prepared: Prepared { acceptance, size, body }, answer };
        self.inner.accepting.sender()?.send(arrival).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// How many deliveries were committed in how many transactions.
    pub fn commits(&self) -> Commits {
        Commits {
            deliveries: self.inner.commits.deliveries.load(Ordering::Relaxed),
            transactions: self.inner.commits.transactions.load(Ordering::Relaxed),
        }
    }
}
