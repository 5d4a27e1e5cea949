//! `DescribeContainerGroups`: the full record of a group.

use jiff::Timestamp;
use serde::Deserialize;

use crate::group::{ContainerState, GroupStatus, ObservedContainer, ObservedGroup};
use crate::written_back::Whereabouts;

use super::events::GroupEvent;
use super::{lenient, none_if_empty};

/// Answer of `DescribeContainerGroups`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GroupsAnswer {
    /// `RequestId`.
    #[serde(deserialize_with = "lenient::text")]
    pub request_id: String,
    /// `NextToken`, empty at the end.
    #[serde(deserialize_with = "lenient::text")]
    pub next_token: String,
    /// `TotalCount`: matches, not items of this page.
    #[serde(deserialize_with = "lenient::integer")]
    pub total_count: Option<i32>,
    /// `ContainerGroups`.
    #[serde(deserialize_with = "lenient::objects")]
    pub container_groups: Vec<ContainerGroup>,
}

/// A member of `ContainerGroups`, as far as we use it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerGroup {
    #[serde(deserialize_with = "lenient::text")]
    container_group_id: String,
    #[serde(deserialize_with = "lenient::text")]
    container_group_name: String,
    #[serde(deserialize_with = "lenient::text")]
    status: String,
    #[serde(deserialize_with = "lenient::text")]
    zone_id: String,
    #[serde(deserialize_with = "lenient::text")]
    vpc_id: String,
    #[serde(rename = "VSwitchId", deserialize_with = "lenient::text")]
    vswitch_id: String,
    #[serde(deserialize_with = "lenient::text")]
    security_group_id: String,
    #[serde(deserialize_with = "lenient::text")]
    eni_instance_id: String,
    #[serde(deserialize_with = "lenient::text")]
    internet_ip: String,
    #[serde(deserialize_with = "lenient::text")]
    ipv6_address: String,
    #[serde(deserialize_with = "lenient::text")]
    instance_type: String,
    #[serde(deserialize_with = "lenient::text")]
    compute_category: String,
    #[serde(deserialize_with = "lenient::text")]
    spot_strategy: String,
    #[serde(deserialize_with = "lenient::text")]
    intranet_ip: String,
    #[serde(deserialize_with = "lenient::number")]
    cpu: Option<f64>,
    #[serde(deserialize_with = "lenient::number")]
    memory: Option<f64>,
    #[serde(deserialize_with = "lenient::time")]
    creation_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::time")]
    succeeded_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::time")]
    failed_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::time")]
    expired_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::objects")]
    tags: Vec<Tag>,
    /// `Events`, only there if asked for.
    #[serde(deserialize_with = "lenient::objects")]
    pub events: Vec<GroupEvent>,
    #[serde(deserialize_with = "lenient::objects")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "lenient::objects")]
    init_containers: Vec<Container>,
}

impl ContainerGroup {
    /// `ContainerGroupId`.
    pub fn id(&self) -> &str {
        &self.container_group_id
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Tag {
    #[serde(deserialize_with = "lenient::text")]
    key: String,
    #[serde(deserialize_with = "lenient::text")]
    value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    #[serde(deserialize_with = "lenient::text")]
    name: String,
    #[serde(deserialize_with = "lenient::text")]
    image: String,
    #[serde(deserialize_with = "lenient::flag")]
    ready: Option<bool>,
    #[serde(deserialize_with = "lenient::integer")]
    restart_count: Option<i32>,
    #[serde(deserialize_with = "lenient::object")]
    current_state: Option<State>,
    #[serde(deserialize_with = "lenient::object")]
    previous_state: Option<State>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    #[serde(deserialize_with = "lenient::text")]
    state: String,
    #[serde(deserialize_with = "lenient::text")]
    detail_status: String,
    #[serde(deserialize_with = "lenient::text")]
    reason: String,
    #[serde(deserialize_with = "lenient::text")]
    message: String,
    #[serde(deserialize_with = "lenient::time")]
    start_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::time")]
    finish_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::integer")]
    exit_code: Option<i32>,
    #[serde(deserialize_with = "lenient::integer")]
    signal: Option<i32>,
}

impl From<ContainerGroup> for ObservedGroup {
    fn from(group: ContainerGroup) -> Self {
        let status = GroupStatus::parse(&group.status);
        let finished = match status {
            GroupStatus::Succeeded => group.succeeded_time,
            GroupStatus::Failed | GroupStatus::ScheduleFailed => group.failed_time,
            GroupStatus::Expired => group.expired_time.or(group.failed_time),
            // A time that belongs to a state the group is not in (arrears announce ExpiredTime ahead) says nothing yet.
            GroupStatus::Scheduling
            | GroupStatus::Pending
            | GroupStatus::Running
            | GroupStatus::Restarting
            | GroupStatus::Updating
            | GroupStatus::Terminating
            | GroupStatus::Unknown(_) => None,
        };
        let whereabouts = Whereabouts {
            zone_id: group.zone_id.clone(),
            vpc_id: group.vpc_id,
            vswitch_id: group.vswitch_id,
            security_group_id: group.security_group_id,
            eni_instance_id: group.eni_instance_id,
            internet_ip: group.internet_ip,
            ipv6_address: group.ipv6_address,
            instance_type: group.instance_type,
            compute_category: group.compute_category,
            is_spot: !["", "NoSpot"].contains(&group.spot_strategy.as_str()),
            ..Whereabouts::default()
        };
        Self {
            whereabouts: Some(Box::new(whereabouts)),
            id: group.container_group_id,
            name: group.container_group_name,
            status,
            pod_ip: none_if_empty(group.intranet_ip),
            zone_id: none_if_empty(group.zone_id),
            size: group.cpu.zip(group.memory).filter(|(cpu, _)| *cpu > 0.0),
            tags: group.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            uuid: None,
            created: group.creation_time,
            start_time: None,
            finished,
            containers: group.containers.into_iter().map(Into::into).collect(),
            init_containers: Some(group.init_containers.into_iter().map(Into::into).collect()),
            conditions: Vec::new(),
        }
    }
}

impl From<Container> for ObservedContainer {
    fn from(container: Container) -> Self {
        Self {
            name: container.name,
            image: container.image,
            image_id: String::new(),
            ready: container.ready.unwrap_or_default(),
            started: None,
            restart_count: container.restart_count.unwrap_or_default(),
            state: container
                .current_state
                .unwrap_or_default()
                .into_state()
                .unwrap_or_else(|| ContainerState::Waiting {
                    reason: String::new(),
                    message: String::new(),
                }),
            last_state: container.previous_state.and_then(State::into_state),
        }
    }
}

impl State {
    /// `None` if nothing is set, as in the `PreviousState` of a container that never restarted.
    fn into_state(self) -> Option<ContainerState> {
        let word = match self.state.as_str() {
            "" if self.finish_time.is_some() => "Terminated",
            "" if self.start_time.is_some() => "Running",
            "" => return None,
            word => word,
        };
        Some(match word {
            "Running" => ContainerState::Running {
                started_at: self.start_time,
            },
            "Terminated" => ContainerState::Terminated {
                exit_code: self.exit_code.unwrap_or(-1),
                signal: self.signal.unwrap_or_default(),
                reason: none_if_empty(self.reason).unwrap_or(self.detail_status),
                message: self.message,
                started_at: self.start_time,
                finished_at: self.finish_time,
            },
            // Waiting, and any word we do not know: it is not known to run and not known to have ended.
            _ => ContainerState::Waiting {
                reason: none_if_empty(self.reason).unwrap_or(self.detail_status),
                message: self.message,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(body: &str) -> ObservedGroup {
        serde_json::from_str::<ContainerGroup>(body).expect("reads").into()
    }

    #[test]
    fn a_running_group() {
        let group = observed(
            r#"{"ContainerGroupId":"eci-bp1","ContainerGroupName":"web-1","ZoneId":"cn-hangzhou-h","IntranetIp":"10.0.0.7",
            "Cpu":0.25,"Memory":0.5,"Status":"Running","CreationTime":"2026-01-01T00:00:00Z","SucceededTime":"","FailedTime":"",
            "ExpiredTime":"2027-01-01T00:00:00Z","Tags":[{"Key":"UID","Value":"u-1"}],"Events":[],"InitContainers":[],
            "DnsConfig":{},"Containers":[{"Name":"c1","Image":"nginx:1.25","Cpu":0.25,"Ready":true,"RestartCount":0,
            "CurrentState":{"State":"Running","StartTime":"2026-01-01T00:00:12Z","FinishTime":"","DetailStatus":""},
            "PreviousState":{"State":"","StartTime":"","FinishTime":""}}]}"#,
        );
        assert_eq!(group.status, GroupStatus::Running);
        assert_eq!(group.pod_ip.as_deref(), Some("10.0.0.7"));
        assert_eq!(group.size, Some((0.25, 0.5)));
        assert_eq!(group.tag("UID"), Some("u-1"));
        assert_eq!(group.finished, None, "a time of expiry ahead is no end");
        assert_eq!(group.init_containers, Some(vec![]));
        let container = &group.containers[0];
        assert!(container.ready);
        assert_eq!(
            container.state,
            ContainerState::Running {
                started_at: "2026-01-01T00:00:12Z".parse().ok()
            }
        );
        assert_eq!(container.last_state, None);
    }

    #[test]
    fn an_ended_container() {
        let group = observed(
            r#"{"Status":"Failed","FailedTime":"2026-01-01T00:01:00Z","InitContainers":null,"Containers":[{"Name":"c1",
            "CurrentState":{"State":"Terminated","ExitCode":137,"Signal":9,"Reason":"OOMKilled","Message":"m",
            "StartTime":"2026-01-01T00:00:12Z","FinishTime":"2026-01-01T00:01:00Z"},
            "PreviousState":{"State":"Terminated","FinishTime":"2026-01-01T00:00:10Z","DetailStatus":"Error"}}]}"#,
        );
        assert_eq!(group.finished, "2026-01-01T00:01:00Z".parse().ok());
        assert_eq!(
            group.containers[0].state,
            ContainerState::Terminated {
                exit_code: 137,
                signal: 9,
                reason: "OOMKilled".into(),
                message: "m".into(),
                started_at: "2026-01-01T00:00:12Z".parse().ok(),
                finished_at: "2026-01-01T00:01:00Z".parse().ok(),
            }
        );
        assert_eq!(
            group.containers[0].last_state,
            Some(ContainerState::Terminated {
                exit_code: -1,
                signal: 0,
                reason: "Error".into(),
                message: String::new(),
                started_at: None,
                finished_at: "2026-01-01T00:00:10Z".parse().ok(),
            })
        );
    }

    #[test]
    fn an_unknown_word_is_waiting_not_running() {
        let group = observed(r#"{"Status":"Frozen","Containers":[{"CurrentState":{"State":"Paused","Reason":"x"}}]}"#);
        assert_eq!(group.status, GroupStatus::Unknown("Frozen".into()));
        assert_eq!(
            group.containers[0].state,
            ContainerState::Waiting {
                reason: "x".into(),
                message: String::new()
            }
        );
    }

    #[test]
    fn an_empty_record_invents_nothing() {
        let group = observed("{}");
        assert_eq!(
            (group.pod_ip, group.size, group.created, group.finished),
            (None, None, None, None)
        );
    }
}
