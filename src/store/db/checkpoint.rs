//! The log of a SQLite file is folded into it behind the commits, by a thread of its own: done within a commit, everybody
//! would wait for it. Only the last of a log that grew large is left to one of them, see `sqlite.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::sqlite;
use crate::store::errors::{Result, StoreError};

/// How long commits gather in the log until it is folded. Short: the disk is busy for as long as much is folded at once, and
/// commits wait for it.
const GATHER: Duration = Duration::from_millis(10);

/// What folds the log of one file, until it is closed or dropped.
#[derive(Debug)]
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Something was committed since the log was folded last.
    news: AtomicBool,
    ended: AtomicBool,
}

impl Checkpoints {
    /// Starts the thread for the log of a file.
    pub(super) fn start(path: PathBuf) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(move || fold(&path, &told));
        let thread =
            thread.map_err(|error| StoreError::Busy(format!("there is no thread for checkpoints: {error}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Tells of a commit.
    pub(super) fn note(&self) {
        if !self.shared.news.swap(true, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Ends the thread and waits for it.
    pub(super) fn close(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of checkpoints failed");
        }
    }

    fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.thread().unpark();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.wake();
    }
}

fn fold(path: &Path, told: &Shared) {
    let mut conn = None;
    let mut failing = false;
    loop {
        while !told.news.load(Ordering::Relaxed) && !told.ended.load(Ordering::Relaxed) {
            thread::park();
        }
        if !told.ended.load(Ordering::Relaxed) {
            thread::sleep(GATHER);
        }
        if told.ended.load(Ordering::Relaxed) {
            return;
        }
        told.news.store(false, Ordering::Relaxed);
        // PASSIVE waits for nobody and nobody waits for it; what it leaves is for the next time.
        let folded = conn.take().map_or_else(|| sqlite::folder(path), Ok).and_then(|open| {
            open.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
            conn = Some(open);
            Ok(())
        });
        if let (Err(error), false) = (&folded, failing) {
            tracing::warn!(%error, "the log of the database cannot be folded into its file, and grows until it can");
        }
        failing = folded.is_err();
    }
}
