//! What the reconcile loop hears of: the watch, the poller, and the results of its own effects.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::watcher;
use provider::error::ErrorClass;
use provider::mapping::{Rejections, Warning, Weakened};
use provider::sizes::Size;
use provider::status::Previous;

use crate::budget;
use crate::caps::Wait;
use crate::pods::live::Source;
use crate::pods::record::{Placed, Uid};
use crate::pods::watch::NodePod;

/// One input.
#[derive(Debug)]
pub enum Input {
    /// From the watch.
    Pod(Box<watcher::Event<NodePod>>),
    /// These records were changed by an observation.
    Observed(Vec<Uid>),
    /// Something that files of pods here come from has changed.
    SourceChanged(Source),
    /// ECI has announced that it takes the spot resources of this pod's group back, in these words.
    Release(Uid, Box<str>),
    /// The logs of a pod were kept to their end, or cannot be kept at present, for this reason.
    LogsKept(Uid, Result<(), String>),
    /// The record of what a pod's group (by its id) cost was kept, or cannot be kept at present.
    CostKept(Uid, Arc<str>),
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
    /// Of [`crate::pods::decide::Decision::RenewFiles`].
    FilesRenewed(FilesOutcome),
    /// Of [`crate::pods::decide::Decision::Evict`].
    Evicted(EvictOutcome),
    /// Of [`crate::pods::decide::Decision::Publish`].
    Published(PublishOutcome),
    /// Of [`crate::pods::decide::Decision::RemoveObject`]; `Ok` also where it was gone already.
    ObjectRemoved(Result<(), String>),
}

impl Outcome {
    /// The files of its group that it tells of, if they are to be renewed.
    pub fn files_mut(&mut self) -> Option<&mut FilesSent> {
        match self {
            Self::Created(CreateOutcome::Created(created))
            | Self::Found(FindOutcome::Resent(CreateOutcome::Created(created))) => created.files.as_mut(),
            Self::FilesRenewed(FilesOutcome::Current { files, .. }) => Some(files),
            _ => None,
        }
    }
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
    /// What became of it is not known, or will be told later: this may have been bought.
    Unclear(Failure, Box<Sought>),
    /// Its namespace has as much as it may: nothing was sent, and it is in line.
    Capped(Wait),
    /// What it or its namespace may cost is spent: nothing was sent.
    OverBudget(budget::Wait),
    /// The pod is gone or going: nothing was sent.
    Unneeded,
}

/// What a create asked for.
#[derive(Debug, Default)]
pub struct Sought {
    /// The size to buy, and where.
    pub placed: Placed,
    /// What was asked for, before rounding.
    pub asked: Size,
    /// Right before it was sent.
    pub sent: Timestamp,
}

/// A group just made.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: Arc<str>,
    /// The size bought, and where.
    pub placed: Box<Placed>,
    /// What was asked for, before rounding: milli-vCPU and MiB.
    pub asked: Size,
    /// Right before it was asked for.
    pub sent: Timestamp,
    /// Fields that are weaker here than the pod asks.
    pub weakened: Vec<Weakened>,
    /// Values beyond ECI's documented limits, and parts of the pod without effect.
    pub warnings: Vec<Warning>,
    /// The files it was made with, if they are to be renewed while it runs.
    pub files: Option<FilesSent>,
    /// Where it is, if that is another zone than the node's.
    pub elsewhere: Option<Box<str>>,
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

/// The files of a group.
#[derive(Debug)]
pub struct FilesSent {
    /// Their digest.
    pub digest: Box<str>,
    /// When the first token in them is to be renewed.
    pub renew_at: Option<Timestamp>,
    /// What they come from.
    pub sources: Vec<Source>,
}

/// How a look at a group's files ended.
#[derive(Debug)]
pub enum FilesOutcome {
    /// The group has these.
    Current {
        /// What it has.
        files: FilesSent,
        /// Whether it had others before.
        sent: bool,
    },
    /// What they come from is not there or could not be read: the group keeps what it has.
    Unreadable(String),
    /// ECI refused or failed.
    Cloud(Failure),
    /// The pod is gone or going.
    Unneeded,
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
    /// Whether the annotation of its files was.
    pub files: bool,
    /// What was written, for the next status.
    pub previous: Previous,
    /// The phase written is Succeeded or Failed.
    pub finished: bool,
    /// The phase written is Running.
    pub running: bool,
}
