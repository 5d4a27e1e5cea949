//! Chance. What is drawn depends on the seed, on whom it is for and on what it decides, never on what else happens meanwhile:
//! tasks that take turns as they like would otherwise tell another story each time.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::scenario::{PerMille, Range};

/// What is decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decides {
    Schedule,
    NoStock,
    Pull,
    Start,
    StartError,
    Exit,
    ExitAfter,
    OutOfMemory,
    Stop,
}

/// The dice of a server, of one of its groups, or of one instance of a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Of a server.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Those of the one of this number.
    pub(super) fn of(self, number: u64) -> Self {
        Self(mix(self.0, number))
    }

    /// Those of the one of this name.
    pub(super) fn of_name(self, name: &str) -> Self {
        name.bytes().fold(self, |dice, byte| dice.of(byte.into()))
    }

    /// How long.
    pub(super) fn draw(self, what: Decides, range: Range) -> Duration {
        Duration::from_millis(match range.min < range.max {
            true => self.random(what).random_range(range.min..=range.max),
            false => range.min,
        })
    }

    /// Whether it belongs to a share.
    pub(super) fn is_one_of(self, what: Decides, share: PerMille) -> bool {
        share > PerMille::default() && share.includes(self.random(what).random_range(0..1_000))
    }

    fn random(self, what: Decides) -> StdRng {
        StdRng::seed_from_u64(mix(self.0, what as u64))
    }
}

/// The mixing function of SplitMix64, which has no fixed pattern between neighbours.
fn mix(a: u64, b: u64) -> u64 {
    let mut mixed = a ^ b.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_differ_and_all_of_a_range_comes() {
        let range = Range { min: 10, max: 19 };
        let mut seen = [0_u32; 10];
        for number in 0..10_000 {
            let dice = Dice::new(1).of(number).of_name("c").of(0);
            let drawn = dice.draw(Decides::Start, range).as_millis();
            seen[usize::try_from(drawn - 10).expect("in the range")] += 1;
            assert_eq!(dice.draw(Decides::Start, range).as_millis(), drawn);
        }
        assert!(seen.iter().all(|n| (850..1_150).contains(n)), "{seen:?}");
    }

    #[test]
    fn shares_are_shares() {
        for share in [0, 50, 1_000] {
            let per_mille = PerMille::try_from(share).expect("a share");
            let hit = (0..20_000)
                .filter(|n| Dice::new(7).of(*n).is_one_of(Decides::NoStock, per_mille))
                .count();
            let expected = usize::try_from(share * 20).expect("small");
            assert!(hit.abs_diff(expected) <= expected / 5, "{hit} of {expected}");
        }
    }
}
