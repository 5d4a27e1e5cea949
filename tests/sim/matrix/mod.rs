//! The matrix: every scenario under every fault, each cell with the same invariants.
//!
//! A cell runs in a world of its own (API server, cloud and agent in one thread, by a clock that jumps), from a seed. Each
//! scenario is a test; its cells are printed. One cell alone, and many seeds:
//!
//! ```sh
//! make matrix CELL=spark/killed SEED=17
//! make matrix SEEDS=50
//! ```

pub mod faults;
pub mod invariants;
mod scenarios;
pub mod world;

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::pin::pin;

use self::faults::Fault;
use self::scenarios::Scenario;
use self::world::World;
use crate::chance;
use crate::harness::Deviations;

/// Whether the environment asks for a cell: `CELL` is `scenario/fault`, and either may be left out.
fn is_wanted(scenario: &str, fault: &str) -> bool {
    let cell = std::env::var("CELL").unwrap_or_default();
    let (wanted, under) = cell.split_once('/').unwrap_or((&cell, ""));
    let fits = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
    fits(wanted, scenario) && fits(under, fault)
}

/// Runs one cell; panics with what is wrong.
fn run(scenario: &Scenario, fault: &Fault, seed: u64) {
    // Cells of one seed differ in what is left to chance.
    let mut hasher = DefaultHasher::new();
    (scenario.name, fault.name, seed).hash(&mut hasher);
    let drawn = hasher.finish();
    chance::simulate(async {
        let world = World::new(Deviations {
            seed: drawn,
            streaming_lists: drawn.is_multiple_of(2),
            ..Deviations::patient()
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
        world.end().await;
        invariants::check(&world, fault.name == "none");
    });
}

/// Runs the cells of one scenario.
fn row(name: &str) {
    let scenario = scenarios::ALL.iter().find(|s| s.name == name).expect("there is one");
    let (mut table, mut failures) = (String::new(), Vec::new());
    for fault in faults::ALL.iter().filter(|fault| is_wanted(name, fault.name)) {
        let mut failed = 0;
        for seed in chance::seeds() {
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
    };
}

scenarios::all_scenarios!(rows);
