//! The store as the kubelet API sees it.

use provider::group::{ContainerState, ObservedContainer};
use provider::status::ContainerFacts;

use crate::kubelet::lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup};
use crate::pods::store::Store;

impl PodLookup for Store {
    fn group_of(&self, namespace: &str, pod: &str, uid: Option<&str>) -> Option<PodEntry> {
        let records = self.lock();
        let (found, record) = match uid {
            Some(uid) => records.get(uid).map(|record| (uid, record)),
            None => records.find(namespace, pod).map(|(uid, record)| (&**uid, record)),
        }?;
        let group = record.observed.as_ref().map(|o| &o.group);
        let init = group.and_then(|g| g.init_containers.as_deref()).unwrap_or_default();
        let main = group.map(|g| g.containers.as_slice()).unwrap_or_default();
        let entries = |facts: &[ContainerFacts], observed: &[ObservedContainer]| -> Vec<ContainerEntry> {
            facts
                .iter()
                .map(|f| {
                    // A sidecar is one of the pod's init containers, and one of the group's containers.
                    let observed = if f.sidecar { main } else { observed };
                    entry(&f.name, observed.iter().find(|o| *o.name == *f.name))
                })
                .collect()
        };
        let mut containers = entries(&record.facts.containers, main);
        containers.extend(entries(&record.facts.init_containers, init));
        Some(PodEntry {
            uid: found.to_owned(),
            group_id: record.group_id().map(|id| id.to_string()),
            ip: group.and_then(|g| g.pod_ip.as_deref()?.parse().ok()),
            containers,
        })
    }
}

fn entry(name: &str, observed: Option<&ObservedContainer>) -> ContainerEntry {
    let state = match observed.map(|o| &o.state) {
        None => ContainerRun::Waiting {
            reason: "ContainerCreating".to_owned(),
        },
        Some(ContainerState::Waiting { reason, .. }) => ContainerRun::Waiting { reason: reason.clone() },
        Some(ContainerState::Running { .. }) => ContainerRun::Running,
        Some(ContainerState::Terminated { .. }) => ContainerRun::Terminated,
    };
    ContainerEntry {
        name: name.to_owned(),
        state,
        restart_count: observed.map_or(0, |o| o.restart_count),
        has_previous: observed.is_some_and(|o| o.last_state.is_some()),
    }
}
