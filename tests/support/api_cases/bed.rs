//! Where a case runs, and how it asks.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};

/// How long an event of a watch may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a case runs: a namespace of its own, and a node that no kubelet serves.
pub struct Bed {
    pub client: kube::Client,
    pub namespace: String,
    pub node: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{self:?}");
        self.body
    }

    /// Code, reason and message of a refusal.
    pub(super) fn refusal(&self) -> (u16, &str, &str) {
        let text = |field: &str| self.body[field].as_str().unwrap_or_default();
        (self.code, text("reason"), text("message"))
    }
}

/// Events of a watch.
pub(super) struct Events {
    body: Body,
    rest: Vec<u8>,
}

impl Events {
    pub(super) async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                assert!(line.starts_with(b"{\"type\":"), "what follows is read by its type");
                return serde_json::from_slice(&line).expect("a line of JSON");
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame
                .expect("an event in time")
                .expect("the watch goes on")
                .expect("a frame");
            self.rest.extend(frame.into_data().unwrap_or_default());
        }
    }

    /// The next event about the object of that name.
    pub(super) async fn about(&mut self, name: &str) -> (String, Value) {
        loop {
            let mut event = self.next().await;
            if event["object"]["metadata"]["name"] == name {
                let type_ = event["type"].as_str().unwrap_or_default().to_owned();
                return (type_, event["object"].take());
            }
        }
    }
}

impl Bed {
    /// Makes the node.
    pub async fn prepare(&self) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node } });
        let made = self.send(Method::POST, "/api/v1/nodes", "application/json", node).await;
        assert!(matches!(made.code, 201 | 409), "{made:?}");
    }

    /// Takes the node away.
    pub async fn clean_up(&self) {
        let path = format!("/api/v1/nodes/{}", self.node);
        self.send(Method::DELETE, &path, "application/json", Value::Null)
            .await
            .ok();
    }

    pub(super) async fn send(&self, method: Method, path: &str, content_type: &str, body: Value) -> Reply {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type);
        let request = request.body(Body::from(bytes)).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        Reply {
            code,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    pub(super) async fn watch(&self, path: &str) -> Events {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        Events {
            body: answer.into_body(),
            rest: Vec::new(),
        }
    }

    pub(super) fn path(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    pub(super) fn pod_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path("pods"))
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "application/json", Value::Null).await
    }

    pub(super) async fn create(&self, plural: &str, object: Value) -> Reply {
        self.send(Method::POST, &self.path(plural), "application/json", object)
            .await
    }

    pub(super) async fn patch(&self, path: &str, patch: Value) -> Reply {
        self.send(Method::PATCH, path, "application/strategic-merge-patch+json", patch)
            .await
    }

    pub(super) async fn merge(&self, path: &str, patch: Value) -> Reply {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch)
            .await
    }

    pub(super) async fn patch_status(&self, name: &str, patch: Value) -> Reply {
        self.patch(&format!("{}/status", self.pod_path(name)), patch).await
    }

    pub(super) async fn delete(&self, name: &str, options: Value) -> Reply {
        self.send(Method::DELETE, &self.pod_path(name), "application/json", options)
            .await
    }

    /// A pod that is bound to the node.
    pub(super) async fn pod(&self, name: &str) -> Value {
        let mut pod = pod(name);
        pod["spec"]["nodeName"] = json!(self.node);
        self.create("pods", pod).await.ok()
    }

    pub(super) async fn is_gone(&self, name: &str) -> bool {
        self.get(&self.pod_path(name)).await.code == 404
    }
}

/// A pod that no scheduler cares for.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "schedulerName": "nobody",
            "automountServiceAccountToken": false,
            "containers": [{ "name": "main", "image": "busybox", "command": ["sleep", "1"] }],
        },
    })
}

pub(super) fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().expect("a number")
}

pub(super) fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .find(|c| c["type"] == type_)
        .unwrap_or(&Value::Null)
}

pub(super) fn time(object: &Value, pointer: &str) -> Timestamp {
    text(object, pointer)
        .parse()
        .unwrap_or_else(|_| panic!("{pointer} is no time: {object}"))
}
