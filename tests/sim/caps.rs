//! Caps of namespaces: held at every moment, by the cloud's own ledger, also while the agent is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use mock_eci::domain::ledger::Bill;
use mock_eci::domain::lifecycle::Status;
use mock_eci::faults::{Plan, When};
use provider::units::MilliCpu;
use serde_json::{Value, json};
use virtual_node::caps::Cap;

use crate::chance;
use crate::harness::{Deviations, Sim, pod};
use crate::matrix::faults::some;
use crate::matrix::world::{World, ending};
use crate::support::until::until;

const REASON: &str = "NamespaceCapReached";

fn pods(n: u64) -> Cap {
    Cap {
        pods: Some(n),
        cpu: None,
    }
}

async fn capped(cap: Cap) -> Sim {
    Sim::with(Deviations {
        cap,
        ..Deviations::default()
    })
    .await
}

/// When a group stopped counting: it ended, or never got its resources, or was removed.
fn end(bill: &Bill) -> Timestamp {
    let is_over = |status: Status| {
        matches!(
            status,
            Status::Succeeded | Status::Failed | Status::Expired | Status::ScheduleFailed
        )
    };
    let over = bill.states.iter().find(|state| is_over(state.status));
    over.map(|state| state.since)
        .or(bill.removal_time)
        .unwrap_or(Timestamp::MAX)
}

/// The most that a namespace ever had at a moment: pods and thousandths of a vCPU.
fn most(sim: &Sim) -> BTreeMap<String, (u64, u64)> {
    let mut changes: BTreeMap<String, Vec<(Timestamp, bool, u64)>> = BTreeMap::new();
    for bill in sim.cloud.app().ledger() {
        let namespace = bill.tags.get("NameSpace").cloned().unwrap_or_default();
        let of = changes.entry(namespace).or_default();
        of.push((bill.creation_time, true, bill.milli_cpu));
        of.push((end(&bill), false, bill.milli_cpu));
    }
    let most = |mut changes: Vec<(Timestamp, bool, u64)>| {
        // What ends at a moment makes room for what begins at it.
        changes.sort_by_key(|(at, begins, _)| (*at, *begins));
        let (mut now, mut most) = ((0u64, 0u64), (0, 0));
        for (_, begins, cpu) in changes {
            now = if begins {
                (now.0 + 1, now.1 + cpu)
            } else {
                (now.0 - 1, now.1 - cpu)
            };
            most = (most.0.max(now.0), most.1.max(now.1));
        }
        most
    };
    changes
        .into_iter()
        .map(|(namespace, of)| (namespace, most(of)))
        .collect()
}

fn groups(sim: &Sim) -> usize {
    sim.groups().len()
}

#[tokio::test(start_paused = true)]
async fn pods_beyond_the_cap_wait_say_for_what_and_go_oldest_first() {
    let sim = capped(pods(2)).await;
    let _agent = sim.agent();
    sim.running(pod("a")).await;
    sim.running(pod("b")).await;
    for name in ["c", "d", "e"] {
        sim.api.create_pod(pod(name));
        // Ages are told apart by the second.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let told = |sim: &Sim| sim.api.events().iter().filter(|(reason, _)| reason == REASON).count();
    until("three Events", || told(&sim), |n| *n == 3).await;
    let (_, note) = sim.api.events().into_iter().find(|(r, _)| r == REASON).expect("one");
    assert_eq!(
        note,
        "waits for room: namespace default may have 2 pods on virtual nodes at a time; pods go in the order of their age"
    );
    assert_eq!((sim.api.phase("c").as_str(), groups(&sim)), ("Pending", 2));
    sim.api.delete_pod("a", 0);
    sim.phase("c", "Running").await;
    assert_eq!(sim.api.phase("d"), "Pending");
    // One that waits and is deleted leaves the line.
    sim.api.delete_pod("d", 30);
    sim.gone("d").await;
    sim.api.delete_pod("b", 0);
    sim.phase("e", "Running").await;
    assert_eq!(told(&sim), 3, "said once each");
    assert_eq!(most(&sim)["default"].0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_larger_than_the_cap_comes_to_its_end() {
    let sim = capped(pods(3)).await;
    let _agent = sim.agent();
    for n in 0..12 {
        sim.api.create_pod(ending(&format!("j-{n}"), 500, 0, false));
    }
    // Pods that have ended stay, and their groups count no more.
    for n in 0..12 {
        sim.phase(&format!("j-{n}"), "Succeeded").await;
    }
    assert_eq!(most(&sim)["default"].0, 3);
}

#[tokio::test(start_paused = true)]
async fn vcpu_count_as_they_are_bought_and_what_never_fits_keeps_nobody_back() {
    let sim = capped(Cap {
        pods: None,
        cpu: Some(MilliCpu(1_000)),
    })
    .await;
    let _agent = sim.agent();
    let sized = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!(cpu);
        pod
    };
    sim.api.create_pod(sized("large", "2"));
    until("an Event", || sim.api.events(), |e| e.iter().any(|(r, _)| r == REASON)).await;
    let note = sim.api.events().remove(0).1;
    assert!(note.contains("takes 2 vCPU") && note.contains("1 vCPU"), "{note}");
    // Rounded up to half a vCPU each.
    for name in ["a", "b", "c"] {
        sim.api.create_pod(sized(name, "300m"));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    sim.phase("a", "Running").await;
    sim.phase("b", "Running").await;
    assert_eq!(groups(&sim), 2);
    sim.api.delete_pod("a", 0);
    sim.phase("c", "Running").await;
    assert_eq!(most(&sim)["default"].1, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_create_fails_gives_its_room_to_the_next() {
    let sim = capped(pods(1)).await;
    let _agent = sim.agent();
    let mut stuck = pod("stuck");
    stuck["spec"]["volumes"] = json!([{ "name": "conf", "configMap": { "name": "comes-never" } }]);
    sim.api.create_pod(stuck);
    sim.api.create_pod(pod("next"));
    sim.phase("next", "Running").await;
    // One that the cloud refuses does not keep what it asked for, either.
    sim.api.delete_pod("next", 0);
    sim.gone("next").await;
    sim.cloud
        .app()
        .faults()
        .add(Plan::error("CreateContainerGroup", 1, "InvalidParameter", 400));
    sim.api.create_pod(pod("refused"));
    until(
        "the refusal",
        || sim.api.events(),
        |e| e.iter().any(|(r, _)| r == "CreateRefused"),
    )
    .await;
    sim.running(pod("after")).await;
    assert_eq!(most(&sim)["default"].0, 1);
}

#[test]
fn caps_hold_while_the_agent_is_killed_and_the_cloud_loses_answers() {
    chance::repeatedly(|seed| killed(seed, 12, 60));
}

#[test]
#[ignore = "the long form: `make matrix`"]
fn caps_hold_among_hundreds_of_pods_and_kills() {
    chance::repeatedly(|seed| killed(seed, 60, 300));
}

async fn killed(seed: u64, kills: u32, count: u32) {
    let world = World::new(Deviations {
        seed,
        cap: pods(5),
        streaming_lists: seed % 2 == 1,
        ..Deviations::patient()
    })
    .await;
    world.sim.api.put("namespaces", "other", Some(json!({})));
    let faults = world.sim.cloud.app().faults();
    faults.add(some(100, Plan::disconnect("CreateContainerGroup", 1, When::After)));
    faults.add(some(50, Plan::disconnect("CreateContainerGroup", 1, When::Before)));
    faults.add(some(50, Plan::error("CreateContainerGroup", 1, "Throttling.User", 400)));
    faults.add(some(100, Plan::disconnect("DeleteContainerGroup", 1, When::After)));
    let users = async {
        for n in 0..count {
            let name = format!("p-{n}");
            let mut pod: Value = ending(&name, world.some(500, 20_000), 0, n % 3 == 0);
            if n % 2 == 0 {
                pod["metadata"]["namespace"] = json!("other");
            }
            world.create(pod);
            tokio::time::sleep(world.some_time(0, 300)).await;
            if n % 7 == 1 {
                // Some go before their time, with and without grace.
                let name = format!("p-{}", world.some(0, u64::from(n)) | 1);
                world.delete(&name, [0, 30][world.some(0, 1) as usize]);
            }
        }
    };
    world.while_agents_die(kills, users).await;
    let left = || {
        let pods = world.sim.api.pods().into_iter();
        pods.filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
            .map(|pod| pod["metadata"]["name"].to_string())
            .collect::<Vec<_>>()
    };
    world.until("all pods to come to their end", left, Vec::is_empty).await;
    let most = most(&world.sim);
    for namespace in ["default", "other"] {
        // Near what it may, or it shows nothing.
        assert!((4..=5).contains(&most[namespace].0), "{namespace}: {most:?}");
    }
}
