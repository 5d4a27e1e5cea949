//! (pure) So many turns a second, and as many at once after a quiet second.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of turns.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    /// A full bucket.
    pub fn new(per_second: f64, now: Instant) -> Self {
        Self {
            per_second,
            left: per_second,
            at: now,
        }
    }

    /// Whether a turn may begin.
    pub fn allows(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.per_second);
        self.at = now;
        self.left >= 1.0
    }

    /// A turn begins.
    pub fn take(&mut self) {
        self.left -= 1.0;
    }

    /// When the next turn may begin.
    pub fn next(&self) -> Instant {
        let missing = (1.0 - self.left).max(0.0) / self.per_second;
        self.at + Duration::from_secs_f64(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_one_after_the_other() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, start);
        let mut began = 0;
        while pace.allows(start) {
            pace.take();
            began += 1;
        }
        assert_eq!(began, 10);
        let next = pace.next();
        assert_eq!(next - start, Duration::from_millis(100));
        assert!(!pace.allows(start + Duration::from_millis(99)));
        assert!(pace.allows(next));
        // Quiet for long is no more than one bucket.
        assert!(pace.allows(start + Duration::from_secs(60)));
        assert!(pace.left <= 10.0);
    }
}
