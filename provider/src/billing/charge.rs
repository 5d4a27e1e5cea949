//! Usage by a tariff: what is due.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::tariff::{Guess, Tariff};
use crate::units::NanoMoney;

/// From when to when a group is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Billing starts.
    pub start: Moment,
    /// Billing ends.
    pub end: Moment,
}

/// What is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// Seconds that are billed; the best guess, if it is one.
    pub seconds: i64,
    /// The amount; the best guess, if it is one.
    pub amount: NanoMoney,
    /// The bill is not less.
    pub least: NanoMoney,
    /// The bill is not more.
    pub most: NanoMoney,
}

impl Usage {
    /// Both times as the wire told them.
    pub fn exact(start: Timestamp, end: Timestamp) -> Self {
        Self {
            start: Moment::at(start),
            end: Moment::at(end).not_before(start),
        }
    }

    /// Whether nothing about it is a guess.
    pub fn is_exact(&self) -> bool {
        self.start.is_exact() && self.end.is_exact()
    }

    /// The best guess of both ends, in order.
    pub fn likely(&self) -> (Timestamp, Timestamp) {
        let start = self.start.likely();
        (start, self.end.likely().max(start))
    }

    /// Whether it was never billed, for certain.
    pub fn is_nothing(&self) -> bool {
        self.end.latest() <= self.start.earliest()
    }

    /// What it costs by `tariff`.
    pub fn charge(&self, tariff: &Tariff) -> Charge {
        let due = |from: Timestamp, to: Timestamp, guess| {
            let (from, to) = (from.as_second(), to.as_second());
            if from < to {
                tariff.due(from, to, guess)
            } else {
                NanoMoney::default()
            }
        };
        let (start, end) = self.likely();
        Charge {
            seconds: end.as_second() - start.as_second(),
            amount: due(start, end, Guess::Likely),
            least: due(self.start.latest(), self.end.earliest(), Guess::Least),
            most: due(self.start.earliest(), self.end.latest(), Guess::Most),
        }
    }

    /// What of [`Charge::amount`] falls between two moments. Parts that follow one another from the beginning to the end add
    /// up to the amount exactly, wherever it is cut.
    pub fn part(&self, tariff: &Tariff, from: Timestamp, to: Timestamp) -> NanoMoney {
        let (start, end) = self.likely();
        let until = |moment: Timestamp| {
            let moment = moment.clamp(start, end);
            tariff.due(start.as_second(), moment.as_second(), Guess::Likely)
        };
        until(to.max(from)) - until(from)
    }
}

impl Charge {
    /// Whether the amount is what is billed, to the last unit.
    pub fn is_exact(&self) -> bool {
        self.least == self.most
    }
}

impl std::ops::Add for Charge {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds.saturating_add(other.seconds),
            amount: self.amount + other.amount,
            least: self.least + other.least,
            most: self.most + other.most,
        }
    }
}

impl std::iter::Sum for Charge {
    fn sum<I: Iterator<Item = Self>>(charges: I) -> Self {
        charges.fold(Self::default(), std::ops::Add::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HourPrice, Rate, SpotTerms};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn moment() -> impl Strategy<Value = Moment> {
        (0_i64..20_000, 0_i64..2_000).prop_map(|(from, for_)| Moment::between(at(from), at(from + for_)))
    }

    fn tariff() -> impl Strategy<Value = Tariff> {
        let rate = |most: i128| {
            (0..=most, prop::sample::select(vec![1_u32, 3_600])).prop_map(|(price, per)| match per {
                1 => Rate::per_second(NanoMoney(price)),
                _ => Rate::per_hour(NanoMoney(price)),
            })
        };
        // Hours of the spot group cost at most what the list does.
        let hours = prop::collection::vec(prop::option::of(rate(1_000)), 6);
        let spot = (0_i64..10_000, 0_u32..3, hours).prop_map(|(created, protected_hours, hours)| SpotTerms {
            created: at(created),
            protected_hours,
            hours: (0..)
                .zip(hours)
                .filter_map(|(hour, rate)| Some(HourPrice { hour, rate: rate? }))
                .collect(),
        });
        (1_000_i128..1_000_000, prop::option::of(spot)).prop_map(|(list, spot)| Tariff {
            list: Rate::per_second(NanoMoney(list)),
            spot,
        })
    }

    proptest! {
        #[test]
        fn parts_add_up_wherever_a_bill_is_cut(
            (start, end, tariff) in (moment(), moment(), tariff()),
            mut cuts in prop::collection::vec(0_i64..25_000, 0..8),
        ) {
            let usage = Usage { start, end };
            cuts.sort_unstable();
            let mut parts = NanoMoney::default();
            let mut from = at(0);
            for cut in cuts {
                let part = usage.part(&tariff, from, at(cut));
                prop_assert!(part >= NanoMoney(0), "a part is never negative: {part}");
                parts += part;
                from = at(cut).max(from);
            }
            parts += usage.part(&tariff, from, at(1_000_000));
            prop_assert_eq!(parts, usage.charge(&tariff).amount);
        }

        #[test]
        fn bounds_enclose_whatever_really_happened(
            (start, end, tariff) in (moment(), moment(), tariff()),
            (early, late) in (0.0_f64..=1.0, 0.0_f64..=1.0),
        ) {
            let usage = Usage { start, end };
            let charge = usage.charge(&tariff);
            prop_assert!(charge.least <= charge.amount && charge.amount <= charge.most, "{charge:?}");
            let within = |m: Moment, share: f64| {
                let (from, to) = (m.earliest().as_second(), m.latest().as_second());
                at(from + ((to - from) as f64 * share) as i64)
            };
            let really = Usage::exact(within(start, early), within(end, late)).charge(&tariff);
            prop_assert!(charge.least <= really.amount && really.amount <= charge.most, "{really:?} {charge:?}");
        }

        #[test]
        fn a_longer_life_never_costs_less((start, end, tariff) in (moment(), moment(), tariff()), more in 0_i64..5_000) {
            let longer = Moment::between(
                at(end.earliest().as_second() + more),
                at(end.latest().as_second() + more),
            );
            let (now, then) = (Usage { start, end }.charge(&tariff), Usage { start, end: longer }.charge(&tariff));
            prop_assert!(now.amount <= then.amount && now.least <= then.least && now.most <= then.most);
        }

        #[test]
        fn what_is_exact_has_no_bounds(start in 0_i64..20_000, seconds in 0_i64..20_000, list in 0_i128..1_000_000) {
            let tariff = Tariff::pay_as_you_go(Rate::per_second(NanoMoney(list)));
            let charge = Usage::exact(at(start), at(start + seconds)).charge(&tariff);
            prop_assert!(charge.is_exact());
            prop_assert_eq!(charge.amount, NanoMoney(list * i128::from(seconds)));
            prop_assert_eq!(charge.seconds, seconds);
        }
    }
}
