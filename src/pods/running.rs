//! The pods that run, as the figures see them.

use provider::group::{ContainerState, ObservedContainer};

use crate::kubelet::figures::running::{RunningContainer, RunningPod, RunningPods};
use crate::pods::record::PodRecord;
use crate::pods::store::Store;

impl RunningPods for Store {
    fn running(&self) -> Vec<RunningPod> {
        self.lock().iter().filter_map(|(_, record)| running(record)).collect()
    }
}

/// `record` as a pod that runs, if a container of it does.
fn running(record: &PodRecord) -> Option<RunningPod> {
    let group_id = record.group_id()?;
    let group = &record.observed.as_ref()?.group;
    if group.status.is_terminal() {
        return None;
    }
    let facts = &record.facts;
    let all = group.containers.iter().chain(group.init_containers.iter().flatten());
    let containers: Vec<RunningContainer> = all
        .filter_map(|container| {
            let ContainerState::Running { started_at } = &container.state else {
                return None;
            };
            Some(RunningContainer {
                name: container.name.as_str().into(),
                image: image(record, container),
                started: *started_at,
                restart_count: container.restart_count,
            })
        })
        .collect();
    if containers.is_empty() {
        return None;
    }
    Some(RunningPod {
        namespace: facts.namespace.clone(),
        name: facts.name.clone(),
        uid: facts.uid.clone(),
        group_id: group_id.clone(),
        started: group.start_time.or(facts.previous.start_time),
        containers,
    })
}

/// The image as the pod names it, which is what people look for; ECI may tell a resolved one.
fn image(record: &PodRecord, container: &ObservedContainer) -> Box<str> {
    let facts = &record.facts;
    let mut all = facts.containers.iter().chain(&facts.init_containers);
    match all.find(|c| *c.name == *container.name) {
        Some(found) if !found.image.is_empty() => found.image.clone(),
        _ => container.image.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use provider::group::{GroupStatus, ObservedGroup};
    use provider::status::{ContainerFacts, PodFacts};

    use super::*;
    use crate::pods::record::{Desired, GroupState, Observed};

    fn observed(name: &str, state: ContainerState) -> ObservedContainer {
        ObservedContainer {
            name: name.to_owned(),
            image: "registry/resolved@sha256:1".to_owned(),
            image_id: String::new(),
            ready: true,
            started: None,
            restart_count: 2,
            state,
            last_state: None,
        }
    }

    fn record(status: GroupStatus, containers: Vec<ObservedContainer>) -> PodRecord {
        let facts = PodFacts {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            containers: vec![ContainerFacts {
                name: "main".into(),
                image: "app:1".into(),
                readiness_probe: false,
                sidecar: false,
            }],
            ..PodFacts::default()
        };
        let now = Timestamp::UNIX_EPOCH;
        let mut record = PodRecord::new(facts, Desired::default(), GroupState::Absent { attempt: 0 }, now);
        record.has_group(Arc::from("eci-1"), 0, now, now);
        let group = ObservedGroup {
            id: "eci-1".to_owned(),
            name: String::new(),
            status,
            pod_ip: None,
            zone_id: None,
            whereabouts: None,
            size: None,
            tags: Vec::new(),
            uuid: None,
            created: None,
            start_time: Timestamp::from_second(5).ok(),
            finished: None,
            containers,
            init_containers: None,
            conditions: Vec::new(),
        };
        record.observed = Some(Observed {
            hash: 0,
            group,
            changed: now,
        });
        record
    }

    fn runs() -> ContainerState {
        ContainerState::Running {
            started_at: Timestamp::from_second(7).ok(),
        }
    }

    #[test]
    fn a_pod_with_a_container_that_runs() {
        let waits = ContainerState::Waiting {
            reason: String::new(),
            message: String::new(),
        };
        let record = record(
            GroupStatus::Running,
            vec![
                observed("main", runs()),
                observed("late", waits),
                observed("unknown", runs()),
            ],
        );
        let pod = running(&record).expect("it runs");
        assert_eq!((&*pod.namespace, &*pod.name, &*pod.uid), ("n", "p", "u"));
        assert_eq!((&*pod.group_id, pod.started), ("eci-1", Timestamp::from_second(5).ok()));
        let names: Vec<(&str, &str)> = pod.containers.iter().map(|c| (&*c.name, &*c.image)).collect();
        assert_eq!(
            names,
            [("main", "app:1"), ("unknown", "registry/resolved@sha256:1")],
            "the image is named as the pod names it"
        );
        assert_eq!(pod.containers[0].started, Timestamp::from_second(7).ok());
    }

    #[test]
    fn what_ended_does_not_run() {
        assert_eq!(
            running(&record(GroupStatus::Failed, vec![observed("main", runs())])),
            None
        );
        assert_eq!(running(&record(GroupStatus::Running, Vec::new())), None);
    }
}
