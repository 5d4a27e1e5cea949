use k8s_openapi::api::core::v1::Taint;

use super::super::{Bounds, OwnUse};
use super::*;

fn settings() -> NodeSettings {
    NodeSettings {
        name: "virtual-kubelet-cn-hangzhou-h".to_owned(),
        region: "cn-hangzhou".to_owned(),
        zone: Some("cn-hangzhou-h".to_owned()),
        node_ip: [172, 31, 0, 10].into(),
        kubelet_port: 10250,
        cluster_id: "testbed".to_owned(),
        taints: vec![Taint {
            key: "k".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        }],
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn capacity(cpu: u64) -> Capacity {
    Capacity::from_usage(MilliCpu(cpu), MilliCpu(0), OwnUse::default(), Bounds::default())
}

fn created() -> Node {
    build_node(
        &settings(),
        Labels::All,
        &capacity(1_000_000),
        &CloudConditions::default(),
        at(0),
    )
}

/// What the API server makes of a strategic merge patch of conditions, for the tests that look at it twice.
fn apply_conditions(node: &mut Node, patch: &Value) {
    let conditions = node
        .status
        .as_mut()
        .and_then(|s| s.conditions.as_mut())
        .expect("has conditions");
    for new in patch["status"]["conditions"].as_array().into_iter().flatten() {
        let new: NodeCondition = serde_json::from_value(new.clone()).expect("a condition");
        conditions.retain(|c| c.type_ != new.type_);
        conditions.push(new);
    }
}

#[test]
fn a_created_node_needs_no_patch() {
    let node = created();
    assert_eq!(metadata_patch(&node, &settings(), Labels::All), None);
    let cloud = CloudConditions::default();
    assert_eq!(
        status_patch(&node, &settings(), &capacity(1_000_000), &cloud, false, at(9)),
        None
    );
}

#[test]
fn resources_are_written_in_canonical_form() {
    let status = build_status(&settings(), &capacity(1_000_250));
    let capacity = status.capacity.expect("set");
    assert_eq!(capacity["cpu"].0, "1000250m");
    assert_eq!(capacity["memory"].0, "8002Gi");
    assert_eq!(capacity["pods"].0, "4001");
    assert_eq!(binary(MiB(8 * 1024 * 1024)), "8Ti");
    assert_eq!(binary(MiB(1536)), "1536Mi");
    assert_eq!(binary(MiB(0)), "0");
    let round = build_status(&settings(), &super::super::Capacity::default())
        .capacity
        .expect("set");
    assert_eq!((round["cpu"].0.as_str(), round["pods"].0.as_str()), ("1k", "4k"));
}

#[test]
fn labels_of_others_stay_and_ours_come_back() {
    let mut node = created();
    let labels = node.metadata.labels.as_mut().expect("has labels");
    labels.insert("added-by".to_owned(), "someone".to_owned());
    labels.insert("type".to_owned(), "changed".to_owned());
    let patch = metadata_patch(&node, &settings(), Labels::All).expect("differs");
    assert_eq!(
        patch,
        json!({ "metadata": { "labels": { "type": "virtual-kubelet" } } })
    );
}

#[test]
fn restricted_labels_can_be_left_out() {
    let labels = build_labels(&settings(), Labels::Unrestricted);
    assert!(!labels.contains_key("kubernetes.io/role"));
    assert_eq!(labels["type"], "virtual-kubelet");
    assert_eq!(labels["topology.kubernetes.io/zone"], "cn-hangzhou-h");
    assert_eq!(labels["team"], "data");
    assert_eq!(build_labels(&settings(), Labels::All)["kubernetes.io/role"], "agent");
}

#[test]
fn only_the_differing_resource_is_patched() {
    let node = created();
    let usage = Capacity::from_usage(
        MilliCpu(1_000_000),
        MilliCpu(500_000),
        OwnUse::default(),
        Bounds::default(),
    );
    let patch = status_patch(&node, &settings(), &usage, &CloudConditions::default(), false, at(9)).expect("differs");
    assert_eq!(
        patch,
        json!({ "status": { "allocatable": { "cpu": "500", "memory": "4000Gi" } } })
    );
}

#[test]
fn a_ready_condition_taken_away_comes_back_and_a_foreign_one_stays() {
    let mut node = created();
    let conditions = node
        .status
        .as_mut()
        .and_then(|s| s.conditions.as_mut())
        .expect("has conditions");
    conditions[0].status = "Unknown".to_owned();
    conditions.push(NodeCondition {
        type_: "Foreign".to_owned(),
        ..NodeCondition::default()
    });
    let cloud = CloudConditions::default();
    let patch = status_patch(&node, &settings(), &capacity(1_000_000), &cloud, false, at(60)).expect("differs");
    let patched = patch["status"]["conditions"].as_array().expect("conditions");
    assert_eq!(patched.len(), 1);
    assert_eq!(patched[0]["type"], "Ready");
    assert_eq!(patched[0]["status"], "True");
    assert_eq!(patched[0]["lastTransitionTime"], "2027-01-15T08:01:00Z");
}

#[test]
fn a_heartbeat_moves_no_transition_time() {
    let mut node = created();
    let cloud = CloudConditions::default();
    let patch = status_patch(&node, &settings(), &capacity(1_000_000), &cloud, true, at(300)).expect("due");
    apply_conditions(&mut node, &patch);
    let conditions = node.status.and_then(|s| s.conditions).expect("has conditions");
    assert_eq!(conditions.len(), build_conditions(&cloud).len());
    for condition in conditions {
        assert_eq!(condition.last_heartbeat_time, Some(Time(at(300))));
        assert_eq!(condition.last_transition_time, Some(Time(at(0))));
    }
}

#[test]
fn a_successor_leaves_what_was_known_of_the_cloud_until_it_knows_better() {
    let mut node = created();
    let known = CloudConditions {
        reachable: CloudCondition::new(true, "Answers", "ECI answers"),
        list_untrusted: CloudCondition::new(false, "Trusted", "it shows our groups"),
        out_of_stock: CloudCondition::new(false, "StockFound", "groups get resources"),
    };
    let patch = status_patch(&node, &settings(), &capacity(1_000_000), &known, false, at(1)).expect("differs");
    apply_conditions(&mut node, &patch);
    let unknown = CloudConditions::default();
    for heartbeat_due in [false, true] {
        let patch = status_patch(&node, &settings(), &capacity(1_000_000), &unknown, heartbeat_due, at(2));
        let written = patch
            .map(|patch| patch["status"]["conditions"].clone())
            .unwrap_or_default();
        let clouds = written
            .as_array()
            .into_iter()
            .flatten()
            .filter(|c| c["type"] != "Ready");
        assert!(clouds.clone().all(|c| c["status"] != UNKNOWN), "{written}");
    }
}

#[test]
fn an_outage_of_the_cloud_is_a_condition_and_leaves_the_node_ready() {
    let cloud = CloudConditions {
        reachable: CloudCondition::new(false, "Timeout", "no answer for 30 s"),
        ..CloudConditions::default()
    };
    let conditions = build_conditions(&cloud);
    let status = |type_: &str| conditions.iter().find(|c| c.type_ == type_).map(|c| c.status.as_str());
    assert_eq!(status("Ready"), Some("True"));
    assert_eq!(status(CLOUD_REACHABLE), Some("False"));
    assert_eq!(status(CLOUD_LIST_UNTRUSTED), Some("Unknown"));
}

#[test]
fn a_new_address_replaces_the_old_one() {
    let moved = NodeSettings {
        node_ip: [172, 31, 0, 11].into(),
        ..settings()
    };
    let cloud = CloudConditions::default();
    let patch = status_patch(&created(), &moved, &capacity(1_000_000), &cloud, false, at(9)).expect("differs");
    assert_eq!(patch["status"]["addresses"][0], json!({ "$patch": "replace" }));
    assert_eq!(
        patch["status"]["addresses"][1],
        json!({ "type": "InternalIP", "address": "172.31.0.11" })
    );
}
