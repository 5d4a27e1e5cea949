//! A point in time of which only bounds may be known.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A second of the cloud's clock, exact or between two.
///
/// In JSON an exact one is a time, another three times: the first it can be, the best guess, the last it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    earliest: i64,
    likely: i64,
    latest: i64,
}

impl Moment {
    /// Exactly then; fractions of a second are cut off, as ECI does.
    pub fn at(time: Timestamp) -> Self {
        Self::between(time, time)
    }

    /// Not before `earliest` and not after `latest`, and as likely at any time between them; in the wrong order, both are
    /// `latest`.
    pub fn between(earliest: Timestamp, latest: Timestamp) -> Self {
        let latest = latest.as_second();
        let earliest = earliest.as_second().min(latest);
        Self {
            earliest,
            likely: earliest + (latest - earliest) / 2,
            latest,
        }
    }

    /// The same bounds with a better guess; one outside of them is moved to the next bound.
    #[must_use]
    pub fn likely_at(self, guess: Timestamp) -> Self {
        Self {
            likely: guess.as_second().clamp(self.earliest, self.latest),
            ..self
        }
    }

    /// The first second that it can be.
    pub fn earliest(self) -> Timestamp {
        time(self.earliest)
    }

    /// The last second that it can be.
    pub fn latest(self) -> Timestamp {
        time(self.latest)
    }

    /// The best guess.
    pub fn likely(self) -> Timestamp {
        time(self.likely)
    }

    /// Whether there is nothing to guess.
    pub fn is_exact(self) -> bool {
        self.earliest == self.latest
    }

    /// The same, but not before `floor`.
    #[must_use]
    pub fn not_before(self, floor: Timestamp) -> Self {
        let floor = floor.as_second();
        Self {
            earliest: self.earliest.max(floor),
            likely: self.likely.max(floor),
            latest: self.latest.max(floor),
        }
    }
}

/// Seconds of a `Timestamp` always make one.
fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_exact() {
            self.earliest().serialize(serializer)
        } else {
            (self.earliest(), self.likely(), self.latest()).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Exact(Timestamp),
            Guess(Timestamp, Timestamp, Timestamp),
        }
        Ok(match Wire::deserialize(deserializer)? {
            Wire::Exact(at) => Self::at(at),
            Wire::Guess(earliest, likely, latest) => Self::between(earliest, latest).likely_at(likely),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn is_a_time_or_three_times_in_json() {
        let exact = Moment::at(at("2026-01-01T00:00:09.9Z"));
        let between = Moment::between(at("2026-01-01T00:00:09Z"), at("2026-01-01T00:00:12Z"));
        for (moment, json) in [
            (exact, r#""2026-01-01T00:00:09Z""#),
            (
                between.likely_at(at("2026-01-01T00:00:11Z")),
                r#"["2026-01-01T00:00:09Z","2026-01-01T00:00:11Z","2026-01-01T00:00:12Z"]"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&moment).expect("writes"), json);
            assert_eq!(serde_json::from_str::<Moment>(json).expect("reads"), moment);
        }
        assert_eq!(between.likely(), at("2026-01-01T00:00:10Z"));
        assert_eq!(between.likely_at(at("2026-01-01T00:00:20Z")).likely(), between.latest());
    }

    #[test]
    fn bounds_in_the_wrong_order_are_no_bounds() {
        let (late, early) = (at("2026-01-01T00:00:12Z"), at("2026-01-01T00:00:09Z"));
        assert_eq!(Moment::between(late, early), Moment::at(early));
        assert_eq!(Moment::at(early).not_before(late), Moment::at(late));
    }
}
