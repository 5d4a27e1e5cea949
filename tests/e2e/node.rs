//! The Node object as users and schedulers see it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{AGENT_IP, Cluster, NODE, condition};
use crate::kubectl::kubectl;

#[tokio::test]
async fn it_is_ready_and_says_what_it_is() {
    let cluster = Cluster::shared().await;
    let line = kubectl(&["get", "node", NODE, "--no-headers"]).await.ok();
    assert_eq!(line.split_whitespace().nth(1), Some("Ready"), "{line}");

    let node = cluster.condition("CloudReachable", "True").await;
    let labels = &node["metadata"]["labels"];
    for (name, value) in [
        ("type", "virtual-kubelet"),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/hostname", NODE),
        ("topology.kubernetes.io/region", "cn-hangzhou"),
        ("topology.kubernetes.io/zone", "cn-hangzhou-h"),
        ("node.kubernetes.io/exclude-from-external-load-balancers", "true"),
    ] {
        assert_eq!(labels[name], value, "label {name} of {labels}");
    }
    let status = &node["status"];
    let addresses = json!([
        { "type": "InternalIP", "address": AGENT_IP },
        { "type": "Hostname", "address": NODE },
    ]);
    assert_eq!(status["addresses"], addresses);
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    assert_eq!(condition(&node, "MemoryPressure"), "False");
    assert_eq!(condition(&node, "CloudListUntrusted"), "False");
    for resource in ["cpu", "memory", "pods", "ephemeral-storage"] {
        assert!(status["allocatable"][resource].is_string(), "{resource}: {status}");
    }
    // This testbed has no other node, so it carries no taint: every pod goes to it.
    assert!(node["spec"]["taints"].is_null(), "{}", node["spec"]);
}

#[tokio::test]
async fn its_capacity_follows_the_quota_of_the_account_within_a_minute() {
    let cluster = Cluster::shared().await;
    let before = cluster.cloud.get("usage").await["max-cpu"].as_f64().expect("a quota");
    let quota = before + 7.0;
    cluster.cloud.post("usage", json!({ "max-cpu": quota })).await;
    let look = async || cluster.node().await["status"]["capacity"].clone();
    let wanted = |capacity: &Value| capacity["cpu"] == format!("{quota}");
    let capacity = cluster
        .within(Duration::from_secs(60), "the new capacity", look, wanted)
        .await;
    cluster.cloud.post("usage", json!({ "max-cpu": before })).await;
    // ECI sells at most 8 GiB a vCPU.
    assert_eq!(capacity["memory"], format!("{}Gi", quota * 8.0));
}

#[tokio::test]
async fn its_lease_is_renewed() {
    let cluster = Cluster::shared().await;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}");
    let lease = cluster
        .until("a lease", &path, |lease| lease["spec"]["renewTime"].is_string())
        .await;
    let owner = cluster.node().await["metadata"]["uid"].clone();
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], owner);
    let look = async || cluster.get(&path).await["spec"]["renewTime"].clone();
    let wanted = |time: &Value| time.is_string() && *time != lease["spec"]["renewTime"];
    // It lasts 40 s.
    cluster.within(Duration::from_secs(30), "a renewal", look, wanted).await;
}
