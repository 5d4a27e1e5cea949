//! The cloud and the API server misbehave.

use std::time::Duration;

use mock_eci::faults::{Plan, When};
use serde_json::json;
use virtual_node::pods::record::GroupState;

use crate::harness::{Sim, pod, pod_with_config};
use crate::support::until::{until, until_every};

#[tokio::test(start_paused = true)]
async fn lost_answers_throttles_and_server_errors_make_no_second_group() {
    let sim = Sim::new().await;
    let faults = sim.cloud.app().faults();
    faults.add(Plan::disconnect("CreateContainerGroup", 3, When::After));
    faults.add(Plan::error("CreateContainerGroup", 3, "InternalError", 500));
    faults.add(Plan::error("CreateContainerGroup", 3, "Throttling", 400));
    faults.add(Plan::disconnect("CreateContainerGroup", 3, When::Before));
    faults.add(Plan::error(
        "DescribeContainerGroupStatus",
        5,
        "ServiceUnavailable",
        503,
    ));
    let _agent = sim.agent();
    let uids: Vec<String> = (0..20).map(|i| sim.api.create_pod(pod(&format!("p-{i}")))).collect();
    for i in 0..20 {
        sim.phase(&format!("p-{i}"), "Running").await;
    }
    for uid in uids {
        assert_eq!(sim.groups_ever(&uid), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_stock_keeps_a_pod_pending_and_says_so() {
    let sim = Sim::new().await;
    sim.cloud
        .app()
        .faults()
        .add(Plan::error("CreateContainerGroup", 1, "OperationDenied.NoStock", 403));
    let _agent = sim.agent();
    sim.api.create_pod(pod("a"));
    let seen = until(
        "a status",
        || sim.api.pod("a").expect("it stays"),
        |p| p["status"]["containerStatuses"].is_array(),
    )
    .await;
    assert_eq!(seen["status"]["phase"], "Pending");
    let message = seen["status"]["containerStatuses"][0]["state"]["waiting"]["message"].to_string();
    assert!(message.contains("NoStock"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn withdrawn_rights_conclude_nothing() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    sim.running(pod("a")).await;
    sim.running(pod("b")).await;
    agent.kill().await;
    // What the caller may not see is an empty list, not an error.
    sim.cloud.app().set_may_list(false);
    let writes = sim.api.writes("status");
    let agent = sim.agent();
    until(
        "the condition",
        || agent.conditions.borrow().list_untrusted.status,
        |s| *s == Some(true),
    )
    .await;
    assert_eq!(
        (sim.api.phase("a").as_str(), sim.api.phase("b").as_str()),
        ("Running", "Running")
    );
    assert_eq!(sim.api.writes("status"), writes);
    sim.cloud.app().set_may_list(true);
    until(
        "the condition to end",
        || agent.conditions.borrow().list_untrusted.status,
        |s| *s == Some(false),
    )
    .await;
    assert_eq!(sim.groups().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_the_cloud_is_away_stays_until_it_is_back() {
    let sim = Sim::new().await;
    let agent = sim.agent();
    sim.running(pod("a")).await;
    sim.cloud.app().faults().add(Plan {
        action: None,
        ..Plan::error("", 40, "ServiceUnavailable", 503)
    });
    sim.api.delete_pod("a", 30);
    until(
        "the condition",
        || agent.conditions.borrow().reachable.status,
        |s| *s == Some(false),
    )
    .await;
    assert!(sim.api.pod("a").is_some(), "it stays Terminating");
    sim.gone("a").await;
    sim.no_groups().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_was_away_finds_all_as_it_was() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let uid = sim.running(pod("a")).await;
    sim.running(pod("b")).await;
    sim.api.set_away(true);
    // Deleted while nobody watches: the next list lacks it.
    sim.api.delete_pod("b", 0);
    sim.api.set_away(false);
    sim.running(pod("c")).await;
    until("b's group to go", || sim.groups().len(), |n| *n == 2).await;
    assert_eq!(sim.api.phase("a"), "Running");
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_after_its_create_was_lost_goes_all_the_same() {
    let sim = Sim::new().await;
    sim.api.put("configmaps", "conf", Some(json!({})));
    let faults = sim.cloud.app().faults();
    faults.add(Plan::disconnect("CreateContainerGroup", Plan::ALWAYS, When::Before));
    let agent = sim.agent();
    let uids = [pod("one"), pod_with_config("another", "conf")].map(|pod| sim.api.create_pod(pod));
    let groups = async || {
        let records = agent.store.lock();
        uids.each_ref()
            .map(|uid| records.get(uid).map(|record| record.group.clone()))
    };
    let is_unheard = |group: &Option<GroupState>| matches!(group, Some(GroupState::Accepted { .. }));
    let (second, patience) = (Duration::from_secs(1), Duration::from_mins(5));
    until_every("both creates to be given up", second, patience, groups, |all| {
        all.iter().all(is_unheard)
    })
    .await;
    // Of one of them not even the same request can be sent again.
    sim.api.put("configmaps", "conf", None);
    sim.api.delete_pod("one", 30);
    sim.api.delete_pod("another", 30);
    tokio::time::sleep(second).await;
    faults.clear();
    let left = async || sim.api.pods().len();
    until_every("both to be gone", second, patience, left, |n| *n == 0).await;
    sim.no_groups().await;
}
