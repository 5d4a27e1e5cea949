//! What the agent depends on goes away and comes back: it recovers by itself, and no pod changes phase.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cloud::time;
use crate::cluster::{Cluster, NODE, condition};
use crate::kubectl::kubectl;
use crate::namespace::{CONTAINER, Namespace, pod, uid};
use crate::recorder::Recorder;

/// How soon a deleted Node must be back: so long the garbage collection of pods waits before it takes a node for gone.
const BACK_WITHIN: SignedDuration = SignedDuration::from_secs(40);
/// The outage that must be survived.
const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_deleted_node_is_registered_again() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "no-node").await;
    let mut pods = Vec::new();
    for name in ["a", "b"] {
        pods.push((name, namespace.running(pod(name)).await));
    }
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    let before = uid(&cluster.node().await);
    let deleted = Timestamp::now();
    kubectl(&["delete", "node", NODE, "--wait=false"]).await.ok();
    let path = format!("/api/v1/nodes/{NODE}");
    let back = |node: &Value| {
        node["metadata"]["uid"].is_string() && node["metadata"]["uid"] != before && condition(node, "Ready") == "True"
    };
    let node = cluster.until("a new Node", &path, back).await;
    let created = time(&node["metadata"]["creationTimestamp"]).expect("it was created");
    let away = created.duration_since(deleted);
    assert!(away <= BACK_WITHIN, "it was away for {away:#}");
    assert_eq!(node["metadata"]["labels"]["type"], "virtual-kubelet");
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    // It is a node that takes pods, and its lease names it.
    namespace.running(pod("after")).await;
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}");
    let owned = |lease: &Value| lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"];
    cluster.until("its lease", &lease, owned).await;
    phases.caught_up("after", "Running").await;
    for (name, (before, group)) in pods {
        assert_eq!(phases.of(name), words(&["Running"]));
        assert_eq!(uid(&namespace.pod(name).await), before, "the same pod");
        assert_eq!(cluster.cloud.groups_ever(&before).await, [group], "and the same group");
    }
}

#[tokio::test]
async fn the_api_server_is_away_for_half_a_minute() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "no-api").await;
    namespace.running(pod("a")).await;
    let mut worker = pod("worker");
    worker["spec"]["restartPolicy"] = json!("Never");
    let (worker_uid, worker_group) = namespace.running(worker).await;
    let phases = Recorder::phases(&cluster, &namespace.name).await;

    cluster.control(&["kill", "apiserver"]).await;
    let back_at = tokio::time::Instant::now() + OUTAGE;
    // Ends while nobody can be told.
    cluster.cloud.exit(&worker_group, CONTAINER, 3).await;
    tokio::time::sleep_until(back_at).await;
    cluster.control(&["start", "apiserver"]).await;

    let ended = namespace.phase("worker", "Failed").await;
    let status = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(status["exitCode"], 3, "{status}");
    cluster.condition("Ready", "True").await;
    namespace.running(pod("after")).await;
    assert_eq!(cluster.cloud.groups_ever(&worker_uid).await, [worker_group]);
    phases.caught_up("after", "Running").await;
    assert_eq!(
        (phases.of("a"), phases.of("worker")),
        (words(&["Running"]), words(&["Running", "Failed"]))
    );
    namespace.kubectl(&["logs", "a"]).await.ok();
    // The controllers come back from the outage in their own time, and take the node for lost until they have: no matter of what
    // comes next. A new one begins with what is.
    cluster.control(&["restart", "kube-controller-manager"]).await;
}

#[tokio::test]
async fn the_cloud_is_away_for_half_a_minute() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "no-cloud").await;
    for name in ["a", "b"] {
        namespace.running(pod(name)).await;
    }
    let (leaving, _) = namespace.running(pod("leaving")).await;
    cluster.condition("CloudReachable", "True").await;
    cluster.condition("Ready", "True").await;
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    let node = Recorder::node(&cluster).await;

    // It takes connections and answers nobody, which is the worst way to be away.
    cluster.signal("mock-eci", "STOP").await;
    let back_at = tokio::time::Instant::now() + OUTAGE;
    namespace
        .kubectl(&["delete", "pod", "leaving", "--wait=false"])
        .await
        .ok();
    namespace.create(pod("coming")).await;
    let unreachable = cluster.condition("CloudReachable", "False").await;
    let why = unreachable["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "CloudReachable");
    assert!(
        why.is_some_and(|c| !c["message"].as_str().unwrap_or_default().is_empty()),
        "{why:?}"
    );
    tokio::time::sleep_until(back_at).await;
    assert!(
        namespace.pod("leaving").await.is_object(),
        "a pod goes only when its group is known to be gone"
    );
    cluster.signal("mock-eci", "CONT").await;

    cluster.condition("CloudReachable", "True").await;
    namespace.phase("coming", "Running").await;
    namespace.gone("leaving").await;
    assert_eq!(cluster.cloud.groups_ever(&leaving).await.len(), 1);
    let coming = uid(&namespace.pod("coming").await);
    assert_eq!(cluster.cloud.groups_ever(&coming).await.len(), 1);
    phases.caught_up("coming", "Running").await;
    assert_eq!(
        (phases.of("a"), phases.of("b")),
        (words(&["Running"]), words(&["Running"]))
    );
    node.caught_up(NODE, "True/True").await;
    let seen = node.of(NODE);
    assert!(
        seen.iter().all(|values| values.starts_with("True/")),
        "the node stays Ready: {seen:?}"
    );
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
