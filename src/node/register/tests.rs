use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::Method;
use provider::units::MilliCpu;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::super::{Bounds, OwnUse};
use super::*;
use crate::metrics::Health;
use crate::scripted_api::{Answer, scripted};

/// An API server with at most one Node.
#[derive(Default)]
struct Cluster {
    node: Option<Value>,
    version: u64,
    /// Writes so far, as method, path below the Node and body.
    writes: Vec<(Method, String, Value)>,
    watch: Option<UnboundedSender<Value>>,
    /// NodeRestriction: labels of `kubernetes.io` outside the allow-list are refused.
    restricts: bool,
}

impl Cluster {
    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> Answer {
        if *method == Method::GET {
            assert!(
                path.contains("fieldSelector=metadata.name%3Dn"),
                "only its own Node may be asked for: {path}"
            );
            if path.contains("watch=true") {
                let (sender, receiver) = unbounded_channel();
                self.watch = Some(sender);
                return Answer::events(receiver);
            }
            let items: Vec<&Value> = self.node.iter().collect();
            let version = self.version.to_string();
            return Answer::ok(json!({ "metadata": { "resourceVersion": version }, "items": items }));
        }
        let below = path
            .trim_start_matches("/api/v1/nodes")
            .trim_start_matches("/n")
            .to_owned();
        self.writes.push((method.clone(), below, body.clone()));
        if self.restricts && body["metadata"]["labels"].get("kubernetes.io/role").is_some() {
            let message =
                "nodes \"n\" is forbidden: node \"n\" is not allowed to set the following labels: kubernetes.io/role";
            return Answer::error(403, "Forbidden", message);
        }
        if *method == Method::POST {
            self.set(body.clone(), "ADDED");
        } else {
            let Some(mut node) = self.node.clone() else {
                return Answer::not_found();
            };
            merge(&mut node, body);
            self.set(node, "MODIFIED");
        }
        Answer::ok(self.node.clone().unwrap_or_default())
    }

    fn set(&mut self, mut node: Value, kind: &str) {
        self.version += 1;
        node["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if node["metadata"]["uid"].is_null() {
            node["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.node = Some(node.clone());
        self.tell(kind, node);
    }

    fn delete(&mut self) {
        let node = self.node.take().expect("there is one");
        self.tell("DELETED", node);
    }

    fn tell(&self, kind: &str, mut node: Value) {
        node["kind"] = json!("Node");
        node["apiVersion"] = json!("v1");
        if let Some(watch) = &self.watch {
            let _ = watch.send(json!({ "type": kind, "object": node }));
        }
    }
}

/// As much of a strategic merge patch as a Node needs.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(patch)) if patch.iter().all(|item| item.get("type").is_some()) => {
            for new in patch {
                into.retain(|old| old["type"] != new["type"]);
                into.push(new.clone());
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

struct Testee {
    cluster: Arc<Mutex<Cluster>>,
    capacity: watch::Sender<Capacity>,
    cloud: watch::Sender<CloudConditions>,
    uid: watch::Receiver<Option<String>>,
    health: Health,
    task: tokio::task::JoinHandle<()>,
}

impl Testee {
    fn start(cluster: Cluster) -> Self {
        let cluster = Arc::new(Mutex::new(cluster));
        let script = cluster.clone();
        let client = scripted(move |method, path, body| script.lock().expect("no panics").answer(method, path, body));
        let settings = NodeSettings {
            name: "n".to_owned(),
            region: "cn-hangzhou".to_owned(),
            zone: None,
            node_ip: [172, 31, 0, 10].into(),
            kubelet_port: 10250,
            cluster_id: "c".to_owned(),
            taints: Vec::new(),
            labels: BTreeMap::new(),
        };
        let (capacity, capacities) = watch::channel(Capacity::default());
        let (cloud, clouds) = watch::channel(CloudConditions::default());
        let (uid, uids) = watch::channel(None);
        let health = Health::new();
        let gate = health.require("node n registered", "starting");
        let metrics = Metrics::new().expect("registers");
        let task = tokio::spawn(keep(client, settings, capacities, clouds, uid, gate, metrics));
        Self {
            cluster,
            capacity,
            cloud,
            uid: uids,
            health,
            task,
        }
    }

    /// Waits until the registered Node has another UID than `not`.
    async fn registered(&mut self, not: Option<&str>) -> String {
        let known = self.uid.wait_for(|uid| uid.is_some() && uid.as_deref() != not);
        let known = timeout(Duration::from_secs(20), known)
            .await
            .expect("in time")
            .expect("keeps running");
        known.clone().unwrap_or_default()
    }

    /// Waits until there are `count` writes.
    async fn writes(&self, count: usize) -> Vec<(Method, String, Value)> {
        let enough = async {
            loop {
                let writes = self.cluster.lock().expect("no panics").writes.clone();
                if writes.len() >= count {
                    return writes;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), enough).await.expect("written in time")
    }
}

impl Drop for Testee {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_node_is_created_and_then_written_only_where_it_differs() {
    let mut testee = Testee::start(Cluster::default());
    testee.registered(None).await;
    let half = Capacity::from_usage(
        MilliCpu(1_000_000),
        MilliCpu(500_000),
        OwnUse::default(),
        Bounds::default(),
    );
    testee.capacity.send_replace(half);
    let writes = testee.writes(2).await;
    assert_eq!((&writes[0].0, writes[0].1.as_str()), (&Method::POST, ""));
    assert_eq!(writes[0].2["metadata"]["labels"]["kubernetes.io/role"], "agent");
    assert_eq!((&writes[1].0, writes[1].1.as_str()), (&Method::PATCH, "/status"));
    assert_eq!(
        writes[1].2,
        json!({ "status": { "allocatable": { "cpu": "500", "memory": "4000Gi" } } })
    );
    assert!(testee.health.is_ready());
}

#[tokio::test]
async fn a_node_that_is_there_is_adopted() {
    let existing = json!({
        "metadata": { "name": "n", "uid": "old", "labels": { "theirs": "stays" } },
        "status": { "conditions": [{ "type": "Theirs", "status": "True" }] },
    });
    let mut testee = Testee::start(Cluster {
        node: Some(existing),
        ..Cluster::default()
    });
    assert_eq!(testee.registered(None).await, "old");
    let writes = testee.writes(2).await;
    let paths: Vec<_> = writes
        .iter()
        .map(|(method, path, _)| (method.as_str(), path.as_str()))
        .collect();
    assert_eq!(paths, [("PATCH", ""), ("PATCH", "/status")]);
    let node = testee.cluster.lock().expect("no panics").node.clone().expect("there");
    assert_eq!(node["metadata"]["labels"]["theirs"], "stays");
    assert_eq!(node["metadata"]["labels"]["type"], "virtual-kubelet");
    assert_eq!(node["status"]["conditions"][0]["type"], "Theirs");
}

#[tokio::test]
async fn labels_that_node_restriction_refuses_are_left_out() {
    let mut testee = Testee::start(Cluster {
        restricts: true,
        ..Cluster::default()
    });
    testee.registered(None).await;
    let node = testee.cluster.lock().expect("no panics").node.clone().expect("there");
    assert_eq!(node["metadata"]["labels"]["type"], "virtual-kubelet");
    assert!(node["metadata"]["labels"].get("kubernetes.io/role").is_none());
}

#[tokio::test]
async fn a_deleted_node_is_made_again() {
    let mut testee = Testee::start(Cluster::default());
    let first = testee.registered(None).await;
    // The watch is there before the deletion, or the deletion would go unseen until the next list.
    let watching = async {
        while testee.cluster.lock().expect("no panics").watch.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), watching).await.expect("watches");
    testee.cluster.lock().expect("no panics").delete();
    testee.registered(Some(&first)).await;
    assert!(testee.cluster.lock().expect("no panics").node.is_some());
}

#[tokio::test]
async fn a_condition_someone_else_changed_is_put_right() {
    let mut testee = Testee::start(Cluster::default());
    testee.registered(None).await;
    testee.cloud.send_modify(|cloud| cloud.reachable.status = Some(true));
    testee.writes(2).await;
    {
        let mut cluster = testee.cluster.lock().expect("no panics");
        let mut node = cluster.node.clone().expect("there");
        merge(
            &mut node,
            &json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }),
        );
        cluster.set(node, "MODIFIED");
    }
    let writes = testee.writes(3).await;
    let conditions = writes[2].2["status"]["conditions"]
        .as_array()
        .expect("conditions")
        .clone();
    assert_eq!(conditions.len(), 1);
    assert_eq!(
        (&conditions[0]["type"], &conditions[0]["status"]),
        (&json!("Ready"), &json!("True"))
    );
}

#[test]
fn back_off_doubles_up_to_half_a_minute() {
    let seconds: Vec<u64> = (0..8).map(|count| backoff(count).as_secs()).collect();
    assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 30, 30]);
}
