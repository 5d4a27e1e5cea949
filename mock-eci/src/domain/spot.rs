//! The spot market: what a size costs per hour in a zone, at any time. Pure: the same seed gives the same prices.
//!
//! ECI publishes no prices of the past and only says that spot is 30 to 90 % below the list. So every zone and size has a
//! level of its own between 15 and 45 % of the list price, around which the price moves from hour to hour, never below
//! 10 % and never above 70 %. Steering multiplies the prices of a zone from some moment on; even then spot never costs
//! more than the list price, as at ECI. Prices are whole 10⁻⁶ of the currency unit per hour.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::price::{Rates, Tariff};
use crate::{config::Currency, spec::Size};

/// A price holds for one hour of the clock.
const HOUR: i64 = 3_600;
/// So many hours lie between the points that the price runs through.
const HOURS_PER_KNOT: i64 = 6;
/// Prices are multiples of this many 10⁻⁹.
const STEP_NANO: u64 = 1_000;
/// Changes of a zone's factor that are remembered, so that what was billed stays as it was.
const MAX_FACTORS: usize = 1_000;
/// The factor of a zone that nobody steered.
const NO_FACTOR: u32 = 1_000;

/// The market of one account.
#[derive(Debug)]
pub struct SpotMarket {
    seed: u64,
    currency: Currency,
    /// By zone: since when, and by how many thousandths.
    factors: BTreeMap<String, VecDeque<(Timestamp, u32)>>,
}

/// The prices of a zone as they are steered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ZoneFactor {
    /// The zone.
    pub zone: String,
    /// What its prices are multiplied by.
    pub price_factor: f64,
}

impl SpotMarket {
    /// A market nobody has steered.
    pub fn new(seed: u64, currency: Currency) -> Self {
        Self {
            seed,
            currency,
            factors: BTreeMap::new(),
        }
    }

    /// Price of one hour of a size in a zone at a time, in 10⁻⁹ of the currency unit.
    pub fn price_nano_per_hour(&self, zone: &str, size: Size, at: Timestamp) -> u64 {
        self.share_of_list(self.list_nano_per_hour(size), zone, size, at)
    }

    /// The same for what has a list price of its own.
    pub fn tariff_nano_per_hour(&self, tariff: Tariff, zone: &str, size: Size, at: Timestamp) -> u64 {
        let list = tariff.amount_nano(self.currency, size, HOUR.unsigned_abs());
        self.share_of_list(list, zone, size, at)
    }

    fn share_of_list(&self, list: u64, zone: &str, size: Size, at: Timestamp) -> u64 {
        let price = u128::from(list) * u128::from(self.per_mille(zone, size, at)) * u128::from(self.factor(zone, at));
        let price = u64::try_from(price / 1_000_000).unwrap_or(u64::MAX);
        (price / STEP_NANO * STEP_NANO).clamp(STEP_NANO.min(list), list)
    }

    /// The pay-as-you-go price of one hour of a size, in 10⁻⁹ of the currency unit.
    pub fn list_nano_per_hour(&self, size: Size) -> u64 {
        Rates::of(self.currency).amount_nano(size, HOUR.unsigned_abs())
    }

    /// Multiplies the prices of a zone by this many thousandths from now on.
    pub fn set_factor(&mut self, zone: &str, per_mille: u32, now: Timestamp) {
        let factors = self.factors.entry(zone.to_owned()).or_default();
        if factors.len() >= MAX_FACTORS {
            factors.pop_front();
        }
        factors.push_back((now, per_mille));
    }

    /// How the zones are steered now.
    pub fn factors(&self) -> Vec<ZoneFactor> {
        let newest = |(zone, factors): (&String, &VecDeque<(Timestamp, u32)>)| ZoneFactor {
            zone: zone.clone(),
            price_factor: f64::from(factors.back().map_or(NO_FACTOR, |(_, factor)| *factor)) / 1_000.0,
        };
        self.factors.iter().map(newest).collect()
    }

    /// Back to a market nobody has steered.
    pub fn clear(&mut self) {
        self.factors.clear();
    }

    fn factor(&self, zone: &str, at: Timestamp) -> u32 {
        let factors = self.factors.get(zone).into_iter().flatten();
        let valid = factors.rev().find(|(since, _)| *since <= at);
        valid.map_or(NO_FACTOR, |(_, factor)| *factor)
    }

    /// The unsteered price in thousandths of the list price.
    fn per_mille(&self, zone: &str, size: Size, at: Timestamp) -> u64 {
        let level = 150 + self.draw(zone, size, i64::MIN) % 301;
        let hour = at.as_second().div_euclid(HOUR);
        let (knot, within) = (
            hour.div_euclid(HOURS_PER_KNOT),
            hour.rem_euclid(HOURS_PER_KNOT).unsigned_abs(),
        );
        // Between 70 and 130 % of the level, on a straight line from one point to the next.
        let point = |knot| 700 + self.draw(zone, size, knot) % 601;
        let steps = HOURS_PER_KNOT.unsigned_abs();
        let moved = (point(knot) * (steps - within) + point(knot.saturating_add(1)) * within) / steps;
        (level * moved / 1_000).clamp(100, 700)
    }

    /// A number that depends on all of this and on nothing else.
    fn draw(&self, zone: &str, size: Size, knot: i64) -> u64 {
        let mut hash = Sha256::new();
        for number in [self.seed, size.milli_cpu, size.memory_mib] {
            hash.update(number.to_le_bytes());
        }
        hash.update(knot.to_le_bytes());
        hash.update(zone.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        digest
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// A price limit per hour as callers write it (`0.056`), in 10⁻⁹ of the currency unit; none = it is no such number.
pub fn limit_nano(text: &str) -> Option<u64> {
    let limit: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within bounds and rounded to the three decimals ECI takes"
    )]
    (limit.is_finite() && (0.0..=1e6).contains(&limit)).then(|| (limit * 1e3).round() as u64 * 1_000_000)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size {
        milli_cpu: 2_000,
        memory_mib: 4_096,
    };

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    proptest! {
        /// Whatever the seed, the zone, the size and the time: 10 to 70 % of the list, and the same when asked again.
        #[test]
        fn prices_stay_within_the_published_range(seed: u64, zone in "[a-z]{1,9}", cpu in 1_u64..64_000, gib in 1_u64..512, hours in 0_i64..1_000_000) {
            let market = SpotMarket::new(seed, Currency::Cny);
            let size = Size { milli_cpu: cpu, memory_mib: gib * 1_024 };
            let (price, list) = (market.price_nano_per_hour(&zone, size, at(hours)), market.list_nano_per_hour(size));
            prop_assert!(price <= list * 7 / 10, "{} of {}", price, list);
            prop_assert!(price + STEP_NANO >= list / 10, "{} of {}", price, list);
            prop_assert_eq!(price, SpotMarket::new(seed, Currency::Cny).price_nano_per_hour(&zone, size, at(hours)));
        }
    }

    #[test]
    fn a_price_holds_for_an_hour_and_then_moves() {
        let market = SpotMarket::new(1, Currency::Cny);
        let price = |at: Timestamp| market.price_nano_per_hour("z", SIZE, at);
        assert_eq!(price(at(5)), price(at(5) + SignedDuration::from_mins(59)));
        let day: std::collections::BTreeSet<u64> = (0..48).map(|hour| price(at(hour))).collect();
        assert!(day.len() > 20, "{day:?}");
    }

    #[test]
    fn zones_and_sizes_have_prices_of_their_own() {
        let market = SpotMarket::new(1, Currency::Cny);
        let other = Size {
            milli_cpu: 4_000,
            ..SIZE
        };
        let share =
            |zone, size| market.price_nano_per_hour(zone, size, at(0)) * 1_000 / market.list_nano_per_hour(size);
        assert_ne!(share("a", SIZE), share("b", SIZE));
        assert_ne!(share("a", SIZE), share("a", other));
    }

    #[test]
    fn steering_multiplies_from_its_moment_on_and_never_above_the_list() {
        let mut market = SpotMarket::new(1, Currency::Cny);
        let before = market.price_nano_per_hour("z", SIZE, at(1));
        market.set_factor("z", 500, at(2));
        assert_eq!(market.price_nano_per_hour("z", SIZE, at(1)), before, "the past stays");
        let now = SpotMarket::new(1, Currency::Cny).price_nano_per_hour("z", SIZE, at(2));
        let half = market.price_nano_per_hour("z", SIZE, at(2));
        assert!(now / 2 - half < STEP_NANO, "{half} is half of {now}");
        market.set_factor("z", 1_000_000, at(3));
        assert_eq!(
            market.price_nano_per_hour("z", SIZE, at(3)),
            market.list_nano_per_hour(SIZE)
        );
        assert_eq!(market.factors()[0].price_factor, 1_000.0);
        let others = market.price_nano_per_hour("y", SIZE, at(3));
        assert_eq!(
            others,
            SpotMarket::new(1, Currency::Cny).price_nano_per_hour("y", SIZE, at(3))
        );
    }

    #[test]
    fn limits_are_read_to_three_decimals() {
        assert_eq!(limit_nano("0.056"), Some(56_000_000));
        assert_eq!(limit_nano("1"), Some(1_000_000_000));
        for wrong in ["", "-1", "NaN", "x"] {
            assert_eq!(limit_nano(wrong), None, "{wrong:?}");
        }
    }
}
