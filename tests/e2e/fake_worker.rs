//! A worker that is a Node object alone: the scheduler finds room on it for so many pods, and what a kubelet would write is written
//! for it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::kubectl::{create, run};

/// Its name.
pub const WORKER: &str = "fake-worker";

const PATH: &str = "/api/v1/nodes/fake-worker";
const PERIOD: Duration = Duration::from_millis(200);
/// Heartbeats of a worker whose lease nobody keeps; it counts as lost after 40 seconds.
const HEARTBEAT: u32 = 25;

/// The worker; it goes when this is dropped.
pub struct FakeWorker {
    task: JoinHandle<()>,
}

impl FakeWorker {
    /// One with room for so many pods.
    pub async fn with_room(cluster: &Cluster, pods: usize) -> Self {
        let _ = run("kubectl", &["delete", "node", WORKER, "--ignore-not-found"], "").await;
        let resources = json!({ "cpu": "64", "memory": "256Gi", "pods": pods.to_string() });
        create(&json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": WORKER, "labels": { "kubernetes.io/os": "linux", "kubernetes.io/hostname": WORKER } },
        }))
        .await;
        let status = json!({ "status": { "capacity": resources, "allocatable": resources } });
        patch(cluster.api.clone(), &format!("{PATH}/status"), &status).await;
        let task = tokio::spawn(work(cluster.api.clone()));
        let free = |node: &Value| node["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
        cluster.until("the worker to be taken for ready", PATH, free).await;
        Self { task }
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        self.task.abort();
        let arguments = ["delete", "node", WORKER, "--ignore-not-found", "--wait=false"];
        let _ = std::process::Command::new("kubectl").args(arguments).output();
    }
}

/// What a kubelet would do: heartbeats, pods that run at once, and pods that end as soon as they are told to.
async fn work(api: kube::Client) {
    for round in 0u32.. {
        if round.is_multiple_of(HEARTBEAT) {
            let now = Timestamp::now().to_string();
            let ready = json!({
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            });
            patch(
                api.clone(),
                &format!("{PATH}/status"),
                &json!({ "status": { "conditions": [ready] } }),
            )
            .await;
        }
        let list = http::Request::get(format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{WORKER}"));
        let pods = api
            .request::<Value>(list.body(Vec::new()).expect("a path"))
            .await
            .unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/pods/{}", name("namespace"), name("name"));
            if pod["metadata"]["deletionTimestamp"].is_string() {
                let options = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": name("uid") } });
                let delete = http::Request::delete(&path).header("content-type", "application/json");
                let delete = delete.body(options.to_string().into_bytes()).expect("a path");
                let _ = api.request::<Value>(delete).await;
            } else if pod["status"]["phase"] == "Pending" {
                patch(api.clone(), &format!("{path}/status"), &running(pod)).await;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn running(pod: &Value) -> Value {
    let now = Timestamp::now().to_string();
    let conditions = ["Initialized", "ContainersReady", "Ready"];
    let conditions = conditions.map(|type_| json!({ "type": type_, "status": "True", "lastTransitionTime": now }));
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let containers: Vec<Value> = containers
        .map(|c| {
            json!({
                "name": c["name"], "image": c["image"], "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": { "startedAt": now } },
            })
        })
        .collect();
    json!({ "status": { "phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers } })
}

/// Failures are made up for in the next round.
async fn patch(api: kube::Client, path: &str, body: &Value) {
    let request = http::Request::patch(path).header("content-type", "application/strategic-merge-patch+json");
    let request = request.body(body.to_string().into_bytes()).expect("a path");
    let _ = api.request::<Value>(request).await;
}
