//! Why a pod has no group: one enum gives waiting reason, retry and Event.

use std::borrow::Cow;
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
    /// Reason of the Event and the condition.
    pub reason: Cow<'static, str>,
    /// For people: names the field, the object or the code, and what to do.
    pub message: Box<str>,
    /// Since when, across retries of the same kind.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again; none = never, or when somebody says so.
    pub retry_at: Option<Timestamp>,
}

/// What went wrong this time.
#[derive(Clone, Debug, PartialEq)]
pub struct What {
    /// See [`Trouble::kind`].
    pub kind: TroubleKind,
    /// See [`Trouble::reason`].
    pub reason: Cow<'static, str>,
    /// See [`Trouble::message`].
    pub message: String,
}

impl What {
    /// Trouble whose kind says it all.
    pub fn new(kind: TroubleKind, message: String) -> Self {
        Self {
            kind,
            reason: Cow::Borrowed(kind.event_reason()),
            message,
        }
    }
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
    /// Its namespace has as much as it may: it is woken when there is room.
    Cap,
    /// What it or its namespace may cost is spent: it is woken when there is money.
    Budget,
    /// ECI answered with an error of this class.
    Cloud(ErrorClass),
}

impl TroubleKind {
    /// Reason of the Event, in a kubelet's words where it has some; ECI's code may know a better one.
    pub fn event_reason(self) -> &'static str {
        match self {
            Self::Refused | Self::MissingReference => "Failed",
            Self::MissingVolume => "FailedMount",
            Self::ApiServer => "FailedToReadReferences",
            Self::Cap => "NamespaceCapReached",
            Self::Budget => "BudgetReached",
            Self::Cloud(class) => class.reason(),
        }
    }

    /// Label value in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::MissingVolume | Self::MissingReference => "missing_reference",
            Self::ApiServer => "api_server",
            Self::Cap => "cap",
            Self::Budget => "budget",
            Self::Cloud(class) => class.label(),
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

    /// Whether a refusal of this kind is final for a pod that is to fail fast: no stock anywhere, or never. What ails the account
    /// or the line is no pod's fault and passes.
    pub fn is_refusal(self) -> bool {
        self.is_permanent() || self == Self::Cloud(ErrorClass::Stock)
    }

    /// Delay before the next try: short first (Spark makes a driver's ConfigMap a second after its pod), then doubling.
    pub fn backoff(self, tries: u32) -> Option<Duration> {
        let (first, cap) = match self {
            Self::Refused | Self::Cloud(ErrorClass::Permanent) | Self::Cap | Self::Budget => return None,
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
    pub fn next(previous: Option<&Self>, what: What, now: Timestamp, jitter: f64) -> Self {
        let What { kind, reason, message } = what;
        let same = previous.filter(|p| p.kind == kind);
        let tries = same.map_or(0, |p| p.tries + 1);
        let retry_at = kind.backoff(tries).map(|delay| spread(now, delay, jitter));
        Self {
            kind,
            reason,
            message: message.into(),
            since: same.map_or(now, |p| p.since),
            tries,
            retry_at,
        }
    }

    /// Another time for the next try; `pause` is spread like all others.
    pub fn retry_after(&mut self, pause: Duration, now: Timestamp, jitter: f64) {
        self.retry_at = Some(spread(now, pause, jitter));
    }

    /// Whether people should be told already.
    pub fn is_news(&self, now: Timestamp) -> bool {
        self.kind.is_permanent() || now.duration_since(self.since).unsigned_abs() >= QUIET_PERIOD
    }
}

fn spread(now: Timestamp, pause: Duration, jitter: f64) -> Timestamp {
    now + pause.mul_f64(1.0 + jitter / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: TroubleKind) -> What {
        What::new(kind, String::new())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_missing_configmap_is_tried_again_within_a_second_and_then_ever_more_seldom() {
        let first = Trouble::next(None, of(TroubleKind::MissingReference), at(0), 0.0);
        assert_eq!(first.retry_at, Some(at(0) + Duration::from_millis(250)));
        let mut t = first;
        for _ in 0..20 {
            t = Trouble::next(Some(&t), of(TroubleKind::MissingReference), at(0), 0.0);
        }
        assert_eq!(t.retry_at, Some(at(30)));
        assert_eq!(t.since, at(0));
    }

    #[test]
    fn what_can_never_run_is_not_retried_and_is_told_at_once() {
        let t = Trouble::next(None, of(TroubleKind::Refused), at(0), 0.0);
        assert_eq!(t.retry_at, None);
        assert!(t.is_news(at(0)));
    }

    #[test]
    fn another_kind_starts_anew() {
        let t = Trouble::next(None, of(TroubleKind::ApiServer), at(0), 0.0);
        let t = Trouble::next(Some(&t), of(TroubleKind::MissingReference), at(9), 0.0);
        assert_eq!((t.tries, t.since), (0, at(9)));
        assert!(!t.is_news(at(10)));
        assert!(t.is_news(at(11)));
    }
}
