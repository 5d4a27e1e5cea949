//! (pure) From a watched pod to what a record keeps of it.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use provider::mapping::quantity;
use provider::status::{self, ContainerFacts, GateFacts, PodFacts};
use provider::units::MilliCpu;

use crate::pods::record::{Deletion, Desired};
use crate::pods::watch::{ContainerView, NodePod};

/// What Kubernetes wants of `pod`.
pub fn of(pod: &NodePod) -> Desired {
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
    }
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

/// CPU that the scheduler counts for `pod`: its containers' requests, or its largest init container's.
pub fn requested_cpu(pod: &NodePod) -> MilliCpu {
    let of = |view: &ContainerView| {
        let quantity = view.resources.requests.get("cpu").map(|text| Quantity(text.clone()));
        quantity.and_then(|q| quantity::milli_cpu(&q)).unwrap_or_default().0
    };
    let together = pod.spec.containers.iter().map(of).sum();
    MilliCpu(
        pod.spec
            .init_containers
            .iter()
            .map(of)
            .max()
            .unwrap_or_default()
            .max(together),
    )
}
