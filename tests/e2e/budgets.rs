//! Budgets of namespaces by what their administrator annotates, read by the rights of `manifests/base`.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cost::recording;
use crate::kubectl::kubectl;
use crate::namespace::{Namespace, pod};

async fn annotate(namespace: &Namespace<'_>, annotations: &[&str]) {
    let mut all = vec!["annotate", "--overwrite", "namespace", &namespace.name];
    all.extend(annotations);
    kubectl(&all).await.ok();
}

/// Waits until an Event of that reason on that object says this.
async fn said(cluster: &Cluster, namespace: &str, on: &str, reason: &str, text: &str) {
    let selector = format!("reason={reason},involvedObject.name={on}");
    let arguments = ["get", "events", "--namespace", namespace, "--field-selector", &selector];
    let look = async || kubectl(&arguments).await.ok();
    cluster
        .eventually(text, look, |told: &String| told.contains(text))
        .await;
}

#[tokio::test]
async fn what_a_namespace_is_annotated_with_holds_its_pods_and_lets_them_go() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "annotated").await;
    let name = &namespace.name;
    let mut agent = recording(&cluster).await;
    agent.start();
    namespace.running(pod("spender")).await;
    annotate(
        &namespace,
        &[
            "k8s.aliyun.com/eci-budget=0.000001/day",
            "k8s.aliyun.com/eci-budget-action=hold",
        ],
    )
    .await;
    let reached = format!("namespace {name} has spent its budget of 0.000001/day");
    said(&cluster, name, "spender", "BudgetReached", &reached).await;
    namespace.create(pod("waits")).await;
    said(
        &cluster,
        name,
        "waits",
        "BudgetReached",
        "waits until it is raised, or for the next period",
    )
    .await;
    let bills = namespace.bills().await.into_iter();
    let made: Vec<Value> = bills.map(|bill| bill["Tags"]["PodName"].clone()).collect();
    assert_eq!(made, [json!("spender")]);
    assert_eq!(namespace.pod("waits").await["status"]["phase"], "Pending");
    annotate(&namespace, &["k8s.aliyun.com/eci-budget=100/day"]).await;
    namespace.phase("waits", "Running").await;
    annotate(&namespace, &["k8s.aliyun.com/eci-budget=ten"]).await;
    let mistake = "metadata.annotations[k8s.aliyun.com/eci-budget] is `ten`: it must be an amount";
    said(&cluster, "default", name, "BudgetIgnored", mistake).await;
}
