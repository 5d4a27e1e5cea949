//! The pod-shaped status of a group (`DescribeContainerGroupStatus`). The mixed case of names is ECI's.

use std::{net::IpAddr, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::time;
use crate::{
    domain::{
        container::{Container, State, Terminated},
        group::Group,
        lifecycle::Status,
    },
    runtime::Exit,
    spec::{ContainerSpec, GroupId},
};

/// Address of the host below every group; there is none, so it is one reserved for documentation.
const HOST_IP: &str = "192.0.2.1";

/// The group as one JSON object; rendered at most once per change.
pub(in crate::api) fn rendered(group: &mut Group) -> Arc<str> {
    if let Some(text) = &group.rendered {
        return text.clone();
    }
    let text: Arc<str> = serde_json::to_string(&Data::of(group)).unwrap_or_default().into();
    group.rendered = Some(text.clone());
    text
}

/// Pod phase of a status; a group that is being deleted keeps the one it had.
pub(super) fn phase(group: &Group) -> &'static str {
    match group.phase_status() {
        Status::Scheduling | Status::Pending => "Pending",
        Status::Running | Status::Restarting | Status::Updating | Status::Terminating => "Running",
        Status::Succeeded => "Succeeded",
        Status::Failed | Status::ScheduleFailed | Status::Expired => "Failed",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    container_group_id: &'a GroupId,
    name: &'a str,
    namespace: &'static str,
    #[serde(rename = "uuid")]
    uuid: &'static str,
    annotations: &'static str,
    status: &'static str,
    pod_status: PodStatus<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PodStatus<'a> {
    phase: &'static str,
    pod_ip: PodIp,
    pod_ips: PodIps,
    host_ip: &'static str,
    qos_class: &'static str,
    start_time: String,
    conditions: Vec<Condition<'a>>,
    container_statuses: Statuses<'a>,
}

#[derive(Clone, Copy)]
struct PodIp(Option<IpAddr>);

impl Serialize for PodIp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(ip) => serializer.collect_str(&ip),
            None => serializer.serialize_str(""),
        }
    }
}

#[derive(Clone, Copy)]
struct PodIps(Option<IpAddr>);

impl Serialize for PodIps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Item {
            ip: PodIp,
        }
        serializer.collect_seq(self.0.map(|ip| Item { ip: PodIp(Some(ip)) }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Condition<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "status")]
    status: &'static str,
    reason: &'a str,
    message: &'a str,
    #[serde(rename = "lastTransitionTime")]
    last_transition_time: String,
}

struct Statuses<'a>(&'a Group);

impl Serialize for Statuses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.spec.containers.len()))?;
        for (spec, container) in self.0.apps() {
            seq.serialize_element(&ContainerStatus::of(spec, container))?;
        }
        seq.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerStatus<'a> {
    name: &'a str,
    image: &'a str,
    #[serde(rename = "ImageID")]
    image_id: &'a str,
    ready: bool,
    started: bool,
    restart_count: u32,
    state: WireState<'a>,
    last_state: WireState<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireState<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<Ended<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Waiting<'a> {
    reason: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Running {
    // Yes, that is the official name.
    #[serde(rename = "StartedAtstartedAt")]
    started_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ended<'a> {
    #[serde(rename = "ContainerID")]
    container_id: &'a str,
    exit_code: i32,
    signal: i32,
    reason: &'static str,
    message: &'a str,
    started_at: String,
    finished_at: String,
}

impl<'a> Data<'a> {
    fn of(group: &'a Group) -> Self {
        Self {
            container_group_id: &group.id,
            name: &group.spec.name,
            namespace: "",
            uuid: "",
            annotations: "{}",
            status: group.status.as_str(),
            pod_status: PodStatus {
                phase: phase(group),
                pod_ip: PodIp(group.ip),
                pod_ips: PodIps(group.ip),
                host_ip: if group.scheduled_at.is_some() { HOST_IP } else { "" },
                qos_class: "Guaranteed",
                start_time: time(group.scheduled_at),
                conditions: conditions(group),
                container_statuses: Statuses(group),
            },
        }
    }
}

fn conditions(group: &Group) -> Vec<Condition<'_>> {
    let condition = |kind, since: Option<jiff::Timestamp>, reason, message| Condition {
        kind,
        status: if since.is_some() { "True" } else { "False" },
        reason: if since.is_some() { "" } else { reason },
        message: if since.is_some() { "" } else { message },
        last_transition_time: time(Some(since.unwrap_or(group.created_at))),
    };
    let why = |statuses: &[Status]| match &group.failure {
        Some((reason, message)) if statuses.contains(&group.status) => Some((reason.as_str(), message.as_str())),
        _ => None,
    };
    let (reason, message) = why(&[Status::ScheduleFailed]).unwrap_or_default();
    let (ready, since) = group.readiness;
    let (ready_reason, ready_message) = match why(&[Status::Failed, Status::Expired]) {
        _ if ready => ("", ""),
        // Kubernetes says on the pod why it failed as a whole; ECI's pod status has no such member.
        Some(why) => why,
        None if group.status == Status::Succeeded => ("PodCompleted", ""),
        None => ("ContainersNotReady", ""),
    };
    let readiness = |kind| Condition {
        kind,
        status: if ready { "True" } else { "False" },
        reason: ready_reason,
        message: ready_message,
        last_transition_time: time(Some(since)),
    };
    // A group has its network as long as it has an address and lives.
    let network = group
        .scheduled_at
        .filter(|_| group.ip.is_some() && !group.status.is_final());
    let mut conditions = vec![
        condition("PodScheduled", group.scheduled_at, reason, message),
        condition("ContainerInstanceCreated", group.scheduled_at, reason, message),
        condition("ContainerHasSufficientDisk", group.scheduled_at, reason, message),
        condition("PodReadyToStartContainers", network, "", ""),
        condition("Initialized", group.initialized_at, "ContainersNotInitialized", ""),
        readiness("ContainersReady"),
        readiness("Ready"),
    ];
    if group.status == Status::ScheduleFailed {
        conditions.push(Condition {
            kind: "Unschedulable",
            status: "True",
            reason,
            message,
            last_transition_time: time(group.finished_at),
        });
    }
    conditions
}

impl<'a> ContainerStatus<'a> {
    fn of(spec: &'a ContainerSpec, container: &'a Container) -> Self {
        Self {
            name: &spec.name,
            image: &spec.image,
            image_id: &container.image_id,
            ready: container.ready,
            started: container.is_running(),
            restart_count: container.restart_count(),
            state: WireState::of(&container.state),
            last_state: container.last.as_ref().map(WireState::terminated).unwrap_or_default(),
        }
    }
}

impl<'a> WireState<'a> {
    fn of(state: &'a State) -> Self {
        match state {
            State::Waiting { reason, message } => Self {
                waiting: Some(Waiting { reason, message }),
                ..Self::default()
            },
            State::Running { started_at } => Self {
                running: Some(Running {
                    started_at: time(Some(*started_at)),
                }),
                ..Self::default()
            },
            State::Terminated(ended) => Self::terminated(ended),
        }
    }

    fn terminated(ended: &'a Terminated) -> Self {
        let Exit {
            code, signal, message, ..
        } = &ended.exit;
        let ended = Ended {
            container_id: &ended.container_id,
            exit_code: *code,
            signal: *signal,
            reason: ended.reason(),
            message,
            started_at: time(ended.started_at),
            finished_at: time(Some(ended.finished_at)),
        };
        Self {
            terminated: Some(ended),
            ..Self::default()
        }
    }
}
