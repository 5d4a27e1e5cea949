//! `kubectl delete pod`: the group ends, and no later than the pod's grace period says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{Namespace, pod, slow_to_schedule, with_variable};

#[tokio::test]
async fn a_process_that_heeds_sigterm_ends_within_its_grace_period() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "delete").await;
    let (uid, group) = namespace
        .running(with_variable(pod("tidy"), "MOCK_ECI_STOP_MS", "1500"))
        .await;
    let began = Timestamp::now();
    namespace.kubectl(&["delete", "pod", "tidy"]).await.ok();
    assert!(namespace.pod("tidy").await.is_null());

    let took = ended(&cluster, &uid).await.duration_since(began);
    let within = SignedDuration::from_secs(1)..SignedDuration::from_secs(30);
    assert!(within.contains(&took), "it ended after {took:#}");
    let forces = cluster.cloud.parameter("DeleteContainerGroup", &group, "Force").await;
    assert!(
        !forces.is_empty() && forces.iter().all(|force| *force != "true"),
        "{forces:?}"
    );
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_at_the_end_of_its_grace_period() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "stubborn").await;
    let (uid, group) = namespace
        .running(with_variable(pod("stubborn"), "MOCK_ECI_STOP_MS", "3600000"))
        .await;
    let began = Timestamp::now();
    namespace
        .kubectl(&["delete", "pod", "stubborn", "--grace-period=4"])
        .await
        .ok();
    let took = ended(&cluster, &uid).await.duration_since(began);
    // The upper end allows for a busy machine; without Force it would take an hour.
    let within = SignedDuration::from_secs(3)..SignedDuration::from_secs(20);
    assert!(within.contains(&took), "it ended after {took:#}");
    let forces = cluster.cloud.parameter("DeleteContainerGroup", &group, "Force").await;
    assert_ne!(forces.first(), Some(&json!("true")), "it was asked first: {forces:?}");
    assert_eq!(forces.last(), Some(&json!("true")), "{forces:?}");
}

#[tokio::test]
async fn a_forced_delete_ends_the_group_at_once() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "force").await;
    let (uid, _) = namespace
        .running(with_variable(pod("stubborn"), "MOCK_ECI_STOP_MS", "3600000"))
        .await;
    let began = Timestamp::now();
    namespace
        .kubectl(&["delete", "pod", "stubborn", "--force", "--grace-period=0"])
        .await
        .ok();
    let took = ended(&cluster, &uid).await.duration_since(began);
    assert!(took < SignedDuration::from_secs(20), "it ended after {took:#}");
    namespace.gone("stubborn").await;
}

#[tokio::test]
async fn a_pod_that_waits_for_resources_goes_with_its_group() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "waiting").await;
    let (uid, _) = namespace
        .placed(slow_to_schedule(pod("waits"), Duration::from_secs(3600)))
        .await;
    namespace.kubectl(&["delete", "pod", "waits"]).await.ok();
    removed(&cluster, &uid).await;
}

/// Waits until the pod's only group is gone; returns its bill.
async fn removed(cluster: &Cluster, uid: &str) -> Value {
    let look = async || cluster.cloud.bills_of_pod(uid).await;
    let gone = |bills: &Vec<Value>| bills.iter().all(|bill| bill["RemovalTime"].is_string());
    let mut bills = cluster.eventually("the group to be gone", look, gone).await;
    assert_eq!(bills.len(), 1, "{bills:?}");
    bills.remove(0)
}

/// When billing of the pod's only group ended.
async fn ended(cluster: &Cluster, uid: &str) -> Timestamp {
    let bill = removed(cluster, uid).await;
    let end = bill["BillingEnd"].as_str().and_then(|text| text.parse().ok());
    end.unwrap_or_else(|| panic!("its bill has no end: {bill}"))
}
