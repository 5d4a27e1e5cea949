//! `DescribeContainerGroupStatus`: the cheap record, shaped like a pod's status.
//!
//! Windows overlap, so most records were seen before: a page keeps each record as raw text, [`record_hash`] recognises
//! it, and only a new one is decoded.

use std::hash::{DefaultHasher, Hasher as _};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::group::{ContainerState, GroupStatus, ObservedCondition, ObservedContainer, ObservedGroup};

use super::{lenient, none_if_empty};

/// Answer of `DescribeContainerGroupStatus`, its records not yet decoded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StatusAnswer<'a> {
    /// `RequestId`.
    #[serde(deserialize_with = "lenient::text")]
    pub request_id: String,
    /// `NextToken`, empty at the end.
    #[serde(deserialize_with = "lenient::text")]
    pub next_token: String,
    /// `TotalCount`: matches, not items of this page.
    #[serde(deserialize_with = "lenient::integer")]
    pub total_count: Option<i32>,
    /// `Data`: one JSON object per group, for [`StatusRecord`].
    #[serde(borrow, deserialize_with = "lenient::list")]
    pub data: Vec<&'a RawValue>,
}

/// Hash of a record's text. Stable within one build only: compare, do not store.
pub fn record_hash(record: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(record);
    hasher.finish()
}

/// A member of `Data`, as far as we use it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StatusRecord {
    #[serde(deserialize_with = "lenient::text")]
    container_group_id: String,
    #[serde(deserialize_with = "lenient::text")]
    name: String,
    #[serde(rename = "uuid", deserialize_with = "lenient::text")]
    uuid: String,
    #[serde(deserialize_with = "lenient::text")]
    status: String,
    #[serde(deserialize_with = "lenient::object")]
    pod_status: Option<PodStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PodStatus {
    #[serde(deserialize_with = "lenient::text")]
    pod_ip: String,
    #[serde(deserialize_with = "lenient::objects")]
    pod_ips: Vec<PodIp>,
    #[serde(deserialize_with = "lenient::time")]
    start_time: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::objects")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "lenient::objects")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PodIp {
    #[serde(deserialize_with = "lenient::text")]
    ip: String,
}

/// The mixture of cases is the API's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    type_: String,
    #[serde(rename = "status", deserialize_with = "lenient::text")]
    status: String,
    #[serde(rename = "Reason", deserialize_with = "lenient::text")]
    reason: String,
    #[serde(rename = "Message", deserialize_with = "lenient::text")]
    message: String,
    #[serde(rename = "lastTransitionTime", deserialize_with = "lenient::time")]
    last_transition_time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerStatus {
    #[serde(deserialize_with = "lenient::text")]
    name: String,
    #[serde(deserialize_with = "lenient::text")]
    image: String,
    #[serde(rename = "ImageID", deserialize_with = "lenient::text")]
    image_id: String,
    #[serde(deserialize_with = "lenient::flag")]
    ready: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    started: Option<bool>,
    #[serde(deserialize_with = "lenient::integer")]
    restart_count: Option<i32>,
    #[serde(deserialize_with = "lenient::object")]
    state: Option<State>,
    #[serde(deserialize_with = "lenient::object")]
    last_state: Option<State>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    #[serde(deserialize_with = "lenient::object")]
    waiting: Option<Waiting>,
    #[serde(deserialize_with = "lenient::object")]
    running: Option<Running>,
    #[serde(deserialize_with = "lenient::object")]
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Waiting {
    #[serde(deserialize_with = "lenient::text")]
    reason: String,
    #[serde(deserialize_with = "lenient::text")]
    message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Running {
    /// The documented name really is this one; the sensible one is read as well.
    #[serde(rename = "StartedAtstartedAt", deserialize_with = "lenient::time")]
    documented: Option<Timestamp>,
    #[serde(rename = "StartedAt", deserialize_with = "lenient::time")]
    sensible: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Terminated {
    #[serde(deserialize_with = "lenient::integer")]
    exit_code: Option<i32>,
    #[serde(deserialize_with = "lenient::integer")]
    signal: Option<i32>,
    #[serde(deserialize_with = "lenient::text")]
    reason: String,
    #[serde(deserialize_with = "lenient::text")]
    message: String,
    #[serde(deserialize_with = "lenient::time")]
    started_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::time")]
    finished_at: Option<Timestamp>,
}

impl From<StatusRecord> for ObservedGroup {
    fn from(record: StatusRecord) -> Self {
        let pod = record.pod_status.unwrap_or_default();
        let first_ip = pod.pod_ips.into_iter().map(|ip| ip.ip).next();
        Self {
            id: record.container_group_id,
            name: record.name,
            status: GroupStatus::parse(&record.status),
            pod_ip: none_if_empty(pod.pod_ip).or(first_ip.and_then(none_if_empty)),
            zone_id: None,
            whereabouts: None,
            size: None,
            tags: Vec::new(),
            uuid: none_if_empty(record.uuid),
            created: None,
            start_time: pod.start_time,
            finished: None,
            containers: pod.container_statuses.into_iter().map(Into::into).collect(),
            init_containers: None,
            conditions: pod.conditions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Condition> for ObservedCondition {
    fn from(condition: Condition) -> Self {
        Self {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition: condition.last_transition_time,
        }
    }
}

impl From<ContainerStatus> for ObservedContainer {
    fn from(status: ContainerStatus) -> Self {
        Self {
            name: status.name,
            image: status.image,
            image_id: status.image_id,
            ready: status.ready.unwrap_or_default(),
            started: status.started,
            restart_count: status.restart_count.unwrap_or_default(),
            state: status
                .state
                .and_then(State::pick)
                .unwrap_or_else(|| ContainerState::Waiting {
                    reason: String::new(),
                    message: String::new(),
                }),
            last_state: status.last_state.and_then(State::pick),
        }
    }
}

impl State {
    /// The one state that holds, `None` if none is set.
    ///
    /// The documented sample fills all three at once, so presence proves nothing: what has an end has ended, else what
    /// has a start runs, else what has a reason waits. Only if no such detail is there does presence decide, and the
    /// end wins again: a container taken for running would never be looked at again.
    fn pick(self) -> Option<ContainerState> {
        let Self {
            waiting,
            running,
            terminated,
        } = self;
        let started_at = running
            .as_ref()
            .and_then(|running| running.documented.or(running.sensible));
        if terminated
            .as_ref()
            .is_some_and(|terminated| terminated.finished_at.is_some())
        {
            return terminated.map(Terminated::into_state);
        }
        if started_at.is_some() {
            return Some(ContainerState::Running { started_at });
        }
        if let Some(Waiting { reason, message }) = waiting
            && !(reason.is_empty() && message.is_empty())
        {
            return Some(ContainerState::Waiting { reason, message });
        }
        match (running, terminated) {
            (_, Some(terminated)) if terminated.exit_code.is_some() || !terminated.reason.is_empty() => {
                Some(terminated.into_state())
            }
            (Some(_), None) => Some(ContainerState::Running { started_at: None }),
            _ => None,
        }
    }
}

impl Terminated {
    fn into_state(self) -> ContainerState {
        ContainerState::Terminated {
            exit_code: self.exit_code.unwrap_or(-1),
            signal: self.signal.unwrap_or_default(),
            reason: self.reason,
            message: self.message,
            started_at: self.started_at,
            finished_at: self.finished_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(body: &str) -> Option<ContainerState> {
        serde_json::from_str::<State>(body).expect(body).pick()
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().expect("a time"))
    }

    #[test]
    fn of_three_states_at_once_the_end_wins_then_the_start() {
        let all = r#"{"Waiting":{"Reason":"ContainerCreating","Message":""},
            "Running":{"StartedAtstartedAt":"2026-01-01T00:00:01Z"},
            "Terminated":{"ContainerID":"c","ExitCode":0,"Signal":0,"Reason":"Completed","Message":"",
                "StartedAt":"2026-01-01T00:00:01Z","FinishedAt":"2026-01-01T00:00:09Z"}}"#;
        assert_eq!(
            state(all),
            Some(ContainerState::Terminated {
                exit_code: 0,
                signal: 0,
                reason: "Completed".into(),
                message: String::new(),
                started_at: at("2026-01-01T00:00:01Z"),
                finished_at: at("2026-01-01T00:00:09Z"),
            })
        );
        let unfinished = all.replace("2026-01-01T00:00:09Z", "");
        assert_eq!(
            state(&unfinished),
            Some(ContainerState::Running {
                started_at: at("2026-01-01T00:00:01Z")
            })
        );
        let unstarted = r#"{"Waiting":{"Reason":"ImagePullBackOff","Message":"m"},"Running":{},"Terminated":{}}"#;
        assert_eq!(
            state(unstarted),
            Some(ContainerState::Waiting {
                reason: "ImagePullBackOff".into(),
                message: "m".into()
            })
        );
    }

    #[test]
    fn either_name_of_the_start_is_read_and_both_at_once() {
        let running = Some(ContainerState::Running {
            started_at: at("2026-01-01T00:00:01Z"),
        });
        for body in [
            r#"{"Running":{"StartedAtstartedAt":"2026-01-01T00:00:01Z"}}"#,
            r#"{"Running":{"StartedAt":"2026-01-01T00:00:01Z"}}"#,
            r#"{"Running":{"StartedAtstartedAt":"2026-01-01T00:00:01Z","StartedAt":"2026-01-01T00:00:02Z"}}"#,
            r#"{"Running":{"StartedAtstartedAt":"","StartedAt":"2026-01-01T00:00:01Z"},"Waiting":null,"Terminated":""}"#,
        ] {
            assert_eq!(state(body), running, "{body}");
        }
    }

    #[test]
    fn without_details_presence_decides() {
        assert_eq!(
            state(r#"{"Running":{}}"#),
            Some(ContainerState::Running { started_at: None })
        );
        assert_eq!(state(r#"{"Waiting":{},"Running":{},"Terminated":{}}"#), None);
        assert_eq!(state("{}"), None);
        assert!(matches!(
            state(r#"{"Running":{},"Terminated":{"ExitCode":1}}"#),
            Some(ContainerState::Terminated {
                exit_code: 1,
                finished_at: None,
                ..
            })
        ));
    }

    #[test]
    fn a_page_is_hashed_before_it_is_decoded() {
        let body = r#"{"RequestId":"r","NextToken":"","TotalCount":2,"Data":[
            {"ContainerGroupId":"eci-1","Name":"web-1","Namespace":"default","uuid":"u-1","Annotations":"{}","Status":"Running",
             "PodStatus":{"Phase":"Running","PodIp":"10.0.0.7","PodIps":[{"Ip":"10.0.0.7"}],"StartTime":"2026-01-01T00:00:00Z",
              "Conditions":[{"type":"ContainerInstanceCreated","status":"False","Reason":"NoStock","Message":"m",
                "lastTransitionTime":"2026-01-01T00:00:02Z"}],
              "ContainerStatuses":[{"Name":"c1","Image":"i","ImageID":"sha","Ready":true,"Started":true,"RestartCount":2,
                "State":{"Running":{"StartedAtstartedAt":"2026-01-01T00:00:01Z"}},"LastState":{}}]}},
            {"ContainerGroupId":"eci-2","PodStatus":null}]}"#;
        let answer: StatusAnswer<'_> = serde_json::from_str(body).expect("reads");
        assert_eq!(
            (answer.data.len(), answer.total_count, answer.next_token.as_str()),
            (2, Some(2), "")
        );
        let hashes: Vec<u64> = answer
            .data
            .iter()
            .map(|raw| record_hash(raw.get().as_bytes()))
            .collect();
        assert_ne!(hashes[0], hashes[1]);

        let group: ObservedGroup = serde_json::from_str::<StatusRecord>(answer.data[0].get())
            .expect("a record")
            .into();
        assert_eq!((group.id.as_str(), group.uuid.as_deref()), ("eci-1", Some("u-1")));
        assert_eq!(group.pod_ip.as_deref(), Some("10.0.0.7"));
        assert_eq!(group.init_containers, None, "the call does not report them");
        assert_eq!(group.conditions[0].reason, "NoStock");
        assert_eq!(group.containers[0].restart_count, 2);
        assert_eq!(group.containers[0].started, Some(true));

        let bare: ObservedGroup = serde_json::from_str::<StatusRecord>(answer.data[1].get())
            .expect("a record")
            .into();
        assert_eq!((bare.id.as_str(), bare.pod_ip, bare.uuid), ("eci-2", None, None));
    }
}
