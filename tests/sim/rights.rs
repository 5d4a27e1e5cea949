//! The right to list is withdrawn for ten minutes, with the graces that ECI gets: lists are empty, and no error.

use std::time::Duration;

use crate::harness::{Deviations, pod};
use crate::matrix::world::{World, ending, with_tag};

const MINUTES: u64 = 10;

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_empty_lists_change_nothing_and_the_node_says_why() {
    let world = World::new(Deviations::patient()).await;
    for n in 0..10 {
        world.create(pod(&format!("runs-{n}")));
    }
    let seeking = world.create(with_tag(pod("seeks"), "schedule-ms", 3_600_000));
    for n in 0..10 {
        world.phase(&format!("runs-{n}"), "Running").await;
    }
    world.placed(&seeking).await;
    // It ends while nobody can see it.
    world.create(ending("ends", 120_000, 3, false));
    world.phase("ends", "Running").await;
    // What is seen is written by now.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (groups, before, writes) = (world.sim.groups(), phases(&world), world.sim.api.writes("status"));

    world.sim.cloud.app().set_may_list(false);
    for minute in 0..MINUTES {
        if minute == MINUTES / 2 {
            // Nor does an agent that knows nothing yet conclude anything.
            world.restart_agent().await;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(world.sim.groups(), groups, "minute {minute}: no group is ended or made");
        assert_eq!(phases(&world), before, "minute {minute}");
        if minute > 0 {
            let condition = world.of_agent(|agent| agent.conditions.borrow().list_untrusted.clone());
            let condition = condition.expect("it runs");
            assert_eq!(condition.status, Some(true), "minute {minute}");
            assert!(
                condition.message.contains("eci:DescribeContainerGroupStatus"),
                "{}",
                condition.message
            );
        }
    }
    assert_eq!(
        world.sim.api.writes("status"),
        writes,
        "nothing is told that nobody knows"
    );
    assert_eq!(world.sim.api.writes("delete"), 0);

    world.sim.cloud.app().set_may_list(true);
    let trusted = || world.of_agent(|agent| agent.conditions.borrow().list_untrusted.status);
    world
        .until("the condition to end", trusted, |status| *status == Some(Some(false)))
        .await;
    world.phase("ends", "Failed").await;
    assert_eq!(world.sim.groups(), groups);
    world.end().await;
}

/// Phases by name.
fn phases(world: &World) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let pods = world.sim.api.pods();
    pods.iter()
        .map(|pod| (text(&pod["metadata"]["name"]), text(&pod["status"]["phase"])))
        .collect()
}
