//! A small stateful API server in memory: pods, what they name, tokens and events, with list, watch, strategic status patch,
//! UID preconditions and graceful deletion. Enough to run the agent's pod lane against; the end-to-end suite has the real one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Handle to the server; cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct State {
    version: u64,
    pods: BTreeMap<(String, String), Value>,
    log: Vec<(u64, &'static str, Value)>,
    objects: BTreeMap<String, Value>,
    events: Vec<Value>,
    writes: BTreeMap<&'static str, usize>,
    away: bool,
}

impl ApiServer {
    /// An empty cluster.
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            version: Arc::new(watch::channel(0).0),
        }
    }

    /// A client of it.
    pub fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Creates a pod that is bound already; returns its UID.
    pub fn create_pod(&self, mut pod: Value) -> String {
        let mut state = self.lock();
        let uid = format!("00000000-0000-4000-8000-{:012x}", state.version + 1);
        pod["metadata"]["uid"] = json!(uid);
        pod["metadata"]["creationTimestamp"] = json!(now());
        pod["metadata"]["generation"] = json!(1);
        pod["status"] = json!({ "phase": "Pending" });
        self.store(&mut state, "ADDED", pod);
        uid
    }

    /// Deletes as `kubectl delete pod --grace-period` does.
    pub fn delete_pod(&self, name: &str, grace_seconds: u32) {
        let mut state = self.lock();
        let Some(mut pod) = state.pods.get(&key(name)).cloned() else {
            return;
        };
        if grace_seconds == 0 {
            self.remove(&mut state, pod);
            return;
        }
        let deadline = Timestamp::now() + Duration::from_secs(grace_seconds.into());
        pod["metadata"]["deletionTimestamp"] = json!(deadline.to_string());
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace_seconds);
        self.store(&mut state, "MODIFIED", pod);
    }

    /// A ConfigMap or Secret; `None` removes it.
    pub fn put(&self, kind: &str, name: &str, object: Option<Value>) {
        let path = format!("/api/v1/namespaces/default/{kind}/{name}");
        match object {
            Some(mut object) => {
                object["metadata"] = json!({ "name": name, "namespace": "default" });
                self.lock().objects.insert(path, object);
            }
            None => drop(self.lock().objects.remove(&path)),
        }
    }

    /// The pod of that name.
    pub fn pod(&self, name: &str) -> Option<Value> {
        self.lock().pods.get(&key(name)).cloned()
    }

    /// Phase of the pod of that name, empty if there is none.
    pub fn phase(&self, name: &str) -> String {
        self.pod(name)
            .and_then(|p| p["status"]["phase"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Reason and note of every Event so far.
    pub fn events(&self) -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        self.lock()
            .events
            .iter()
            .map(|e| (text(&e["reason"]), text(&e["note"])))
            .collect()
    }

    /// How often the agent wrote: `status`, `delete`, `event`, `token`.
    pub fn writes(&self, what: &str) -> usize {
        self.lock().writes.get(what).copied().unwrap_or_default()
    }

    /// While away, every request is answered 503 and every watch ends.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
        self.version.send_modify(|_| {});
    }

    /// Overwrites the pod's conditions, as the node-lifecycle controller does when a node is lost.
    pub fn set_not_ready(&self, name: &str) {
        let mut state = self.lock();
        let Some(mut pod) = state.pods.get(&key(name)).cloned() else {
            return;
        };
        for condition in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
            }
        }
        self.store(&mut state, "MODIFIED", pod);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    fn store(&self, state: &mut State, event: &'static str, mut pod: Value) {
        state.version += 1;
        pod["metadata"]["resourceVersion"] = json!(state.version.to_string());
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        let name = pod["metadata"]["name"].as_str().expect("pods have names").to_owned();
        state.pods.insert(key(&name), pod.clone());
        state.log.push((state.version, event, pod));
        self.version.send_replace(state.version);
    }

    fn remove(&self, state: &mut State, pod: Value) {
        let name = pod["metadata"]["name"].as_str().expect("pods have names").to_owned();
        state.pods.remove(&key(&name));
        state.version += 1;
        state.log.push((state.version, "DELETED", pod));
        self.version.send_replace(state.version);
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let query = parts.uri.query().unwrap_or_default();
        if self.lock().away {
            return failure(503, "ServiceUnavailable", "away");
        }
        let path = parts.uri.path();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (&parts.method, segments.as_slice()) {
            (&Method::GET, ["api", "v1", "pods"]) if query.contains("watch=true") => self.watch(query),
            (&Method::GET, ["api", "v1", "pods"]) => {
                let state = self.lock();
                let items: Vec<&Value> = state.pods.values().collect();
                let version = state.version.to_string();
                ok(
                    &json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": version}, "items": items}),
                )
            }
            (&Method::GET, ["api", "v1", "namespaces", _, "pods", name]) => {
                self.lock().pods.get(&key(name)).map_or_else(not_found, ok)
            }
            (&Method::PATCH, ["api", "v1", "namespaces", _, "pods", name, "status"]) => self.patch_status(name, body),
            (&Method::DELETE, ["api", "v1", "namespaces", _, "pods", name]) => self.delete(name, &body),
            (&Method::GET, ["api", "v1", "namespaces", ..]) => self.lock().objects.get(path).map_or_else(not_found, ok),
            (&Method::POST, ["api", "v1", "namespaces", _, "serviceaccounts", _, "token"]) => {
                let mut state = self.lock();
                *state.writes.entry("token").or_default() += 1;
                let mut request = body;
                // Each token is minted anew, so a create cannot be rebuilt byte for byte.
                request["status"] =
                    json!({"token": format!("token-{}", state.writes["token"]), "expirationTimestamp": now()});
                ok(&request)
            }
            (&Method::POST, ["apis", "events.k8s.io", "v1", "namespaces", _, "events"]) => {
                let mut state = self.lock();
                *state.writes.entry("event").or_default() += 1;
                state.events.push(body.clone());
                ok(&body)
            }
            (&Method::PATCH, ["apis", "events.k8s.io", ..]) => ok(&body),
            _ => not_found(),
        }
    }

    fn patch_status(&self, name: &str, patch: Value) -> Answer {
        let mut state = self.lock();
        let Some(mut pod) = state.pods.get(&key(name)).cloned() else {
            return not_found();
        };
        if patch["metadata"]["uid"]
            .as_str()
            .is_some_and(|uid| pod["metadata"]["uid"] != uid)
        {
            return failure(409, "Conflict", "Precondition failed: uid in precondition differs");
        }
        *state.writes.entry("status").or_default() += 1;
        let mut merged = pod.clone();
        merge(&mut merged, &patch);
        merged["metadata"]["resourceVersion"] = pod["metadata"]["resourceVersion"].clone();
        if merged != pod {
            pod = merged;
            self.store(&mut state, "MODIFIED", pod);
        }
        ok(&state.pods[&key(name)])
    }

    fn delete(&self, name: &str, options: &Value) -> Answer {
        let mut state = self.lock();
        let Some(pod) = state.pods.get(&key(name)).cloned() else {
            return not_found();
        };
        if options["preconditions"]["uid"]
            .as_str()
            .is_some_and(|uid| pod["metadata"]["uid"] != uid)
        {
            return failure(409, "Conflict", "the UID in the precondition does not match");
        }
        *state.writes.entry("delete").or_default() += 1;
        // Before the object goes, watchers see it once more with the grace of this delete, as with the real server.
        let mut pod = pod;
        pod["metadata"]["deletionTimestamp"] = json!(now());
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        self.store(&mut state, "MODIFIED", pod.clone());
        self.remove(&mut state, pod.clone());
        ok(&pod)
    }

    /// Streams events after the query's resourceVersion, until the server goes away.
    fn watch(&self, query: &str) -> Answer {
        let from = form_value(query, "resourceVersion")
            .and_then(|v| v.parse().ok())
            .unwrap_or_default();
        let server = self.clone();
        let seen = self.version.subscribe();
        let frames = stream::unfold(
            (server, seen, from),
            async |(server, mut seen, from): (Self, _, u64)| {
                loop {
                    {
                        let state = server.lock();
                        if state.away {
                            return None;
                        }
                        if let Some((version, event, pod)) = state.log.iter().find(|(version, ..)| *version > from) {
                            // The type first, as the real one writes it.
                            let line = format!("{{\"type\":\"{event}\",\"object\":{pod}}}\n");
                            let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(line)));
                            let version = *version;
                            drop(state);
                            return Some((frame, (server, seen, version)));
                        }
                    }
                    seen.changed().await.ok()?;
                }
            },
        );
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

fn form_value(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// A strategic merge, as far as a pod's status needs it: conditions by type, lists with `$patch: replace` whole, `null` removes.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, change) in changes {
        match change {
            Value::Null => drop(target.as_object_mut().expect("made one above").remove(name)),
            Value::Array(items) if name == "conditions" => merge_by(&mut target[name], items, "type"),
            Value::Array(items) => {
                let plain: Vec<&Value> = items.iter().filter(|i| i.get("$patch").is_none()).collect();
                target[name] = json!(plain);
            }
            _ => merge(&mut target[name], change),
        }
    }
}

fn merge_by(list: &mut Value, changes: &[Value], id: &str) {
    if !list.is_array() {
        *list = json!([]);
    }
    let list = list.as_array_mut().expect("made one above");
    for change in changes {
        match list.iter_mut().find(|item| item[id] == change[id]) {
            Some(item) => merge(item, change),
            None => {
                let mut item = json!({});
                merge(&mut item, change);
                list.push(item);
            }
        }
    }
}

fn key(name: &str) -> (String, String) {
    ("default".to_owned(), name.to_owned())
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn respond(code: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync());
    *answer.status_mut() = code;
    answer
}

fn ok(body: &Value) -> Answer {
    respond(StatusCode::OK, body)
}

fn not_found() -> Answer {
    failure(404, "NotFound", "not found")
}

fn failure(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    respond(StatusCode::from_u16(code).expect("a status code"), &body)
}
