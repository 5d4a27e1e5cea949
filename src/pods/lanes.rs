//! Effects that are queued, kind by kind: each kind in a lane of its own with its own bound.
//!
//! Deletes never wait behind creates, and no more pods are held whole than creates run.

use std::collections::VecDeque;

use crate::pods::decide::Decision;
use crate::pods::input::Outcome;
use crate::pods::record::Uid;

/// The kinds of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    DeleteGroup,
    Evict,
    Publish,
    RemoveObject,
    Find,
    RenewFiles,
    Create,
}

impl Kind {
    /// In the order in which they are started: what ends billing and what tells people comes first.
    pub(super) const ALL: [Self; 7] = [
        Self::DeleteGroup,
        Self::Evict,
        Self::Publish,
        Self::RemoveObject,
        Self::Find,
        Self::RenewFiles,
        Self::Create,
    ];

    /// The kind of the effect that carries out `decision`; none = there is nothing to carry out.
    pub(super) fn of(decision: &Decision) -> Option<Self> {
        match decision {
            Decision::DeleteGroup { .. } => Some(Self::DeleteGroup),
            Decision::RenewFiles { .. } => Some(Self::RenewFiles),
            Decision::Evict => Some(Self::Evict),
            Decision::Publish => Some(Self::Publish),
            Decision::RemoveObject => Some(Self::RemoveObject),
            Decision::Find { .. } => Some(Self::Find),
            Decision::Create { .. } => Some(Self::Create),
            Decision::Wait(_) | Decision::Forget => None,
        }
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Created(_) => Self::Create,
            Outcome::Found(_) => Self::Find,
            Outcome::GroupDeleted(_) => Self::DeleteGroup,
            Outcome::FilesRenewed(_) => Self::RenewFiles,
            Outcome::Evicted(_) => Self::Evict,
            Outcome::Published(_) => Self::Publish,
            Outcome::ObjectRemoved(_) => Self::RemoveObject,
        }
    }
}

/// How many effects of each kind may run at once.
#[derive(Clone, Copy, Debug)]
pub struct Parallel {
    /// Creates; each holds a whole pod and what it names.
    pub creates: usize,
    /// Calls that end groups.
    pub deletes: usize,
    /// Writes to the API server.
    pub writes: usize,
}

impl Default for Parallel {
    fn default() -> Self {
        Self {
            creates: 32,
            deletes: 32,
            writes: 16,
        }
    }
}

impl Parallel {
    fn of(self, kind: Kind) -> usize {
        match kind {
            Kind::Create => self.creates,
            Kind::DeleteGroup => self.deletes,
            Kind::Publish | Kind::RemoveObject => self.writes,
            Kind::Find | Kind::Evict | Kind::RenewFiles => 4,
        }
    }
}

/// Effects of one kind: whose wait, and how many run.
#[derive(Debug)]
struct Lane {
    queue: VecDeque<Uid>,
    running: usize,
    limit: usize,
}

/// The lanes of all kinds.
#[derive(Debug)]
pub(super) struct Lanes([Lane; Kind::ALL.len()]);

impl Lanes {
    pub(super) fn new(parallel: Parallel) -> Self {
        Self(Kind::ALL.map(|kind| Lane {
            queue: VecDeque::new(),
            running: 0,
            limit: parallel.of(kind),
        }))
    }

    /// An effect on `uid` is to be started when there is room.
    pub(super) fn queue(&mut self, kind: Kind, uid: Uid) {
        self.lane(kind).queue.push_back(uid);
    }

    /// Whose effect may start now; none = nobody's, or there is no room.
    pub(super) fn next(&mut self, kind: Kind) -> Option<Uid> {
        let lane = self.lane(kind);
        if lane.running < lane.limit {
            lane.queue.pop_front()
        } else {
            None
        }
    }

    /// An effect runs.
    pub(super) fn started(&mut self, kind: Kind) {
        self.lane(kind).running += 1;
    }

    /// An effect has ended, as `outcome` says.
    pub(super) fn ended(&mut self, outcome: &Outcome) {
        let lane = self.lane(Kind::of_outcome(outcome));
        lane.running = lane.running.saturating_sub(1);
    }

    /// Whether any effect runs.
    pub(super) fn are_busy(&self) -> bool {
        self.0.iter().any(|lane| lane.running > 0)
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane {
        &mut self.0[kind as usize]
    }
}
