//! What tests of several rooms share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookrun::model::clock::{Clock, Timestamp};

/// When every test begins: noon of 1 March 2026, UTC.
pub(crate) const START: Timestamp = Timestamp(1_772_366_400_000);

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at [`START`].
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START.0)))
    }

    /// Sets it to a moment, earlier ones included.
    pub(crate) fn set(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::SeqCst);
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// Installs the crypto of TLS, once for the process.
pub(crate) fn install_tls() {
    // The second test in the process finds it installed; that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Asks a process of its own again and again until it answers what is waited for. Nothing tells when it is so, hence the
/// looks in between; the bound is there only so that a test that waits in vain ends.
pub(crate) async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain for {what}");
}
