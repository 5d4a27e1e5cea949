//! Many pods deleted by one deletecollection while half of their groups look for resources. The clock is the simulation's, so
//! that what it shows is the agent's doing and not the machine's.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Deviations, pod};
use crate::matrix::world::{World, name, with_tag, with_variable};

/// How long the mock's containers take to stop.
const STOP: Duration = Duration::from_secs(2);
/// What the agent may add to that.
const MARGIN: Duration = Duration::from_secs(5);
/// Deletes that ECI's documented limits allow at once, less what the client leaves to others, and each second after that.
const BURST: f64 = 95.0;
const RATE: f64 = 1_000.0 / 60.0;

#[tokio::test(start_paused = true)]
async fn two_hundred_go_at_once_without_quotas() {
    let took = collection(200, false).await;
    assert!(took <= STOP + MARGIN, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_go_as_fast_as_the_limits_allow() {
    at_the_limits(200).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "the long form: `make matrix`"]
async fn a_thousand_go_at_once_without_quotas() {
    let took = collection(1_000, false).await;
    assert!(took <= STOP + MARGIN, "{took:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "the long form: `make matrix`"]
async fn a_thousand_go_as_fast_as_the_limits_allow() {
    at_the_limits(1_000).await;
}

async fn at_the_limits(count: u32) {
    let took = collection(count, true).await;
    let allowed = Duration::from_secs_f64((f64::from(count) - BURST) / RATE);
    let bound = allowed.mul_f64(1.1) + STOP + MARGIN;
    assert!(
        took >= allowed,
        "{took:?} for {count} is faster than the limits allow, {allowed:?}"
    );
    assert!(took <= bound, "{took:?} for {count}; the limits allow {allowed:?}");
}

/// Deletes so many pods while as many creates wait, and gives the time until the last was gone.
async fn collection(count: u32, documented_limits: bool) -> Duration {
    let world = World::new(Deviations {
        documented_limits,
        ..Deviations::patient()
    })
    .await;
    for n in 0..count {
        let mut pod = match n % 2 {
            0 => with_tag(pod(&format!("seeks-{n}")), "schedule-ms", 3_600_000),
            _ => with_variable(pod(&format!("runs-{n}")), "STOP_MS", STOP.as_millis()),
        };
        pod["metadata"]["labels"] = json!({ "app": "first" });
        world.create(pod);
    }
    let placed = || world.sim.groups().len();
    world
        .until("all to have groups", placed, |n| *n == count as usize + 1)
        .await;
    for n in (1..count).step_by(2) {
        world.phase(&format!("runs-{n}"), "Running").await;
    }
    // A minute without calls: the limits are as fresh as they can be.
    tokio::time::sleep(Duration::from_mins(1)).await;

    for n in 0..count {
        world.create(pod(&format!("later-{n}")));
    }
    let pods: Api<Pod> = Api::namespaced(world.sim.api.client_of("a user"), "default");
    let first = ListParams::default().labels("app=first");
    let (began, at) = (Instant::now(), virtual_node::clock::now());
    for pod in world
        .sim
        .api
        .pods()
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["app"] == "first")
    {
        world.will_be_deleted(name(pod));
    }
    pods.delete_collection(&DeleteParams::default(), &first)
        .await
        .expect("deleted");
    let left = || {
        let pods = world.sim.api.pods();
        pods.iter()
            .filter(|pod| pod["metadata"]["labels"]["app"] == "first")
            .count()
    };
    world.until("all to be gone", left, |left| *left == 0).await;
    let took = began.elapsed();
    let bills = world.sim.cloud.app().ledger();
    let of_first = |name: &str| name.contains("seeks-") || name.contains("runs-");
    for bill in bills.iter().filter(|bill| of_first(&bill.container_group_name)) {
        let billed = bill.billing_start.is_some() && bill.billing_end.is_none();
        assert!(!billed, "{} is still billed", bill.container_group_name);
        let since = bill.removal_time.or(bill.billing_end).map(|end| end.duration_since(at));
        assert!(since.is_some(), "{} is still there", bill.container_group_name);
    }
    world.end().await;
    took
}
