//! Whether two statuses say the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::Kind;

/// Hash over the fields this node owns, to compare a computed status with the watched object's.
///
/// Stable under key order, explicit nulls, empty strings and whatever an API server or another writer adds. Times count
/// in whole seconds; when a condition changed, when the pod started and which generation was observed count not at all:
/// an API server may drop the last, and none of them changes alone. For comparisons within one process only.
pub fn fingerprint(status: &PodStatus) -> u64 {
    let mut hash = DefaultHasher::new();
    (text(&status.phase), text(&status.reason), text(&status.message)).hash(&mut hash);
    (text(&status.host_ip), text(&status.pod_ip), status.start_time.is_some()).hash(&mut hash);
    for ip in status.host_ips.iter().flatten() {
        ip.ip.hash(&mut hash);
    }
    "podIPs".hash(&mut hash);
    for ip in status.pod_ips.iter().flatten() {
        ip.ip.hash(&mut hash);
    }
    for kind in Kind::ALL {
        let found = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind.as_str());
        found
            .map(|found| (&found.status, text(&found.reason), text(&found.message)))
            .hash(&mut hash);
    }
    for list in [&status.init_container_statuses, &status.container_statuses] {
        let mut containers: Vec<&ContainerStatus> = list.iter().flatten().collect();
        // A kubelet sorts by name, we keep the pod's order.
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        containers.len().hash(&mut hash);
        for status in containers {
            container(status, &mut hash);
        }
    }
    hash.finish()
}

fn container(status: &ContainerStatus, hash: &mut impl Hasher) {
    (
        &status.name,
        &status.image,
        &status.image_id,
        text(&status.container_id),
    )
        .hash(hash);
    (status.ready, status.started.unwrap_or(false), status.restart_count).hash(hash);
    for state in [&status.state, &status.last_state] {
        match state {
            Some(ContainerState {
                terminated: Some(end), ..
            }) => {
                (
                    3u8,
                    end.exit_code,
                    end.signal.unwrap_or(0),
                    text(&end.reason),
                    text(&end.message),
                )
                    .hash(hash);
                (
                    seconds(&end.started_at),
                    seconds(&end.finished_at),
                    text(&end.container_id),
                )
                    .hash(hash);
            }
            Some(ContainerState {
                running: Some(running), ..
            }) => (2u8, seconds(&running.started_at)).hash(hash),
            Some(ContainerState {
                waiting: Some(waiting), ..
            }) => {
                (1u8, text(&waiting.reason), text(&waiting.message)).hash(hash);
            }
            // An API server stores an empty object where there is no last state.
            Some(ContainerState { .. }) | None => 0u8.hash(hash),
        }
    }
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn seconds(time: &Option<Time>) -> Option<i64> {
    time.as_ref().map(|time| time.0.as_second())
}
