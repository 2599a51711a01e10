//! Waiting for what another process does, and how much of the proof a run of it asks for.

use std::time::Duration;

/// Asks again and again until it is so. Nothing tells when another process is done, hence the looks in between; the bound
/// is there only so that a test that waits in vain ends.
pub(crate) async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(ask).await.unwrap_or_else(|| panic!("waited in vain for {what}"))
}

/// The same for somebody who can tell more about what did not happen.
pub(crate) async fn soon<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    for _ in 0..4800 {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// Whether everything is tried instead of a sample.
pub(crate) fn long() -> bool {
    std::env::var_os("HOOKRUN_TEST_LONG").is_some()
}

/// The number in a variable of the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
