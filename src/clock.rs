//! The only reader of time: everything else takes instants as arguments or asks here.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

thread_local! {
    /// Where a simulation's time of day began; none = this is no simulation.
    static SIMULATED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The time of day, for what is written down (conditions, leases, events).
pub fn now() -> Timestamp {
    match SIMULATED.get() {
        None => Timestamp::now(),
        Some((start, since)) => {
            let passed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
            start.saturating_add(passed).unwrap_or(Timestamp::MAX)
        }
    }
}

/// A clock that never jumps, for intervals and deadlines; it is Tokio's, so that tests can pause it.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// From here on the time of day, on this thread, is `start` and what passes by [`monotonic`]: simulations pause Tokio's
/// clock, and both must tell the same. Nothing but a test calls this.
pub fn simulate(start: Timestamp) {
    SIMULATED.set(Some((start, Instant::now())));
}
