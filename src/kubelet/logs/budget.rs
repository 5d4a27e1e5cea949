//! How often each followed log may be read, so that all of them together stay within ECI's limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of the 500 calls a minute that ECI documents for reading logs and running commands, those that followers may use; the
/// rest is for requests without follow, and for exec.
const DOCUMENTED_PER_MINUTE: f64 = 400.0;
/// The part of the budget that goes to streams which have just produced lines.
const ACTIVE_SHARE: f64 = 0.8;

/// Shares the calls for following logs among all streams of the process. Streams that produced lines lately are read more
/// often than silent ones.
#[derive(Clone, Debug)]
pub struct LogBudget {
    shared: Arc<Mutex<Streams>>,
    /// Calls a minute; `None` = no limit.
    per_minute: Option<f64>,
    active_at_least: Duration,
    idle_at_least: Duration,
}

#[derive(Debug, Default)]
struct Streams {
    active: u32,
    idle: u32,
}

/// A stream's place in the budget; it ends when dropped.
#[derive(Debug)]
pub struct Share {
    budget: LogBudget,
    active: bool,
}

impl LogBudget {
    /// A budget within the documented limit, or none at all.
    pub fn new(limited: bool) -> Self {
        Self {
            shared: Arc::default(),
            per_minute: limited.then_some(DOCUMENTED_PER_MINUTE),
            active_at_least: Duration::from_millis(500),
            idle_at_least: Duration::from_secs(2),
        }
    }

    /// A budget that lets tests run fast.
    #[cfg(test)]
    pub(crate) fn hasty() -> Self {
        let pause = Duration::from_millis(1);
        Self {
            active_at_least: pause,
            idle_at_least: pause,
            ..Self::new(false)
        }
    }

    /// Adds a stream, active at first.
    pub fn join(&self) -> Share {
        self.lock().active += 1;
        Share {
            budget: self.clone(),
            active: true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// The pause before this stream's next reading, given whether it produces lines. The pauses of all streams are such that
    /// their calls together stay within the budget.
    pub fn pause(&mut self, active: bool) -> Duration {
        let mut streams = self.budget.lock();
        if active != self.active {
            self.active = active;
            if active {
                streams.active += 1;
                streams.idle = streams.idle.saturating_sub(1);
            } else {
                streams.idle += 1;
                streams.active = streams.active.saturating_sub(1);
            }
        }
        let (at_least, count, share) = if active {
            (self.budget.active_at_least, streams.active, ACTIVE_SHARE)
        } else {
            (self.budget.idle_at_least, streams.idle, 1.0 - ACTIVE_SHARE)
        };
        let fair = match self.budget.per_minute {
            Some(per_minute) => Duration::from_secs_f64(f64::from(count) * 60.0 / (per_minute * share)),
            None => Duration::ZERO,
        };
        fair.max(at_least)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut streams = self.budget.lock();
        let count = if self.active {
            &mut streams.active
        } else {
            &mut streams.idle
        };
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls a minute of `streams` when each pauses as told.
    fn calls(streams: &mut [(Share, bool)]) -> f64 {
        // Twice, because the first to ask does not know yet what the others will be.
        for (share, active) in streams.iter_mut() {
            share.pause(*active);
        }
        streams
            .iter_mut()
            .map(|(share, active)| 60.0 / share.pause(*active).as_secs_f64())
            .sum()
    }

    #[test]
    fn few_streams_are_read_as_often_as_is_useful() {
        let budget = LogBudget::new(true);
        let mut share = budget.join();
        assert_eq!(share.pause(true), Duration::from_millis(500));
        assert_eq!(share.pause(false), Duration::from_secs(2));
    }

    #[test]
    fn many_streams_stay_within_the_budget_and_silent_ones_wait() {
        let budget = LogBudget::new(true);
        let mut streams: Vec<(Share, bool)> = (0..500).map(|n| (budget.join(), n % 10 == 0)).collect();
        assert!(calls(&mut streams) <= DOCUMENTED_PER_MINUTE + 1e-6);
        let active = streams[0].0.pause(true);
        let idle = streams[1].0.pause(false);
        assert!(active < idle / 10, "{active:?} {idle:?}");
        streams.truncate(1);
        assert_eq!(
            streams[0].0.pause(true),
            Duration::from_millis(500),
            "ended streams no longer count"
        );
    }
}
