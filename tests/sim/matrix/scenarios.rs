//! What happens to pods: each scenario acts as users and controllers do, and says what must have become of its pods.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use mock_eci::faults::Plan;
use serde_json::{Value, json};

use super::world::{World, ending, job, name, uid, with_tag, with_variable};
use crate::harness::{pod, pod_with_config, pod_with_token};

/// A scenario: a name and what happens in it.
pub struct Scenario {
    pub name: &'static str,
    pub act: fn(&World) -> LocalBoxFuture<'_, ()>,
}

/// What `$make` makes of the names of all scenarios.
macro_rules! all_scenarios {
    ($make:ident) => {
        $make! {
            succeeds
            fails
            deadline
            spark
            replaced
            deleted_creating
            deleted_pending
            deleted_running
            deleted_ended
            stubborn
            forced
            forced_while_down
            same_name
            restarts
            no_stock
            reclaimed
            tokens
            burst
        }
    };
}

pub(super) use all_scenarios;

macro_rules! scenarios {
    ($($name:ident)*) => {
        /// All of them.
        pub const ALL: &[Scenario] = &[$(Scenario { name: stringify!($name), act: |world| $name(world).boxed_local() }),*];
    };
}

all_scenarios!(scenarios);

/// Waits until the pod has ended in `phase`, and checks its exit code.
async fn ended(world: &World, name: &str, phase: &str, code: i64) {
    let pod = world.phase(name, phase).await;
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(terminated["exitCode"], code, "{name}: {}", pod["status"]);
}

async fn succeeds(world: &World) {
    world.create(ending("a", 3_000, 0, false));
    ended(world, "a", "Succeeded", 0).await;
}

async fn fails(world: &World) {
    world.create(ending("a", 3_000, 7, false));
    ended(world, "a", "Failed", 7).await;
}

async fn deadline(world: &World) {
    let mut pod = job("a");
    pod["spec"]["activeDeadlineSeconds"] = json!(20);
    world.create(pod);
    let pod = world.phase("a", "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded", "{}", pod["status"]);
}

/// The driver comes before its ConfigMap; its executors are its own; they go before it ends.
async fn spark(world: &World) {
    let driver = world.create(pod_with_config("driver", "conf"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let properties = json!({ "data": { "spark.properties": "a=b" } });
    world.sim.api.put("configmaps", "conf", Some(properties));
    world.phase("driver", "Running").await;
    let executors = ["exec-1", "exec-2", "exec-3"];
    for name in executors {
        let mut executor = pod_with_config(name, "conf");
        executor["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "Pod", "name": "driver", "uid": driver, "controller": true }]);
        world.create(executor);
    }
    for name in executors {
        world.phase(name, "Running").await;
    }
    for name in executors {
        world.delete(name, 30);
    }
    for name in executors {
        world.gone(name).await;
    }
    world.exit(&driver, 0).await;
    ended(world, "driver", "Succeeded", 0).await;
}

/// A Deployment of two is rolled over, one pod at a time.
async fn replaced(world: &World) {
    for name in ["old-1", "old-2"] {
        world.create(pod(name));
    }
    for name in ["old-1", "old-2"] {
        world.phase(name, "Running").await;
    }
    for n in 1..=2 {
        world.create(pod(&format!("new-{n}")));
        world.phase(&format!("new-{n}"), "Running").await;
        world.delete(&format!("old-{n}"), 30);
    }
    for name in ["old-1", "old-2"] {
        world.gone(name).await;
    }
    for name in ["new-1", "new-2"] {
        assert_eq!(world.sim.api.phase(name), "Running");
    }
}

async fn deleted_creating(world: &World) {
    for n in 0..5 {
        let name = format!("a-{n}");
        world.create(pod_with_token(&name));
        tokio::time::sleep(world.some_time(0, 100)).await;
        world.delete(&name, 30);
    }
    for n in 0..5 {
        world.gone(&format!("a-{n}")).await;
    }
}

async fn deleted_pending(world: &World) {
    let uid = world.create(with_tag(pod("a"), "schedule-ms", 3_600_000));
    world.placed(&uid).await;
    tokio::time::sleep(world.some_time(0, 3_000)).await;
    world.delete("a", 30);
    world.gone("a").await;
}

async fn deleted_running(world: &World) {
    world.create(with_variable(pod("a"), "STOP_MS", 2_000));
    world.phase("a", "Running").await;
    world.delete("a", 30);
    world.gone("a").await;
}

async fn deleted_ended(world: &World) {
    world.create(ending("a", 1_000, 0, false));
    ended(world, "a", "Succeeded", 0).await;
    // A pod that has ended goes at once: its group is left to the agent.
    world.delete("a", 30);
    assert!(world.sim.api.pod("a").is_none());
    world.no_groups().await;
}

/// A process that ignores SIGTERM is killed when the grace period is over.
async fn stubborn(world: &World) {
    world.create(with_variable(pod("a"), "STOP_MS", 3_600_000));
    world.phase("a", "Running").await;
    world.delete("a", 10);
    world.gone("a").await;
}

async fn forced(world: &World) {
    world.create(with_variable(pod("a"), "STOP_MS", 3_600_000));
    world.phase("a", "Running").await;
    world.delete("a", 0);
    world.no_groups().await;
}

async fn forced_while_down(world: &World) {
    let uid = world.create(pod("a"));
    world.placed(&uid).await;
    tokio::time::sleep(world.some_time(0, 500)).await;
    world.kill_agent().await;
    world.delete("a", 0);
    tokio::time::sleep(world.some_time(0, 90_000)).await;
    world.start_agent();
    world.no_groups().await;
}

/// A StatefulSet makes its pod again when it is gone, twice by request and once by force.
async fn same_name(world: &World) {
    let mut uids = vec![world.create(pod("web-0"))];
    for grace in [30, 0, 30] {
        world.phase("web-0", "Running").await;
        world.delete("web-0", grace);
        world.gone("web-0").await;
        if grace > 0 {
            let earlier = uids.last().expect("one").clone();
            assert_eq!(world.sim.groups().get(&earlier), None, "two groups for one name");
        }
        uids.push(world.create(pod("web-0")));
    }
    let last = world.phase("web-0", "Running").await;
    assert_eq!(uid(&last), *uids.last().expect("one"));
}

/// The agent is killed at each step of a pod's life.
async fn restarts(world: &World) {
    let uid = world.create(with_variable(pod_with_token("a"), "STOP_MS", 2_000));
    world.restart_agent().await;
    world.placed(&uid).await;
    world.restart_agent().await;
    world.phase("a", "Running").await;
    world.restart_agent().await;
    tokio::time::sleep(world.some_time(0, 40_000)).await;
    world.delete("a", 30);
    tokio::time::sleep(world.some_time(0, 1_500)).await;
    world.restart_agent().await;
    world.gone("a").await;
    world.restart_agent().await;
    world.no_groups().await;
}

/// Two creates are refused for want of stock, and one group is made that then finds none.
async fn no_stock(world: &World) {
    let refused = Plan::error("CreateContainerGroup", 2, "OperationDenied.NoStock", 403);
    world.sim.cloud.app().faults().add(refused);
    world.create(pod("a"));
    world.phase("a", "Running").await;
}

/// A spot group is taken back: the pod ends, and says that it was not its own fault.
async fn reclaimed(world: &World) {
    let uid = world.create(pod("a"));
    world.phase("a", "Running").await;
    let id = world.sim.groups()[&uid][0].clone();
    assert!(world.sim.cloud.app().cloud().reclaim(&id, Duration::from_secs(180)));
    let over = |pod: &Option<Value>| pod.as_ref().is_none_or(|pod| pod["status"]["phase"] == "Failed");
    world.pod("the pod to end, or to be evicted", "a", over).await;
}

async fn tokens(world: &World) {
    let pods: Vec<Value> = (0..6).map(|n| ending(&format!("a-{n}"), 2_000, 0, true)).collect();
    for pod in &pods {
        world.create(pod.clone());
    }
    for pod in &pods {
        ended(world, name(pod), "Succeeded", 0).await;
    }
}

/// Fifty at once, a third with tokens; some end, the rest goes in one deletecollection while half are being created.
async fn burst(world: &World) {
    let all: Vec<String> = (0..50).map(|n| format!("a-{n}")).collect();
    for (n, name) in all.iter().enumerate() {
        world.create(match n % 3 {
            0 => ending(name, 2_000, 0, true),
            1 => ending(name, 2_000, 3, false),
            _ => pod(name),
        });
        if n == 25 {
            tokio::time::sleep(world.some_time(0, 10_000)).await;
        }
    }
    world.delete_all(30);
    for name in &all {
        world.gone(name).await;
    }
}
