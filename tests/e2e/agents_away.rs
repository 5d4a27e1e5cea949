//! No agent at all, for longer than Kubernetes leaves pods on a node that is not ready, and beside a worker that is (without one
//! the node-lifecycle controller stops evicting): pods of the pool stay, and so do their groups.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::burst::{Tainted, bursting};
use crate::cluster::{Cluster, condition};
use crate::fake_worker::FakeWorker;
use crate::namespace::{Namespace, pod};

/// Of the agents. The node is taken for lost after some fifty seconds of it.
const OUTAGE: Duration = Duration::from_secs(180);
/// As an API server with `--default-unreachable-toleration-seconds=20` gives them to pods.
const TOLERATED_SECONDS: u32 = 20;
/// What the agent raises them to.
const RAISED_SECONDS: u32 = 24 * 3600;
const PODS: usize = 5;

#[tokio::test]
#[ignore = "four minutes: make endurance"]
async fn three_minutes_without_any_agent_end_no_pod() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "agents-away").await;
    let _tainted = Tainted::new().await;
    let _worker = FakeWorker::with_room(&cluster, 10).await;
    let mut agent = bursting(&cluster).await;
    let mut kept = Vec::new();
    for number in 0..PODS {
        let name = format!("kept-{number}");
        let (uid, group) = namespace.running(short_of_patience(&name)).await;
        kept.push((name, uid, group));
    }
    for (name, ..) in &kept {
        cluster
            .until("the tolerations to be raised", &namespace.path("pods", name), |pod| {
                outage_seconds(pod) == [RAISED_SECONDS, RAISED_SECONDS]
            })
            .await;
    }
    // Too young to be raised: it shows what happens to the others without it.
    let (_, lost) = namespace.running(short_of_patience("lost")).await;

    agent.kill();
    let began = Instant::now();
    cluster.condition("Ready", "Unknown").await;
    cluster
        .until(
            "the one that was not raised to be evicted",
            &namespace.path("pods", "lost"),
            |pod| !pod["metadata"]["deletionTimestamp"].is_null(),
        )
        .await;
    sleep_until(began + OUTAGE).await;
    assert_eq!(condition(&cluster.node().await, "Ready"), "Unknown");
    for (name, uid, group) in &kept {
        let pod = namespace.pod(name).await;
        assert_eq!(pod["metadata"]["uid"], *uid);
        assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null, "{name}");
        assert_eq!(cluster.cloud.status(group).await, "Running");
    }
    assert_eq!(cluster.cloud.status(&lost).await, "Running", "nobody ended it yet");

    agent.start();
    cluster.condition("Ready", "True").await;
    namespace.gone("lost").await;
    for (name, uid, group) in &kept {
        assert_eq!(namespace.phase(name, "Running").await["metadata"]["uid"], *uid);
        assert_eq!(cluster.cloud.groups_ever(uid).await, std::slice::from_ref(group));
    }
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();
    namespace.no_groups().await;
}

/// A pod for the virtual node that outlasts an outage for twenty seconds only.
fn short_of_patience(name: &str) -> Value {
    let mut pod = pod(name);
    let outage = |key: &str| {
        let seconds = TOLERATED_SECONDS;
        json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds })
    };
    pod["spec"]["nodeSelector"] = json!({ "type": "virtual-kubelet" });
    pod["spec"]["tolerations"] = json!([
        { "key": "virtual-kubelet.io/provider", "operator": "Exists" },
        outage("node.kubernetes.io/not-ready"),
        outage("node.kubernetes.io/unreachable"),
    ]);
    pod
}

fn outage_seconds(pod: &Value) -> Vec<u32> {
    let tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
    let seconds = tolerations.filter_map(|toleration| toleration["tolerationSeconds"].as_u64());
    seconds.filter_map(|seconds| u32::try_from(seconds).ok()).collect()
}
