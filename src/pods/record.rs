//! One record per pod UID: what Kubernetes wants, what the cloud shows, and how far we are.
//!
//! A record is small (a Spark executor's is under 2 kB) and is the whole memory of the agent; after a restart it is
//! rebuilt from the watch and the cloud's tags. Nothing outside [`crate::pods`] writes one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provider::group::{ContainerState, GroupStatus, ObservedGroup};
use provider::status::PodFacts;
use provider::units::MilliCpu;

use crate::pods::trouble::Trouble;

/// Identity of a pod. Names are reused, UIDs never are: everything is keyed by this.
pub type Uid = Arc<str>;

/// A pod of this node.
#[derive(Debug)]
pub struct PodRecord {
    /// What status and life cycle need of the pod.
    pub facts: Box<PodFacts>,
    /// What Kubernetes wants.
    pub desired: Desired,
    /// What is known of its group.
    pub group: GroupState,
    /// The group as last seen.
    pub observed: Option<Observed>,
    /// Why it has no group yet, or cannot have one.
    pub trouble: Option<Trouble>,
    /// The last status known to be at the API server.
    pub published: Published,
    /// Whether an effect for this pod is under way. One at a time: its result is an input like any other.
    pub busy: bool,
    /// Back-off after a failed effect other than a create, whose reasons are in `trouble`.
    pub hold: Option<Hold>,
    /// When the agent first saw the pod.
    pub first_seen: Timestamp,
    /// The size of its group, for the annotations to write back.
    pub placed: Option<Placed>,
    /// UID of the pod's controller: what is announced, is announced once per owner.
    pub owner: Option<Box<str>>,
    /// CPU its containers request, as the scheduler counts.
    pub requested: MilliCpu,
}

/// A pause after failed effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Until when.
    pub until: Timestamp,
    tries: u32,
}

impl Hold {
    /// The pause after one more failure: half a second, doubling to ten.
    pub fn after(previous: Option<Self>, now: Timestamp) -> Self {
        let tries = previous.map_or(0, |p| p.tries + 1);
        let pause = Duration::from_millis(500)
            .saturating_mul(1 << tries.min(8))
            .min(Duration::from_secs(10));
        Self {
            until: now + pause,
            tries,
        }
    }
}

/// What Kubernetes wants of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The pod's phase at the API server is Succeeded or Failed.
    pub finished: bool,
    /// The phase at the API server is Running.
    pub was_running: bool,
    /// Its deletion, once asked for.
    pub deletion: Option<Deletion>,
    /// The object is gone from the API server.
    pub gone: bool,
    /// `restartPolicy: Never` and no owner that would make a next one: such a pod may be failed.
    pub may_fail: bool,
}

/// A deletion that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When the grace period ends.
    pub deadline: Timestamp,
    /// Whether the grace period is zero.
    pub forced: bool,
}

/// What is known of a pod's container group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Not known before the first trusted list.
    Unknown,
    /// There is none; the next create carries this attempt.
    Absent {
        /// Number of the next create.
        attempt: u32,
    },
    /// A create was sent and its outcome is not known, or ECI says that it was accepted: wait for the tag, and adopt.
    Accepted {
        /// Its attempt.
        attempt: u32,
        /// When it was sent.
        since: Timestamp,
        /// When the tag is looked for next.
        look_at: Timestamp,
        /// Whether sending the same request again can tell (the outcome was unknown, rather than "accepted").
        resend: bool,
    },
    /// There is one.
    Present {
        /// Its id.
        id: Arc<str>,
        /// The attempt that made it.
        attempt: u32,
        /// Its deletion, once accepted.
        delete: Option<DeleteAccepted>,
        /// Since when it is known: a list that began before says nothing about it.
        since: Timestamp,
        /// In how many answers that should have shown it, it was missing, in a row.
        missing: u8,
    },
    /// There was one; it is known to be gone.
    Gone,
}

/// A DeleteContainerGroup that ECI accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteAccepted {
    /// Whether the grace period was skipped.
    pub force: bool,
    /// When.
    pub at: Timestamp,
}

/// A group as last seen.
#[derive(Debug)]
pub struct Observed {
    /// Hash of the record on the wire, so that an unchanged one is not decoded.
    pub hash: u64,
    /// The group, less what is not needed again.
    pub group: ObservedGroup,
    /// When it last differed from the time before.
    pub changed: Timestamp,
}

/// What the API server is known to hold.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// [`provider::status::fingerprint`] of the status.
    pub fingerprint: u64,
    /// Resource version of our last write: older events of the watch say nothing about it.
    pub resource_version: u64,
    /// Attempt number on the pod.
    pub attempt: u32,
    /// Whether the written-back annotations are there.
    pub annotated: bool,
}

/// Where and in which size a group was placed, for the annotations that users of ACK know.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The size that is billed.
    pub size: provider::sizes::Size,
}

impl PodRecord {
    /// A record of a pod just seen.
    pub fn new(facts: PodFacts, desired: Desired, group: GroupState, now: Timestamp) -> Self {
        Self {
            facts: Box::new(facts),
            desired,
            group,
            observed: None,
            trouble: None,
            published: Published::default(),
            busy: false,
            hold: None,
            first_seen: now,
            placed: None,
            owner: None,
            requested: MilliCpu::default(),
        }
    }

    /// Its group is known from here on: a new one, of which nothing was seen yet.
    pub fn has_group(&mut self, id: Arc<str>, attempt: u32, now: Timestamp) {
        self.group = GroupState::Present {
            id,
            attempt,
            delete: None,
            since: now,
            missing: 0,
        };
        // What was seen belongs to an earlier attempt's group.
        self.observed = None;
        self.published.annotated = false;
        self.trouble = None;
    }

    /// The id of its group, if there is one.
    pub fn group_id(&self) -> Option<&Arc<str>> {
        match &self.group {
            GroupState::Present { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether its group was seen in a final state.
    pub fn group_ended(&self) -> bool {
        self.observed.as_ref().is_some_and(|o| o.group.status.is_terminal())
    }

    /// Whether the group's state may change soon, so that it is asked for by id.
    pub fn in_motion(&self) -> bool {
        match &self.group {
            GroupState::Present { delete: Some(_), .. } => !self.group_ended(),
            GroupState::Present { .. } => match &self.observed {
                None => true,
                Some(o) => !o.group.status.is_terminal() && !is_settled(&o.group),
            },
            _ => false,
        }
    }
}

/// Whether nothing is about to change in `group`: it runs, and each container runs ready or is done.
fn is_settled(group: &ObservedGroup) -> bool {
    group.status == GroupStatus::Running
        && group.containers.iter().all(|container| match container.state {
            ContainerState::Waiting { .. } => false,
            ContainerState::Running { .. } => container.ready,
            ContainerState::Terminated { .. } => true,
        })
}
