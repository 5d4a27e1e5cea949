//! A token bucket with a memory of the last minute, and a brake.
//!
//! The brake is additive increase, multiplicative decrease: each throttling answer (counted once a second, as answers
//! to one burst arrive together) halves the rate down to 1/16 and empties the bucket; every second without one gives
//! back 1/20 of the full rate.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Rate;

/// Seconds kept: 60, and one because the oldest is only partly within the minute.
const SLOTS: usize = 61;
const LEAST_FACTOR: f64 = 1.0 / 16.0;
const RECOVERY_PER_SECOND: f64 = 1.0 / 20.0;

/// Permits for one action.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    // The head of the queue holds this while it waits; tokio's mutex is first come, first served, and a waiter that is
    // dropped leaves the queue.
    queue: tokio::sync::Mutex<()>,
    // Apart, so that the brake can be pulled while somebody waits. Never held across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    at: Instant,
    start: Instant,
    /// Calls per second of age, by `second % SLOTS`.
    recent: [u32; SLOTS],
    second: u64,
    /// Share of the full rate in force.
    factor: f64,
    slowed: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let now = Instant::now();
        let state = State {
            tokens: f64::from(rate.burst),
            at: now,
            start: now,
            recent: [0; SLOTS],
            second: 0,
            factor: 1.0,
            slowed: None,
        };
        Self {
            rate,
            queue: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    /// Waits for a permit and takes it. Returns how long that took.
    pub(super) async fn acquire(&self) -> Duration {
        let asked = Instant::now();
        let _head = self.queue.lock().await;
        loop {
            let now = Instant::now();
            let taken = self.state().take(self.rate, now);
            match taken {
                Ok(()) => return now - asked,
                Err(earliest) => sleep_until(earliest).await,
            }
        }
    }

    /// Halves the rate and empties the bucket.
    pub(super) fn slow_down(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.advance(self.rate, now);
        if state.slowed.is_none_or(|slowed| now - slowed >= Duration::from_secs(1)) {
            state.factor = (state.factor / 2.0).max(LEAST_FACTOR);
            state.slowed = Some(now);
        }
        state.tokens = 0.0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a token, or says when to ask again.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Instant> {
        self.advance(rate, now);
        if let Some(until) = self.minute_is_full(rate) {
            return Err(until);
        }
        // A hair below one, so that rounding cannot leave a token that is due just out of reach.
        if self.tokens < 1.0 - 1e-9 {
            let missing = (1.0 - self.tokens) / self.per_second(rate);
            // Timers have a resolution of one millisecond.
            return Err(now + Duration::from_secs_f64(missing).max(Duration::from_millis(1)));
        }
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.recent[slot(self.second)] += 1;
        Ok(())
    }

    /// Brings tokens, the brake and the memory up to `now`.
    fn advance(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * self.per_second(rate)).min(f64::from(rate.burst));
        self.factor = (self.factor + passed * RECOVERY_PER_SECOND).min(1.0);

        let second = now.saturating_duration_since(self.start).as_secs();
        for forgotten in (self.second + 1..=second).take(SLOTS) {
            self.recent[slot(forgotten)] = 0;
        }
        if second > self.second + SLOTS as u64 {
            self.recent = [0; SLOTS];
        }
        self.second = second;
    }

    fn per_second(&self, rate: Rate) -> f64 {
        f64::from(rate.per_minute) / 60.0 * self.factor
    }

    /// When the oldest calls leave the last minute, if that is full.
    fn minute_is_full(&self, rate: Rate) -> Option<Instant> {
        if self.recent.iter().sum::<u32>() < rate.per_minute {
            return None;
        }
        let oldest =
            (self.second.saturating_sub(SLOTS as u64 - 1)..=self.second).find(|&s| self.recent[slot(s)] > 0)?;
        Some(self.start + Duration::from_secs(oldest + SLOTS as u64))
    }
}

fn slot(second: u64) -> usize {
    // The remainder is below SLOTS.
    (second % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate { per_minute, burst }
    }

    /// Seconds after the start at which each of `n` permits was granted.
    async fn granted(bucket: &Bucket, n: usize) -> Vec<f64> {
        let start = Instant::now();
        let mut times = Vec::with_capacity(n);
        for _ in 0..n {
            bucket.acquire().await;
            times.push((Instant::now() - start).as_secs_f64());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate() {
        let times = granted(&Bucket::new(rate(600, 5)), 15).await;
        assert!(times[..5].iter().all(|t| *t == 0.0), "{times:?}");
        for (i, time) in times[5..].iter().enumerate() {
            let due = 0.1 * (i + 1) as f64;
            assert!((time - due).abs() < 0.011, "permit {} at {time}, due at {due}", i + 5);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_ever_has_more_than_its_share() {
        let times = granted(&Bucket::new(rate(1000, 100)), 3000).await;
        for (i, begin) in times.iter().enumerate() {
            let within = times[i..].iter().take_while(|t| **t < begin + 60.0).count();
            assert!(within <= 1000, "{within} calls in the 60 s after {begin}");
        }
        let last = times.last().copied().unwrap_or_default();
        assert!(last < 185.0, "3000 permits at 1000 a minute took {last} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_rest_fills_the_bucket_and_no_more() {
        let bucket = Bucket::new(rate(600, 5));
        granted(&bucket, 5).await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        let times = granted(&bucket, 6).await;
        assert_eq!(times[4], 0.0);
        assert!(times[5] > 0.09, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn first_come_first_served_and_who_leaves_makes_room() {
        let bucket = Arc::new(Bucket::new(rate(60, 1)));
        bucket.acquire().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiters = Vec::new();
        for i in 0..4 {
            let (bucket, order) = (bucket.clone(), order.clone());
            waiters.push(tokio::spawn(async move {
                bucket.acquire().await;
                order.lock().expect("no panic").push(i);
            }));
            tokio::task::yield_now().await;
        }
        let start = Instant::now();
        waiters.remove(1).abort();
        for waiter in waiters {
            waiter.await.expect("granted");
        }
        assert_eq!(*order.lock().expect("no panic"), [0, 2, 3]);
        let took = start.elapsed().as_secs_f64();
        assert!(
            (took - 3.0).abs() < 0.02,
            "three permits at one a second took {took} s: the one who left took none"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_halves_the_rate_and_time_gives_it_back() {
        let bucket = Bucket::new(rate(600, 10));
        bucket.slow_down();
        bucket.slow_down();
        let first = granted(&bucket, 1).await[0];
        assert!(
            (0.18..0.21).contains(&first),
            "half of 10 a second, counted once for one burst: {first}"
        );
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(1)).await;
            bucket.slow_down();
        }
        let slowest = granted(&bucket, 1).await[0];
        assert!((0.8..1.7).contains(&slowest), "near a sixteenth: {slowest}");
        tokio::time::advance(Duration::from_secs(30)).await;
        let times = granted(&bucket, 11).await;
        assert!((times[10] - 0.1).abs() < 0.02, "the full rate again: {times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_brake_works_while_somebody_waits() {
        let bucket = Arc::new(Bucket::new(rate(60, 1)));
        bucket.acquire().await;
        let waiter = tokio::spawn({
            let bucket = bucket.clone();
            async move { bucket.acquire().await }
        });
        tokio::task::yield_now().await;
        bucket.slow_down();
        let waited = waiter.await.expect("granted");
        assert!(waited > Duration::from_millis(1500), "half the rate: {waited:?}");
    }
}
