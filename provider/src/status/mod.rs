//! Container group to `PodStatus`: a pure function of the observed group, the pod's facts and what was published before.
//!
//! Only the fields a kubelet owns are filled. Equal observations give equal statuses: a time comes from the observation or
//! from the previous status, and `now` only where something changes at this moment.

pub mod conditions;
mod facts;
mod phase;
mod previous;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;

pub use self::facts::{ContainerFacts, GateFacts, PodFacts, restart_policy};
pub use self::phase::Phase;
pub use self::previous::{Previous, PreviousCondition, PreviousContainer, PreviousEnd, PreviousState};
use crate::group::ObservedGroup;

/// The status of the pod whose group is `group`. `now` becomes the transition time of conditions that change with it.
pub fn to_pod_status(group: &ObservedGroup, facts: &PodFacts, now: Timestamp) -> PodStatus {
    let _ = (group, facts, now);
    PodStatus::default()
}

/// The status of a pod that has no group yet: Pending, its containers waiting for `reason` (such as
/// `ContainerCreating` or `CreateContainerConfigError`).
pub fn pending_status(facts: &PodFacts, reason: &str, message: &str) -> PodStatus {
    let _ = (facts, reason, message);
    PodStatus::default()
}

/// The status of a pod that is over although no group says how: containers whose end is not known get exit code 137 and
/// reason `ContainerStatusUnknown`, as a kubelet does; what is known of the others stays. `reason` and `message` become
/// the pod's.
pub fn terminal_status(facts: &PodFacts, reason: &str, message: &str, now: Timestamp) -> PodStatus {
    let _ = (facts, reason, message, now);
    PodStatus::default()
}

/// Whether the cheap status call is not enough: the pod has init containers that may still matter, and `group` does not
/// report them.
pub fn needs_full_observation(group: &ObservedGroup, facts: &PodFacts) -> bool {
    let _ = (group, facts);
    false
}

/// The body of a strategic-merge patch of `pods/status` that turns whatever is there into `status`. Names the UID, and
/// clears what a merge would leave behind (a pod's or a condition's old reason and message).
pub fn patch(status: &PodStatus, facts: &PodFacts) -> serde_json::Value {
    let _ = (status, facts);
    serde_json::Value::Null
}

/// Hash over the fields this node owns, to compare a computed status with the watched object's. Stable under key order,
/// explicit nulls, empty strings and everything an API server or another writer adds; times count in whole seconds, and
/// transition times not at all. For comparisons within one process only.
pub fn fingerprint(status: &PodStatus) -> u64 {
    let _ = status;
    0
}
