//! Pods are to outlast an outage of the agent: their tolerations are raised, once, and only of those that stay.

use std::time::Duration;

use serde_json::{Value, json};
use virtual_node::burst::outages::OutageToleration;

use crate::harness::{Sim, pod};
use crate::support::until::until;

/// What the API server gives a pod that says nothing.
fn usual() -> Value {
    let taints = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let of = |key| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
    json!(taints.map(of))
}

fn with_tolerations(name: &str, tolerations: Value) -> Value {
    let mut pod = pod(name);
    pod["spec"]["tolerations"] = tolerations;
    pod
}

fn seconds(sim: &Sim, name: &str) -> Vec<Value> {
    let pod = sim.api.pod(name).unwrap_or_default();
    let tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    tolerations
        .into_iter()
        .map(|t| t["tolerationSeconds"].clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn tolerations_are_raised_once_of_pods_that_stay() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    let _burst = sim.burst(&agent, |settings| {
        settings.outage_toleration = OutageToleration::Seconds(86_400);
    });
    sim.running(with_tolerations("stays", usual())).await;
    sim.running(with_tolerations("tolerates-all", json!([{ "operator": "Exists" }])))
        .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        seconds(&sim, "stays"),
        [300, 300],
        "it may end by itself before it matters"
    );
    until(
        "the pod to stay for a day",
        || seconds(&sim, "stays"),
        |now| *now == [86_400, 86_400],
    )
    .await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let patches = sim.api.log().into_iter().filter(|entry| entry.what == "patch pods");
    assert_eq!(patches.count(), 1, "once, and not of what stays anyway");
    assert_eq!(seconds(&sim, "tolerates-all"), [Value::Null]);
    assert_eq!(sim.api.phase("stays"), "Running");
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_tolerations_are_the_users() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    let _burst = sim.burst(&agent, |_| ());
    sim.running(with_tolerations("stays", usual())).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(seconds(&sim, "stays"), [300, 300]);
}
