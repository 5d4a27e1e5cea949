//! What a pod's status said last, in little space: the source of every time that must not change.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};

use super::phase::Phase;

/// A status reduced to what the next one depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Previous {
    /// `phase`; `None` = never set.
    pub phase: Option<Phase>,
    /// `reason`.
    pub reason: Box<str>,
    /// `message`.
    pub message: Box<str>,
    /// `startTime`.
    pub start_time: Option<Timestamp>,
    /// `podIP`.
    pub pod_ip: Option<Box<str>>,
    /// The conditions this node owns.
    pub conditions: Vec<PreviousCondition>,
    /// `containerStatuses`.
    pub containers: Vec<PreviousContainer>,
    /// `initContainerStatuses`.
    pub init_containers: Vec<PreviousContainer>,
}

/// A condition of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousCondition {
    /// Its type.
    pub kind: super::conditions::Kind,
    /// Whether its status is `True`.
    pub met: bool,
    /// `lastTransitionTime`.
    pub since: Option<Timestamp>,
}

/// A container's status.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousContainer {
    /// `name`.
    pub name: Box<str>,
    /// `restartCount`.
    pub restart_count: i32,
    /// `imageID`.
    pub image_id: Box<str>,
    /// `containerID`.
    pub container_id: Box<str>,
    /// `state`.
    pub state: PreviousState,
}

/// A container's state.
#[derive(Clone, Debug, PartialEq)]
pub enum PreviousState {
    /// Not started, or between runs.
    Waiting,
    /// Running since.
    Running(Option<Timestamp>),
    /// Ended; boxed because most containers spend their time running.
    Terminated(Box<PreviousEnd>),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousEnd {
    /// Exit code.
    pub exit_code: i32,
    /// Signal, 0 = none.
    pub signal: i32,
    /// Reason.
    pub reason: Box<str>,
    /// Message.
    pub message: Box<str>,
    /// Start.
    pub started_at: Option<Timestamp>,
    /// End.
    pub finished_at: Option<Timestamp>,
}

impl Previous {
    /// Reduces `status`: one just published, or one watched.
    pub fn of(status: &PodStatus) -> Self {
        Self {
            phase: status.phase.as_deref().and_then(Phase::parse),
            reason: status.reason.as_deref().unwrap_or_default().into(),
            message: status.message.as_deref().unwrap_or_default().into(),
            start_time: status.start_time.as_ref().map(|time| time.0),
            pod_ip: status.pod_ip.as_deref().filter(|ip| !ip.is_empty()).map(Into::into),
            conditions: status
                .conditions
                .iter()
                .flatten()
                .filter_map(|condition| {
                    Some(PreviousCondition {
                        kind: super::conditions::Kind::parse(&condition.type_)?,
                        met: condition.status == "True",
                        since: condition.last_transition_time.as_ref().map(|time| time.0),
                    })
                })
                .collect(),
            containers: status
                .container_statuses
                .iter()
                .flatten()
                .map(PreviousContainer::of)
                .collect(),
            init_containers: status
                .init_container_statuses
                .iter()
                .flatten()
                .map(PreviousContainer::of)
                .collect(),
        }
    }
}

impl PreviousContainer {
    fn of(status: &ContainerStatus) -> Self {
        Self {
            name: status.name.as_str().into(),
            restart_count: status.restart_count,
            image_id: status.image_id.as_str().into(),
            container_id: status.container_id.as_deref().unwrap_or_default().into(),
            state: status.state.as_ref().map_or(PreviousState::Waiting, PreviousState::of),
        }
    }
}

impl PreviousState {
    fn of(state: &ContainerState) -> Self {
        let time = |time: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.as_ref().map(|t| t.0);
        if let Some(end) = &state.terminated {
            Self::Terminated(Box::new(PreviousEnd {
                exit_code: end.exit_code,
                signal: end.signal.unwrap_or_default(),
                reason: end.reason.as_deref().unwrap_or_default().into(),
                message: end.message.as_deref().unwrap_or_default().into(),
                started_at: time(&end.started_at),
                finished_at: time(&end.finished_at),
            }))
        } else if let Some(running) = &state.running {
            Self::Running(time(&running.started_at))
        } else {
            Self::Waiting
        }
    }
}
