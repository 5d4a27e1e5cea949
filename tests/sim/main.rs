//! The agent's pod lane against mock-eci, both in this process, with a small API server in memory. No sockets, no containers.

#![allow(unreachable_pub, reason = "modules of a test binary; nothing else can reach them")]

#[path = "../support/mod.rs"]
mod support;

mod api_server;
mod cloud;
mod endings;
mod faults;
mod giving_up;
mod harness;
mod init;
mod life;
mod matrix;
mod restart;
mod steering;
mod wires;
