//! Call rates per action, as ECI documents them.

use std::{collections::HashMap, sync::Mutex};

use jiff::{SignedDuration, Timestamp};

/// How often an action may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many calls in each fixed window of 60 seconds.
    PerMinute(u32),
    /// So many calls in each fixed window of a second.
    PerSecond(u32),
    /// A bucket of 100 calls that is refilled with 20 a second (creates and deletes).
    Bucket,
    /// A bucket of so many calls, refilled with so many in 60 seconds (only steering makes one).
    Tokens {
        /// Size.
        burst: u32,
        /// Calls that come back in 60 seconds.
        per_minute: u32,
    },
    /// Not documented.
    Free,
}

const BUCKET_SIZE: f64 = 100.0;
const BUCKET_PER_SECOND: f64 = 20.0;

/// What the callers used up.
#[derive(Debug, Default)]
pub struct Meter(Mutex<HashMap<&'static str, Used>>);

#[derive(Debug)]
struct Used {
    since: Timestamp,
    /// Calls of this window, or what is left in the bucket.
    amount: f64,
}

impl Meter {
    /// Counts a call; false = it is one too many.
    pub fn admit(&self, action: &'static str, rate: Rate, now: Timestamp) -> bool {
        let mut used = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match rate {
            Rate::Free => true,
            Rate::PerMinute(calls) | Rate::PerSecond(calls) => {
                let window = match rate {
                    Rate::PerSecond(_) => SignedDuration::from_secs(1),
                    _ => SignedDuration::from_mins(1),
                };
                let used = used.entry(action).or_insert(Used {
                    since: now,
                    amount: 0.0,
                });
                if now.duration_since(used.since) >= window {
                    *used = Used {
                        since: now,
                        amount: 0.0,
                    };
                }
                let admitted = used.amount < f64::from(calls);
                used.amount += f64::from(u8::from(admitted));
                admitted
            }
            Rate::Bucket => bucket(&mut used, action, now, BUCKET_SIZE, BUCKET_PER_SECOND),
            Rate::Tokens { burst, per_minute } => {
                bucket(&mut used, action, now, f64::from(burst), f64::from(per_minute) / 60.0)
            }
        }
    }

    /// Forgets what was used.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

/// Takes one call out of a bucket.
fn bucket(
    used: &mut HashMap<&'static str, Used>,
    action: &'static str,
    now: Timestamp,
    size: f64,
    per_second: f64,
) -> bool {
    let used = used.entry(action).or_insert(Used {
        since: now,
        amount: size,
    });
    let passed = now.duration_since(used.since).as_secs_f64().max(0.0);
    used.amount = (used.amount + passed * per_second).min(size);
    used.since = now;
    let admitted = used.amount >= 1.0;
    used.amount -= f64::from(u8::from(admitted));
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millis)
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let meter = Meter::default();
        let admitted = |now| (0..200).filter(|_| meter.admit("C", Rate::Bucket, now)).count();
        assert_eq!(admitted(at(0)), 100);
        assert_eq!(admitted(at(1_000)), 20);
        assert_eq!(admitted(at(60_000)), 100, "a full bucket does not overflow");
    }

    #[test]
    fn a_bucket_may_be_of_any_size() {
        let meter = Meter::default();
        let rate = Rate::Tokens {
            burst: 3,
            per_minute: 60,
        };
        let admitted = |now| (0..10).filter(|_| meter.admit("C", rate, now)).count();
        assert_eq!((admitted(at(0)), admitted(at(2_000))), (3, 2));
    }

    #[test]
    fn a_window_is_full_until_it_ends() {
        let meter = Meter::default();
        let admitted = |now| (0..10).filter(|_| meter.admit("L", Rate::PerMinute(7), now)).count();
        assert_eq!(admitted(at(0)), 7);
        assert_eq!(admitted(at(59_999)), 0);
        assert_eq!(admitted(at(60_000)), 7);
    }
}
