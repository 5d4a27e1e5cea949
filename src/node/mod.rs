//! The virtual node itself: its Node object and its Lease.
//!
//! ```text
//! ListUsage ──► capacity ──► object (pure) ──► register ──► Node, Node/status
//! pods: CloudConditions ────────┘    ▲             │
//!                         watched Node┘             └──► lease (every 10 s, whatever ECI does)
//! ```
//!
//! # Guarantees
//! - Nothing is written that the API server already has; heartbeat times alone are written every five minutes.
//! - Labels, annotations, taints and conditions of other writers stay as they are.
//! - A deleted Node is created again, with back-off.
//! - The lease is renewed as long as this process works, also while ECI cannot be reached: an outage of the cloud is a
//!   condition of the node, never NotReady.
//! - Every write is one that NodeRestriction allows `system:node:<name>`. What it does not allow (labels such as
//!   `kubernetes.io/role`) is left out after the first refusal.

mod capacity;
mod lease;
pub mod object;
mod register;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Taint;
use tokio::sync::watch;

pub use capacity::{Bounds, Capacity, CpuUsage, OwnUse, USAGE_PERIOD, follow_usage};

use crate::metrics::{Health, Metrics};
use crate::shutdown::Shutdown;

/// The Kubernetes version whose kubelet this program behaves as.
pub const KUBERNETES_VERSION: &str = "v1.35.4";

/// What a node is made of, besides what changes with time.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Name of the Node object.
    pub name: String,
    /// Region, for the topology label.
    pub region: String,
    /// Zone, for the topology label; `None` = no such label.
    pub zone: Option<String>,
    /// InternalIP.
    pub node_ip: IpAddr,
    /// Port of the kubelet API at [`Self::node_ip`].
    pub kubelet_port: u16,
    /// Cluster id, part of the stable machine id.
    pub cluster_id: String,
    /// Taints of a newly created Node.
    pub taints: Vec<Taint>,
    /// Labels besides the agent's own.
    pub labels: BTreeMap<String, String>,
}

/// What is known about the cloud; each becomes a condition of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudConditions {
    /// Whether ECI answers: condition `CloudReachable`.
    pub reachable: CloudCondition,
    /// Whether a list without any of our groups was received and not believed: condition `CloudListUntrusted`.
    pub list_untrusted: CloudCondition,
    /// Whether the node's own zone has no stock: condition `OutOfStock`.
    pub out_of_stock: CloudCondition,
}

/// One condition about the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudCondition {
    /// `True`, `False`, or `None` = not known yet.
    pub status: Option<bool>,
    /// Reason, CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl CloudCondition {
    /// A condition.
    pub fn new(status: bool, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: Some(status),
            reason: reason.into(),
            message: message.into(),
        }
    }
}

impl Default for CloudConditions {
    /// Before the first call.
    fn default() -> Self {
        let unknown = |message: &str| CloudCondition {
            status: None,
            reason: "Starting".to_owned(),
            message: message.to_owned(),
        };
        Self {
            reachable: unknown("ECI was not asked yet"),
            list_untrusted: unknown("ECI was not asked yet"),
            out_of_stock: unknown("no container group was created yet"),
        }
    }
}

/// Registers the node and keeps it registered, its status true and its lease renewed, until the shutdown. It opens the gate
/// `node <name> registered` of `health`.
pub async fn run(
    client: kube::Client,
    settings: NodeSettings,
    capacity: watch::Receiver<Capacity>,
    conditions: watch::Receiver<CloudConditions>,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let gate = health.require(format!("node {} registered", settings.name), "not registered yet");
    let (uid, known_uid) = watch::channel(None);
    let lease = lease::renew(client.clone(), settings.name.clone(), known_uid, metrics.clone());
    let node = register::keep(client, settings, capacity, conditions, uid, gate, metrics);
    // Neither ends by itself; both are dropped at the shutdown. The node then turns NotReady after the usual grace, as when
    // a kubelet stops, and its pods keep running.
    let _ = shutdown.race(futures::future::join(lease, node)).await;
}
