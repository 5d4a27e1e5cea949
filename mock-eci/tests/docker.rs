//! The docker runtime against a real container engine.
//!
//! Needs `DOCKER_HOST`, the image `localhost/virtual-node/busybox:1` (any busybox under that name; or name another one in
//! `MOCK_ECI_TEST_IMAGE`) and a network, `bridge` or what `MOCK_ECI_TEST_NETWORK` says. The testbed has all of it:
//!
//! ```text
//! DOCKER_HOST=unix:///… MOCK_ECI_TEST_NETWORK=eci cargo test -p mock-eci --features docker-tests --test docker
//! ```
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail")]

#[path = "sim/bed.rs"]
#[expect(dead_code, reason = "these tests need a part of it")]
mod api;
#[path = "docker/bed.rs"]
mod bed;
#[path = "docker/cases.rs"]
mod cases;
#[path = "docker/change.rs"]
mod change;
#[path = "docker/ending.rs"]
mod ending;
#[path = "docker/exec.rs"]
mod exec;
#[path = "docker/golden.rs"]
mod golden;
#[path = "docker/killed.rs"]
mod killed;
#[path = "docker/life.rs"]
mod life;
#[path = "docker/metrics.rs"]
mod metrics;
#[path = "docker/probes.rs"]
mod probes;
#[path = "docker/registry.rs"]
mod registry;
#[path = "docker/shape.rs"]
mod shape;
