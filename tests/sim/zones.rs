//! A zone without stock: in the call, after it, for a node of one zone among several and for one whose vSwitches are in several.

use provider::mapping::{OtherZone, Settings};
use provider::request::ScheduleStrategy;
use serde_json::{Value, json};

use crate::harness::{Deviations, Sim, pod};
use crate::steering::steer;
use crate::support::until::until;

const A: &str = "cn-hangzhou-h";
const B: &str = "cn-hangzhou-i";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// A node of zone A, in a process that serves zone B as well.
fn one_of_two_zones(settings: &mut Settings) {
    settings.zone_id = A.to_owned();
    settings.vswitch_ids = vec!["vsw-a".to_owned()];
    settings.other_zones = vec![OtherZone {
        zone_id: B.to_owned(),
        node_name: "virtual-kubelet-b".to_owned(),
        vswitch_ids: vec!["vsw-b".to_owned()],
    }];
}

/// A node whose vSwitches are in both.
fn in_both_zones(settings: &mut Settings) {
    settings.zone_id = A.to_owned();
    settings.vswitch_ids = vec!["vsw-a".to_owned(), "vsw-b".to_owned()];
}

async fn sim(zones: fn(&mut Settings)) -> Sim {
    let sim = Sim::with(Deviations {
        zones,
        ..Deviations::default()
    })
    .await;
    for (id, zone) in [("vsw-a", A), ("vsw-b", B)] {
        steer(&sim, "vswitches", json!({ "id": id, "zone": zone })).await;
    }
    sim
}

async fn stock(sim: &Sim, zone: &str, milli_cpu: Value, told: &str) {
    steer(
        sim,
        "stock",
        json!({ "zone": zone, "milli-cpu": milli_cpu, "told": told }),
    )
    .await;
}

/// Zone and status of every group there ever was for the pod, and whether anything was paid for it.
fn groups(sim: &Sim, uid: &str) -> Vec<(String, bool)> {
    let bills = sim.cloud.app().ledger().into_iter();
    let bills = bills.filter(|bill| bill.tags.get("UID").is_some_and(|u| u == uid));
    bills
        .map(|bill| (bill.zone_id.to_string(), bill.billing_start.is_some()))
        .collect()
}

/// Events on a pod as reason and text.
fn told(sim: &Sim, reason: &str) -> Vec<String> {
    let events = sim.api.events().into_iter();
    events.filter(|event| event.0 == reason).map(|event| event.1).collect()
}

#[tokio::test(start_paused = true)]
async fn a_zone_without_stock_in_the_call_is_followed_by_the_next() {
    let sim = sim(one_of_two_zones).await;
    stock(&sim, A, json!(0), "call").await;
    let agent = sim.agent();
    let uid = sim.running(pod("moves")).await;
    assert_eq!(groups(&sim, &uid), [(B.to_owned(), true)]);
    let pod = sim.api.pod("moves").expect("it runs");
    assert_eq!(pod["metadata"]["annotations"]["k8s.aliyun.com/eci-instance-zone"], B);
    let why = until("Events", || told(&sim, "NoStock"), |e| !e.is_empty()).await;
    assert!(
        why.len() == 1 && why[0].contains("zone cn-hangzhou-h (vsw-a)"),
        "{why:?}"
    );
    let there = until("Events", || told(&sim, "CreatedInOtherZone"), |e| !e.is_empty()).await;
    assert!(there[0].contains("zone cn-hangzhou-i (vsw-b)"), "{there:?}");
    assert_eq!(agent.conditions.borrow().out_of_stock.status, Some(true));
}

#[tokio::test(start_paused = true)]
async fn and_so_is_one_that_tells_after_the_call_though_the_agent_is_killed() {
    let sim = sim(one_of_two_zones).await;
    stock(&sim, A, json!(0), "later").await;
    let agent = sim.agent();
    let uid = sim.api.create_pod(pod("moves"));
    until("the first group", || sim.groups_ever(&uid), |n| *n == 1).await;
    agent.kill().await;
    let agent = sim.agent();
    sim.phase("moves", "Running").await;
    // Both were made, and one was paid for.
    assert_eq!(groups(&sim, &uid), [(A.to_owned(), false), (B.to_owned(), true)]);
    assert_eq!(sim.groups()[&uid].len(), 1, "the first one is gone");
    let why = until("Events", || told(&sim, "NoStock"), |e| !e.is_empty()).await;
    assert!(why[0].contains("out of stock in zone cn-hangzhou-h"), "{why:?}");
    drop(agent);
}

#[tokio::test(start_paused = true)]
async fn vswitches_of_both_zones_are_turned_until_one_has_stock() {
    let by_chance: fn(&mut Settings) = |settings| {
        in_both_zones(settings);
        settings.schedule_strategy = ScheduleStrategy::VSwitchRandom;
    };
    for (zones, at_most) in [(in_both_zones as fn(&mut Settings), 2), (by_chance, 3)] {
        // ECI itself finds the other one while it is asked.
        let told_at_once = sim(zones).await;
        stock(&told_at_once, A, json!(0), "call").await;
        let _agent = told_at_once.agent();
        let uid = told_at_once.running(pod("at-once")).await;
        assert_eq!(groups(&told_at_once, &uid), [(B.to_owned(), true)]);
        // And where it does not, the next turn begins with it.
        let told_later = sim(zones).await;
        stock(&told_later, A, json!(0), "later").await;
        let _agent = told_later.agent();
        let uid = told_later.running(pod("later")).await;
        let ever = groups(&told_later, &uid);
        assert!(ever.len() <= at_most, "{ever:?}");
        assert_eq!(ever.last(), Some(&(B.to_owned(), true)));
        assert_eq!(ever.iter().filter(|(_, paid)| *paid).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_names_its_zone_waits_for_it() {
    let sim = sim(one_of_two_zones).await;
    stock(&sim, A, json!(0), "call").await;
    let agent = sim.agent();
    let mut tied = pod("tied");
    tied["spec"]["nodeSelector"] = json!({ ZONE_LABEL: A });
    let uid = sim.api.create_pod(tied);
    until("an Event", || told(&sim, "NoStock"), |e| !e.is_empty()).await;
    // Another one's whole life passes.
    sim.running(pod("moves")).await;
    assert_eq!((sim.api.phase("tied").as_str(), sim.groups_ever(&uid)), ("Pending", 0));
    stock(&sim, A, json!("enough"), "call").await;
    sim.phase("tied", "Running").await;
    assert_eq!(groups(&sim, &uid), [(A.to_owned(), true)]);
    until(
        "the condition to go",
        || agent.conditions.borrow().out_of_stock.status,
        |status| *status == Some(false),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_account_s_quota_is_not_asked_of_each_zone() {
    let sim = sim(one_of_two_zones).await;
    let fault = mock_eci::faults::Plan::error("CreateContainerGroup", 1, "QuotaExceeded.Cpu", 403);
    sim.cloud.app().faults().add(fault);
    let agent = sim.agent();
    let uid = sim.running(pod("waits")).await;
    assert_eq!(groups(&sim, &uid), [(A.to_owned(), true)], "it waited, and ran at home");
    assert_eq!(agent.conditions.borrow().out_of_stock.status, Some(false));
}

#[tokio::test(start_paused = true)]
async fn fail_fast_fails_when_no_zone_has_stock() {
    let sim = sim(one_of_two_zones).await;
    stock(&sim, A, json!(0), "later").await;
    stock(&sim, B, json!(0), "call").await;
    let _agent = sim.agent();
    let mut fast = pod("fast");
    fast["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-fail-strategy": "fail-fast" });
    let uid = sim.api.create_pod(fast);
    sim.phase("fast", "Failed").await;
    assert_eq!(groups(&sim, &uid), [(A.to_owned(), false)]);
    sim.no_groups().await;
}
