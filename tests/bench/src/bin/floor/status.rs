//! The one status patch.

use anyhow::{Context as _, Result};
use bench::kube_client;
use http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use crate::poll::Group;

/// Says in the pod's status that its group runs.
pub(crate) async fn report_running(client: &Client, node_ip: &str, pod_ip: &str, group: &Group) -> Result<()> {
    let pod = &group.pod;
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let conditions: Vec<Value> = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]
        .iter()
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}))
        .collect();
    let containers: Vec<Value> = group
        .containers
        .iter()
        .map(|(name, image)| {
            json!({
                "name": name, "image": image, "imageID": "", "ready": true, "started": true, "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            })
        })
        .collect();
    let patch = json!({
        "metadata": {"uid": pod.uid},
        "status": {
            "phase": "Running",
            "hostIP": node_ip, "hostIPs": [{"ip": node_ip}],
            "podIP": pod_ip, "podIPs": [{"ip": pod_ip}],
            "startTime": now,
            "conditions": conditions,
            "containerStatuses": containers,
        },
    });
    let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
    let body = serde_json::to_vec(&patch)?;
    let request = kube_client::request(Method::PATCH, &path, "application/strategic-merge-patch+json", body)?;
    // The answer is the whole pod: it is dropped undecoded.
    client
        .request_text(request)
        .await
        .map(drop)
        .with_context(|| format!("patching the status of {}", pod.name))
}
