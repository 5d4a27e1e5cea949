//! The right to list groups is withdrawn: ECI then answers with empty lists and no error. Nothing may be concluded from them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::agent_process::{AgentProcess, IMPATIENT};
use crate::cluster::{Cluster, NODE};
use crate::namespace::{CONTAINER, Namespace, pod, slow_to_schedule, uid};
use crate::recorder::Recorder;

#[tokio::test]
async fn lists_are_empty_for_half_a_minute() {
    lists_are_empty(Duration::from_secs(30)).await;
}

#[tokio::test]
#[ignore = "ten minutes: make endurance"]
async fn lists_are_empty_for_ten_minutes() {
    lists_are_empty(Duration::from_secs(600)).await;
}

/// With all graces at a tenth, so that even the short form is ten times as long as each of them.
async fn lists_are_empty(length: Duration) {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "no-rights").await;
    let mut agent = AgentProcess::take_over(&cluster, &IMPATIENT).await;
    agent.start();
    let mut groups = Vec::new();
    for name in ["a", "b"] {
        groups.push(namespace.running(pod(name)).await);
    }
    let mut worker = pod("worker");
    worker["spec"]["restartPolicy"] = json!("Never");
    let (_, work) = namespace.running(worker).await;
    let slow = slow_to_schedule(pod("slow"), Duration::from_secs(5));
    groups.push(namespace.placed(slow).await);
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    let node = Recorder::node(&cluster).await;

    cluster.cloud.post("rights", json!({ "list": false })).await;
    let back_at = Instant::now() + length;
    let blind = cluster.condition("CloudListUntrusted", "True").await;
    let why = reason_of(&blind, "CloudListUntrusted");
    assert!(
        why.contains("RAM policy") && why.contains("DescribeContainerGroupStatus"),
        "{why}"
    );
    // Ends while nobody can see it; and a pod that comes gets a group, which nobody can see either.
    cluster.cloud.exit(&work, CONTAINER, 0).await;
    groups.push(namespace.placed(pod("coming")).await);
    tokio::time::sleep_until(back_at - length / 2).await;
    // One that begins blind knows even less.
    agent.kill();
    agent.start();
    tokio::time::sleep_until(back_at).await;
    cluster.condition("CloudListUntrusted", "True").await;

    let deletes = namespace.calls("DeleteContainerGroup").await;
    assert!(deletes.is_empty(), "{deletes:?}");
    for bill in namespace.bills().await {
        assert!(bill["RemovalTime"].is_null(), "{bill}");
    }
    assert_eq!(
        (phases.of("a"), phases.of("b")),
        (vec!["Running".to_owned()], vec!["Running".to_owned()])
    );
    for name in ["slow", "coming", "worker"] {
        let seen = phases.of(name);
        assert!(
            !seen.iter().any(|phase| phase == "Failed" || phase == "gone"),
            "{name}: {seen:?}"
        );
    }

    cluster.cloud.post("rights", json!({ "list": true })).await;
    cluster.condition("CloudListUntrusted", "False").await;
    namespace.phase("worker", "Succeeded").await;
    for name in ["slow", "coming"] {
        namespace.phase(name, "Running").await;
    }
    for (uid, group) in &groups {
        assert_eq!(cluster.cloud.groups_ever(uid).await, std::slice::from_ref(group));
    }
    assert_eq!(
        cluster.cloud.groups_ever(&uid(&namespace.pod("worker").await)).await,
        [work]
    );
    phases.caught_up("worker", "Succeeded").await;
    assert_eq!(phases.of("a"), ["Running"]);
    let seen = node.of(NODE);
    assert!(
        seen.iter().all(|values| values.starts_with("True/")),
        "the node stays Ready: {seen:?}"
    );
}

/// Message of a condition.
fn reason_of(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|c| c["type"] == type_);
    found.map(|c| crate::cloud::text(&c["message"])).unwrap_or_default()
}
