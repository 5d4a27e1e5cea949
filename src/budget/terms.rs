//! (pure) What a budget is, and how it is written.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use provider::units::NanoMoney;

/// The forms that are accepted, for messages about others.
pub const FORMS: &str = "an amount in the currency of the prices, such as 12.50, perhaps with a period in UTC, such as 100/day or 2000/month";
/// Those that are accepted of a namespace: it has no end, and records do.
pub const PERIODIC_FORMS: &str =
    "an amount in the currency of the prices with a period in UTC, such as 100/day or 2000/month";
/// The actions, for messages about others.
pub const ACTIONS: &str = "warn, hold or stop";

const DAY: i64 = 86_400;

/// Over what time a budget is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A calendar day, UTC.
    Day,
    /// A calendar month, UTC.
    Month,
    /// All that is known of.
    Whole,
}

/// What follows when a budget is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Somebody is told.
    #[default]
    Warn,
    /// No new pods get a container group.
    Hold,
    /// That, and the pods that have one are deleted.
    Stop,
}

/// An amount and over what time it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The amount.
    pub amount: NanoMoney,
    /// Over what time.
    pub period: Period,
}

/// A limit, and what follows when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How much.
    pub limit: Limit,
    /// What follows.
    pub action: Action,
}

/// Number of the UTC day of `at` since 1970.
pub fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

/// When that day begins.
pub fn begin(day: i64) -> Timestamp {
    Timestamp::from_second(day.saturating_mul(DAY)).unwrap_or(Timestamp::MAX)
}

impl Period {
    /// When the period in which `now` lies began.
    pub fn first(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Day => begin(day(now)),
            Self::Month => {
                let past = i64::from(now.to_zoned(TimeZone::UTC).day()) - 1;
                begin(day(now) - past)
            }
            Self::Whole => Timestamp::UNIX_EPOCH,
        }
    }

    /// When the next one begins.
    pub fn next(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Day => Some(begin(day(now) + 1)),
            // No month has more than 31 days, and all have 28: five weeks on it is another, and the first of that is it.
            Self::Month => Some(self.first(self.first(now) + SignedDuration::from_hours(24 * 35))),
            Self::Whole => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Day => "/day",
            Self::Month => "/month",
            Self::Whole => "",
        }
    }
}

impl Action {
    /// Reads `warn`, `hold` or `stop`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "warn" => Some(Self::Warn),
            "hold" => Some(Self::Hold),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}

impl Limit {
    /// Reads `12.50`, `100/day`, `2000/month`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (amount, period) = match text.split_once('/') {
            None => (text, Period::Whole),
            Some((amount, "day")) => (amount, Period::Day),
            Some((amount, "month")) => (amount, Period::Month),
            Some(_) => return None,
        };
        let amount = NanoMoney::parse(amount)?;
        Some(Self { amount, period })
    }

    /// Reads `100/day`, `2000/month`: a namespace's.
    pub fn parse_periodic(text: &str) -> Option<Self> {
        Self::parse(text).filter(|limit| limit.period != Period::Whole)
    }
}

impl fmt::Display for Limit {
    /// As people write it: without zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.amount.to_string();
        let amount = amount.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{amount}{}", self.period.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn limits_are_read_and_told_as_people_write_them() {
        for text in ["12.5", "100/day", "2000/month", "0", "0.000000001/day"] {
            assert_eq!(Limit::parse(text).map(|limit| limit.to_string()).as_deref(), Some(text));
        }
        for wrong in ["", "-1", "10 CNY", "10/hour", "1e3", "/day", "1.0000000001"] {
            assert_eq!(Limit::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn periods_are_calendar_days_and_months_of_utc() {
        let now = at("2024-02-29T23:59:59Z");
        assert_eq!(Period::Day.first(now), at("2024-02-29T00:00:00Z"));
        assert_eq!(Period::Day.next(now), Some(at("2024-03-01T00:00:00Z")));
        assert_eq!(Period::Month.first(now), at("2024-02-01T00:00:00Z"));
        assert_eq!(Period::Month.next(now), Some(at("2024-03-01T00:00:00Z")));
        assert_eq!(
            Period::Month.next(at("2024-12-31T00:00:00Z")),
            Some(at("2025-01-01T00:00:00Z"))
        );
        assert_eq!(Period::Whole.next(now), None);
    }
}
