//! Bytes in flight over all requests, counted as they arrive: small bodies have a share that large ones cannot touch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of bodies may be held at once.
#[derive(Debug)]
pub(super) struct Budget {
    /// A body up to this many bytes counts as small.
    small_is: usize,
    small: Share,
    large: Share,
}

#[derive(Debug)]
struct Share {
    size: usize,
    held: AtomicUsize,
}

impl Share {
    fn take(&self, bytes: usize) -> bool {
        self.held
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= self.size)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Budget {
    /// A budget in which bodies up to `small_is` bytes share `small_share` bytes, and larger ones `large_share`.
    pub(super) fn new(small_is: usize, small_share: usize, large_share: usize) -> Arc<Self> {
        Arc::new(Self {
            small_is,
            small: Share { size: small_share, held: AtomicUsize::new(0) },
            large: Share { size: large_share, held: AtomicUsize::new(0) },
        })
    }

    /// Begins to count one body. `announced` is its `Content-Length`: it only tells which share the body belongs to.
    pub(super) fn begin(self: &Arc<Self>, announced: Option<u64>) -> Holding {
        let large = announced.is_some_and(|bytes| bytes > self.small_is as u64);
        Holding { budget: Arc::clone(self), bytes: 0, large }
    }
}

/// The bytes that one body holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Holding {
    budget: Arc<Budget>,
    bytes: usize,
    large: bool,
}

impl Holding {
    /// Whether it takes room from the small bodies of others: their share is three quarters full, and it is one of them.
    pub(super) fn crowds(&self) -> bool {
        let small = &self.budget.small;
        !self.large && small.held.load(Ordering::Acquire) > small.size / 4 * 3
    }

    /// Counts `more` bytes that have arrived; `false` when they do not fit. A body that outgrows the small share's
    /// limit moves to the large share with all that it holds.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let bytes = self.bytes + more;
        let fits = if self.large {
            self.budget.large.take(more)
        } else if bytes <= self.budget.small_is {
            self.budget.small.take(more)
        } else {
            let moved = self.budget.large.take(bytes);
            if moved {
                self.budget.small.give_back(self.bytes);
                self.large = true;
            }
            moved
        };
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let share = if self.large { &self.budget.large } else { &self.budget.small };
        share.give_back(self.bytes);
    }
}
