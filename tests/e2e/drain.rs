//! `kubectl drain` and `kubectl uncordon`.

use serde_json::{Value, json};

use crate::cluster::{Cluster, NODE};
use crate::kubectl::kubectl;
use crate::namespace::{Namespace, template_spec, uid};

#[tokio::test]
async fn a_drained_node_is_empty_and_takes_pods_again_when_it_is_uncordoned() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "drain").await;
    let workload = |kind: &str, name: &str, mut spec: Value| {
        let labels = json!({ "app": name });
        spec["selector"] = json!({ "matchLabels": labels });
        spec["template"] = json!({ "metadata": { "labels": labels }, "spec": template_spec() });
        json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })
    };
    namespace
        .create(workload("Deployment", "web", json!({ "replicas": 2 })))
        .await;
    namespace.create(workload("DaemonSet", "daemon", json!({}))).await;
    let deployment = format!("/apis/apps/v1/namespaces/{}/deployments/web", namespace.name);
    let ready = |d: &Value| d["status"]["readyReplicas"] == 2;
    cluster.until("two ready pods", &deployment, ready).await;
    let before: Vec<String> = namespace.pods("app=web").await.iter().map(uid).collect();

    // By force for what earlier tests left: pods without a controller, which are on their way out.
    let options = [
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=100s",
    ];
    let arguments: Vec<&str> = ["drain", NODE].into_iter().chain(options).collect();
    kubectl(&arguments).await.ok();
    for pod in &before {
        let bills = cluster.cloud.bills_of_pod(pod).await;
        assert!(
            bills.iter().all(|bill| bill["BillingEnd"].is_string()),
            "drained, and billed: {bills:?}"
        );
    }
    let waiting = namespace.pods("app=web").await;
    let unbound = |pod: &Value| pod["spec"]["nodeName"].is_null() && !before.contains(&uid(pod));
    assert!(waiting.len() == 2 && waiting.iter().all(unbound), "{waiting:?}");
    assert_eq!(namespace.pods("app=daemon").await.len(), 1, "a DaemonSet's pod stays");
    // An agent that starts on a cordoned node leaves it cordoned.
    cluster.control(&["restart", "agent"]).await;
    assert_eq!(cluster.node().await["spec"]["unschedulable"], true);
    let bills = namespace.bills().await;
    assert_eq!(bills.len(), 2, "{bills:?}");

    kubectl(&["uncordon", NODE]).await.ok();
    cluster.until("two ready pods again", &deployment, ready).await;
    namespace.kubectl(&["delete", "deployment", "web"]).await.ok();
    namespace.no_groups().await;
    let bills = namespace.bills().await;
    assert_eq!(bills.len(), 4, "one group a pod: {bills:?}");
}
