//! A window for metrics, so that this crate need not know any.

use std::time::Duration;

use provider::error::ErrorClass;

use crate::Action;

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// ECI did it.
    Ok,
    /// It did not, or we do not know.
    Failed(ErrorClass),
}

impl Outcome {
    /// Label value in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(class) => class.label(),
        }
    }
}

/// Sees every attempt. Called on the caller's task, so it must be quick and must not block.
pub trait Observer: Send + Sync {
    /// One attempt is over; `latency` is from send to answer.
    fn called(&self, action: Action, outcome: Outcome, latency: Duration);

    /// A call waited this long for its permit (only reported if it waited at all).
    fn waited(&self, action: Action, wait: Duration) {
        let _ = (action, wait);
    }
}
