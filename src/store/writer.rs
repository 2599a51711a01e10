//! Group commit: one transaction for every delivery that arrived while the last one was being committed.

use std::sync::Weak;

use tokio::sync::{mpsc, oneshot};

use super::errors::{Result, StoreError};
use super::{Inner, Store, accept, sqlite};
use crate::model::acceptance::{Acceptance, Accepted};

/// Deliveries in one transaction, at most.
const GROUP: usize = 256;

/// Deliveries that may wait for the next transaction; what is over waits in its own request.
const WAITING: usize = 1024;

/// A delivery that waits for its commit.
#[derive(Debug)]
pub(super) struct Arrival {
    acceptance: Acceptance,
    answer: oneshot::Sender<Result<Accepted>>,
}

pub(super) type Accepting = mpsc::Sender<Arrival>;
pub(super) type Arrivals = mpsc::Receiver<Arrival>;

pub(super) fn channel() -> (Accepting, Arrivals) {
    mpsc::channel(WAITING)
}

/// Starts the task that commits groups. It ends with the last handle of the store.
pub(super) fn spawn(store: &Store, mut arrivals: Arrivals) {
    let inner = std::sync::Arc::downgrade(&store.inner);
    tokio::spawn(async move {
        let mut group = Vec::with_capacity(GROUP);
        while arrivals.recv_many(&mut group, GROUP).await > 0 {
            if !commit(&inner, &mut group).await {
                return;
            }
        }
    });
}

/// Commits one group and answers everybody in it; false once the store is gone.
async fn commit(inner: &Weak<Inner>, group: &mut Vec<Arrival>) -> bool {
    let Some(inner) = inner.upgrade() else { return false };
    let (acceptances, answers): (Vec<_>, Vec<_>) = group.drain(..).map(|it| (it.acceptance, it.answer)).unzip();
    let mut writer = inner.writer.lock().await;
    match together(&mut writer, &inner, &acceptances).await {
        Ok(accepted) => {
            inner.wake.notify_waiters();
            for (answer, accepted) in answers.into_iter().zip(accepted) {
                // A sender that hung up does not need the answer; what it sent is kept all the same.
                let _ = answer.send(Ok(accepted));
            }
        }
        Err(_) if acceptances.len() > 1 => {
            // One bad request must not take the others with it.
            for (acceptance, answer) in acceptances.iter().zip(answers) {
                let one = together(&mut writer, &inner, std::slice::from_ref(acceptance)).await;
                let _ = answer.send(one.map(|mut one| one.remove(0)));
            }
            inner.wake.notify_waiters();
        }
        Err(error) => {
            if let Some(answer) = answers.into_iter().next() {
                let _ = answer.send(Err(error));
            }
        }
    }
    true
}

async fn together(writer: &mut sqlite::Conn, inner: &Inner, group: &[Acceptance]) -> Result<Vec<Accepted>> {
    let mut tx = sqlite::begin(writer).await?;
    let accepted = accept::group(&mut tx, group, inner.clock.now()).await?;
    tx.commit().await?;
    Ok(accepted)
}

impl Store {
    /// Commits a delivery with everything that follows from it. `Ok` means that it is synced to disk.
    pub async fn accept(&self, acceptance: Acceptance) -> Result<Accepted> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Busy("the writer has ended".into());
        self.inner.accepting.send(Arrival { acceptance, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
