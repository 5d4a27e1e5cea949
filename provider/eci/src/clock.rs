//! The only reader of the time of day in this crate. Waiting uses tokio's clock, which tests can pause.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Tells the time of day.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// How far the cloud's clock is ahead of ours, as learned from an answer that refused our date.
///
/// ECI accepts 15 minutes either way. A machine that is further off could sign nothing at all, so we sign by the
/// cloud's time.
#[derive(Debug, Default)]
pub(crate) struct Skew(AtomicI64);

impl Skew {
    pub(crate) fn learn(&self, ours: Timestamp, theirs: Timestamp) {
        self.0.store(theirs.as_second() - ours.as_second(), Ordering::Relaxed);
    }

    pub(crate) fn correct(&self, ours: Timestamp) -> Timestamp {
        let skew = SignedDuration::from_secs(self.0.load(Ordering::Relaxed));
        ours.checked_add(skew).unwrap_or(ours)
    }
}
