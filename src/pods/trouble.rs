//! Why a pod has no group: one enum gives waiting reason, retry and Event.

use std::time::Duration;

use jiff::Timestamp;
use provider::error::ErrorClass;

/// Pending details are published only after this long: most waits are over before, and a write each would double the load.
pub const QUIET_PERIOD: Duration = Duration::from_secs(2);

/// What stands in the way of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// For people: names the field, the object or the code, and what to do.
    pub message: String,
    /// Since when, across retries of the same kind.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again; none = never.
    pub retry_at: Option<Timestamp>,
}

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The pod can never run here.
    Refused,
    /// A volume's ConfigMap, Secret or key is not there yet.
    MissingVolume,
    /// Something else that it names is not there yet, such as a variable's Secret.
    MissingReference,
    /// The API server could not be asked.
    ApiServer,
    /// ECI answered with an error of this class.
    Cloud(ErrorClass),
}

impl TroubleKind {
    /// Reason of the Event, in a kubelet's words where it has some.
    pub fn event_reason(self) -> &'static str {
        match self {
            Self::Refused | Self::MissingReference => "Failed",
            Self::MissingVolume => "FailedMount",
            Self::ApiServer => "FailedToReadReferences",
            Self::Cloud(class) => class.reason(),
        }
    }

    /// Waiting reason of the containers, as a kubelet words it.
    pub fn waiting_reason(self) -> &'static str {
        match self {
            Self::Refused | Self::MissingReference | Self::Cloud(ErrorClass::Permanent) => "CreateContainerConfigError",
            _ => "ContainerCreating",
        }
    }

    /// Whether waiting cannot help.
    pub fn is_permanent(self) -> bool {
        matches!(self, Self::Refused | Self::Cloud(ErrorClass::Permanent))
    }

    /// Delay before the next try: short first (Spark makes a driver's ConfigMap a second after its pod), then doubling.
    fn backoff(self, tries: u32) -> Option<Duration> {
        let (first, cap) = match self {
            Self::Refused | Self::Cloud(ErrorClass::Permanent) => return None,
            Self::MissingVolume | Self::MissingReference => (Duration::from_millis(250), Duration::from_secs(30)),
            Self::ApiServer => (Duration::from_millis(500), Duration::from_secs(10)),
            Self::Cloud(ErrorClass::Stock) => (Duration::from_secs(10), Duration::from_secs(120)),
            Self::Cloud(ErrorClass::Credentials) => (Duration::from_secs(5), Duration::from_secs(60)),
            Self::Cloud(_) => (Duration::from_secs(1), Duration::from_secs(30)),
        };
        Some(first.saturating_mul(1 << tries.min(12)).min(cap))
    }
}

impl Trouble {
    /// The trouble after one more failed try; `jitter` in 0..=1 spreads the retries of a burst over a quarter of the delay.
    pub fn next(previous: Option<&Self>, kind: TroubleKind, message: String, now: Timestamp, jitter: f64) -> Self {
        let same = previous.filter(|p| p.kind == kind);
        let tries = same.map_or(0, |p| p.tries + 1);
        let retry_at = kind.backoff(tries).map(|delay| now + delay.mul_f64(1.0 + jitter / 4.0));
        Self {
            kind,
            message,
            since: same.map_or(now, |p| p.since),
            tries,
            retry_at,
        }
    }

    /// Whether people should be told already.
    pub fn is_news(&self, now: Timestamp) -> bool {
        self.kind.is_permanent() || now.duration_since(self.since).unsigned_abs() >= QUIET_PERIOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_missing_configmap_is_tried_again_within_a_second_and_then_ever_more_seldom() {
        let first = Trouble::next(None, TroubleKind::MissingReference, String::new(), at(0), 0.0);
        assert_eq!(first.retry_at, Some(at(0) + Duration::from_millis(250)));
        let mut t = first;
        for _ in 0..20 {
            t = Trouble::next(Some(&t), TroubleKind::MissingReference, String::new(), at(0), 0.0);
        }
        assert_eq!(t.retry_at, Some(at(30)));
        assert_eq!(t.since, at(0));
    }

    #[test]
    fn what_can_never_run_is_not_retried_and_is_told_at_once() {
        let t = Trouble::next(None, TroubleKind::Refused, String::new(), at(0), 0.0);
        assert_eq!(t.retry_at, None);
        assert!(t.is_news(at(0)));
    }

    #[test]
    fn another_kind_starts_anew() {
        let t = Trouble::next(None, TroubleKind::ApiServer, String::new(), at(0), 0.0);
        let t = Trouble::next(Some(&t), TroubleKind::MissingReference, String::new(), at(9), 0.0);
        assert_eq!((t.tries, t.since), (0, at(9)));
        assert!(!t.is_news(at(10)));
        assert!(t.is_news(at(11)));
    }
}
