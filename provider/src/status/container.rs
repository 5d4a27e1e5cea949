//! The status of one container: always with a state, and with an exit code once it has ended. Spark reads both without a
//! check.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::previous::{PreviousContainer, PreviousEnd, PreviousState};
use super::{ContainerFacts, reasons};
use crate::group::{self, ObservedContainer};
use crate::request::RestartPolicy;

/// What became of containers that will not run any more and whose end nobody recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrecorded {
    /// The group still lives; a container without a recorded end waits.
    StillWaiting,
    /// The group could not be created, so nothing ran in it: its containers wait for good.
    NeverRan,
    /// The group succeeded, so each of its containers ended with 0.
    Succeeded,
    /// The group is over otherwise: 137, as a kubelet says of containers it cannot find.
    Lost,
}

/// All that is known of one container.
pub(super) struct Sources<'a> {
    pub(super) group_id: &'a str,
    pub(super) facts: &'a ContainerFacts,
    pub(super) observed: Option<&'a ObservedContainer>,
    pub(super) previous: Option<&'a PreviousContainer>,
    pub(super) unrecorded: Unrecorded,
    /// When the group ended.
    pub(super) finished: Option<Timestamp>,
    /// Reason and message while it waits and the observation has none.
    pub(super) waiting: (&'a str, &'a str),
    /// An init container is ready when it has ended well.
    pub(super) is_init: bool,
    /// The pod's policy: API servers refuse a status that revives a container which may not run again.
    pub(super) policy: RestartPolicy,
    /// Whether any container of its list has run, as far as the observation goes.
    pub(super) siblings_ran: bool,
}

impl Sources<'_> {
    pub(super) fn status(&self) -> ContainerStatus {
        let state = self.state();
        let running = state.running.is_some();
        let ready = match (&state.terminated, self.is_init) {
            (Some(end), true) => end.exit_code == 0,
            (None, false) if running => {
                // Without a readiness probe it is ready as soon as it runs, whatever ECI has noticed yet.
                !self.facts.readiness_probe || self.observed.is_some_and(|observed| observed.ready)
            }
            _ => false,
        };
        let image = self
            .observed
            .map(|observed| observed.image.as_str())
            .filter(|image| !image.is_empty());
        let image_id = self
            .observed
            .map(|observed| observed.image_id.as_str())
            .filter(|id| !id.is_empty());
        let restarts = self.observed.map_or(0, |observed| observed.restart_count);
        ContainerStatus {
            name: self.facts.name.to_string(),
            image: image.unwrap_or(&self.facts.image).to_owned(),
            image_id: image_id
                .or(self.previous.map(|previous| &*previous.image_id))
                .unwrap_or_default()
                .to_owned(),
            container_id: self.container_id(&state),
            ready,
            started: Some(running && self.observed.and_then(|observed| observed.started).unwrap_or(true)),
            restart_count: restarts.max(self.previous.map_or(0, |previous| previous.restart_count)),
            last_state: self.last_state(),
            state: Some(state),
            ..ContainerStatus::default()
        }
    }

    fn state(&self) -> ContainerState {
        let before = self.previous.map_or(Recorded::Nothing, Recorded::of_previous);
        let recorded = match self.observed.map(|observed| Recorded::of_observed(&observed.state)) {
            Some(Recorded::End(end)) => Recorded::End(end),
            // Cloud answers can be older than what was published.
            Some(_) if before.is_final(self.policy) => before,
            Some(state) => state,
            None => before,
        };
        match (recorded, self.unrecorded) {
            (Recorded::End(end), _) => self.ended(end),
            (Recorded::Start(started_at), Unrecorded::StillWaiting) => ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: started_at.map(time),
                }),
                ..ContainerState::default()
            },
            (Recorded::Wait(reason, message), Unrecorded::StillWaiting | Unrecorded::NeverRan) => {
                self.waits(reason, message)
            }
            (Recorded::Nothing, Unrecorded::StillWaiting | Unrecorded::NeverRan) => self.waits("", ""),
            // It ended, and the group with it before the next run: that end is the one.
            (Recorded::Wait(..), Unrecorded::Succeeded | Unrecorded::Lost) if self.last_end().is_some() => {
                self.ended(self.last_end().unwrap_or_default())
            }
            // Observed never to have begun, like the others of its list: it has no end either.
            (Recorded::Wait(reason, message), Unrecorded::Lost) if !self.siblings_ran => self.waits(reason, message),
            (recorded, Unrecorded::Succeeded) => self.ended(End {
                exit_code: 0,
                started_at: recorded.started(),
                ..End::default()
            }),
            (Recorded::Lost(started_at, finished_at), _) => self.lost(self.known_id(), started_at, finished_at),
            (Recorded::Start(started_at), Unrecorded::Lost | Unrecorded::NeverRan) => {
                self.lost(self.own_id(), started_at, None)
            }
            (Recorded::Wait(..) | Recorded::Nothing, Unrecorded::Lost) => self.lost(self.known_id(), None, None),
        }
    }

    fn waits(&self, reason: &str, message: &str) -> ContainerState {
        let (default_reason, default_message) = self.waiting;
        let (reason, message) = if reason.is_empty() {
            (default_reason, default_message)
        } else {
            (reason, message)
        };
        ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: some(reason),
                message: some(if message.is_empty() { default_message } else { message }),
            }),
            ..ContainerState::default()
        }
    }

    fn ended(&self, end: End<'_>) -> ContainerState {
        // ECI reports no exit code for some ends; the group's verdict is then all there is.
        let exit_code = match (end.exit_code, self.unrecorded) {
            (-1, Unrecorded::Succeeded) => 0,
            (-1, _) if end.reason == reasons::COMPLETED => 0,
            (-1, _) => return self.lost(self.own_id(), end.started_at, end.finished_at),
            (code, _) => code,
        };
        let default = if exit_code == 0 {
            reasons::COMPLETED
        } else {
            reasons::ERROR
        };
        ContainerState {
            terminated: Some(ContainerStateTerminated {
                container_id: self.own_id(),
                exit_code,
                signal: Some(end.signal).filter(|signal| *signal != 0),
                reason: some(if end.reason.is_empty() { default } else { end.reason }),
                message: some(end.message),
                started_at: end.started_at.map(time),
                finished_at: end.finished_at.or(self.finished).map(time),
            }),
            ..ContainerState::default()
        }
    }

    fn lost(
        &self,
        container_id: Option<String>,
        started_at: Option<Timestamp>,
        finished_at: Option<Timestamp>,
    ) -> ContainerState {
        ContainerState {
            terminated: Some(ContainerStateTerminated {
                container_id,
                exit_code: reasons::LOST_EXIT_CODE,
                reason: some(reasons::CONTAINER_STATUS_UNKNOWN),
                message: some(reasons::LOST_MESSAGE),
                started_at: started_at.map(time),
                finished_at: finished_at.or(self.finished).map(time),
                signal: None,
            }),
            ..ContainerState::default()
        }
    }

    fn last_state(&self) -> Option<ContainerState> {
        let waits = matches!(self.observed?.state, group::ContainerState::Waiting { .. });
        if waits && self.unrecorded != Unrecorded::StillWaiting {
            // That end is the current state.
            return None;
        }
        // The end of the group explains the last run, not the one before.
        let before = Sources {
            unrecorded: Unrecorded::StillWaiting,
            finished: None,
            ..*self
        };
        self.last_end().map(|end| before.ended(end))
    }

    /// How the run before this one ended.
    fn last_end(&self) -> Option<End<'_>> {
        match Recorded::of_observed(self.observed?.last_state.as_ref()?) {
            Recorded::End(end) => Some(end),
            _ => None,
        }
    }

    fn container_id(&self, state: &ContainerState) -> Option<String> {
        match (&state.running, &state.terminated) {
            (Some(_), _) => self.own_id(),
            (None, Some(end)) => end.container_id.clone(),
            // Between two runs it still is the container of the last one.
            (None, None) => self.known_id(),
        }
    }

    /// The id that was published before.
    fn known_id(&self) -> Option<String> {
        self.previous.and_then(|previous| some(&previous.container_id))
    }

    /// The id of a container that runs or ran.
    fn own_id(&self) -> Option<String> {
        if self.group_id.is_empty() {
            return self.known_id();
        }
        Some(format!("eci://{}/{}", self.group_id, self.facts.name))
    }
}

/// A state from either source.
enum Recorded<'a> {
    Nothing,
    Wait(&'a str, &'a str),
    Start(Option<Timestamp>),
    End(End<'a>),
    /// Published as lost before: start and end.
    Lost(Option<Timestamp>, Option<Timestamp>),
}

#[derive(Default)]
struct End<'a> {
    exit_code: i32,
    signal: i32,
    reason: &'a str,
    message: &'a str,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

impl<'a> Recorded<'a> {
    fn of_observed(state: &'a group::ContainerState) -> Self {
        match state {
            group::ContainerState::Waiting { reason, message } => Self::Wait(reason, message),
            group::ContainerState::Running { started_at } => Self::Start(*started_at),
            group::ContainerState::Terminated {
                exit_code,
                signal,
                reason,
                message,
                started_at,
                finished_at,
            } => Self::End(End {
                exit_code: *exit_code,
                signal: *signal,
                reason,
                message,
                started_at: *started_at,
                finished_at: *finished_at,
            }),
        }
    }

    fn of_previous(previous: &'a PreviousContainer) -> Self {
        match &previous.state {
            // Its reason was another status's.
            PreviousState::Waiting => Self::Nothing,
            PreviousState::Running(started_at) => Self::Start(*started_at),
            PreviousState::Terminated(end) if &*end.reason == reasons::CONTAINER_STATUS_UNKNOWN => {
                Self::Lost(end.started_at, end.finished_at)
            }
            PreviousState::Terminated(end) => {
                let PreviousEnd {
                    exit_code,
                    signal,
                    reason,
                    message,
                    started_at,
                    finished_at,
                } = &**end;
                Self::End(End {
                    exit_code: *exit_code,
                    signal: *signal,
                    reason,
                    message,
                    started_at: *started_at,
                    finished_at: *finished_at,
                })
            }
        }
    }

    /// Whether no run may follow this one.
    fn is_final(&self, policy: RestartPolicy) -> bool {
        let exit_code = match self {
            Self::End(end) => end.exit_code,
            Self::Lost(..) => reasons::LOST_EXIT_CODE,
            Self::Nothing | Self::Wait(..) | Self::Start(_) => return false,
        };
        match policy {
            RestartPolicy::Always => false,
            RestartPolicy::OnFailure => exit_code == 0,
            RestartPolicy::Never => true,
        }
    }

    fn started(&self) -> Option<Timestamp> {
        match self {
            Self::Start(started_at) | Self::Lost(started_at, _) => *started_at,
            Self::End(end) => end.started_at,
            Self::Nothing | Self::Wait(..) => None,
        }
    }
}

/// Whether the container has run at all.
pub(super) fn has_started(status: &ContainerStatus) -> bool {
    let state = |state: &Option<ContainerState>| {
        state.as_ref().is_some_and(|state| {
            let ran = |end: &ContainerStateTerminated| {
                end.container_id.is_some() || end.reason.as_deref() != Some(reasons::CONTAINER_STATUS_UNKNOWN)
            };
            state.running.is_some() || state.terminated.as_ref().is_some_and(ran)
        })
    };
    state(&status.state) || state(&status.last_state)
}

/// The latest start of containers that run now.
pub(super) fn latest_start<'a>(statuses: impl IntoIterator<Item = &'a ContainerStatus>) -> Option<Timestamp> {
    let running = statuses
        .into_iter()
        .filter_map(|status| status.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    running.map(|time| time.0).max()
}

/// The latest end.
pub(super) fn latest_finish(statuses: &[ContainerStatus]) -> Option<Timestamp> {
    let ended = statuses
        .iter()
        .filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ended.map(|time| time.0).max()
}

/// An instant in whole seconds, as API servers keep it.
pub(super) fn time(instant: Timestamp) -> Time {
    Time(Timestamp::from_second(instant.as_second()).unwrap_or(instant))
}

pub(super) fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
