//! What happened to a group, for people: the newest 50 events, as `DescribeContainerGroupEvents` shows them.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

/// ECI keeps the newest 50.
const KEPT: usize = 50;

/// Who saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `EciService`: the cloud.
    Service,
    /// `K8sAgent`: the agent inside the group.
    Agent,
}

impl Source {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "EciService",
            Self::Agent => "K8sAgent",
        }
    }
}

/// One event; the same one again counts up.
#[derive(Clone, Debug)]
pub struct GroupEvent {
    /// Who saw it.
    pub source: Source,
    /// `Warning`, otherwise `Normal`.
    pub warning: bool,
    /// CamelCase word.
    pub reason: &'static str,
    /// What it is about; with `reason` it makes the message.
    pub detail: Detail,
    /// How often.
    pub count: u32,
    /// The first time.
    pub first: Timestamp,
    /// The newest time.
    pub last: Timestamp,
}

/// What an event is about. Messages are made when somebody reads them: most are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// About this container of the group (index into init containers, then containers).
    Container(usize),
    /// This container's image is there, after a pull of this long (none = it was there before).
    Pulled(usize, Option<Duration>),
    /// A message as such.
    Text(Box<str>),
}

/// The newest events of one group.
#[derive(Clone, Debug, Default)]
pub struct GroupEvents(VecDeque<GroupEvent>);

impl GroupEvents {
    /// Adds one.
    pub fn add(&mut self, source: Source, warning: bool, reason: &'static str, detail: Detail, at: Timestamp) {
        if let Some(same) = self
            .0
            .iter_mut()
            .rev()
            .find(|e| e.reason == reason && e.detail == detail)
        {
            same.count = same.count.saturating_add(1);
            same.last = at;
            return;
        }
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(GroupEvent {
            source,
            warning,
            reason,
            detail,
            count: 1,
            first: at,
            last: at,
        });
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &GroupEvent> {
        self.0.iter()
    }
}
