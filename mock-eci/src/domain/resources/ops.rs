//! Tasks of operation (`CreateInstanceOpsTask`): kept per group; nothing is dumped, and so no file is ever there to fetch.
//!
//! ```text
//! enable ─► Ready ─ 12 hours ─► Expired
//!             ├─ disable ─────► Closed
//!             └─ tcpdump's Duration is over ─► Success
//! ```

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Account, Common, Kind,
    store::{Item, Record},
};
use crate::{spec::GroupId, timers::after};

/// How long a task waits for what it is to catch.
const VALID_FOR: Duration = Duration::from_secs(12 * 3600);
/// Most tasks kept; the oldest go first.
const MAX_TASKS: usize = 1_000;

/// `OpsType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpsType {
    /// Core dumps of containers that crash.
    CoreDump,
    /// Packets on the network.
    TcpDump,
}

impl OpsType {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::CoreDump, Self::TcpDump];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CoreDump => "coredump",
            Self::TcpDump => "tcpdump",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin; a tcpdump may end by itself after a while.
    Enable {
        /// After this time.
        duration: Option<Duration>,
    },
    /// End what was begun.
    Disable,
}

/// `OpsStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is on.
    Ready,
    /// It caught nothing in its time.
    Expired,
    /// It was ended.
    Closed,
    /// It has done what it was to do.
    Success,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Expired => "Expired",
            Self::Closed => "Closed",
            Self::Success => "Success",
        }
    }
}

/// A task.
#[derive(Clone, Debug)]
pub struct OpsTask {
    /// The group.
    pub group: GroupId,
    /// Of what kind.
    pub kind: OpsType,
    /// Where it is.
    pub status: Status,
    /// When it expires.
    pub valid_until: Timestamp,
    /// When it is done by itself.
    done_at: Option<Timestamp>,
}

impl Record for OpsTask {
    fn step(item: &mut Item<Self>, at: Timestamp) {
        let task = &mut item.record;
        if task.status == Status::Ready {
            task.status = match task.done_at {
                Some(done) if done <= at => Status::Success,
                _ => Status::Expired,
            };
        }
    }
}

impl Account {
    /// Carries an order out. What is on already is ended first: a group has one task of a kind at a time.
    pub fn order_ops(&mut self, group: &GroupId, kind: OpsType, order: Order, now: Timestamp) {
        let open = self
            .ops
            .iter()
            .find(|i| i.record.group == *group && i.record.kind == kind && i.record.status == Status::Ready)
            .map(|i| i.id.clone());
        if let Some(item) = open.and_then(|id| self.ops.get_mut(&id)) {
            item.record.status = Status::Closed;
            item.step_at = None;
        }
        let Order::Enable { duration } = order else { return };
        self.ops.make_room(MAX_TASKS);
        let valid_until = after(now, VALID_FOR);
        let done_at = duration.map(|d| after(now, d)).filter(|at| *at < valid_until);
        let record = OpsTask {
            group: group.clone(),
            kind,
            status: Status::Ready,
            valid_until,
            done_at,
        };
        let mut item = self.item(Kind::OpsTask, Common::default(), record, now);
        item.step_at = Some(done_at.unwrap_or(valid_until));
        let id = item.id.clone();
        self.ops.add(item);
        self.arm(Kind::OpsTask, &id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Quotas;

    const ON: Order = Order::Enable { duration: None };

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    fn statuses(account: &Account) -> Vec<Status> {
        account.ops.iter().map(|i| i.record.status).collect()
    }

    #[test]
    fn a_task_expires_is_closed_or_done() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let group = GroupId::from("eci-1");
        account.order_ops(&group, OpsType::CoreDump, ON, at(0));
        let minute = Order::Enable {
            duration: Some(Duration::from_secs(60)),
        };
        account.order_ops(&group, OpsType::TcpDump, minute, at(0));
        assert_eq!(statuses(&account), [Status::Ready, Status::Ready]);
        account.advance(at(60));
        assert_eq!(statuses(&account), [Status::Ready, Status::Success]);
        account.order_ops(&group, OpsType::CoreDump, ON, at(100));
        assert_eq!(statuses(&account), [Status::Closed, Status::Success, Status::Ready]);
        account.order_ops(&group, OpsType::CoreDump, Order::Disable, at(200));
        account.order_ops(&group, OpsType::CoreDump, Order::Disable, at(201));
        assert_eq!(statuses(&account), [Status::Closed, Status::Success, Status::Closed]);
        account.order_ops(&group, OpsType::CoreDump, ON, at(300));
        account.advance(at(300 + 12 * 3600));
        assert_eq!(statuses(&account).last(), Some(&Status::Expired));
    }
}
