//! What controllers make of the node's pods.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{CONTAINER, Namespace, pod, template_spec, with_variable};

#[tokio::test]
async fn a_deployment_becomes_ready_and_scales_to_nothing() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "deployment").await;
    let mut spec = template_spec();
    spec["containers"][0]["readinessProbe"] = json!({ "tcpSocket": { "port": 80 } });
    // What Spark's pods say, and what ECI has no parameter for.
    spec["containers"][0]["securityContext"] = json!({ "allowPrivilegeEscalation": false });
    namespace
        .create(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": spec },
            },
        }))
        .await;
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", namespace.name);
    cluster
        .until("three ready pods", &path, |d| d["status"]["readyReplicas"] == 3)
        .await;
    let addresses: std::collections::BTreeSet<String> = namespace
        .pods("app=web")
        .await
        .iter()
        .map(|pod| pod["status"]["podIP"].to_string())
        .collect();
    assert_eq!(addresses.len(), 3, "each has an address of its own: {addresses:?}");

    // Readiness reaches the controller.
    let pods = namespace.pods("app=web").await;
    let group = cluster.cloud.group_of(&crate::namespace::uid(&pods[0])).await;
    let set_ready = async |ready: bool| {
        let body = json!({ "container": CONTAINER, "ready": ready });
        cluster.cloud.post(&format!("groups/{group}/ready"), body).await;
    };
    set_ready(false).await;
    cluster
        .until("one pod less", &path, |d| d["status"]["readyReplicas"] == 2)
        .await;
    set_ready(true).await;
    cluster
        .until("three ready pods again", &path, |d| d["status"]["readyReplicas"] == 3)
        .await;

    let told = async || namespace.events("", "FieldNotEnforced").await;
    let told = cluster
        .eventually("what is not enforced", told, |events| !events.is_empty())
        .await;
    assert_eq!(told.len(), 1, "once for all pods of an owner: {told:?}");
    let message = told[0]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("allowPrivilegeEscalation") && told[0]["type"] == "Normal",
        "{}",
        told[0]
    );

    namespace
        .kubectl(&["scale", "deployment", "web", "--replicas=0"])
        .await
        .ok();
    cluster
        .eventually("no pod", async || namespace.pods("app=web").await, Vec::is_empty)
        .await;
    namespace.no_groups().await;
    let bills = namespace.bills().await;
    assert_eq!(bills.len(), 3, "one group a pod, ever: {bills:?}");
}

#[tokio::test]
async fn a_job_learns_its_exit_code() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "job").await;
    for (name, code) in [("fails", "3"), ("succeeds", "0")] {
        let exiting = with_variable(
            with_variable(pod(name), "MOCK_ECI_EXIT_AFTER_MS", "300"),
            "MOCK_ECI_EXIT_CODE",
            code,
        );
        let mut spec = exiting["spec"].clone();
        spec["restartPolicy"] = json!("Never");
        namespace
            .create(json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
                "spec": { "backoffLimit": 0, "template": { "spec": spec } },
            }))
            .await;
    }
    let job = |name: &str| format!("/apis/batch/v1/namespaces/{}/jobs/{name}", namespace.name);
    cluster
        .until("the job to fail", &job("fails"), |job| job["status"]["failed"] == 1)
        .await;
    cluster
        .until("the job to succeed", &job("succeeds"), |job| {
            job["status"]["succeeded"] == 1
        })
        .await;
    for (name, phase, code) in [("fails", "Failed", 3), ("succeeds", "Succeeded", 0)] {
        let pods = namespace.pods(&format!("job-name={name}")).await;
        assert_eq!(pods.len(), 1, "{pods:?}");
        let status = &pods[0]["status"];
        assert_eq!(status["phase"], phase);
        assert_eq!(
            status["containerStatuses"][0]["state"]["terminated"]["exitCode"], code,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_pod_that_cannot_run_here_waits_and_says_why_once() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "refused").await;
    let mut refused = pod("refused");
    refused["spec"]["volumes"] = json!([{ "name": "disk", "hostPath": { "path": "/" } }]);
    refused["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "disk", "mountPath": "/disk" }]);
    namespace.create(refused).await;
    let waits = |pod: &Value| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError" && waiting["message"].to_string().contains("hostPath")
    };
    let path = namespace.path("pods", "refused");
    cluster.until("the reason in its status", &path, waits).await;
    let told = async || namespace.events("refused", "Failed").await;
    let events = cluster.eventually("the event", told, |events| !events.is_empty()).await;
    let message = events[0]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("spec.volumes[0].hostPath") && events[0]["type"] == "Warning",
        "{}",
        events[0]
    );

    // Whatever is considered again, it is said no second time: news of this pod, and another pod's whole way to Running.
    namespace
        .kubectl(&["annotate", "pod", "refused", "looked-at=again"])
        .await
        .ok();
    namespace.running(pod("another")).await;
    let events = told().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0]["count"].is_null() || events[0]["count"] == 1, "{}", events[0]);
    assert!(events[0]["series"].is_null(), "{}", events[0]);
    let refused = namespace.pod("refused").await;
    assert_eq!(refused["status"]["phase"], "Pending");
    assert_eq!(
        cluster.cloud.groups_ever(&crate::namespace::uid(&refused)).await.len(),
        0
    );
    namespace.kubectl(&["delete", "pod", "refused"]).await.ok();
}

#[tokio::test]
async fn a_pod_waits_for_a_configmap_that_comes_later() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "later").await;
    let mut driver = pod("driver");
    driver["spec"]["volumes"] = json!([{ "name": "conf", "configMap": { "name": "conf" } }]);
    driver["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "conf", "mountPath": "/conf" }]);
    namespace.create(driver).await;
    let waits = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
            .to_string()
            .contains("conf")
    };
    cluster
        .until("what it waits for", &namespace.path("pods", "driver"), waits)
        .await;
    namespace.create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "conf" }, "data": { "key": "value" } })).await;
    namespace.phase("driver", "Running").await;
}
