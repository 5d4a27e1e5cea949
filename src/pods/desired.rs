//! (pure) From a watched pod to what a record keeps of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use provider::annotations;
use provider::mapping::{self, LifeOptions, Settings, quantity};
use provider::status::{self, ContainerFacts, GateFacts, PodFacts};
use provider::units::MilliCpu;

use crate::pods::endurance;
use crate::pods::record::{Deletion, Desired};
use crate::pods::watch::{ContainerView, NodePod};

/// What the API server fills in for `terminationGracePeriodSeconds`.
const DEFAULT_GRACE_SECONDS: u32 = 30;

/// What Kubernetes wants of `pod`.
pub fn of(pod: &NodePod, settings: &Settings) -> Desired {
    let candidates = mapping::candidates(pod.annotations(), pod.spec.ties(), settings);
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).max(1);
    let never = pod.spec.restart_policy.as_deref() == Some("Never");
    Desired {
        finished: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
        was_running: pod.status.phase == "Running",
        deletion: pod.deletion_timestamp().map(|deadline| Deletion {
            deadline,
            forced: pod.deletion_grace_seconds() == Some(0),
        }),
        gone: false,
        may_fail: never && pod.owners().is_empty(),
        options: LifeOptions::of(pod.annotations()),
        candidates: count(candidates.list.len()),
        turns: count(candidates.turns),
        places: count(candidates.places),
        spot: pod
            .annotation(annotations::SPOT_STRATEGY)
            .is_some_and(|strategy| strategy != "NoSpot"),
        grace_seconds: pod
            .spec
            .termination_grace_period_seconds
            .and_then(|s| u32::try_from(s).ok())
            .unwrap_or(DEFAULT_GRACE_SECONDS),
        evicted_after: endurance::evicted_after(&pod.spec.tolerations),
        inputs: inputs(pod),
    }
}

/// Of the pod itself: its spec, and the annotations that users write.
fn inputs(pod: &NodePod) -> u64 {
    let mut hash = DefaultHasher::new();
    pod.generation().hash(&mut hash);
    for (key, value) in pod.annotations() {
        if annotations::READ.contains(&key.as_str()) {
            (key, value).hash(&mut hash);
        }
    }
    hash.finish()
}

/// What is wanted once the object is gone: the grace that was being waited for, if any, still holds for the group.
pub fn gone(before: &Desired, last: &NodePod) -> Desired {
    // A force delete removes the object at once, with no grace period on its last version.
    let forced = last.deletion_grace_seconds().is_none_or(|s| s == 0) && before.deletion.is_none();
    let deletion = before
        .deletion
        .or_else(|| last.deletion_timestamp().map(|deadline| Deletion { deadline, forced }));
    Desired {
        gone: true,
        deletion,
        ..before.clone()
    }
}

/// What status needs of `pod`.
pub fn facts(pod: &NodePod, node_ip: &Arc<str>) -> PodFacts {
    PodFacts {
        uid: pod.uid().into(),
        namespace: pod.namespace().into(),
        name: pod.name().into(),
        node_ip: node_ip.clone(),
        generation: pod.generation(),
        created: pod.created(),
        deletion_requested: pod.deletion_timestamp().is_some(),
        restart_policy: status::restart_policy(pod.spec.restart_policy.as_deref()),
        active_deadline_seconds: pod.spec.active_deadline_seconds,
        containers: containers(&pod.spec.containers),
        init_containers: containers(&pod.spec.init_containers),
        readiness_gates: pod
            .spec
            .readiness_gates
            .iter()
            .map(|gate| GateFacts {
                condition: gate.condition_type.as_str().into(),
                status: pod
                    .status
                    .others
                    .iter()
                    .find(|(t, _)| *t == gate.condition_type)
                    .map(|(_, s)| s.as_str().into()),
            })
            .collect(),
        previous: pod.status.previous.clone(),
    }
}

fn containers(views: &[ContainerView]) -> Vec<ContainerFacts> {
    views
        .iter()
        .map(|view| ContainerFacts {
            name: view.name.as_str().into(),
            image: view.image.as_deref().unwrap_or_default().into(),
            readiness_probe: view.readiness_probe.is_some(),
            sidecar: view.is_sidecar(),
        })
        .collect()
}

/// UID of the pod's controller.
pub fn owner(pod: &NodePod) -> Option<Box<str>> {
    pod.owners()
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.as_str().into())
}

/// Whether its ReplicaSet may be told which of its pods goes first: its user has not.
pub fn cost_unset(pod: &NodePod) -> bool {
    let mut owners = pod.owners().iter();
    owners.any(|owner| owner.controller == Some(true) && owner.kind == "ReplicaSet")
        && pod.annotation(annotations::POD_DELETION_COST).is_none()
}

/// vCPU of its group, as written back; 0 = not known.
pub fn bought_cpu(pod: &NodePod) -> MilliCpu {
    let written = pod
        .annotation(annotations::INSTANCE_CPU)
        .map(|text| Quantity(text.to_owned()));
    written.and_then(|q| quantity::milli_cpu(&q)).unwrap_or_default()
}

/// CPU that the scheduler counts for `pod`: its containers' requests and its sidecars', or those of an init container and of
/// the sidecars that run beside it.
pub fn requested_cpu(pod: &NodePod) -> MilliCpu {
    let of = |view: &ContainerView| {
        let quantity = view.resources.requests.get("cpu").map(|text| Quantity(text.clone()));
        quantity.and_then(|q| quantity::milli_cpu(&q)).unwrap_or_default().0
    };
    let (mut sidecars, mut most) = (0, 0);
    for init in &pod.spec.init_containers {
        if init.is_sidecar() {
            sidecars += of(init);
        }
        most = most.max(if init.is_sidecar() {
            sidecars
        } else {
            sidecars + of(init)
        });
    }
    let together = pod.spec.containers.iter().map(of).sum::<u64>() + sidecars;
    MilliCpu(together.max(most))
}
