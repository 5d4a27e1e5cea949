//! By which prices a group is paid, hour by hour where it is a spot group.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rate::Rate;
use crate::units::NanoMoney;

const HOUR: i64 = 3_600;

/// By which prices a group is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tariff {
    /// The pay-as-you-go price. Spot never costs more.
    pub list: Rate,
    /// For spot groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<SpotTerms>,
}

/// What is special about the bill of a spot group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotTerms {
    /// When the group was created: its hours count from here.
    pub created: Timestamp,
    /// For how many hours the price stays what it was.
    pub protected_hours: u32,
    /// What the market asked as hours began, by number of the hour. Hours within the protection time cost what the first did.
    pub hours: Vec<HourPrice>,
}

/// What the market asked as an hour began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HourPrice {
    /// Number of the hour since the group's creation.
    pub hour: u32,
    /// The price.
    pub rate: Rate,
}

/// Which of the possible prices of an hour whose price nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// Nothing.
    Least,
    /// That of the last hour before it that is known.
    Likely,
    /// The list price.
    Most,
}

impl Tariff {
    /// Pay as you go.
    pub fn pay_as_you_go(list: Rate) -> Self {
        Self { list, spot: None }
    }

    /// Whether every price between `from` and `to` is known.
    pub fn is_known(&self, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (from.as_second(), to.as_second());
        let Some(terms) = &self.spot else { return true };
        from >= to || (terms.priced(terms.hour(from))..=terms.priced(terms.hour(to - 1))).all(|hour| terms.knows(hour))
    }

    /// What is due for the time between `from` and `to`.
    pub(super) fn due(&self, from: i64, to: i64, guess: Guess) -> NanoMoney {
        let Some(terms) = &self.spot else {
            return self.list.cost(to - from);
        };
        // Neighbouring hours of one price are one item of the bill: it is rounded once.
        let mut total = NanoMoney::default();
        let mut item: Option<(i64, Rate)> = None;
        let mut at = from;
        while at < to {
            let hour = terms.hour(at);
            let rate = terms.rate(hour, self.list, guess);
            if let Some((since, other)) = item.filter(|(_, other)| *other != rate) {
                total += other.cost(at - since);
                item = None;
            }
            item.get_or_insert((at, rate));
            at = (terms.created.as_second() + (hour + 1) * HOUR).max(at + 1);
        }
        item.map_or(total, |(since, rate)| total + rate.cost(to - since))
    }
}

impl SpotTerms {
    /// Number of the hour of `second`.
    fn hour(&self, second: i64) -> i64 {
        (second - self.created.as_second()).div_euclid(HOUR)
    }

    /// Number of the hour whose beginning decides about the price of `hour`.
    fn priced(&self, hour: i64) -> i64 {
        if hour < i64::from(self.protected_hours) {
            0
        } else {
            hour
        }
    }

    fn knows(&self, hour: i64) -> bool {
        self.hours.iter().any(|known| i64::from(known.hour) == hour)
    }

    fn rate(&self, hour: i64, list: Rate, guess: Guess) -> Rate {
        let hour = self.priced(hour);
        let before = self.hours.iter().filter(|known| i64::from(known.hour) <= hour);
        let last = before.max_by_key(|known| known.hour);
        match (last, guess) {
            (Some(known), _) if i64::from(known.hour) == hour => known.rate,
            (_, Guess::Least) => Rate::FREE,
            (_, Guess::Most) | (None, Guess::Likely) => list,
            (Some(known), Guess::Likely) => known.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(protected_hours: u32, prices: &[(u32, i128)]) -> Tariff {
        Tariff {
            list: Rate::per_hour(NanoMoney(1_000_000)),
            spot: Some(SpotTerms {
                created: Timestamp::UNIX_EPOCH,
                protected_hours,
                hours: prices
                    .iter()
                    .map(|(hour, price)| HourPrice {
                        hour: *hour,
                        rate: Rate::per_hour(NanoMoney(*price)),
                    })
                    .collect(),
            }),
        }
    }

    #[test]
    fn each_hour_costs_what_was_asked_as_it_began() {
        let tariff = spot(1, &[(0, 100), (1, 200), (2, 400)]);
        assert_eq!(tariff.due(0, 3 * HOUR, Guess::Likely), NanoMoney(700));
        assert_eq!(tariff.due(HOUR / 2, HOUR + HOUR / 2, Guess::Likely), NanoMoney(150));
    }

    #[test]
    fn within_its_protection_time_a_group_pays_what_it_was_bought_for() {
        let tariff = spot(2, &[(0, 100), (2, 400)]);
        assert_eq!(tariff.due(0, 3 * HOUR, Guess::Likely), NanoMoney(600));
        let unprotected = spot(0, &[(0, 100), (1, 300)]);
        assert_eq!(unprotected.due(0, 2 * HOUR, Guess::Likely), NanoMoney(400));
    }

    #[test]
    fn neighbouring_hours_of_one_price_are_rounded_once() {
        // 10,799 seconds at 1 nano an hour are 2.9997, and three roundings would make 3 of three times 0.9999 anyway;
        // 1,800 seconds in each of two hours are one nano, not two halves rounded up.
        let tariff = spot(0, &[(0, 1), (1, 1)]);
        assert_eq!(tariff.due(HOUR / 2, HOUR + HOUR / 2, Guess::Likely), NanoMoney(1));
    }

    #[test]
    fn an_hour_nobody_asked_for_lies_between_nothing_and_the_list() {
        let tariff = spot(1, &[(0, 100)]);
        let due = |guess| tariff.due(0, 2 * HOUR, guess);
        assert_eq!(due(Guess::Least), NanoMoney(100));
        assert_eq!(due(Guess::Likely), NanoMoney(200));
        assert_eq!(due(Guess::Most), NanoMoney(1_000_100));
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert!(tariff.is_known(at(0), at(HOUR)) && !tariff.is_known(at(0), at(HOUR + 1)));
    }
}
