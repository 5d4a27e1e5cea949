//! Spot by what pods are: the eci-profile has executors on spot resources and drivers not, and a namespace all of its pods.

use serde_json::{Value, json};

use crate::burst::{Tainted, bursting};
use crate::cluster::Cluster;
use crate::kubectl::{kubectl, run};
use crate::namespace::{Namespace, pod};

const PROFILE: &str = r#"[
  { "name": "executors", "objectSelector": { "matchLabels": { "spark-role": "executor" } },
    "effect": { "annotations": {
      "k8s.aliyun.com/eci-spot-strategy": "SpotWithPriceLimit",
      "k8s.aliyun.com/eci-spot-price-limit": "0.5",
      "k8s.aliyun.com/eci-spot-fallback": "true" } } },
  { "name": "drivers", "objectSelector": { "matchLabels": { "spark-role": "driver" } } },
  { "name": "cheap", "namespaceSelector": { "matchLabels": { "pool": "spot" } },
    "effect": { "annotations": { "k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo" } } }
]"#;

/// The spot strategy and the price limit of each group that was asked for, by its pod's name.
async fn asked(namespace: &Namespace<'_>, name: &str) -> (Value, Value) {
    let group = format!("{}-{name}", namespace.name);
    let calls = namespace.calls("CreateContainerGroup").await;
    let parameter = |call: &Value, name: &str| {
        let mut pairs = call["Parameters"].as_array().into_iter().flatten();
        pairs
            .find(|pair| pair[0] == name)
            .map_or(Value::Null, |pair| pair[1].clone())
    };
    let mut of_pod = calls
        .iter()
        .filter(|call| parameter(call, "ContainerGroupName") == group);
    let call = of_pod.next().unwrap_or_else(|| panic!("no call for {name}: {calls:?}"));
    (parameter(call, "SpotStrategy"), parameter(call, "SpotPriceLimit"))
}

#[tokio::test]
async fn executors_are_on_spot_resources_and_drivers_are_not() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "spot").await;
    let cheap = Namespace::new(&cluster, "spot-cheap").await;
    kubectl(&["label", "namespace", &cheap.name, "pool=spot"]).await.ok();
    let profile = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "eci-profile", "namespace": "kube-system" },
        "data": { "selectors": PROFILE },
    });
    run("kubectl", &["apply", "-f", "-"], &profile.to_string()).await.ok();
    let mut agent = bursting(&cluster).await;
    let _tainted = Tainted::new().await;

    let with_role = |role: &str| {
        let mut pod = pod(role);
        pod["metadata"]["labels"] = json!({ "spark-role": role });
        pod
    };
    namespace.running(with_role("driver")).await;
    let (_, group) = namespace.running(with_role("executor")).await;
    cheap.running(pod("any")).await;
    assert_eq!(asked(&namespace, "driver").await, (Value::Null, Value::Null));
    assert_eq!(
        asked(&namespace, "executor").await,
        (json!("SpotWithPriceLimit"), json!("0.5"))
    );
    assert_eq!(asked(&cheap, "any").await, (json!("SpotAsPriceGo"), Value::Null));

    // Taken back on notice: the executor is evicted, which Spark does not count as a failure, and its driver stays.
    let notice = json!({ "notice-seconds": 60 });
    cluster.cloud.post(&format!("groups/{group}/reclaim"), notice).await;
    namespace.gone("executor").await;
    assert!(!namespace.events("executor", "SpotToBeReleased").await.is_empty());
    assert_eq!(namespace.pod("driver").await["status"]["phase"], "Running");

    kubectl(&["delete", "configmap", "eci-profile", "--namespace", "kube-system"])
        .await
        .ok();
    for namespace in [&namespace, &cheap] {
        namespace
            .kubectl(&["delete", "pods", "--all", "--wait=false"])
            .await
            .ok();
        namespace.no_groups().await;
    }
    agent.terminate().await;
}
