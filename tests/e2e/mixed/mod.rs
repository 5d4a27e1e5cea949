//! A real worker (containerd, a kubelet, kube-proxy) beside the virtual node, with real containers on both (`make mixed`).
//!
//! The worker is small: it has [`ROOM_MIB`] for pods, so that what overflows does not depend on the machine.

mod drain;
mod event_log;
mod jobs;
mod long;
mod spark;
mod split;
mod workloads;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cloud::text;
use crate::namespace::CONTAINER;

/// The testbed's real worker.
const WORKER: &str = "ecs-worker-1";
/// What it has for pods: the testbed's `VN_WORKER_MEMORY`.
const ROOM_MIB: u32 = 3072;
/// Runs until it is told that it is enough.
const UNTIL_ENOUGH: &str = "until [ -e /tmp/enough ]; do sleep 0.2; done";

/// A pod's spec: one container that asks for so much memory and runs a command of the shell.
fn spec(memory_mib: u32, grace_seconds: u32, command: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [{
            "name": CONTAINER,
            "image": "localhost/virtual-node/busybox:1",
            "command": ["sh", "-c", command],
            "resources": { "requests": { "cpu": "50m", "memory": format!("{memory_mib}Mi") } },
        }],
    })
}

/// Names of pods on a node that are in a phase.
fn names(pods: &[Value], node: &str, phase: &str) -> BTreeSet<String> {
    let pods = pods
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node && pod["status"]["phase"] == phase);
    pods.map(|pod| text(&pod["metadata"]["name"])).collect()
}
