//! Waiting for conditions, never for time.

use std::fmt::Debug;
use std::time::Duration;

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(10);
/// How long it may take; far beyond what it takes, so that only a condition that never comes fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` gives what `wanted` accepts and returns it; panics with what was seen last.
pub async fn until<T: Debug>(what: &str, mut look: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    until_every(what, PERIOD, PATIENCE, async || look(), wanted).await
}

/// Like [`until`], for looks that take time themselves: one every `period`, for `patience` at most.
pub async fn until_every<T: Debug>(
    what: &str,
    period: Duration,
    patience: Duration,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited {patience:?} for {what}; last seen: {seen:?}"
        );
        tokio::time::sleep(period).await;
    }
}
