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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;

    /// Pods as a real API server returned them.
    const WATCHED: [&str; 2] = [
        include_str!("../../tests/data/mapping/spark-driver/pod.json"),
        include_str!("../../tests/data/mapping/spark-executor/pod.json"),
    ];

    fn of(status: &Value) -> u64 {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).expect("a pod");
        fingerprint(&pod.status.unwrap_or_default())
    }

    fn watched() -> Value {
        let pod: Value = serde_json::from_str(WATCHED[0]).expect("a pod");
        pod["status"].clone()
    }

    #[test]
    fn what_others_write_and_servers_add_does_not_count() {
        for text in WATCHED {
            let pod: Value = serde_json::from_str(text).expect("a pod");
            let watched = pod["status"].clone();
            let mut ours = watched.clone();
            ours.as_object_mut().expect("an object").remove("qosClass");
            ours["observedGeneration"] = json!(7);
            ours["reason"] = json!("");
            ours["containerStatuses"][0]
                .as_object_mut()
                .expect("an object")
                .remove("lastState");
            ours["containerStatuses"][0]["started"] = json!(false);
            ours["startTime"] = json!("2026-11-23T01:43:00.5Z");
            let conditions = ours["conditions"].as_array_mut().expect("a list");
            conditions.retain(|condition| condition["type"] != "PodScheduled");
            conditions.reverse();
            for condition in conditions.iter_mut() {
                condition.as_object_mut().expect("an object").remove("lastProbeTime");
                condition["lastTransitionTime"] = json!("2026-11-23T05:00:00Z");
                condition["observedGeneration"] = json!(7);
            }
            assert_eq!(of(&ours), of(&watched));
        }
    }

    #[test]
    fn whatever_a_kubelet_would_write_counts() {
        let base = of(&watched());
        for (path, value) in [
            ("/phase", json!("Failed")),
            ("/podIP", json!("10.0.0.9")),
            ("/podIPs/0/ip", json!("10.0.0.9")),
            ("/hostIP", json!("10.0.0.9")),
            ("/conditions/1/status", json!("False")),
            ("/conditions/1/reason", json!("ContainersNotReady")),
            ("/containerStatuses/0/ready", json!(false)),
            ("/containerStatuses/0/restartCount", json!(1)),
            ("/containerStatuses/0/imageID", json!("sha256:1")),
            ("/containerStatuses/0/containerID", json!("eci://x/y")),
            (
                "/containerStatuses/0/state/running/startedAt",
                json!("2026-11-23T01:43:50Z"),
            ),
            ("/containerStatuses/0/state", json!({ "terminated": { "exitCode": 0 } })),
            (
                "/containerStatuses/0/state",
                json!({ "waiting": { "reason": "ContainerCreating" } }),
            ),
            (
                "/containerStatuses/0/lastState",
                json!({ "terminated": { "exitCode": 1 } }),
            ),
            ("/message", json!("m")),
        ] {
            let mut changed = watched();
            let (parent, key) = path.rsplit_once('/').expect("a path");
            changed.pointer_mut(parent).expect("a parent")[key] = value;
            assert_ne!(of(&changed), base, "{path}");
        }
        let ended = |code: i32| {
            let mut changed = watched();
            changed["containerStatuses"][0]["state"] = json!({ "terminated": { "exitCode": code } });
            of(&changed)
        };
        assert_ne!(ended(0), ended(137));
    }
}
