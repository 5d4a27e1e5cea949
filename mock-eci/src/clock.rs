//! The only reader of time in this crate.
//!
//! Time is Tokio's monotonic clock on top of the wall clock read once at start, plus what steering has added: it never
//! goes back, it can be jumped forward (`POST /mock/advance`), and it stands still and jumps by itself in tests that pause
//! Tokio's time. In [`Mode::Stepped`] it moves by steering alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As outside, plus jumps.
    #[default]
    Auto,
    /// Only by jumps.
    Stepped,
}

/// A shared clock; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mode: Mode,
    start: Timestamp,
    origin: Instant,
    /// Nanoseconds added by steering.
    offset: AtomicI64,
    /// Tells sleepers that time has jumped.
    jumps: watch::Sender<u64>,
}

impl Clock {
    /// A clock that starts at the wall clock's time.
    pub fn new(mode: Mode) -> Self {
        Self::starting_at(mode, Timestamp::now())
    }

    /// A clock that starts at a given time.
    pub fn starting_at(mode: Mode, start: Timestamp) -> Self {
        Self(Arc::new(Inner {
            mode,
            start,
            origin: Instant::now(),
            offset: AtomicI64::new(0),
            jumps: watch::Sender::new(0),
        }))
    }

    /// Time now.
    pub fn now(&self) -> Timestamp {
        let inner = &*self.0;
        let passed = match inner.mode {
            Mode::Auto => inner.origin.elapsed(),
            Mode::Stepped => Duration::ZERO,
        };
        let passed = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        let since_start = passed.saturating_add(inner.offset.load(Ordering::Acquire));
        inner
            .start
            .saturating_add(SignedDuration::from_nanos(since_start))
            .unwrap_or(Timestamp::MAX)
    }

    /// Time now as somebody sees it who knows of no jumps: wall clock at start plus what has passed since.
    pub fn unsteered(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.0.origin.elapsed()).unwrap_or(SignedDuration::MAX);
        self.0.start.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// The machine's wall clock, whatever this clock says.
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Jumps forward and wakes every sleeper.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        // Saturating, so that no sum of jumps can turn time back.
        let add = |offset: i64| Some(offset.saturating_add(by));
        let _ = self.0.offset.try_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.0.jumps.send_modify(|n| *n += 1);
    }

    /// Sleeps until this time is reached, by passing or by a jump.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        let mut jumps = self.0.jumps.subscribe();
        loop {
            let now = self.now();
            if now >= deadline {
                return;
            }
            match self.0.mode {
                Mode::Stepped => drop(jumps.changed().await),
                Mode::Auto => {
                    let rest = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
                    tokio::select! {
                        () = tokio::time::sleep(rest) => {}
                        _ = jumps.changed() => {}
                    }
                }
            }
        }
    }

    /// Sleeps for this long by this clock.
    pub async fn sleep(&self, duration: Duration) {
        let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        self.sleep_until(self.now().saturating_add(duration).unwrap_or(Timestamp::MAX))
            .await;
    }
}
