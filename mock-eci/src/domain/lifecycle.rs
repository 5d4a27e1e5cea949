//! The life cycle of a group as a table: (status, event) → (next status, effects). Pure.
//!
//! ```text
//!                 Scheduled        PullStarted          a container runs        all ended for good
//!  Scheduling ──────────────► Pending ───┬─► (billing) ────────► Running ──────────────► Succeeded | Failed
//!      │                       ▲ │       │                       ▲  │                         │
//!      │ LaunchFailed          │ │       └── LaunchFailed,       │  │                         │ DeleteRequested
//!      ▼                       │ │           Deadline ─► Failed  │  │                         ▼
//!  ScheduleFailed  StartFailed │ ▼ RestartRequested,             │  ▼                        gone
//!                            Restarting | Updating ──────────────┘  (the same)
//!                                  UpdateRequested   all run anew
//!  from any live status: Reclaimed ─► Expired; DeleteRequested ─► Terminating ─ Stopped ─► gone
//! ```
//! What is not in the table changes nothing: events of a runtime may arrive late, and a late event is not an error. The whole
//! table is in `docs/lifecycle.md`, which is made from it.

use serde::{Deserialize, Serialize};

/// `Status` of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Resources are being looked for.
    Scheduling,
    /// None were found, or the group could not be made.
    ScheduleFailed,
    /// Its containers are being started, not all of them have been yet.
    Pending,
    /// All containers were started, at least one runs or will again.
    Running,
    /// `RestartContainerGroup`: its containers are ended and started anew.
    Restarting,
    /// `UpdateContainerGroup`: the containers that change are ended and started anew.
    Updating,
    /// It was deleted and its containers are ending.
    Terminating,
    /// All containers ended with 0.
    Succeeded,
    /// All containers ended, at least one not with 0 or not by itself.
    Failed,
    /// Its (spot) resources were taken back.
    Expired,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Scheduling,
        Self::ScheduleFailed,
        Self::Pending,
        Self::Running,
        Self::Restarting,
        Self::Updating,
        Self::Terminating,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduling => "Scheduling",
            Self::ScheduleFailed => "ScheduleFailed",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Restarting => "Restarting",
            Self::Updating => "Updating",
            Self::Terminating => "Terminating",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Expired => "Expired",
        }
    }

    /// Whether containers of a group in it are billed, once the first image pull has begun.
    pub fn is_billed(self) -> bool {
        !self.is_final() && self != Self::Scheduling
    }

    /// Whether it never changes again (but for its record going away).
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::ScheduleFailed | Self::Succeeded | Self::Failed | Self::Expired
        )
    }
}

/// How far the containers of a group are, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not all were started yet.
    Starting,
    /// All were started, at least one runs or will be started again.
    Running,
    /// All ended for good.
    Ended {
        /// All of them with 0.
        success: bool,
    },
}

/// What can happen to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Resources were found.
    Scheduled,
    /// The first image pull begins.
    PullStarted,
    /// Its network is there.
    SandboxReady,
    /// It cannot be made.
    LaunchFailed,
    /// Something changed in its containers.
    Progress(Progress),
    /// A container could not be started (and is tried again).
    StartFailed,
    /// Its active deadline has passed.
    DeadlineExceeded,
    /// `MaxPendingMinute` has passed.
    PendingTooLong,
    /// Its resources are taken back.
    Reclaimed,
    /// `RestartContainerGroup`.
    RestartRequested,
    /// `UpdateContainerGroup`.
    UpdateRequested,
    /// `DeleteContainerGroup`.
    DeleteRequested,
    /// Nothing of it runs any more.
    Stopped,
}

impl Event {
    /// All there are.
    pub const ALL: [Self; 16] = [
        Self::Scheduled,
        Self::PullStarted,
        Self::SandboxReady,
        Self::LaunchFailed,
        Self::Progress(Progress::Starting),
        Self::Progress(Progress::Running),
        Self::Progress(Progress::Ended { success: true }),
        Self::Progress(Progress::Ended { success: false }),
        Self::StartFailed,
        Self::DeadlineExceeded,
        Self::PendingTooLong,
        Self::Reclaimed,
        Self::RestartRequested,
        Self::UpdateRequested,
        Self::DeleteRequested,
        Self::Stopped,
    ];
}

/// What has to be done about a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Billing starts now.
    StartBilling,
    /// Billing ends now, if it ever started.
    EndBilling,
    /// Start the next init container, or all containers, as far as they wait for it.
    StartContainers,
    /// End the containers that are to be replaced, within their grace; once they have ended, start what takes their place.
    Replace,
    /// End its containers within their grace.
    Stop,
    /// End its containers at once; its logs stay.
    Kill,
    /// Free all it holds, logs included, and forget its record.
    Remove,
}

/// Outcome of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The next status; none = the group is gone.
    pub next: Option<Status>,
    /// What to do, in order.
    pub effects: &'static [Effect],
}

/// The table.
pub fn step(status: Status, event: Event) -> Step {
    use Effect::*;
    use Event::*;
    use Status::*;

    use super::lifecycle::Progress as Containers;

    let to = |next, effects| Step {
        next: Some(next),
        effects,
    };
    let gone = |effects| Step { next: None, effects };
    match (status, event) {
        (Scheduling, Scheduled) => to(Pending, &[]),
        (Scheduling, LaunchFailed | PendingTooLong) => to(ScheduleFailed, &[Kill]),

        // A restart or update may come before the network is there.
        (Pending | Restarting | Updating, PullStarted) => to(status, &[StartBilling]),
        (Pending | Restarting | Updating, SandboxReady) => to(status, &[StartContainers]),
        (Pending | Restarting | Updating, Progress(Containers::Running)) => to(Running, &[]),
        (Pending, PendingTooLong) => to(Failed, &[EndBilling, Kill]),

        (Pending | Running, RestartRequested) => to(Restarting, &[Replace]),
        (Pending | Running, UpdateRequested) => to(Updating, &[Replace]),
        // What cannot be started is tried again, and may be updated again meanwhile.
        (Restarting | Updating, StartFailed) => to(Pending, &[]),

        (Pending | Running | Restarting | Updating, LaunchFailed) => to(Failed, &[EndBilling, Kill]),
        // The network goes with the last container; logs stay until the record does.
        (Pending | Running | Restarting | Updating, Progress(Containers::Ended { success })) => {
            to(if success { Succeeded } else { Failed }, &[EndBilling, Kill])
        }
        (Scheduling | Pending | Running | Restarting | Updating, DeadlineExceeded) => to(Failed, &[EndBilling, Kill]),
        (Scheduling | Pending | Running | Restarting | Updating, Reclaimed) => to(Expired, &[EndBilling, Kill]),
        (Scheduling | Pending | Running | Restarting | Updating, DeleteRequested) => to(Terminating, &[Stop]),

        // Deleting again passes a shorter grace on (Force).
        (Terminating, DeleteRequested) => to(Terminating, &[Stop]),
        (Terminating, Stopped) => gone(&[EndBilling, Remove]),
        (ScheduleFailed | Succeeded | Failed | Expired, DeleteRequested) => gone(&[Remove]),

        (unchanged, _) => to(unchanged, &[]),
    }
}

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;
