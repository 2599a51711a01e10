//! Group commit: one transaction for every delivery that arrived while the last one was being committed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::errors::{Result, StoreError};
use super::{Inner, Store, accept};
use crate::model::acceptance::{Acceptance, Accepted};
use crate::telemetry::{self, Metric};

/// Deliveries in one transaction, at most.
const GROUP: usize = 256;

/// Deliveries that may wait for the next transaction; what is over waits in its own request.
const WAITING: usize = 1024;

/// Bodies above this are packed off the threads that answer requests.
const LARGE: usize = 256 * 1024;

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
}

/// A delivery with what can be prepared outside of the transaction.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) acceptance: Acceptance,
    /// The body as an LZ4 block with its size in front.
    pub(super) body: Vec<u8>,
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
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Accepting {
    /// Starts the task that commits groups. It ends with the last handle of the store, or when it is closed.
    pub(super) fn start(store: Weak<Inner>) -> Self {
        let (arrivals, mut arriving) = mpsc::channel(WAITING);
        let writer = tokio::spawn(async move {
            let mut group = Vec::with_capacity(GROUP);
            while arriving.recv_many(&mut group, GROUP).await > 0 {
                let Some(inner) = store.upgrade() else { return };
                commit(&inner, &mut group).await;
            }
        });
        Self { arrivals: Mutex::new(Some(arrivals)), writer: Mutex::new(Some(writer)) }
    }

    /// Takes nothing more, and waits until everything that was taken is answered.
    pub(super) async fn close(&self) {
        drop(self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer failed");
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
async fn commit(inner: &Arc<Inner>, group: &mut Vec<Arrival>) {
    let (prepared, answers): (Vec<_>, Vec<_>) = group.drain(..).map(|it| (it.prepared, it.answer)).unzip();
    // A sender that hung up does not need its answer; what it sent is kept all the same.
    match together(inner, &prepared).await {
        Ok(accepted) => {
            for (answer, accepted) in answers.into_iter().zip(accepted) {
                let _ = answer.send(Ok(accepted));
            }
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
                let one = together(inner, std::slice::from_ref(prepared)).await;
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

async fn together(inner: &Inner, group: &[Prepared]) -> Result<Vec<Accepted>> {
    let mut tx = inner.db.begin().await?;
    let (accepted, due) = accept::group(&mut tx, group, inner.clock.now()).await?;
    if due {
        tx.commit_and_wake().await?;
    } else {
        tx.commit().await?;
    }
    inner.commits.deliveries.fetch_add(group.len() as u64, Ordering::Relaxed);
    inner.commits.transactions.fetch_add(1, Ordering::Relaxed);
    telemetry::measure(Metric::GroupSize, &[], group.len() as f64);
    Ok(accepted)
}

impl Store {
    /// Commits a delivery with everything that follows from it, together with all that arrived meanwhile. `Ok` means
    /// that it is synced to disk; after [`StoreError::Busy`] nothing of it was kept.
    pub async fn accept(&self, acceptance: Acceptance) -> Result<Accepted> {
        let body = acceptance.body.clone();
        let body = if body.len() > LARGE {
            tokio::task::spawn_blocking(move || lz4_flex::block::compress_prepend_size(&body))
                .await
                .map_err(|_| gone())?
        } else {
            lz4_flex::block::compress_prepend_size(&body)
        };
        let (answer, answered) = oneshot::channel();
        let arrival = Arrival { prepared: Prepared { acceptance, body }, answer };
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
