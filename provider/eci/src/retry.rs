//! When and how often a call is tried again. Pure: randomness is an argument.

use std::time::Duration;

use provider::error::Remedy;

use crate::Action;

/// How patient a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// No attempt starts and no delay ends later than this after the start. Waiting for a permit does not count.
    pub deadline: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Upper bound of the first delay; it doubles with each attempt.
    pub base: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
}

/// A policy per kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicies {
    /// CreateContainerGroup.
    pub create: RetryPolicy,
    /// DeleteContainerGroup.
    pub delete: RetryPolicy,
    /// Everything that reads.
    pub read: RetryPolicy,
}

impl Default for RetryPolicies {
    fn default() -> Self {
        Self {
            // A create that is given up costs more than a late one: the caller must then search for the group by its
            // tag.
            create: RetryPolicy {
                attempts: 6,
                deadline: Duration::from_secs(60),
                timeout: Duration::from_secs(15),
                base: Duration::from_millis(500),
                cap: Duration::from_secs(10),
            },
            // Callers repeat deletes anyway until the group is gone.
            delete: RetryPolicy {
                attempts: 5,
                deadline: Duration::from_secs(30),
                timeout: Duration::from_secs(10),
                base: Duration::from_millis(250),
                cap: Duration::from_secs(5),
            },
            // The next poll asks again: better to report soon than to answer with what was true long ago.
            read: RetryPolicy {
                attempts: 4,
                deadline: Duration::from_secs(20),
                timeout: Duration::from_secs(10),
                base: Duration::from_millis(200),
                cap: Duration::from_secs(3),
            },
        }
    }
}

impl RetryPolicies {
    /// The policy of `action`.
    pub fn of(&self, action: Action) -> &RetryPolicy {
        match action {
            Action::CreateContainerGroup => &self.create,
            // Both may be sent twice without harm.
            Action::DeleteContainerGroup | Action::UpdateContainerGroup => &self.delete,
            Action::DescribeContainerGroups
            | Action::DescribeContainerGroupStatus
            | Action::DescribeContainerGroupEvents
            | Action::DescribeMultiContainerGroupMetric
            | Action::DescribeContainerLog
            | Action::ExecContainerCommand
            | Action::DescribeContainerGroupPrice
            | Action::DescribeRegions
            | Action::ListUsage => &self.read,
        }
    }
}

/// Delay while ECI still works on the first request with our ClientToken.
const TOKEN_BUSY_DELAY: Duration = Duration::from_millis(500);

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Report the failure.
    GiveUp,
    /// Wait, then try again.
    Wait(Duration),
    /// Correct the clock, then try again at once.
    FixClock,
    /// Fetch new credentials, then try again at once.
    RefreshCredentials,
}

/// The attempts of one call so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    made: u32,
    spent: Duration,
    clock_fixed: bool,
    refreshed: bool,
}

impl Attempts {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            made: 0,
            spent: Duration::ZERO,
            clock_fixed: false,
            refreshed: false,
        }
    }

    /// How long the next attempt may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.policy.timeout.min(self.policy.deadline.saturating_sub(self.spent))
    }

    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// Decides after an attempt that took `took` and failed. `random` is in 0..1, `at_least` what the other side asked
    /// for.
    pub(crate) fn next(&mut self, took: Duration, remedy: Remedy, at_least: Option<Duration>, random: f64) -> Next {
        self.made += 1;
        self.spent += took;
        if self.spent >= self.policy.deadline {
            return Next::GiveUp;
        }
        let delay = match remedy {
            Remedy::None => return Next::GiveUp,
            Remedy::FixClock if self.clock_fixed => return Next::GiveUp,
            Remedy::FixClock => {
                self.clock_fixed = true;
                return Next::FixClock;
            }
            Remedy::RefreshCredentials if self.refreshed => return Next::GiveUp,
            Remedy::RefreshCredentials => {
                self.refreshed = true;
                return Next::RefreshCredentials;
            }
            Remedy::ShortDelay => TOKEN_BUSY_DELAY,
            Remedy::BackOff => self.back_off(random).max(at_least.unwrap_or_default()),
        };
        let end = self.spent + delay;
        if self.made >= self.policy.attempts || end >= self.policy.deadline {
            return Next::GiveUp;
        }
        self.spent = end;
        Next::Wait(delay)
    }

    /// Exponential with full jitter: anything from nothing to the bound, so that callers who failed together do not
    /// return together.
    fn back_off(&self, random: f64) -> Duration {
        let doublings = (self.made - 1).min(16);
        self.policy
            .base
            .saturating_mul(1 << doublings)
            .min(self.policy.cap)
            .mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        deadline: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        base: Duration::from_millis(500),
        cap: Duration::from_secs(1),
    };

    fn wait(millis: u64) -> Next {
        Next::Wait(Duration::from_millis(millis))
    }

    #[test]
    fn back_off_doubles_up_to_the_cap_and_ends_with_the_attempts() {
        let mut attempts = Attempts::new(POLICY);
        let next: Vec<Next> = (0..4)
            .map(|_| attempts.next(Duration::ZERO, Remedy::BackOff, None, 1.0))
            .collect();
        assert_eq!(next, [wait(500), wait(1000), wait(1000), Next::GiveUp]);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(
            Attempts::new(POLICY).next(Duration::ZERO, Remedy::BackOff, None, 0.0),
            wait(0)
        );
        assert_eq!(
            Attempts::new(POLICY).next(Duration::ZERO, Remedy::BackOff, None, 0.5),
            wait(250)
        );
    }

    #[test]
    fn the_other_side_may_ask_for_more_time_but_not_beyond_the_deadline() {
        let mut attempts = Attempts::new(POLICY);
        let asked = Some(Duration::from_secs(4));
        assert_eq!(attempts.next(Duration::ZERO, Remedy::BackOff, asked, 0.1), wait(4000));
        assert_eq!(
            attempts.next(Duration::from_secs(3), Remedy::BackOff, asked, 0.1),
            Next::GiveUp
        );
    }

    #[test]
    fn an_attempt_may_not_outlast_the_deadline() {
        let mut attempts = Attempts::new(POLICY);
        assert_eq!(attempts.timeout(), Duration::from_secs(3));
        attempts.next(Duration::from_secs(9), Remedy::BackOff, None, 0.0);
        assert_eq!(attempts.timeout(), Duration::from_secs(1));
    }

    #[test]
    fn nothing_is_tried_after_the_deadline() {
        for remedy in [
            Remedy::BackOff,
            Remedy::ShortDelay,
            Remedy::FixClock,
            Remedy::RefreshCredentials,
        ] {
            let next = Attempts::new(POLICY).next(Duration::from_secs(10), remedy, None, 0.0);
            assert_eq!(next, Next::GiveUp, "{remedy:?}");
        }
    }

    #[test]
    fn clock_and_credentials_are_mended_once_each() {
        let mut attempts = Attempts::new(POLICY);
        let mut next = |remedy| attempts.next(Duration::ZERO, remedy, None, 1.0);
        assert_eq!(next(Remedy::FixClock), Next::FixClock);
        assert_eq!(next(Remedy::RefreshCredentials), Next::RefreshCredentials);
        assert_eq!(next(Remedy::FixClock), Next::GiveUp);
        assert_eq!(next(Remedy::RefreshCredentials), Next::GiveUp);
        assert_eq!(next(Remedy::None), Next::GiveUp);
    }
}
