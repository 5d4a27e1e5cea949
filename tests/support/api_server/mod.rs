//! A small stateful API server in memory: lists in pages and streamed, watches with versions, strategic status patches,
//! preconditions, graceful deletion, evictions, bound tokens, and faults of its own.
//!
//! It is as the real one in what an agent of a node depends on, and `cases` is what holds it to that: the same cases run
//! against it and, in the end-to-end suite, against the real one.
//!
//! ```text
//! wire (HTTP) ──► serve ──► update, delete, subresources (what is allowed, what follows) ──► storage (objects, versions)
//!                   └─────► watch (lists, watches) ◄──────────────────────────────────────────────┘
//! ```

pub mod delete;
pub mod faults;
pub mod kinds;
pub mod merge;
pub mod refusal;
mod select;
mod serve;
mod storage;
mod subresources;
mod time;
mod update;
mod watch;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde_json::{Value, json};

use self::delete::Options;
use self::faults::{Faults, Plan};
use self::kinds::Kind;
use self::storage::{Key, Storage};
use self::update::Part;

pub use self::wire::Answer;

/// Who the agent's requests come from; faults meet them alone.
pub const AGENT: &str = "agent";

/// Handle to the server; cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
    /// The newest version; also touched when watches are closed.
    changes: Arc<tokio::sync::watch::Sender<u64>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

struct State {
    storage: Storage,
    faults: Faults,
    log: Vec<Entry>,
    uids: u64,
    tokens: u64,
    away: bool,
    /// Watches of an earlier era are closed.
    era: u64,
}

/// A request that was carried out or refused.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Timestamp,
    pub who: &'static str,
    /// As [`Plan::what`].
    pub what: String,
    pub name: String,
    /// Of the object that was answered.
    pub uid: String,
    pub code: u16,
}

impl ApiServer {
    /// An empty cluster with the namespace `default`, by the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(0, Timestamp::now)
    }

    /// The same by another clock; faults by chance are drawn from `seed`.
    pub fn with_clock(seed: u64, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let state = State {
            storage: Storage::default(),
            faults: Faults::new(seed),
            log: Vec::new(),
            uids: 0,
            tokens: 0,
            away: false,
            era: 0,
        };
        let server = Self {
            state: Arc::new(Mutex::new(state)),
            changes: Arc::new(tokio::sync::watch::channel(0).0),
            clock: Arc::new(clock),
        };
        server.put("namespaces", "default", Some(json!({})));
        server
    }

    /// A client of somebody; the agent goes through [`Self::service`].
    pub fn client_of(&self, who: &'static str) -> kube::Client {
        kube::Client::new(self.service(who), "default")
    }

    /// What clients of it send to.
    pub fn service(
        &self,
        who: &'static str,
    ) -> impl tower::Service<http::Request<kube::client::Body>, Response = Answer, Error = tower::BoxError, Future: Send>
    + Clone
    + Send
    + use<> {
        serve::service(self.clone(), who)
    }

    /// Creates a pod that is bound already; returns its UID.
    pub fn create_pod(&self, pod: Value) -> String {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let made = self.change(|state, now| state.create(Kind::of_plural("pods"), &namespace, pod, now));
        let made = made.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        made["metadata"]["uid"].as_str().expect("a UID").to_owned()
    }

    /// Deletes as `kubectl delete pod --grace-period` does; a pod that is not there is no error.
    pub fn delete_pod(&self, name: &str, grace_seconds: u32) {
        let options = Options {
            grace_seconds: Some(grace_seconds.into()),
            ..Options::default()
        };
        if let Some(pod) = self.pod(name) {
            let deleted = self.change(|state, now| state.delete(Kind::of_plural("pods"), &pod, &options, now));
            deleted.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        }
    }

    /// An object of `default` (or of the cluster), such as a ConfigMap, made or replaced; `None` removes it.
    pub fn put(&self, plural: &str, name: &str, object: Option<Value>) {
        let kind = Kind::of_plural(plural);
        let namespace = if kind.namespaced { "default" } else { "" };
        let key = Key::new(kind, namespace, name);
        self.change(|state, now| {
            state.storage.remove(kind, &key);
            if let Some(mut object) = object {
                object["metadata"] = json!({ "name": name });
                state
                    .create(kind, namespace, object, now)
                    .unwrap_or_else(|refusal| panic!("{refusal:?}"));
            }
        });
    }

    /// The pod of that name.
    pub fn pod(&self, name: &str) -> Option<Value> {
        let key = Key::new(Kind::of_plural("pods"), "default", name);
        self.lock().storage.get(&key).map(|pod| Value::clone(pod))
    }

    /// All pods.
    pub fn pods(&self) -> Vec<Value> {
        let state = self.lock();
        let pods = state.storage.list(Kind::of_plural("pods"), "");
        pods.map(|pod| Value::clone(pod)).collect()
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
        let state = self.lock();
        let events = state.storage.list(Kind::of_plural("events"), "");
        events.map(|e| (text(&e["reason"]), text(&e["note"]))).collect()
    }

    /// How often the agent wrote: `status`, `delete`, `event`, `token`.
    pub fn writes(&self, what: &str) -> usize {
        let what = match what {
            "status" => "patch pods/status",
            "delete" => "delete pods",
            "event" => "create events",
            "token" => "create serviceaccounts/token",
            other => panic!("nothing counts {other}"),
        };
        let state = self.lock();
        let of_agent = state.log.iter().filter(|e| e.who == AGENT && e.what == what);
        of_agent.filter(|e| e.code < 300).count()
    }

    /// All requests so far but watches.
    pub fn log(&self) -> Vec<Entry> {
        self.lock().log.clone()
    }

    /// While away, every request is answered 503; every watch ends.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
        self.close_watches();
    }

    /// Ends all watches, as a restart of the API server does.
    pub fn close_watches(&self) {
        self.lock().era += 1;
        self.changes.send_modify(|_| {});
    }

    /// Forgets the past and ends all watches: their versions are too old then.
    pub fn compact(&self) {
        // The version of a closed watch may still be the newest one.
        self.put("configmaps", "compaction", Some(json!({})));
        self.lock().storage.compact();
        self.close_watches();
    }

    /// Plans a fault.
    pub fn fault(&self, plan: Plan) {
        self.lock().faults.add(plan);
    }

    /// From here on nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Overwrites the pod's conditions, as the node-lifecycle controller does when a node is lost.
    pub fn set_not_ready(&self, name: &str) {
        let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
        self.patch_status(name, &patch);
    }

    /// Patches a pod's status, as somebody else.
    pub fn patch_status(&self, name: &str, patch: &Value) {
        let Some(pod) = self.pod(name) else { return };
        let mut new = pod.clone();
        merge::strategic(&mut new, patch);
        let updated = self.change(|state, _| state.update(Kind::of_plural("pods"), &pod, new, Part::Status));
        updated.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    }

    fn change<R>(&self, change: impl FnOnce(&mut State, Timestamp) -> R) -> R {
        let now = self.now();
        let mut state = self.lock();
        let result = change(&mut state, now);
        let newest = state.storage.version();
        drop(state);
        self.changes.send_replace(newest);
        result
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }
}
