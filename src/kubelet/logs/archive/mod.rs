//! Logs that outlive their container groups: what containers of selected pods write is kept in an S3 or OSS bucket.
//!
//! ```text
//! feed (one reading for followers and archive) ─► keeper ─► parts ─► store ◄── reader ◄── kubectl logs
//! ```
//!
//! # Layout
//! Under the prefix, for each run of a container:
//!
//! ```text
//! <cluster-id>/<namespace>/<pod>/<uid>/<container>/<restart count>/000000.log   lines, each after its timestamp
//!                                                                 /000001.log
//!                                                                 /end.json     {"parts":2,"complete":true}
//! ```
//!
//! Parts are plain text and together they are the log; one ends with a whole line, unless it is the last. `end.json` says that
//! no more will come, and whether the last lines are there.
//!
//! # Guarantees
//! - A part is written when a quarter of what ECI returns at once has come together, a minute after its first line, or
//!   when its container has ended: what is lost with the agent is still at ECI, unless three quarters of that are written
//!   before the next agent reads.
//! - An object is written once, with one content. After a restart the log goes on after its last part; nothing is doubled.
//! - What ECI could not return, or memory not hold while the store was away, is announced in the text.
//! - A store that is away delays nothing but the deletion of groups that have ended, and these no longer than
//!   [`crate::pods::decide`] says.

mod keeper;
mod layout;
mod parts;
mod reader;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use keeper::Keeper;

pub(super) use layout::ContainerKey;
pub(super) use reader::ArchivedLog;

use crate::metrics::Metrics;
use crate::object_store::{ObjectStore, StoreError};
use layout::Object;

/// Keeps logs of pods.
pub trait LogKeeper: Send + Sync {
    /// Whether logs of pods with these labels are kept.
    fn wants(&self, labels: &BTreeMap<String, String>) -> bool;

    /// Keeps what the containers of this pod write, and resolves when nothing more will come. Each time the store fails after
    /// it worked, `failed` is told why.
    fn keep(&self, pod: KeptPod, failed: OnFailure) -> BoxFuture<'static, ()>;
}

/// Hears why logs cannot be kept, in words for users.
pub type OnFailure = Box<dyn Fn(String) + Send + Sync>;

/// A pod whose logs are kept.
#[derive(Clone, Debug)]
pub struct KeptPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// The archive of one cluster; clones are the same one.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    /// First part of all keys.
    cluster: Arc<str>,
    /// What users call it.
    place: Arc<str>,
    metrics: Metrics,
}

/// What is there of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Numbers of its parts, in order.
    pub(super) parts: Vec<u32>,
    /// Whether it is over.
    pub(super) ended: bool,
}

impl Archive {
    /// The archive of the cluster `cluster_id` in `store`, which users call `place`.
    pub fn new(store: Arc<dyn ObjectStore>, cluster_id: &str, place: &str, metrics: Metrics) -> Self {
        Self {
            store,
            cluster: layout::segment(cluster_id).into(),
            place: place.into(),
            metrics,
        }
    }

    /// What users call it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The runs of a container that something is there of, by restart count.
    pub(super) async fn runs(&self, container: &ContainerKey) -> Result<BTreeMap<i32, Run>, StoreError> {
        let folder = container.folder(&self.cluster);
        let keys = self.count("list", self.store.list(folder.clone()).await)?;
        let mut runs: BTreeMap<i32, Run> = BTreeMap::new();
        for (restart, object) in keys.iter().filter_map(|key| layout::parse(key.strip_prefix(&folder)?)) {
            let run = runs.entry(restart).or_default();
            match object {
                Object::Part(number) => run.parts.push(number),
                Object::End => run.ended = true,
            }
        }
        for run in runs.values_mut() {
            run.parts.sort_unstable();
        }
        Ok(runs)
    }

    async fn get(&self, container: &ContainerKey, restart: i32, object: Object) -> Result<Bytes, StoreError> {
        let key = container.object(&self.cluster, restart, object);
        self.count("get", self.store.get(key).await)
    }

    async fn put(&self, container: &ContainerKey, restart: i32, object: Object, body: Bytes) -> Result<(), StoreError> {
        let key = container.object(&self.cluster, restart, object);
        self.count("put", self.store.put(key, body).await)
    }

    fn count<T>(&self, operation: &str, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let outcome = match &result {
            Ok(_) => "ok",
            Err(StoreError::Absent) => "absent",
            Err(StoreError::Failed(_)) => "failed",
        };
        let counter = &self.metrics.log_archive_requests;
        counter.with_label_values(&[operation, outcome]).inc();
        result
    }
}

#[cfg(test)]
mod tests;
