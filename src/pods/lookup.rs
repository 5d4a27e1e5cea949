//! The store as the kubelet API sees it.

use provider::group::{ContainerState, ObservedContainer};
use provider::status::{ContainerFacts, PreviousContainer, PreviousState};

use crate::kubelet::lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup, Stage};
use crate::pods::record::GroupState;
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
        let previous = &record.facts.previous;
        let entries = |facts: &[ContainerFacts],
                       observed: &[ObservedContainer],
                       written: &[PreviousContainer]|
         -> Vec<ContainerEntry> {
            facts
                .iter()
                .map(|f| {
                    // A sidecar is one of the pod's init containers, and one of the group's containers.
                    let observed = if f.sidecar { main } else { observed };
                    match observed.iter().find(|o| *o.name == *f.name) {
                        Some(observed) => entry(&f.name, Some(observed)),
                        // Not seen since the agent's start: what was written of it then.
                        None if group.is_none() => match written.iter().find(|w| w.name == f.name) {
                            Some(written) => written_entry(written),
                            None => entry(&f.name, None),
                        },
                        None => entry(&f.name, None),
                    }
                })
                .collect()
        };
        let mut containers = entries(&record.facts.containers, main, &previous.containers);
        containers.extend(entries(&record.facts.init_containers, init, &previous.init_containers));
        Some(PodEntry {
            uid: found.to_owned(),
            group_id: record.group_id().map(|id| id.to_string()),
            ip: group.and_then(|g| g.pod_ip.as_deref()?.parse().ok()),
            containers,
        })
    }

    fn stage(&self, uid: &str) -> Stage {
        let records = self.lock();
        let Some(record) = records.get(uid) else {
            return Stage::Over;
        };
        if record.desired.finished || record.group_ended() || record.group == GroupState::Gone {
            Stage::Over
        } else if record.desired.gone || record.desired.deletion.is_some() {
            Stage::Ending
        } else {
            Stage::Going
        }
    }
}

fn written_entry(written: &PreviousContainer) -> ContainerEntry {
    ContainerEntry {
        name: written.name.to_string(),
        state: match written.state {
            PreviousState::Waiting => ContainerRun::Waiting { reason: String::new() },
            PreviousState::Running(_) => ContainerRun::Running,
            PreviousState::Terminated(_) => ContainerRun::Terminated,
        },
        restart_count: written.restart_count,
        has_previous: written.restart_count > 0,
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
