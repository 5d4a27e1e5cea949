//! A Node object that is ready, and its lease: all the scheduler and the node-lifecycle controller ask for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::kube_client::{exists_already, request, send};

/// The node-lifecycle controller waits for 40 s or more; a kubelet renews at this pace.
const RENEW_EVERY: Duration = Duration::from_secs(10);
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// A Node with room for any number of pods.
pub fn object(name: &str, ip: &str) -> Value {
    let now = now();
    let room = json!({"cpu": "1M", "memory": "4Pi", "ephemeral-storage": "4Pi", "pods": "1M"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
            "capacity": room,
            "allocatable": room,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "BenchReady", "message": "ready",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        },
    })
}

/// Creates the Node; of one that exists, sets the status.
///
/// # Errors
/// The API server refuses it.
pub async fn register(client: &Client, node: &Value) -> Result<()> {
    match send(client, Method::POST, "/api/v1/nodes", serde_json::to_vec(node)?).await {
        Ok(()) => return Ok(()),
        Err(error) if exists_already(&error) => {}
        Err(error) => return Err(error).context("creating the Node"),
    }
    let name = node["metadata"]["name"].as_str().context("a Node needs a name")?;
    let status = serde_json::to_vec(&json!({"status": node["status"]}))?;
    let path = format!("/api/v1/nodes/{name}/status");
    let request = request(Method::PATCH, &path, "application/strategic-merge-patch+json", status)?;
    client
        .request_text(request)
        .await
        .map(drop)
        .context("patching the status of the Node")
}

/// Creates the lease of a node and renews it for ever.
///
/// # Errors
/// The API server refuses it.
pub async fn keep_lease(client: &Client, name: &str) -> Result<()> {
    let spec = || json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()});
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": spec(),
    });
    match send(client, Method::POST, LEASES, serde_json::to_vec(&lease)?).await {
        Err(error) if !exists_already(&error) => return Err(error).context("creating the lease"),
        _ => {}
    }
    let mut pace = interval(RENEW_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let patch = serde_json::to_vec(&json!({"spec": spec()}))?;
        let path = format!("{LEASES}/{name}");
        let request = request(Method::PATCH, &path, "application/merge-patch+json", patch)?;
        client.request_text(request).await.context("renewing the lease")?;
    }
}

/// Now, as the API server's MicroTime wants it.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
