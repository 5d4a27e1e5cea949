//! `CommitContainer`: tasks go through their phases by the clock; no image is made.

use jiff::Timestamp;

use super::{
    Account, Common, Kind, STEP,
    store::{Item, Record},
};
use crate::{spec::GroupId, timers::after};

/// Most tasks kept; the oldest go first.
const MAX_COMMITS: usize = 1_000;

/// `TaskStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Running, Self::Succeeded, Self::Failed];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// The phases of a task, in order.
pub const PHASES: [&str; 3] = ["PullBaseImage", "CommitContainer", "PushCommittedImage"];

/// A task.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The container's group.
    pub group: GroupId,
    /// The container.
    pub container: String,
    /// The image to be: repository and tag.
    pub image: String,
    /// Where it is.
    pub status: Status,
    /// When each phase that has begun was last heard of.
    pub phases: Vec<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Record for Commit {
    fn step(item: &mut Item<Self>, at: Timestamp) {
        let task = &mut item.record;
        if let Some(current) = task.phases.last_mut() {
            *current = at;
        }
        if task.phases.len() < PHASES.len() {
            task.phases.push(at);
            item.step_at = Some(after(at, STEP));
        } else {
            task.status = Status::Succeeded;
            task.finished_at = Some(at);
        }
    }
}

impl Account {
    /// Begins to commit a container and gives the task's id.
    pub fn commit(&mut self, group: GroupId, container: String, image: String, now: Timestamp) -> String {
        self.commits.make_room(MAX_COMMITS);
        let record = Commit {
            group,
            container,
            image,
            status: Status::Running,
            phases: vec![now],
            finished_at: None,
        };
        let mut item = self.item(Kind::Commit, Common::default(), record, now);
        item.step_at = Some(after(now, STEP));
        let id = item.id.clone();
        self.commits.add(item);
        self.arm(Kind::Commit, &id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Quotas;

    #[test]
    fn a_task_goes_through_its_phases() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let start = Timestamp::UNIX_EPOCH;
        let id = account.commit("eci-1".into(), "c".into(), "r:1".into(), start);
        let phases = |account: &Account| account.commits.get(&id).map(|i| i.record.phases.len());
        assert_eq!(phases(&account), Some(1));
        account.advance(after(start, STEP));
        assert_eq!(phases(&account), Some(2));
        account.advance(after(start, STEP * 3));
        let task = &account.commits.get(&id).expect("kept").record;
        assert_eq!((task.status, task.phases.len()), (Status::Succeeded, 3));
        assert_eq!(task.finished_at, Some(after(start, STEP * 3)));
    }

    #[test]
    fn only_the_newest_tasks_are_kept() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let mut begin = || account.commit("eci-1".into(), "c".into(), "r:1".into(), Timestamp::UNIX_EPOCH);
        let first = begin();
        for _ in 0..MAX_COMMITS {
            begin();
        }
        assert_eq!(account.commits.len(), MAX_COMMITS);
        assert!(account.commits.get(&first).is_none());
    }
}
