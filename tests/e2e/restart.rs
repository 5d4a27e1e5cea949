//! `kill -9` of the agent: the same groups go on, none is lost, none made twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{CONTAINER, Namespace, pod, slow_to_schedule};
use crate::recorder::Recorder;

/// Longer than it takes to kill the agent.
const SLOW: Duration = Duration::from_secs(15);

#[tokio::test]
async fn pending_and_running_pods_keep_their_groups() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "restart").await;
    let running = namespace.running(pod("running")).await;
    let mut groups = vec![running];
    for name in ["pending-1", "pending-2"] {
        groups.push(namespace.placed(slow_to_schedule(pod(name), SLOW)).await);
    }
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    cluster.control(&["kill", "agent"]).await;
    for (index, phase) in ["Running", "Pending", "Pending"].into_iter().enumerate() {
        let (_, group) = &groups[index];
        let status = cluster.cloud.status(group).await;
        assert_eq!(status == "Running", phase == "Running", "{phase}: {status}");
    }
    // Made while nobody is there to see it.
    namespace.create(pod("late")).await;
    cluster.control(&["start", "agent"]).await;
    for name in ["running", "pending-1", "pending-2", "late"] {
        namespace.phase(name, "Running").await;
    }
    for (uid, group) in &groups {
        assert_eq!(cluster.cloud.groups_ever(uid).await, std::slice::from_ref(group));
    }
    assert_eq!(namespace.bills().await.len(), 4, "one group a pod");
    phases.caught_up("late", "Running").await;
    assert_eq!(phases.of("running"), ["Running"]);
    for name in ["pending-1", "pending-2"] {
        phases.caught_up(name, "Running").await;
        assert_eq!(phases.of(name), ["Pending", "Running"]);
    }
    // What the agent knows is not only what is written on the pods: it serves and ends them.
    namespace.kubectl(&["logs", "running"]).await.ok();
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();
    namespace.no_groups().await;
}

#[tokio::test]
async fn a_create_that_was_sent_makes_one_group_though_its_configmap_changed() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "sent").await;
    for (name, fault, arrives) in [
        ("heard", json!({ "kind": "slow", "millis": 600_000 }), true),
        ("never-arrived", json!({ "kind": "timeout", "when": "before" }), false),
    ] {
        namespace.create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "key": "1" } })).await;
        cluster.cloud.fault("CreateContainerGroup", fault).await;
        namespace.create(driver(name)).await;
        let uid = crate::namespace::uid(&namespace.pod(name).await);
        if arrives {
            let look = async || cluster.cloud.groups_ever(&uid).await.len();
            cluster
                .eventually("the create to take effect", look, |count| *count == 1)
                .await;
        } else {
            let look = async || cluster.cloud.get("faults").await;
            let used = |faults: &Value| faults.as_array().into_iter().flatten().all(|f| f["times"] == 0);
            cluster.eventually("the create to be sent", look, used).await;
        }
        assert!(
            namespace.pod(name).await["metadata"]["annotations"].is_null(),
            "the agent has heard of the group"
        );
        cluster.control(&["kill", "agent"]).await;
        let patch = ["patch", "configmap", name, "--patch", r#"{"data":{"key":"2"}}"#];
        namespace.kubectl(&patch).await.ok();
        cluster.control(&["start", "agent"]).await;
        namespace.phase(name, "Running").await;
        assert_eq!(cluster.cloud.groups_ever(&uid).await.len(), 1, "{name}");
    }
}

/// A pod that mounts the ConfigMap of its name.
fn driver(name: &str) -> Value {
    let mut driver = pod(name);
    driver["spec"]["restartPolicy"] = json!("Never");
    driver["spec"]["volumes"] = json!([{ "name": "conf", "configMap": { "name": name } }]);
    driver["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "conf", "mountPath": "/conf" }]);
    assert_eq!(driver["spec"]["containers"][0]["name"], CONTAINER);
    driver
}
