//! A namespace for one test, and what tests put into it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cloud::time;
use crate::cluster::Cluster;
use crate::kubectl::{Said, create, kubectl, run};

/// The container of [`pod`].
pub const CONTAINER: &str = "main";

/// A namespace that goes when the test ends.
pub struct Namespace<'a> {
    /// Its name.
    pub name: String,
    /// When it was made: groups of an earlier one of its name are no business of this test.
    made: Timestamp,
    cluster: &'a Cluster,
}

impl<'a> Namespace<'a> {
    /// Makes `e2e-<topic>`, ready for pods.
    pub async fn new(cluster: &'a Cluster, topic: &str) -> Self {
        let name = format!("e2e-{topic}");
        let made = Timestamp::now();
        let namespace = Self { name, made, cluster };
        let path = format!("/api/v1/namespaces/{}", namespace.name);
        // One of an earlier run that was interrupted.
        if !cluster.get(&path).await.is_null() {
            let _ = kubectl(&["delete", "namespace", &namespace.name, "--wait=false"]).await;
            cluster
                .until("an older namespace to be gone", &path, Value::is_null)
                .await;
        }
        create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace.name } })).await;
        let account = namespace.path("serviceaccounts", "default");
        cluster
            .until("the default service account", &account, Value::is_object)
            .await;
        namespace
    }

    /// Path of an object of the core group.
    pub fn path(&self, kind: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{}/{kind}/{name}", self.name)
    }

    /// Creates an object here.
    pub async fn create(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.name);
        create(&object).await;
    }

    /// Tries to create an object here, which may be refused.
    pub async fn try_create(&self, mut object: Value) -> Said {
        object["metadata"]["namespace"] = json!(self.name);
        run("kubectl", &["create", "-f", "-"], &object.to_string()).await
    }

    /// Creates an object of the core group here, without the start of a kubectl; returns its UID.
    pub async fn post(&self, kind: &str, object: Value) -> String {
        let path = format!("/api/v1/namespaces/{}/{kind}", self.name);
        uid(&self.cluster.send(http::Method::POST, &path, &object).await)
    }

    /// Deletes an object of the core group with so many seconds of grace, likewise.
    pub async fn delete(&self, kind: &str, name: &str, grace_seconds: u32) {
        let options = json!({ "gracePeriodSeconds": grace_seconds });
        let path = self.path(kind, name);
        self.cluster.send(http::Method::DELETE, &path, &options).await;
    }

    /// kubectl with this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Said {
        let mut all = vec!["--namespace", &self.name];
        all.extend(arguments);
        kubectl(&all).await
    }

    /// The pod of that name, null when there is none.
    pub async fn pod(&self, name: &str) -> Value {
        self.cluster.get(&self.path("pods", name)).await
    }

    /// The pods with that label.
    pub async fn pods(&self, selector: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector={selector}", self.name);
        self.cluster.get(&path).await["items"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until the pod has that phase.
    pub async fn phase(&self, name: &str, phase: &str) -> Value {
        let what = format!("pod {name} to be {phase}");
        self.cluster
            .until(&what, &self.path("pods", name), |pod| pod["status"]["phase"] == phase)
            .await
    }

    /// Creates a pod, waits until it runs, and returns its UID and its group's id.
    pub async fn running(&self, pod: Value) -> (String, String) {
        let name = pod["metadata"]["name"].as_str().expect("named").to_owned();
        self.create(pod).await;
        let pod = self.phase(&name, "Running").await;
        let uid = uid(&pod);
        let group = self.cluster.cloud.group_of(&uid).await;
        assert_eq!(pod["metadata"]["annotations"]["k8s.aliyun.com/eci-instance-id"], group);
        (uid, group)
    }

    /// Creates a pod and waits until it has a group; returns its UID and its group's id.
    pub async fn placed(&self, pod: Value) -> (String, String) {
        let name = pod["metadata"]["name"].as_str().expect("named").to_owned();
        self.create(pod).await;
        let uid = uid(&self.pod(&name).await);
        let what = format!("a group of pod {name}");
        let look = async || self.cluster.cloud.groups_ever(&uid).await;
        let mut groups = self.cluster.eventually(&what, look, |groups| !groups.is_empty()).await;
        assert_eq!(groups.len(), 1, "{groups:?}");
        (uid, groups.remove(0))
    }

    /// Waits until the pod's object is gone.
    pub async fn gone(&self, name: &str) {
        let what = format!("pod {name} to be gone");
        self.cluster
            .until(&what, &self.path("pods", name), Value::is_null)
            .await;
    }

    /// Events of that reason on the pod (on any, for an empty name).
    pub async fn events(&self, pod: &str, reason: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/events", self.name);
        let events = self.cluster.get(&path).await["items"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let of_pod =
            |e: &Value| e["involvedObject"]["kind"] == "Pod" && (pod.is_empty() || e["involvedObject"]["name"] == pod);
        events
            .into_iter()
            .filter(|e| of_pod(e) && e["reason"] == reason)
            .collect()
    }

    /// The bills of every group there ever was for pods of this namespace.
    pub async fn bills(&self) -> Vec<Value> {
        let mut bills = self.cluster.cloud.bills_of_namespace(&self.name).await;
        bills.retain(|bill| time(&bill["CreationTime"]).is_some_and(|at| at >= self.made));
        bills
    }

    /// How long ago it was made, as `--since` takes it, with time for a program to start.
    pub fn age(&self) -> String {
        format!("{}s", Timestamp::now().duration_since(self.made).as_secs() + 10)
    }

    /// The calls of `action` for groups of this namespace's pods, oldest first.
    pub async fn calls(&self, action: &str) -> Vec<Value> {
        let mut calls = self.cluster.cloud.calls(action, &self.name).await;
        calls.retain(|call| time(&call["Time"]).is_some_and(|at| at >= self.made));
        calls
    }

    /// Waits until no pod of this namespace has a group any more.
    pub async fn no_groups(&self) {
        let look = async || {
            let bills = self.bills().await;
            bills
                .into_iter()
                .filter(|b| b["RemovalTime"].is_null())
                .map(|b| b["ContainerGroupId"].clone())
                .collect::<Vec<_>>()
        };
        self.cluster
            .eventually("no group to be left", look, Vec::is_empty)
            .await;
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let kubectl = |arguments: &[&str]| std::process::Command::new("kubectl").args(arguments).output();
        if std::thread::panicking() {
            let seen = kubectl(&["--namespace", &self.name, "get", "pods,events", "--output", "wide"]);
            #[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
            if let Ok(seen) = seen {
                eprintln!("{}", String::from_utf8_lossy(&seen.stdout));
            }
        }
        let _ = kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// UID of an object.
pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"]
        .as_str()
        .unwrap_or_else(|| panic!("no UID: {object}"))
        .to_owned()
}

/// A small pod with one container, whose log holds one line and what is added to it.
pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": template_spec(),
    })
}

/// The spec of [`pod`].
pub fn template_spec() -> Value {
    json!({
        "terminationGracePeriodSeconds": 30,
        "containers": [{
            "name": CONTAINER,
            "image": "localhost/virtual-node/busybox:1",
            "env": [{ "name": "MOCK_ECI_LOG_EVERY_MS", "value": "0" }],
            "resources": { "requests": { "cpu": "250m", "memory": "512Mi" } },
        }],
    })
}

/// `pod`, whose container has one more variable.
pub fn with_env(mut pod: Value, variable: Value) -> Value {
    let env = &mut pod["spec"]["containers"][0]["env"];
    env.as_array_mut().expect("it has variables").push(variable);
    pod
}

/// `pod`, whose container behaves as a variable of mock-eci says.
pub fn with_variable(pod: Value, name: &str, value: &str) -> Value {
    with_env(pod, json!({ "name": name, "value": value }))
}

/// `pod`, whose container has the key `key` of a Secret in its environment.
pub fn with_secret(pod: Value, secret: &str) -> Value {
    with_env(
        pod,
        json!({ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": secret, "key": "key" } } }),
    )
}

/// `pod`, whose group needs that long to find resources.
pub fn slow_to_schedule(mut pod: Value, delay: Duration) -> Value {
    let tag = format!("mock-eci/schedule-ms:{}", delay.as_millis());
    pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-custom-tags": tag });
    pod
}
