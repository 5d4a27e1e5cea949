//! The agent in a real cluster: real API server, scheduler, controllers and kubectl; simulated groups of mock-eci.
//!
//! It runs inside a testbed (`make e2e`), whose components it breaks. Tests that only use the cluster run side by side;
//! those that break what all share run alone (see [`cluster::Cluster::alone`]). The harness runs them in alphabetical
//! order, so that `what_is_left` looks at what all the others left behind.

#![allow(unreachable_pub, reason = "modules of a test binary; nothing else can reach them")]

#[path = "../support/until.rs"]
#[allow(dead_code, reason = "the other suites need more of it")]
mod until;

#[path = "../support/api_cases/mod.rs"]
mod api_cases;

mod access;
mod agent_process;
mod agents_away;
mod api_server;
mod archive;
mod bills;
mod budgets;
mod burst;
mod caller;
mod chance;
mod check;
mod cloud;
mod cluster;
mod collection;
mod containers;
mod controllers;
mod cost;
mod deletion;
mod drain;
mod exec;
mod fake_worker;
mod figures;
mod kills;
mod kubectl;
mod lifetimes;
mod lives;
mod logs;
mod manifests;
mod many_nodes;
mod mixed;
mod namespace;
mod never;
mod node;
mod outage;
mod real_figures;
mod recorder;
mod replicas;
mod restart;
mod restricted;
mod rights;
mod soak;
mod spot;
mod stateful;
mod webhook;
mod what_is_left;
mod zones;
