//! The life cycle of a group as a table: (status, event) → (next status, effects). Pure.
//!
//! ```text
//!                 Scheduled        PullStarted          a container runs        all ended for good
//!  Scheduling ──────────────► Pending ───┬─► (billing) ────────► Running ──────────────► Succeeded | Failed
//!      │                         │       │                          │                          │
//!      │ LaunchFailed            └───────┴── LaunchFailed, Deadline ┴─► Failed                  │ DeleteRequested
//!      ▼                                     Reclaimed ─────────────► Expired                  ▼
//!  ScheduleFailed            DeleteRequested (from any live status) ► Terminating ─ Stopped ► gone
//! ```
//! What is not in the table changes nothing: events of a runtime may arrive late, and a late event is not an error.
//! `Restarting` and `Updating` are not here because the actions that lead there are not supported.

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
    pub const ALL: [Self; 8] = [
        Self::Scheduling,
        Self::ScheduleFailed,
        Self::Pending,
        Self::Running,
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
            Self::Terminating => "Terminating",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Expired => "Expired",
        }
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
    /// Its active deadline has passed.
    DeadlineExceeded,
    /// Its resources are taken back.
    Reclaimed,
    /// `DeleteContainerGroup`.
    DeleteRequested,
    /// Nothing of it runs any more.
    Stopped,
}

/// What has to be done about a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Billing starts now.
    StartBilling,
    /// Billing ends now, if it ever started.
    EndBilling,
    /// Start the first init container, or all containers.
    StartContainers,
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

    let to = |next, effects| Step {
        next: Some(next),
        effects,
    };
    let gone = |effects| Step { next: None, effects };
    match (status, event) {
        (Scheduling, Scheduled) => to(Pending, &[]),
        (Scheduling, LaunchFailed) => to(ScheduleFailed, &[Kill]),

        (Pending, PullStarted) => to(Pending, &[StartBilling]),
        (Pending, SandboxReady) => to(Pending, &[StartContainers]),
        (Pending, Progress(super::lifecycle::Progress::Running)) => to(Running, &[]),

        (Pending | Running, LaunchFailed) => to(Failed, &[EndBilling, Kill]),
        // The network goes with the last container; logs stay until the record does.
        (Pending | Running, Progress(super::lifecycle::Progress::Ended { success: true })) => {
            to(Succeeded, &[EndBilling, Kill])
        }
        (Pending | Running, Progress(super::lifecycle::Progress::Ended { success: false })) => {
            to(Failed, &[EndBilling, Kill])
        }
        // Init containers may run again after a restart of the machine below; a group never falls back to Pending.
        (Scheduling | Pending | Running, DeadlineExceeded) => to(Failed, &[EndBilling, Kill]),
        (Scheduling | Pending | Running, Reclaimed) => to(Expired, &[EndBilling, Kill]),
        (Scheduling | Pending | Running, DeleteRequested) => to(Terminating, &[Stop]),

        // Deleting again passes a shorter grace on (Force).
        (Terminating, DeleteRequested) => to(Terminating, &[Stop]),
        (Terminating, Stopped) => gone(&[EndBilling, Remove]),
        (ScheduleFailed | Succeeded | Failed | Expired, DeleteRequested) => gone(&[Remove]),

        (unchanged, _) => to(unchanged, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Scheduled),
            Just(Event::PullStarted),
            Just(Event::SandboxReady),
            Just(Event::LaunchFailed),
            Just(Event::Progress(Progress::Starting)),
            Just(Event::Progress(Progress::Running)),
            any::<bool>().prop_map(|success| Event::Progress(Progress::Ended { success })),
            Just(Event::DeadlineExceeded),
            Just(Event::Reclaimed),
            Just(Event::DeleteRequested),
            Just(Event::Stopped),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: final statuses stay, no group falls back, each is removed once and only
        /// after a delete, and billing never starts after the end.
        #[test]
        fn laws(events in prop::collection::vec(any_event(), 0..40)) {
            let mut status = Status::Scheduling;
            let (mut deleted, mut ended) = (false, false);
            for event in events {
                deleted |= event == Event::DeleteRequested;
                let step = step(status, event);
                for effect in step.effects {
                    match effect {
                        Effect::StartBilling => prop_assert!(!ended && status == Status::Pending),
                        Effect::EndBilling => ended = true,
                        Effect::Remove => prop_assert!(deleted && step.next.is_none()),
                        Effect::StartContainers => prop_assert!(status == Status::Pending),
                        Effect::Stop => prop_assert!(step.next == Some(Status::Terminating)),
                        Effect::Kill => prop_assert!(step.next.is_some_and(Status::is_final)),
                    }
                }
                let Some(next) = step.next else {
                    prop_assert!(step.effects.contains(&Effect::Remove));
                    break;
                };
                if status.is_final() {
                    prop_assert_eq!(next, status);
                }
                let rank = |s: Status| match s {
                    Status::Scheduling => 0,
                    Status::Pending => 1,
                    Status::Running => 2,
                    Status::Terminating => 3,
                    _ => 4,
                };
                prop_assert!(rank(next) >= rank(status), "{:?} -> {:?}", status, next);
                prop_assert!(!(status == Status::Terminating && next != Status::Terminating));
                status = next;
            }
        }
    }

    #[test]
    fn a_delete_ends_every_group() {
        for status in Status::ALL {
            let deleted = step(status, Event::DeleteRequested);
            let end = match deleted.next {
                None => None,
                Some(next) => step(next, Event::Stopped).next,
            };
            assert_eq!(end, None, "{status:?}");
        }
    }
}
