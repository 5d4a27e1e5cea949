//! Chance that can be had again: `SEED=<number>` repeats what a test printed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cluster::say;

/// The variable that repeats a run.
const SEED: &str = "SEED";

/// A source of chance.
pub struct Chance {
    /// What it was made from.
    pub seed: u64,
    rng: StdRng,
}

impl Chance {
    /// From the seed that was asked for, or a new one, which is printed.
    pub fn new(test: &str) -> Self {
        let seed = match std::env::var(SEED) {
            Ok(text) if !text.is_empty() => text
                .parse()
                .unwrap_or_else(|_| panic!("SEED is '{text}': it must be a number")),
            _ => rand::random::<u32>().into(),
        };
        say(&format!("{test}: SEED={seed}"));
        Self::of(seed)
    }

    fn of(seed: u64) -> Self {
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Another source that depends on this one's seed and a number alone, so that two that are used at the same time do not
    /// disturb each other.
    pub fn branch(&self, number: u64) -> Self {
        Self::of(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// True for `percent` of a hundred.
    pub fn is(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.rng.random_range(0..end)
    }

    /// That many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.rng.fill(&mut bytes[..]);
        bytes
    }

    /// A time of less than `end`.
    pub fn within(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.rng.random_range(0..end.as_micros().max(1) as u64))
    }
}
