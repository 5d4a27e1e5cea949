//! Watches the ConfigMaps and Secrets that the live files of pods here come from, and only those: one small watch each, of
//! metadata alone, shared by all pods that name it, for as long as one does.
//!
//! Only by name, which is also all that the Node authorizer lets a node watch.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use provider::mapping::References;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::chain::chain;
use crate::pods::input::Input;
use crate::pods::record::Uid;

/// An object that files come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    kind: SourceKind,
    namespace: Arc<str>,
    name: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum SourceKind {
    ConfigMap,
    Secret,
}

impl Source {
    /// All that `references` of a pod in `namespace` names.
    pub fn all(namespace: &str, references: &References) -> Vec<Self> {
        let namespace: Arc<str> = Arc::from(namespace);
        let of = |kind, name: &str| Self {
            kind,
            namespace: namespace.clone(),
            name: Arc::from(name),
        };
        let maps = references
            .config_maps
            .iter()
            .map(|r| of(SourceKind::ConfigMap, &r.name));
        let secrets = references.secrets.iter().map(|r| of(SourceKind::Secret, &r.name));
        maps.chain(secrets).collect()
    }
}

/// The watches.
pub struct LiveWatches {
    client: kube::Client,
    inputs: mpsc::Sender<Input>,
    watched: HashMap<Source, Watched>,
    by_pod: HashMap<Uid, Vec<Source>>,
}

struct Watched {
    task: JoinHandle<()>,
    pods: HashSet<Uid>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LiveWatches {
    /// No watches yet; changes will go to `inputs`.
    pub fn new(client: kube::Client, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            client,
            inputs,
            watched: HashMap::new(),
            by_pod: HashMap::new(),
        }
    }

    /// Watches what the files of `uid` come from, in place of what was watched for it before.
    pub fn follow(&mut self, uid: &Uid, sources: Vec<Source>) {
        if self.by_pod.get(uid) == Some(&sources) {
            return;
        }
        // The new ones first, so that what is in both is not watched anew.
        for source in &sources {
            let watched = self.watched.entry(source.clone()).or_insert_with(|| Watched {
                task: tokio::spawn(watch(self.client.clone(), source.clone(), self.inputs.clone())),
                pods: HashSet::new(),
            });
            watched.pods.insert(uid.clone());
        }
        let before = self.by_pod.insert(uid.clone(), sources).unwrap_or_default();
        let now = self.by_pod.get(uid).map(Vec::as_slice).unwrap_or_default();
        let left: Vec<Source> = before.into_iter().filter(|source| !now.contains(source)).collect();
        self.leave(uid, &left);
    }

    /// Ends what is watched for `uid` alone.
    pub fn unfollow(&mut self, uid: &Uid) {
        if let Some(sources) = self.by_pod.remove(uid) {
            self.leave(uid, &sources);
        }
    }

    /// The pods whose files come from `source`.
    pub fn pods_of(&self, source: &Source) -> Vec<Uid> {
        self.watched
            .get(source)
            .map(|watched| watched.pods.iter().cloned().collect())
            .unwrap_or_default()
    }

    fn leave(&mut self, uid: &Uid, sources: &[Source]) {
        for source in sources {
            if let Some(watched) = self.watched.get_mut(source) {
                watched.pods.remove(uid);
                if watched.pods.is_empty() {
                    self.watched.remove(source);
                }
            }
        }
    }
}

/// Reports each version of `source`, the first one, too: it may have changed since the pod's files were made of it.
async fn watch(client: kube::Client, source: Source, inputs: mpsc::Sender<Input>) {
    match source.kind {
        SourceKind::ConfigMap => watch_kind::<ConfigMap>(client, source, inputs).await,
        SourceKind::Secret => watch_kind::<Secret>(client, source, inputs).await,
    }
}

async fn watch_kind<K>(client: kube::Client, source: Source, inputs: mpsc::Sender<Input>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    // Answers hold metadata alone then.
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client, &source.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", source.name));
    let mut changes = pin!(watcher(api, config).default_backoff().applied_objects());
    let mut version = None;
    while let Some(change) = changes.next().await {
        match change {
            Ok(object) if object.metadata.resource_version != version => {
                version = object.metadata.resource_version;
                if inputs.send(Input::SourceChanged(source.clone())).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(object = %source.name, error = chain(&error), "watching what files come from failed; will retry");
            }
        }
    }
}
