//! The matrix: every scenario under every fault, each cell with the same invariants.
//!
//! A cell runs in a world of its own (API server, cloud and agent in one thread, by a clock that jumps), from a seed. Each
//! scenario is a test; its cells are printed. One cell alone, and many seeds:
//!
//! ```sh
//! make matrix CELL=spark/killed SEED=17
//! make matrix SEEDS=50
//! ```

mod faults;
mod invariants;
mod scenarios;
mod world;

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::pin::pin;

use virtual_node::pods::patience::Patience;

use self::faults::Fault;
use self::scenarios::Scenario;
use self::world::World;
use crate::harness::Deviations;

/// What is run, as the environment says.
struct Selection {
    /// `scenario/fault`, either of them may be empty.
    cell: (String, String),
    seed: u64,
    seeds: u64,
}

impl Selection {
    fn read() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let number = |name: &str, or: u64| variable(name).map_or(or, |v| v.parse().expect("a number"));
        let cell = variable("CELL").unwrap_or_default();
        let (scenario, fault) = cell.split_once('/').unwrap_or((&cell, ""));
        Self {
            cell: (scenario.to_owned(), fault.to_owned()),
            seed: number("SEED", 1),
            seeds: number("SEEDS", 1),
        }
    }

    fn has(&self, scenario: &str, fault: &str) -> bool {
        let fits = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        fits(&self.cell.0, scenario) && fits(&self.cell.1, fault)
    }
}

/// Runs one cell; panics with what is wrong.
fn run(scenario: &Scenario, fault: &Fault, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    // Cells of one seed differ in what is left to chance.
    let mut hasher = DefaultHasher::new();
    (scenario.name, fault.name, seed).hash(&mut hasher);
    let chance = hasher.finish();
    runtime.block_on(async {
        let world = World::new(Deviations {
            seed: chance,
            patience: Patience::default(),
            streaming_lists: chance.is_multiple_of(2),
            ..Deviations::default()
        })
        .await;
        let mut act = pin!((scenario.act)(&world));
        let strike = async {
            (fault.strike)(&world).await;
            faults::end(&world).await;
        };
        tokio::select! {
            () = &mut act => faults::end(&world).await,
            () = strike => act.await,
        }
        // Whatever is left goes, and all of it.
        world.delete_all(30);
        let left = || world.sim.api.pods().iter().map(world::uid).collect::<Vec<_>>();
        world.until("all pods to be gone", left, Vec::is_empty).await;
        world.no_groups().await;
        let records = || world.of_agent(|agent| agent.store.lock().len());
        world
            .until("the agent to forget them", records, |left| *left == Some(0))
            .await;
        invariants::check(&world, fault.name == "none");
    });
}

/// Runs the cells of one scenario.
fn row(name: &str) {
    let selection = Selection::read();
    let scenario = scenarios::ALL.iter().find(|s| s.name == name).expect("there is one");
    let (mut table, mut failures) = (String::new(), Vec::new());
    for fault in faults::ALL.iter().filter(|fault| selection.has(name, fault.name)) {
        let mut failed = 0;
        for seed in selection.seed..selection.seed + selection.seeds {
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(scenario, fault, seed)));
            if result.is_err() {
                failed += 1;
                failures.push(format!("make matrix CELL={name}/{} SEED={seed}", fault.name));
            }
        }
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        let _ = writeln!(table, "{name} × {}: {verdict}", fault.name);
    }
    show(&table);
    assert!(
        failures.is_empty(),
        "cells that failed; each alone:\n{}",
        failures.join("\n")
    );
}

#[expect(clippy::print_stdout, reason = "the harness shows it where it is asked to")]
fn show(table: &str) {
    println!("{table}");
}

macro_rules! rows {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                row(stringify!($name));
            }
        )*

        #[test]
        fn no_scenario_is_left_out() {
            let rows = [$(stringify!($name)),*];
            assert!(scenarios::ALL.iter().map(|s| s.name).eq(rows));
        }
    };
}

rows! {
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
