//! How fast each action may be called.
//!
//! Every action has a bucket of its own, so a queue of creates never delays a delete or a poll. A bucket grants at most
//! `burst` calls at once, refills at `per_minute`, and never lets more than `per_minute` calls into any 60 seconds, so
//! that both of ECI's documented numbers hold.

mod bucket;
mod table;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::Action;

use bucket::Bucket;
pub use table::LimitsError;

/// The allowance of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls in any 60 seconds, at least 1.
    pub per_minute: u32,
    /// Of these, how many at once, at least 1.
    pub burst: u32,
}

/// The client's own limits: the setting `--eci-limits documented|none|FILE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// What ECI documents for an account.
    #[default]
    Documented,
    /// No limits: for mocks, and for accounts whose limits somebody else keeps.
    None,
    /// The documented ones, overridden where the table names an action. See [`Limits::from_table`].
    Custom(Vec<(Action, Rate)>),
}

impl Limits {
    /// The allowance of `action`; `None` = unlimited.
    pub fn rate(&self, action: Action) -> Option<Rate> {
        match self {
            Self::Documented => Some(documented(action)),
            Self::None => None,
            Self::Custom(table) => {
                let own = table.iter().find(|(named, _)| *named == action).map(|(_, rate)| *rate);
                Some(own.unwrap_or_else(|| documented(action)))
            }
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Documented => f.write_str("documented"),
            Self::None => f.write_str("none"),
            Self::Custom(table) => write!(f, "custom ({} actions)", table.len()),
        }
    }
}

impl FromStr for Limits {
    type Err = LimitsError;

    /// Reads the value of the setting: one of the two words, or the path of a file for [`Limits::from_file`].
    fn from_str(setting: &str) -> Result<Self, LimitsError> {
        match setting {
            "documented" => Ok(Self::Documented),
            "none" => Ok(Self::None),
            path => Self::from_file(path),
        }
    }
}

/// Per account, calls in 60 s, as ECI's flow-control page has them. Bursts are documented for create and delete only,
/// as 100: five fewer are used, because calls that left apart may arrive together. Elsewhere a tenth of the minute.
fn documented(action: Action) -> Rate {
    match action {
        Action::CreateContainerGroup | Action::DeleteContainerGroup => Rate {
            per_minute: 1000,
            burst: 95,
        },
        Action::DescribeContainerGroupStatus | Action::DescribeContainerGroupEvents | Action::DescribeRegions => Rate {
            per_minute: 10_000,
            burst: 1000,
        },
        Action::DescribeContainerGroups => Rate {
            per_minute: 2000,
            burst: 200,
        },
        Action::DescribeContainerGroupPrice => Rate {
            per_minute: 1000,
            burst: 100,
        },
        // ListUsage has no documented limit; the lowest one of a reading call is assumed. Of two figures for updates and for
        // metrics the lower.
        Action::UpdateContainerGroup
        | Action::DescribeMultiContainerGroupMetric
        | Action::DescribeContainerLog
        | Action::ExecContainerCommand
        | Action::ListUsage => Rate {
            per_minute: 500,
            burst: 50,
        },
    }
}

/// The buckets of one client and its clones.
#[derive(Debug)]
pub(crate) struct Limiter([Option<Bucket>; Action::ALL.len()]);

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Action::ALL.map(|action| limits.rate(action).map(Bucket::new)))
    }

    /// Waits for a permit, first come, first served. Returns how long that took.
    pub(crate) async fn acquire(&self, action: Action) -> Duration {
        match &self.0[action as usize] {
            Some(bucket) => bucket.acquire().await,
            None => Duration::ZERO,
        }
    }

    /// ECI found us too fast: its count includes callers we do not know of.
    pub(crate) fn throttled(&self, action: Action) {
        if let Some(bucket) = &self.0[action as usize] {
            bucket.slow_down();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_rates() {
        assert_eq!("documented".parse::<Limits>().expect("a word"), Limits::Documented);
        assert_eq!("none".parse::<Limits>().expect("a word"), Limits::None);
        assert_eq!(Limits::None.rate(Action::CreateContainerGroup), None);
        let create = Rate {
            per_minute: 1000,
            burst: 95,
        };
        assert_eq!(Limits::Documented.rate(Action::CreateContainerGroup), Some(create));
        let own = Rate {
            per_minute: 60,
            burst: 1,
        };
        let custom = Limits::Custom(vec![(Action::DeleteContainerGroup, own)]);
        assert_eq!(custom.rate(Action::DeleteContainerGroup), Some(own));
        assert_eq!(custom.rate(Action::CreateContainerGroup), Some(create));
    }

    #[tokio::test(start_paused = true)]
    async fn deletes_do_not_wait_behind_creates() {
        let limiter = Limiter::new(&Limits::Documented);
        for _ in 0..100 {
            limiter.acquire(Action::CreateContainerGroup).await;
        }
        assert_eq!(limiter.acquire(Action::DeleteContainerGroup).await, Duration::ZERO);
        assert!(limiter.acquire(Action::CreateContainerGroup).await > Duration::ZERO);
    }
}
