//! Killed and started again: nothing is lost, nothing made twice, nothing written without need.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Sim, pod, pod_with_config};
use crate::support::until::until;

#[tokio::test(start_paused = true)]
async fn running_pods_are_taken_over_without_a_write() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    for i in 0..30 {
        sim.api.create_pod(pod(&format!("p-{i}")));
    }
    for i in 0..30 {
        sim.phase(&format!("p-{i}"), "Running").await;
    }
    agent.kill().await;
    let (statuses, groups) = (sim.api.writes("status"), sim.groups());
    let agent = sim.agent();
    until(
        "the groups to be observed",
        || agent.store.lock().iter().filter(|(_, r)| r.observed.is_some()).count(),
        |n| *n == 30,
    )
    .await;
    // One more pod proves that the loop got through all of that.
    sim.running(pod("last")).await;
    assert_eq!(sim.api.writes("status"), statuses + 1);
    let after = sim.groups();
    assert!(
        groups.iter().all(|(uid, ids)| after.get(uid) == Some(ids)),
        "same groups: {after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_makes_one_group_though_its_configmap_changed() {
    let sim = Sim::new().await;
    sim.api.put("configmaps", "conf", Some(json!({ "data": { "a": "1" } })));
    let agent = sim.agent();
    // The create takes effect late: the agent is killed while it waits for the answer.
    sim.cloud.app().faults().add(mock_eci::faults::Plan::slow(
        "CreateContainerGroup",
        1,
        Duration::from_secs(3_600),
    ));
    let uid = sim.api.create_pod(pod_with_config("driver", "conf"));
    until("the group to exist", || sim.groups_ever(&uid), |n| *n == 1).await;
    agent.kill().await;
    sim.api.put("configmaps", "conf", Some(json!({ "data": { "a": "2" } })));
    let _agent = sim.agent();
    sim.phase("driver", "Running").await;
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_the_agent_was_down_loses_its_group() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    sim.running(pod("a")).await;
    sim.running(pod("b")).await;
    agent.kill().await;
    sim.api.delete_pod("a", 0);
    let _agent = sim.agent();
    until("a's group to go", || sim.groups().len(), |n| *n == 1).await;
    assert_eq!(sim.api.phase("b"), "Running");
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_the_group_of_an_earlier_one_of_its_name() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    let mut stubborn = pod("store-0");
    stubborn["spec"]["containers"][0]["env"] = json!([{ "name": "MOCK_ECI_STOP_MS", "value": "500" }]);
    let first = sim.running(stubborn.clone()).await;
    // By force while the agent sees it, and while it does not: then all it finds is a group of a pod it never knew.
    sim.api.delete_pod("store-0", 0);
    let second = sim.running(stubborn.clone()).await;
    sim.ended_before(&first, &second);
    agent.kill().await;
    sim.api.delete_pod("store-0", 0);
    let third = sim.api.create_pod(stubborn);
    let _agent = sim.agent();
    sim.phase("store-0", "Running").await;
    sim.ended_before(&second, &third);
}

#[tokio::test(start_paused = true)]
async fn a_group_of_another_node_or_cluster_is_never_touched() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    sim.running(pod("a")).await;
    let foreign = sim.foreign_group().await;
    until("some complete lists", || agent.store.lock().lists, |n| *n >= 5).await;
    assert!(sim.groups().values().flatten().any(|id| *id == foreign));
}

#[tokio::test(start_paused = true)]
async fn a_pod_being_deleted_when_the_agent_dies_is_finished_by_the_next() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    sim.running(pod("a")).await;
    agent.kill().await;
    sim.api.delete_pod("a", 30);
    let _agent = sim.agent();
    sim.gone("a").await;
    sim.no_groups().await;
}
