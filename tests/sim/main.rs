//! The agent's pod lane against mock-eci, both in this process, with a small API server in memory. No sockets, no containers.

#![allow(unreachable_pub, reason = "modules of a test binary; nothing else can reach them")]

#[path = "../support/mod.rs"]
mod support;

mod api_server;
mod budgets;
mod burst;
mod caps;
mod chance;
mod cloud;
mod collection;
mod endings;
mod faults;
mod giving_up;
mod harness;
mod init;
mod kills;
mod life;
mod live_files;
mod matrix;
mod outages;
mod reclaimed;
mod records;
mod restart;
mod rights;
mod steering;
mod wires;
mod zones;
