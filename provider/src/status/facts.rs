//! What the status of a pod depends on besides its group: a trimmed pod, small enough to keep for every pod.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, PodStatus};

use super::previous::Previous;
use crate::request::RestartPolicy;

/// A trimmed pod. Less than 1 kB for a running Spark executor (a test counts); `Box<str>` because these never grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// The node's InternalIP, shared by all its pods.
    pub node_ip: Arc<str>,
    /// `metadata.generation`: becomes `status.observedGeneration`.
    pub generation: Option<i64>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deletion_requested: bool,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `spec.activeDeadlineSeconds`.
    pub active_deadline_seconds: Option<i64>,
    /// `spec.containers`.
    pub containers: Vec<ContainerFacts>,
    /// `spec.initContainers`.
    pub init_containers: Vec<ContainerFacts>,
    /// `spec.readinessGates` with what others say about them.
    pub readiness_gates: Vec<GateFacts>,
    /// What the pod's status says now; update it with every published or watched status.
    pub previous: Previous,
}

/// A trimmed container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFacts {
    /// `name`.
    pub name: Box<str>,
    /// `image`.
    pub image: Box<str>,
    /// Whether it has a readiness probe; without one it is ready as soon as it runs.
    pub readiness_probe: bool,
    /// Whether it is a native sidecar: one of `spec.initContainers` for Kubernetes, and a container like the others for ECI.
    pub sidecar: bool,
}

/// A readiness gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateFacts {
    /// The condition type it waits for.
    pub condition: Box<str>,
    /// That condition's status; `None` = there is no such condition.
    pub status: Option<Box<str>>,
}

impl PodFacts {
    /// The facts of `pod`, as the API server returned it, its status included.
    pub fn of(pod: &Pod, node_ip: Arc<str>) -> Self {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref();
        let text = |value: &Option<String>| value.as_deref().unwrap_or_default().into();
        let status = pod.status.as_ref();
        Self {
            uid: text(&meta.uid),
            namespace: text(&meta.namespace),
            name: text(&meta.name),
            node_ip,
            generation: meta.generation,
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deletion_requested: meta.deletion_timestamp.is_some(),
            restart_policy: restart_policy(spec.and_then(|spec| spec.restart_policy.as_deref())),
            active_deadline_seconds: spec.and_then(|spec| spec.active_deadline_seconds),
            containers: spec.map(|spec| containers(&spec.containers)).unwrap_or_default(),
            init_containers: spec
                .and_then(|s| s.init_containers.as_deref())
                .map(containers)
                .unwrap_or_default(),
            readiness_gates: spec
                .and_then(|spec| spec.readiness_gates.as_ref())
                .map(|gates| {
                    gates
                        .iter()
                        .map(|gate| GateFacts::of(&gate.condition_type, status))
                        .collect()
                })
                .unwrap_or_default(),
            previous: status.map(Previous::of).unwrap_or_default(),
        }
    }
}

impl GateFacts {
    /// What `status` says about the gate `condition`.
    pub fn of(condition: &str, status: Option<&PodStatus>) -> Self {
        let found = status
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| conditions.iter().find(|c: &&PodCondition| c.type_ == condition));
        Self {
            condition: condition.into(),
            status: found.map(|c| c.status.as_str().into()),
        }
    }
}

/// Reads `spec.restartPolicy`; anything but the three words is `Always`, which the API server fills in.
pub fn restart_policy(word: Option<&str>) -> RestartPolicy {
    match word {
        Some("Never") => RestartPolicy::Never,
        Some("OnFailure") => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

fn containers(specs: &[Container]) -> Vec<ContainerFacts> {
    specs
        .iter()
        .map(|container| ContainerFacts {
            name: container.name.as_str().into(),
            image: container.image.as_deref().unwrap_or_default().into(),
            readiness_probe: container.readiness_probe.is_some(),
            sidecar: container.restart_policy.as_deref() == Some("Always"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PreviousCondition, PreviousContainer};

    /// Bytes on and off the heap, less the allocator's own.
    fn bytes(facts: &PodFacts) -> usize {
        let PodFacts {
            uid,
            namespace,
            name,
            containers,
            init_containers,
            readiness_gates,
            previous,
            ..
        } = facts;
        let strings = [uid, namespace, name].map(|text| text.len()).iter().sum::<usize>();
        let containers: usize = containers
            .iter()
            .chain(init_containers)
            .map(|one| size_of::<ContainerFacts>() + one.name.len() + one.image.len())
            .sum();
        let before: usize = previous
            .containers
            .iter()
            .chain(&previous.init_containers)
            .map(|one| size_of::<PreviousContainer>() + one.name.len() + one.image_id.len() + one.container_id.len())
            .sum();
        size_of::<PodFacts>()
            + strings
            + containers
            + before
            + readiness_gates.len() * size_of::<GateFacts>()
            + previous.conditions.len() * size_of::<PreviousCondition>()
            + previous.pod_ip.as_ref().map_or(0, |ip| ip.len())
    }

    #[test]
    fn a_running_spark_executor_takes_less_than_a_kilobyte() {
        let text = include_str!("../../tests/data/mapping/spark-executor/pod.json");
        let pod: Pod = serde_json::from_str(text).expect("a pod");
        let facts = PodFacts::of(&pod, Arc::from("10.0.0.1"));
        assert_eq!(&*facts.containers[0].name, "spark-kubernetes-executor");
        assert_eq!(facts.previous.conditions.len(), 3);
        assert!(bytes(&facts) < 1024, "{}", bytes(&facts));
    }
}
