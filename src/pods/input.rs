//! What the reconcile loop hears of: the watch, the poller, and the results of its own effects.

use std::sync::Arc;

use kube::runtime::watcher;
use provider::error::ErrorClass;
use provider::mapping::{Rejections, Warning, Weakened};
use provider::sizes::Size;
use provider::status::Previous;

use crate::pods::record::Uid;
use crate::pods::watch::NodePod;

/// One input.
#[derive(Debug)]
pub enum Input {
    /// From the watch.
    Pod(Box<watcher::Event<NodePod>>),
    /// These records were changed by an observation.
    Observed(Vec<Uid>),
    /// ECI has announced that it takes the spot resources of this pod's group back, in these words.
    Release(Uid, Box<str>),
    /// An effect ended.
    Done(Uid, Outcome),
}

/// How an effect ended.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`crate::pods::decide::Decision::Create`].
    Created(CreateOutcome),
    /// Of [`crate::pods::decide::Decision::Find`].
    Found(FindOutcome),
    /// Of [`crate::pods::decide::Decision::DeleteGroup`].
    GroupDeleted(Result<DeleteOutcome, Failure>),
    /// Of [`crate::pods::decide::Decision::Evict`].
    Evicted(EvictOutcome),
    /// Of [`crate::pods::decide::Decision::Publish`].
    Published(PublishOutcome),
    /// Of [`crate::pods::decide::Decision::RemoveObject`]; `Ok` also where it was gone already.
    ObjectRemoved(Result<(), String>),
}

/// A call to ECI that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub class: ErrorClass,
    /// The word for it in Events and conditions.
    pub reason: &'static str,
    /// For people. Without ECI's request id, which would make each repetition look like news; the log has it.
    pub message: String,
}

impl From<eci::Error> for Failure {
    fn from(error: eci::Error) -> Self {
        let class = error.class();
        tracing::debug!(error = crate::chain::chain(&error), "a call to ECI failed");
        Self {
            class,
            reason: provider::error::reason(error.code().unwrap_or_default(), class),
            message: match error.code() {
                Some(code) => format!("{code}: {}", error.message()),
                None => crate::chain::chain(&error),
            },
        }
    }
}

/// How a create ended.
#[derive(Debug)]
pub enum CreateOutcome {
    /// The group exists.
    Created(Created),
    /// The pod cannot be mapped, now or ever.
    Rejected(Rejections),
    /// The API server could not be asked for the pod or what it names.
    ApiServer(String),
    /// ECI refused or failed.
    Cloud(Failure),
    /// The pod is gone or going: nothing was sent.
    Unneeded,
}

/// A group just made.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: Arc<str>,
    /// The size bought.
    pub size: Size,
    /// What was asked for, before rounding: milli-vCPU and MiB.
    pub asked: Size,
    /// Fields that are weaker here than the pod asks.
    pub weakened: Vec<Weakened>,
    /// Values beyond ECI's documented limits, and parts of the pod without effect.
    pub warnings: Vec<Warning>,
}

/// How a search by tag ended.
#[derive(Debug)]
pub enum FindOutcome {
    /// There it is.
    Found(Arc<str>),
    /// The answer has none.
    NotThere,
    /// The search failed.
    Failed(Failure),
    /// Nothing was found and the create was sent again.
    Resent(CreateOutcome),
}

/// What became of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// ECI accepted it.
    Accepted {
        /// Whether the grace period was skipped.
        force: bool,
    },
    /// ECI knows no such group: it is gone.
    NotFound,
}

/// How a request for an eviction ended.
#[derive(Debug)]
pub enum EvictOutcome {
    /// Accepted: the pod's deletion follows.
    Accepted,
    /// That pod is gone.
    Gone,
    /// A disruption budget does not allow it now.
    Blocked(String),
    /// The API server could not be asked, or refused.
    Failed(String),
}

/// How a status write ended.
#[derive(Debug)]
pub enum PublishOutcome {
    /// Written.
    Written(Written),
    /// That pod is gone (404, or another pod has its name now).
    Gone,
    /// The API server could not be asked.
    Failed(String),
}

/// A status that is at the API server now.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Fingerprint of what was written.
    pub fingerprint: u64,
    /// Resource version after it.
    pub resource_version: u64,
    /// Attempt number that was written along.
    pub attempt: u32,
    /// Whether the annotations of the group were written along.
    pub annotated: bool,
    /// What was written, for the next status.
    pub previous: Previous,
    /// The phase written is Succeeded or Failed.
    pub finished: bool,
    /// The phase written is Running.
    pub running: bool,
}
