//! Spot resources that are taken back.

use serde_json::{Value, json};

use crate::harness::{Sim, pod};
use crate::steering::steer;
use crate::support::until::until;

fn spot(name: &str) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo" });
    pod["metadata"]["labels"] = json!({ "app": "spot" });
    pod
}

async fn announce(sim: &Sim, uid: &str, seconds: u32) {
    let path = format!("groups/{}/reclaim", sim.groups()[uid][0]);
    steer(sim, &path, json!({ "notice-seconds": seconds })).await;
}

fn reason_of_created(pod: &Value) -> Value {
    let conditions = pod["status"]["conditions"].as_array();
    let created = conditions.and_then(|all| all.iter().find(|c| c["type"] == "ContainerInstanceCreated"));
    created.map_or(Value::Null, |c| c["reason"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_announced_becomes_condition_event_and_eviction() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    let uid = sim.running(spot("executor")).await;
    let other = sim.running(spot("other")).await;
    agent.kill().await;
    // What is announced while no agent runs is not missed.
    announce(&sim, &uid, 180).await;
    let _agent = sim.agent();
    until(
        "the condition",
        || sim.api.pod("executor"),
        |p| p.as_ref().is_none_or(|p| reason_of_created(p) == "SpotToBeReleased"),
    )
    .await;
    // Long before the group goes, its pod is deleted: nobody sees a failure.
    sim.gone("executor").await;
    let told = sim
        .api
        .events()
        .into_iter()
        .filter(|(reason, _)| reason == "SpotToBeReleased");
    assert_eq!(told.count(), 1);
    let evictions = sim
        .api
        .log()
        .iter()
        .filter(|e| e.what == "create pods/eviction")
        .count();
    assert_eq!(evictions, 1);
    assert_eq!(sim.api.phase("other"), "Running");
    until("its group to go", || sim.groups(), |g| !g.contains_key(&uid)).await;
    assert!(sim.groups().contains_key(&other));
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_respected_and_the_end_comes_all_the_same() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let selector = json!({ "matchLabels": { "app": "spot" } });
    let budget = json!({ "spec": { "minAvailable": 1, "selector": selector } });
    sim.api.put("poddisruptionbudgets", "spot", Some(budget));
    let uid = sim.running(spot("only")).await;
    announce(&sim, &uid, 20).await;
    let told = |events: &Vec<(String, String)>| events.iter().any(|(reason, _)| reason == "EvictionBlocked");
    until("that it is blocked", || sim.api.events(), told).await;
    assert_eq!(sim.api.phase("only"), "Running");
    sim.phase("only", "Failed").await;
    let status = &sim.api.pod("only").expect("it stays")["status"];
    assert_eq!(status["reason"], "BidFailed", "{status}");
    let conditions = status["conditions"].to_string();
    assert!(conditions.contains("ContainerInstanceExpired"), "{conditions}");
    let blocked = sim
        .api
        .events()
        .into_iter()
        .filter(|(reason, _)| reason == "EvictionBlocked");
    assert_eq!(blocked.count(), 1, "however often it was asked for");
}
