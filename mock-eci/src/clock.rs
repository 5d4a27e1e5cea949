//! The only reader of time in this crate.
//!
//! Time is Tokio's monotonic clock on top of the wall clock read once at start, plus what steering has added: it never
//! goes back, it can be jumped forward (`POST /mock/advance`), and it stands still and jumps by itself in tests that pause
//! Tokio's time. In [`Mode::Stepped`] it moves by steering alone. Steering may change between the two at any time, and may
//! make a running clock run faster or slower than outside.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By itself, plus jumps.
    #[default]
    #[serde(rename = "running", alias = "auto")]
    Auto,
    /// Only by jumps.
    Stepped,
}

/// How fast a running clock may be, against outside.
pub const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=100_000.0;

/// A shared clock; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Timestamp,
    origin: Instant,
    hand: Mutex<Hand>,
    /// Tells sleepers that time has jumped, or passes otherwise than before.
    jumps: watch::Sender<u64>,
}

/// Where the hand of the clock was when it was last touched, and how it moves since.
#[derive(Clone, Copy, Debug)]
struct Hand {
    at: Timestamp,
    since: Instant,
    mode: Mode,
    speed: f64,
}

impl Hand {
    fn now(&self) -> Timestamp {
        match self.mode {
            Mode::Stepped => self.at,
            Mode::Auto => {
                let passed = self.since.elapsed();
                // Exact where it can be: a test compares times.
                let passed = match self.speed == 1.0 {
                    true => passed,
                    false => Duration::try_from_secs_f64(passed.as_secs_f64() * self.speed).unwrap_or(Duration::MAX),
                };
                later(self.at, passed)
            }
        }
    }

    /// How long a sleeper has to wait outside until this much has passed by the clock.
    fn outside(&self, rest: Duration) -> Duration {
        match self.speed == 1.0 {
            true => rest,
            false => Duration::try_from_secs_f64(rest.as_secs_f64() / self.speed).unwrap_or(Duration::MAX),
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl Clock {
    /// A clock that starts at the wall clock's time.
    pub fn new(mode: Mode) -> Self {
        Self::starting_at(mode, Timestamp::now())
    }

    /// A clock that starts at a given time.
    pub fn starting_at(mode: Mode, start: Timestamp) -> Self {
        let origin = Instant::now();
        Self(Arc::new(Inner {
            start,
            origin,
            hand: Mutex::new(Hand {
                at: start,
                since: origin,
                mode,
                speed: 1.0,
            }),
            jumps: watch::Sender::new(0),
        }))
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.0.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time now.
    pub fn now(&self) -> Timestamp {
        self.hand().now()
    }

    /// How time passes.
    pub fn mode(&self) -> Mode {
        self.hand().mode
    }

    /// How fast it passes while it runs; 1 = as outside.
    pub fn speed(&self) -> f64 {
        self.hand().speed
    }

    /// Time now as somebody sees it who knows of no jumps: wall clock at start plus what has passed since.
    pub fn unsteered(&self) -> Timestamp {
        later(self.0.start, self.0.origin.elapsed())
    }

    /// The machine's wall clock, whatever this clock says.
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Touches the hand where it is now, and wakes every sleeper.
    fn touch(&self, change: impl FnOnce(&mut Hand)) {
        let mut hand = self.hand();
        hand.at = hand.now();
        hand.since = Instant::now();
        change(&mut hand);
        drop(hand);
        self.0.jumps.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Jumps forward and wakes every sleeper.
    pub fn advance(&self, by: Duration) {
        self.touch(|hand| hand.at = later(hand.at, by));
    }

    /// Jumps to a time; false = it lies in the past, and time never goes back.
    pub fn jump_to(&self, time: Timestamp) -> bool {
        let mut jumped = false;
        self.touch(|hand| {
            jumped = time >= hand.at;
            hand.at = hand.at.max(time);
        });
        jumped
    }

    /// Changes how time passes from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.touch(|hand| hand.mode = mode);
    }

    /// Changes how fast it passes while it runs, within [`SPEEDS`].
    pub fn set_speed(&self, speed: f64) {
        let speed = if speed.is_nan() { 1.0 } else { speed };
        self.touch(|hand| hand.speed = speed.clamp(*SPEEDS.start(), *SPEEDS.end()));
    }

    /// Sleeps until this time is reached, by passing or by a jump.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        let mut jumps = self.0.jumps.subscribe();
        loop {
            let hand = *self.hand();
            let now = hand.now();
            if now >= deadline {
                return;
            }
            match hand.mode {
                Mode::Stepped => drop(jumps.changed().await),
                Mode::Auto => {
                    let rest = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
                    tokio::select! {
                        () = tokio::time::sleep(hand.outside(rest)) => {}
                        _ = jumps.changed() => {}
                    }
                }
            }
        }
    }

    /// Sleeps for this long by this clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(later(self.now(), duration)).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn passed(clock: &Clock, since: Timestamp) -> i64 {
        i64::try_from(clock.now().duration_since(since).as_millis()).expect("small")
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_steps_and_jumps() {
        let clock = Clock::new(Mode::Auto);
        let start = clock.now();
        tokio::time::advance(SECOND).await;
        assert_eq!(passed(&clock, start), 1_000);
        clock.set_mode(Mode::Stepped);
        tokio::time::advance(SECOND).await;
        assert_eq!(passed(&clock, start), 1_000, "it stands");
        clock.advance(SECOND);
        assert_eq!(passed(&clock, start), 2_000);
        clock.set_mode(Mode::Auto);
        clock.set_speed(10.0);
        tokio::time::advance(SECOND).await;
        assert_eq!(passed(&clock, start), 12_000);
        assert!(clock.jump_to(start + SignedDuration::from_secs(20)));
        assert!(!clock.jump_to(start), "never back");
        assert_eq!(passed(&clock, start), 20_000);
    }

    #[tokio::test(start_paused = true)]
    async fn sleepers_follow_every_change() {
        let clock = Clock::new(Mode::Stepped);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep(Duration::from_secs(100)).await })
        };
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(50));
        clock.set_mode(Mode::Auto);
        clock.set_speed(50.0);
        let outside = Instant::now();
        sleeper.await.expect("it wakes");
        assert!(
            (1_000..1_010).contains(&outside.elapsed().as_millis()),
            "50 s at speed 50"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is done to it, it never goes back.
        #[test]
        fn it_never_goes_back(steps in prop::collection::vec((0..5_u8, any::<u64>()), 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(async {
                let clock = Clock::new(Mode::Auto);
                let mut last = clock.now();
                for (what, n) in steps {
                    match what {
                        0 => clock.advance(Duration::from_millis(n)),
                        1 => drop(clock.jump_to(Timestamp::from_second((n % 200_000_000_000) as i64).unwrap_or(Timestamp::MAX))),
                        2 => clock.set_mode(Mode::Stepped),
                        3 => clock.set_mode(Mode::Auto),
                        _ => clock.set_speed(f64::from_bits(n)),
                    }
                    let now = clock.now();
                    assert!(now >= last, "{last} {now}");
                    last = now;
                }
            });
        }
    }
}
