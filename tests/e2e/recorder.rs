//! Records how objects change while something is broken, through outages of the API server too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, NODE, PATIENCE};
use crate::until::until_every;

const PERIOD: Duration = Duration::from_millis(50);

/// By name, the values an object had, one after the other.
type History = BTreeMap<String, Vec<String>>;

/// A watch that notes what changes.
pub struct Recorder {
    history: Arc<Mutex<History>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Of the phases of a namespace's pods. Those that exist are on record when this returns.
    pub async fn phases(cluster: &Cluster, namespace: &str) -> Self {
        let api: Api<Pod> = Api::namespaced(cluster.api.clone(), namespace);
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
        Self::start(api, watcher::Config::default(), phase).await
    }

    /// Of the nodes that a namespace's pods are bound to, empty before that.
    pub async fn nodes(cluster: &Cluster, namespace: &str) -> Self {
        let api: Api<Pod> = Api::namespaced(cluster.api.clone(), namespace);
        let node = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
        Self::start(api, watcher::Config::default(), node).await
    }

    /// Of the times at which a namespace's pods are to be over once they were deleted, empty before that.
    pub async fn ends(cluster: &Cluster, namespace: &str) -> Self {
        let api: Api<Pod> = Api::namespaced(cluster.api.clone(), namespace);
        let end = |pod: &Pod| {
            pod.metadata
                .deletion_timestamp
                .as_ref()
                .map_or_else(String::new, |at| at.0.to_string())
        };
        Self::start(api, watcher::Config::default(), end).await
    }

    /// Of how many pods of a namespace's Deployments are available.
    pub async fn available(cluster: &Cluster, namespace: &str) -> Self {
        let api: Api<Deployment> = Api::namespaced(cluster.api.clone(), namespace);
        let available = |deployment: &Deployment| {
            let status = deployment.status.as_ref();
            status
                .and_then(|s| s.available_replicas)
                .unwrap_or_default()
                .to_string()
        };
        Self::start(api, watcher::Config::default(), available).await
    }

    /// Of the node's conditions Ready and CloudReachable, as `True/True`.
    pub async fn node(cluster: &Cluster) -> Self {
        let api: Api<Node> = Api::all(cluster.api.clone());
        let conditions = |node: &Node| {
            let status = |type_: &str| {
                let mut all = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
                all.find(|c| c.type_ == type_).map_or("", |c| &c.status)
            };
            format!("{}/{}", status("Ready"), status("CloudReachable"))
        };
        let config = watcher::Config::default().fields(&format!("metadata.name={NODE}"));
        Self::start(api, config, conditions).await
    }

    async fn start<K>(api: Api<K>, config: watcher::Config, value: impl Fn(&K) -> String + Send + 'static) -> Self
    where
        K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let history = Arc::new(Mutex::new(History::new()));
        let (noted, listed) = (history.clone(), Arc::new(Mutex::new(false)));
        let done = listed.clone();
        let task = tokio::spawn(async move {
            let mut events = watcher(api, config).default_backoff().boxed();
            while let Some(event) = events.next().await {
                let (object, value) = match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        let value = value(&object);
                        (object, value)
                    }
                    Ok(watcher::Event::Delete(object)) => (object, "gone".to_owned()),
                    Ok(watcher::Event::InitDone) => {
                        *done.lock().expect("no panic while locked") = true;
                        continue;
                    }
                    // An outage is what this is made for: it goes on.
                    Ok(watcher::Event::Init) | Err(_) => continue,
                };
                let name = object.meta().name.clone().unwrap_or_default();
                let mut history = noted.lock().expect("no panic while locked");
                let values = history.entry(name).or_default();
                if values.last() != Some(&value) {
                    values.push(value);
                }
            }
        });
        let look = async || *listed.lock().expect("no panic while locked");
        until_every(
            "the first list",
            std::time::Duration::from_millis(50),
            PATIENCE,
            look,
            |listed| *listed,
        )
        .await;
        Self { history, task }
    }

    /// What is on record of an object. It is later than the object itself: see [`Self::caught_up`].
    pub fn of(&self, name: &str) -> Vec<String> {
        let history = self.history.lock().expect("no panic while locked");
        history.get(name).cloned().unwrap_or_default()
    }

    /// Waits until an object had the value at some time.
    pub async fn reached(&self, name: &str, value: &str) {
        let what = format!("{name} to be on record as {value} once");
        let look = async || self.of(name);
        until_every(&what, PERIOD, PATIENCE, look, |values| {
            values.iter().any(|v| v == value)
        })
        .await;
    }

    /// Names of all objects that are on record.
    pub fn names(&self) -> Vec<String> {
        self.history
            .lock()
            .expect("no panic while locked")
            .keys()
            .cloned()
            .collect()
    }

    /// How many objects have `value` as the last one on record.
    pub fn count(&self, value: &str) -> usize {
        let history = self.history.lock().expect("no panic while locked");
        history
            .values()
            .filter(|values| values.last().is_some_and(|v| v == value))
            .count()
    }

    /// Waits until an object's last value on record is `value`: all that came before is then on record too.
    pub async fn caught_up(&self, name: &str, value: &str) {
        let what = format!("{name} to be on record as {value}");
        let look = async || self.of(name);
        until_every(&what, PERIOD, PATIENCE, look, |values| {
            values.last().is_some_and(|v| v == value)
        })
        .await;
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
