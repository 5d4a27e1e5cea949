//! The agent killed again and again while hundreds of pods come and go and the cloud loses answers.

use mock_eci::faults::{Plan, When};
use serde_json::Value;

use crate::chance;
use crate::harness::{Deviations, pod, pod_with_token};
use crate::matrix::faults::{any, some};
use crate::matrix::invariants;
use crate::matrix::world::{World, ending, with_variable};

/// What is to become of a pod.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It ends by itself, with this code.
    Ends(i32),
    /// It is deleted with this grace period, at some time.
    Deleted(u32),
    /// It runs on.
    Runs,
}

#[test]
#[ignore = "some seeds take minutes: `make matrix`"]
fn forty_kills_among_sixty_pods() {
    chance::repeatedly(|seed| kills(seed, 40, 60));
}

#[test]
#[ignore = "the long form: `make matrix`"]
fn two_hundred_kills_among_three_hundred_pods() {
    chance::repeatedly(|seed| kills(seed, 200, 300));
}

async fn kills(seed: u64, kills: u32, pods: u32) {
    let world = World::new(Deviations {
        seed,
        streaming_lists: seed % 2 == 1,
        ..Deviations::patient()
    })
    .await;
    let faults = world.sim.cloud.app().faults();
    faults.add(some(100, Plan::disconnect("CreateContainerGroup", 1, When::After)));
    faults.add(some(30, Plan::timeout("CreateContainerGroup", 1, When::After)));
    faults.add(some(50, Plan::disconnect("CreateContainerGroup", 1, When::Before)));
    faults.add(some(100, Plan::disconnect("DeleteContainerGroup", 1, When::After)));
    faults.add(any(50, Plan::error("", 1, "Throttling.User", 400)));
    faults.add(any(50, Plan::error("", 1, "InternalError", 500)));

    let users = async {
        let mut fates = Vec::new();
        for n in 0..pods {
            let fate = match world.some(0, 9) {
                0..=2 => Fate::Ends(0),
                3 | 4 => Fate::Ends(world.some(1, 9) as i32),
                5 | 6 => Fate::Deleted(30),
                7 => Fate::Deleted(0),
                _ => Fate::Runs,
            };
            let name = format!("p-{n}");
            world.create(made(&name, n % 3 == 0, fate, &world));
            fates.push((name, fate));
            tokio::time::sleep(world.some_time(0, 1_500)).await;
            // Deletions come early and late.
            let at = world.some(0, u64::from(n)) as usize;
            if let (name, Fate::Deleted(grace)) = &fates[at] {
                world.delete(name, *grace);
            }
        }
        for (name, fate) in &fates {
            if let Fate::Deleted(grace) = fate {
                world.delete(name, *grace);
            }
        }
        fates
    };
    let fates = world.while_agents_die(kills, users).await;

    for (name, fate) in &fates {
        match fate {
            Fate::Ends(code) => {
                let phase = if *code == 0 { "Succeeded" } else { "Failed" };
                let seen = world.phase(name, phase).await;
                let state = &seen["status"]["containerStatuses"][0]["state"];
                assert_eq!(state["terminated"]["exitCode"], *code, "{name}: {}", seen["status"]);
            }
            Fate::Deleted(_) => world.gone(name).await,
            Fate::Runs => drop(world.phase(name, "Running").await),
        }
    }
    world.end().await;
    invariants::check(&world, false);
}

fn made(name: &str, token: bool, fate: Fate, world: &World) -> Value {
    match fate {
        Fate::Ends(code) => ending(name, world.some(500, 20_000), code, token),
        _ => {
            let pod = if token { pod_with_token(name) } else { pod(name) };
            with_variable(pod, "STOP_MS", world.some(0, 40_000))
        }
    }
}
