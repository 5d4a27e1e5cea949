//! The only reader of time: everything else takes instants as arguments or asks here.

use jiff::Timestamp;

/// The time of day, for what is written down (conditions, leases, events).
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock that never jumps, for intervals and deadlines; it is Tokio's, so that tests can pause it.
pub fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
