//! Desired state: one watch of the pods bound to a node, decoded into as little as later steps need.
//!
//! Whole Pods are never kept: 10,000 Spark pods in a reflector cost over 400 MB. [`NodePod`] is what the watch decodes:
//! managed fields, environment, volumes and everything else that only the mapping needs are skipped while parsing, and the
//! status is reduced to a fingerprint. The mapping needs the whole pod: there is room for few of those that wait for their group
//! (see [`crate::pods::fresh`]), the others are read again when their turn comes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Affinity, PodStatus, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use provider::mapping::Ties;
use provider::status;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Pages of the first list where the API server cannot stream it: small, because a page is decoded at once.
const PAGE_SIZE: u32 = 50;

/// A pod as the watch sees it.
#[derive(Clone, Debug)]
pub struct NodePod {
    metadata: ObjectMeta,
    /// The part of the spec that life cycle and status depend on.
    pub spec: SpecView,
    /// The status, reduced.
    pub status: StatusView,
    /// All of it as JSON, while it has yet to get its group.
    pub whole: Option<Box<RawValue>>,
}

impl<'de> Deserialize<'de> for NodePod {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Works within a watch event because API servers write an event's type before its object.
        let whole = Box::<RawValue>::deserialize(d)?;
        let View { metadata, spec, status } = serde_json::from_str(whole.get()).map_err(serde::de::Error::custom)?;
        let mut pod = Self {
            metadata,
            spec,
            status,
            whole: None,
        };
        if pod.has_yet_to_get_its_group() {
            pod.whole = Some(whole);
        }
        Ok(pod)
    }
}

/// What is decoded of a pod.
#[derive(Deserialize)]
struct View {
    #[serde(deserialize_with = "trimmed_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SpecView,
    #[serde(default, deserialize_with = "reduced_status")]
    status: StatusView,
}

/// A pod of which nothing matters but its version: what a write answers.
#[derive(Clone, Debug, Deserialize)]
pub struct WrittenPod {
    metadata: WrittenMetadata,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMetadata {
    resource_version: Option<String>,
}

impl WrittenPod {
    /// See [`NodePod::resource_version`].
    pub fn resource_version(&self) -> u64 {
        number(self.metadata.resource_version.as_deref())
    }
}

/// Resource version as the number it has been defined to be since Kubernetes 1.35.
fn number(version: Option<&str>) -> u64 {
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// What is read of `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpecView {
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: Option<String>,
    /// Grace period of a deletion that names none, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// Longest life of the pod, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// Containers, in order.
    pub containers: Vec<ContainerView>,
    /// Init containers, in order.
    pub init_containers: Vec<ContainerView>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Readiness gates.
    pub readiness_gates: Vec<ReadinessGateView>,
    /// Labels that its node must have.
    node_selector: BTreeMap<String, String>,
    /// Nodes that it must have, or likes.
    affinity: Option<Affinity>,
    /// How it is spread.
    topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Volumes, as far as they may be storage.
    volumes: Vec<VolumeView>,
}

impl SpecView {
    /// What may tie the pod to a zone.
    pub fn ties(&self) -> Ties<'_> {
        Ties {
            node_selector: &self.node_selector,
            affinity: self.affinity.as_ref(),
            spread: &self.topology_spread_constraints,
            has_storage: self.volumes.iter().any(VolumeView::is_storage),
        }
    }
}

/// What is read of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeView {
    persistent_volume_claim: Option<Present>,
    ephemeral: Option<Present>,
    csi: Option<Present>,
    flex_volume: Option<Present>,
}

impl VolumeView {
    fn is_storage(&self) -> bool {
        let kinds = [self.persistent_volume_claim, self.ephemeral, self.csi, self.flex_volume];
        kinds.iter().any(Option::is_some)
    }
}

/// What is read of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerView {
    /// Name.
    pub name: String,
    /// Image as the pod names it.
    #[serde(default)]
    pub image: Option<String>,
    /// What it asks for.
    #[serde(default)]
    pub resources: ResourcesView,
    /// Present when the container has a readiness probe.
    #[serde(default)]
    pub readiness_probe: Option<Present>,
    /// Its own restart policy: `Always` for an init container that is a sidecar.
    #[serde(default)]
    pub restart_policy: Option<String>,
}

impl ContainerView {
    /// Whether it is a native sidecar, if it is an init container.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

/// What is read of a container's resources.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourcesView {
    /// Requests, as quantities.
    pub requests: BTreeMap<String, String>,
}

/// A value whose presence alone matters.
#[derive(Clone, Copy, Debug)]
pub struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| Self)
    }
}

/// What is read of a readiness gate.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessGateView {
    /// Type of the pod condition that must be True.
    pub condition_type: String,
}

/// What is kept of `status`.
#[derive(Clone, Debug, Default)]
pub struct StatusView {
    /// Phase, empty when there is none.
    pub phase: String,
    /// [`status::fingerprint`] of the whole.
    pub fingerprint: u64,
    /// What the next status depends on.
    pub previous: status::Previous,
    /// Type and status of every condition: readiness gates ask for those of others.
    pub others: Vec<(String, String)>,
}

impl NodePod {
    /// Identity of the pod; the API server always sets one.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Resource version as the number it has been defined to be since Kubernetes 1.35.
    pub fn resource_version(&self) -> u64 {
        number(self.metadata.resource_version.as_deref())
    }

    fn has_yet_to_get_its_group(&self) -> bool {
        matches!(self.status.phase.as_str(), "" | "Pending")
            && self.metadata.deletion_timestamp.is_none()
            && self.annotation(provider::annotations::INSTANCE_ID).is_none()
    }

    /// All labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// All annotations that are read or written here.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.annotations.as_ref().unwrap_or(&NONE)
    }

    /// The value of annotation `key`, one of those.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// When the deletion's grace period ends, if a deletion was asked for.
    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.metadata.deletion_timestamp.as_ref().map(|Time(at)| *at)
    }

    /// Grace period of the deletion in seconds.
    pub fn deletion_grace_seconds(&self) -> Option<i64> {
        self.metadata.deletion_grace_period_seconds
    }

    /// When the pod was made.
    pub fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|Time(at)| *at)
    }

    /// Generation of the spec.
    pub fn generation(&self) -> Option<i64> {
        self.metadata.generation
    }

    /// Owners.
    pub fn owners(&self) -> &[OwnerReference] {
        self.metadata.owner_references.as_deref().unwrap_or_default()
    }
}

impl kube::Resource for NodePod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Reads metadata without managed fields, which are most of it, and keeps only annotations that are read or written here.
fn trimmed_metadata<'de, D: serde::Deserializer<'de>>(d: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Trimmed {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        deletion_grace_period_seconds: Option<i64>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let t = Trimmed::deserialize(d)?;
    Ok(ObjectMeta {
        name: t.name,
        namespace: t.namespace,
        uid: t.uid,
        resource_version: t.resource_version,
        generation: t.generation,
        creation_timestamp: t.creation_timestamp,
        deletion_timestamp: t.deletion_timestamp,
        deletion_grace_period_seconds: t.deletion_grace_period_seconds,
        labels: t.labels,
        annotations: t.annotations.map(|mut a| {
            a.retain(|key, _| {
                key.starts_with(provider::annotations::PREFIX) || key == provider::annotations::POD_DELETION_COST
            });
            a
        }),
        owner_references: t.owner_references,
        ..ObjectMeta::default()
    })
}

fn reduced_status<'de, D: serde::Deserializer<'de>>(d: D) -> Result<StatusView, D::Error> {
    let whole = Option::<PodStatus>::deserialize(d)?.unwrap_or_default();
    Ok(StatusView {
        fingerprint: status::fingerprint(&whole),
        previous: status::Previous::of(&whole),
        others: whole
            .conditions
            .iter()
            .flatten()
            .map(|c| (c.type_.clone(), c.status.clone()))
            .collect(),
        phase: whole.phase.unwrap_or_default(),
    })
}

/// Pauses between tries to watch again: half a second, doubling to five. kube's own go up to thirty, and a pod deleted
/// while the API server restarts would wait for that; this is one client with one request.
#[derive(Debug, Default)]
struct Reconnect {
    failures: u32,
}

impl Iterator for Reconnect {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(500)
            .saturating_mul(1 << self.failures.min(8))
            .min(Duration::from_secs(5));
        self.failures += 1;
        Some(pause.mul_f64(rand::random_range(0.75..=1.0)))
    }
}

impl Backoff for Reconnect {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Streams the pods bound to `node`, for ever: errors are logged, retried with back-off, and never end the stream.
///
/// The first list is streamed (WatchList) where the API server can, and read in pages of 50 where it cannot.
pub fn stream(
    client: kube::Client,
    node: &str,
    streaming: bool,
) -> impl Stream<Item = watcher::Event<NodePod>> + use<> {
    let api: Api<NodePod> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let config = if streaming {
        config.streaming_lists()
    } else {
        config.page_size(PAGE_SIZE)
    };
    watcher(api, config)
        .backoff(Reconnect::default())
        .filter_map(async |item| match item {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(error = %crate::chain::chain(&error), "watching pods failed; will retry");
                None
            }
        })
}
