//! Keeps the Node object there and right: one watch, one writer.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::object::{self, Labels};
use super::{Capacity, CloudConditions, NodeSettings};
use crate::chain::chain;
use crate::clock;
use crate::metrics::{Gate, Metrics};

/// A kubelet's own period: status is written at least this often, so that heartbeat times stay young.
const HEARTBEAT: Duration = Duration::from_secs(5 * 60);
/// Time between two rounds of writing, so that two writers who disagree about a condition do not load the API server.
const PACE: Duration = Duration::from_secs(1);
/// A call that takes longer has met a dead connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Back-off after failures, and after each deletion of a Node younger than [`SETTLED`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A Node that lived this long is made again at once after its deletion.
const SETTLED: Duration = Duration::from_secs(5 * 60);

/// What the watch and our own writes have told about the Node.
enum Known {
    /// The first list is not complete.
    Nothing,
    /// There is none.
    Absent,
    /// There is one, as last seen.
    Present(Box<Node>),
}

/// Runs for ever. `uid` receives the UID of the registered Node, `None` while there is none.
pub(super) async fn keep(
    client: kube::Client,
    settings: NodeSettings,
    mut capacity: watch::Receiver<Capacity>,
    mut cloud: watch::Receiver<CloudConditions>,
    uid: watch::Sender<Option<String>>,
    gate: Gate,
    metrics: Metrics,
) {
    let api: Api<Node> = Api::all(client);
    // By name: the Node authorizer lets a node see itself alone.
    let config = watcher::Config::default().fields(&format!("metadata.name={}", settings.name));
    let mut events = pin!(watcher::watcher(api.clone(), config).default_backoff());
    let now = clock::monotonic();
    let mut keeper = Keeper {
        api,
        settings,
        uid,
        gate,
        metrics,
        labels: Labels::All,
        known: Known::Nothing,
        listed: None,
        heartbeat: now,
        made: None,
        deletions: 0,
        create_after: now,
        failures: 0,
    };
    let mut not_before = now;
    let mut dirty = true;
    loop {
        let wake = if dirty {
            not_before
        } else {
            keeper.heartbeat.max(not_before)
        };
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => dirty |= keeper.observe(event),
                Some(Err(error)) => {
                    let error = chain(&error);
                    tracing::debug!(error, "the watch of the Node broke, it is opened again");
                }
                // The watcher never ends by itself.
                None => return,
            },
            Ok(()) = capacity.changed() => dirty = true,
            Ok(()) = cloud.changed() => dirty = true,
            () = sleep_until(wake), if keeper.knows() => {
                let (capacity, cloud) = (*capacity.borrow_and_update(), cloud.borrow_and_update().clone());
                let (again, pause) = keeper.round(&capacity, &cloud).await;
                dirty = again;
                not_before = clock::monotonic() + pause;
            }
        }
    }
}

struct Keeper {
    api: Api<Node>,
    settings: NodeSettings,
    uid: watch::Sender<Option<String>>,
    gate: Gate,
    metrics: Metrics,
    labels: Labels,
    known: Known,
    /// The Node of a list that is being received.
    listed: Option<Box<Node>>,
    /// When the heartbeat is due.
    heartbeat: Instant,
    /// When we last made the Node.
    made: Option<Instant>,
    /// Deletions in a row of Nodes that were young.
    deletions: u32,
    /// Not to be made before.
    create_after: Instant,
    /// Failures in a row.
    failures: u32,
}

impl Keeper {
    /// Whether the first list is complete.
    fn knows(&self) -> bool {
        !matches!(self.known, Known::Nothing)
    }

    /// Takes in an event of the watch; whether there may be something to write now.
    fn observe(&mut self, event: Event<Node>) -> bool {
        match event {
            Event::Init => {
                self.listed = None;
                false
            }
            Event::InitApply(node) => {
                self.listed = Some(Box::new(node));
                false
            }
            Event::InitDone => match self.listed.take() {
                Some(node) => self.seen(node),
                None => self.gone(None),
            },
            Event::Apply(node) => self.seen(Box::new(node)),
            Event::Delete(node) => self.gone(node.metadata.uid),
        }
    }

    fn seen(&mut self, node: Box<Node>) -> bool {
        if let Known::Present(known) = &self.known
            && known.metadata.uid == node.metadata.uid
            && version(&node) < version(known)
        {
            // An event from before our last write, whose answer is newer.
            return false;
        }
        self.uid.send_if_modified(|uid| {
            let changed = *uid != node.metadata.uid;
            uid.clone_from(&node.metadata.uid);
            changed
        });
        self.known = Known::Present(node);
        true
    }

    /// The Node is not there; `deleted` is the UID of the one whose deletion was seen.
    fn gone(&mut self, deleted: Option<String>) -> bool {
        if let Known::Present(known) = &self.known {
            if deleted.is_some() && deleted != known.metadata.uid {
                // The deletion of a predecessor.
                return false;
            }
            let now = clock::monotonic();
            let young = self.made.is_some_and(|made| now.duration_since(made) < SETTLED);
            self.deletions = if young { self.deletions + 1 } else { 0 };
            let pause = if young { backoff(self.deletions) } else { Duration::ZERO };
            self.create_after = now + pause;
            tracing::warn!(
                node = self.settings.name,
                ?pause,
                "the Node object was deleted, it is made again"
            );
        }
        self.known = Known::Absent;
        self.uid.send_replace(None);
        true
    }

    /// Writes what differs. Returns whether there is more to do, and how long to wait before.
    async fn round(&mut self, capacity: &Capacity, cloud: &CloudConditions) -> (bool, Duration) {
        let result = match &self.known {
            // Not called before the first list is complete.
            Known::Nothing => return (false, PACE),
            Known::Absent => {
                let early = self.create_after.saturating_duration_since(clock::monotonic());
                if !early.is_zero() {
                    return (true, early);
                }
                self.create(capacity, cloud).await
            }
            Known::Present(node) => {
                let node = node.clone();
                self.update(*node, capacity, cloud).await
            }
        };
        match result {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(node = self.settings.name, "the Node object can be written again");
                }
                self.failures = 0;
                if matches!(self.known, Known::Present(_)) {
                    self.gate.open();
                }
                (false, PACE)
            }
            Err(Failure::RestrictedLabels(refusal)) if self.labels == Labels::All => {
                self.leave_labels_out(&refusal);
                (true, Duration::ZERO)
            }
            // A write found no Node, before the watch told.
            Err(Failure::Absent) if matches!(self.known, Known::Present(_)) => {
                self.gone(None);
                (true, Duration::ZERO)
            }
            Err(failure) => {
                self.failures += 1;
                if self.failures == 1 {
                    let error = failure.text();
                    tracing::warn!(
                        node = self.settings.name,
                        error,
                        "the Node object could not be written, trying on"
                    );
                }
                (true, backoff(self.failures))
            }
        }
    }

    async fn create(&mut self, capacity: &Capacity, cloud: &CloudConditions) -> Result<(), Failure> {
        let node = object::build_node(&self.settings, self.labels, capacity, cloud, clock::now());
        match self
            .call("create", self.api.create(&PostParams::default(), &node))
            .await
        {
            Ok(node) => {
                tracing::info!(node = self.settings.name, "node registered");
                self.heartbeat = clock::monotonic() + HEARTBEAT;
                self.made = Some(clock::monotonic());
                self.seen(Box::new(node));
                Ok(())
            }
            Err(Failure::AlreadyExists) => {
                // Made by someone else since the last list: it is adopted.
                let existing = self.call("get", self.api.get(&self.settings.name)).await?;
                self.seen(Box::new(existing.clone()));
                self.update(existing, capacity, cloud).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&mut self, mut node: Node, capacity: &Capacity, cloud: &CloudConditions) -> Result<(), Failure> {
        let parameters = PatchParams::default();
        let name = self.settings.name.clone();
        if let Some(patch) = object::metadata_patch(&node, &self.settings, self.labels) {
            let patch = Patch::Merge(patch);
            let patching = self.api.patch(&name, &parameters, &patch);
            node = self.call("metadata", patching).await?;
            self.seen(Box::new(node.clone()));
        }
        let due = clock::monotonic() >= self.heartbeat;
        if let Some(patch) = object::status_patch(&node, &self.settings, capacity, cloud, due, clock::now()) {
            let patch = Patch::Strategic(patch);
            let patching = self.api.patch_status(&name, &parameters, &patch);
            node = self.call("status", patching).await?;
            self.seen(Box::new(node));
        }
        if due {
            self.heartbeat = clock::monotonic() + HEARTBEAT;
        }
        Ok(())
    }

    fn leave_labels_out(&mut self, refusal: &str) {
        self.labels = Labels::Unrestricted;
        tracing::info!(
            node = self.settings.name,
            labels = ?object::restricted_labels(),
            refusal,
            "NodeRestriction does not let a node set these labels itself; they are left out and can be set by an \
             administrator (kubectl label node)"
        );
    }

    async fn call<T>(&self, kind: &str, work: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
        let result = match timeout(CALL_TIMEOUT, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Other(format!("no answer within {CALL_TIMEOUT:?}"))),
        };
        let outcome = if result.is_ok() { "ok" } else { "error" };
        self.metrics.node_writes.with_label_values(&[kind, outcome]).inc();
        result
    }
}

/// Why a call failed, as far as it makes a difference.
enum Failure {
    Absent,
    AlreadyExists,
    /// NodeRestriction refused labels.
    RestrictedLabels(String),
    Other(String),
}

impl Failure {
    fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => Self::Absent,
            kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists" => Self::AlreadyExists,
            // The admission plugin has no reason of its own; its texts are "is not allowed to set the following labels" on
            // creation and "is not allowed to modify labels" afterwards.
            kube::Error::Api(status)
                if status.code == 403
                    && status.message.contains("is not allowed to")
                    && status.message.contains("labels") =>
            {
                Self::RestrictedLabels(status.message.clone())
            }
            other => Self::Other(chain(other)),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Absent => "not found".to_owned(),
            Self::AlreadyExists => "it exists already".to_owned(),
            Self::RestrictedLabels(text) | Self::Other(text) => text,
        }
    }
}

/// Resource versions of one object can be compared (as of Kubernetes 1.35 officially); one that is no number counts as old,
/// so that a newer event always wins over it.
fn version(node: &Node) -> u64 {
    node.metadata
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// Doubling from [`FIRST_RETRY`] to [`LAST_RETRY`].
fn backoff(count: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << count.saturating_sub(1).min(10))
        .min(LAST_RETRY)
}

#[cfg(test)]
mod tests;
