//! Pods that can never run here: they wait and say so, and their controllers are not driven to make ever more of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{Namespace, pod, template_spec, uid};
use crate::recorder::Recorder;

#[tokio::test]
async fn a_deployment_of_three_makes_three_pods() {
    a_deployment_makes_no_more_pods_than_asked(Duration::ZERO).await;
}

#[tokio::test]
#[ignore = "five minutes: make endurance"]
async fn a_deployment_of_three_makes_three_pods_in_five_minutes() {
    a_deployment_makes_no_more_pods_than_asked(Duration::from_secs(300)).await;
}

async fn a_deployment_makes_no_more_pods_than_asked(length: Duration) {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, &format!("never-{}", length.as_secs())).await;
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    let mut spec = template_spec();
    spec["hostNetwork"] = json!(true);
    let until = tokio::time::Instant::now() + length;
    let deployment = workload("Deployment", "never", spec, json!({ "replicas": 3 }));
    namespace.create(deployment).await;
    all_are_refused(&cluster, &namespace, "app=never", 3, "hostNetwork").await;
    tokio::time::sleep_until(until).await;
    // Whatever the refusals set going has had its time when another pod has lived.
    namespace.running(pod("another")).await;
    namespace.kubectl(&["delete", "pod", "another"]).await.ok();
    phases.caught_up("another", "gone").await;

    let names = phases.names();
    assert_eq!(names.len(), 4, "three pods and the other one: {names:?}");
    for name in names.iter().filter(|name| *name != "another") {
        assert_eq!(phases.of(name), ["Pending"], "{name}");
    }
    let calls = namespace.calls("CreateContainerGroup").await;
    assert_eq!(calls.len(), 1, "the other pod's alone: {calls:?}");
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/never", namespace.name);
    let status = cluster.get(&path).await["status"].clone();
    assert_eq!(
        (&status["replicas"], &status["unavailableReplicas"]),
        (&json!(3), &json!(3)),
        "{status}"
    );
}

#[tokio::test]
async fn a_daemonset_that_tolerates_everything_costs_nothing() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "daemons").await;
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    // One that needs the machine, as most do, and one that could run anywhere: neither has any business here.
    let mut needy = template_spec();
    needy["hostNetwork"] = json!(true);
    needy["volumes"] = json!([{ "name": "run", "hostPath": { "path": "/run" } }]);
    for (name, mut spec) in [("needy", needy), ("modest", template_spec())] {
        spec["tolerations"] = json!([{ "operator": "Exists" }]);
        namespace.create(workload("DaemonSet", name, spec, json!({}))).await;
    }
    all_are_refused(&cluster, &namespace, "app=needy", 1, "hostNetwork").await;
    all_are_refused(&cluster, &namespace, "app=modest", 1, "DaemonSet").await;
    namespace.running(pod("another")).await;

    let pods: Vec<Value> = namespace.pods("app").await;
    assert_eq!(pods.len(), 2, "{pods:?}");
    for pod in &pods {
        let name = crate::cloud::text(&pod["metadata"]["name"]);
        assert_eq!(phases.of(&name), ["Pending"], "{name}");
        assert_eq!(cluster.cloud.groups_ever(&uid(pod)).await.len(), 0, "{name}");
        let told = namespace.events(&name, "Failed").await;
        assert_eq!(told.len(), 1, "said once: {told:?}");
    }
    let calls = namespace.calls("CreateContainerGroup").await;
    assert_eq!(calls.len(), 1, "the other pod's alone: {calls:?}");
}

/// Waits until there are `count` pods of that label and each says that it is refused for `why`.
async fn all_are_refused(cluster: &Cluster, namespace: &Namespace<'_>, selector: &str, count: usize, why: &str) {
    let refused = |pod: &Value| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError" && waiting["message"].to_string().contains(why)
    };
    let look = async || namespace.pods(selector).await;
    let what = format!("the pods of {selector} to be refused");
    cluster
        .eventually(&what, look, |pods| pods.len() == count && pods.iter().all(refused))
        .await;
}

/// A controller of pods with the label `app: <name>`.
fn workload(kind: &str, name: &str, pod_spec: Value, mut spec: Value) -> Value {
    let labels = json!({ "app": name });
    spec["selector"] = json!({ "matchLabels": labels });
    spec["template"] = json!({ "metadata": { "labels": labels }, "spec": pod_spec });
    json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}
