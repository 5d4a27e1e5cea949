//! (pure) What the Node object should say, and the patches that make it say so.
//!
//! Only what this agent owns is compared and written: its labels by key, its conditions by type, its resources by name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use provider::units::{MiB, MilliCpu};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Capacity, CloudCondition, CloudConditions, KUBERNETES_VERSION, NodeSettings};

/// The label by which users select virtual nodes, and its value.
pub const TYPE_LABEL: (&str, &str) = ("type", "virtual-kubelet");
/// Condition: whether ECI answers.
pub const CLOUD_REACHABLE: &str = "CloudReachable";
/// Condition: whether a list without any of our groups was received and is not believed.
pub const CLOUD_LIST_UNTRUSTED: &str = "CloudListUntrusted";
/// Condition: whether the node's own zone has no stock.
pub const OUT_OF_STOCK: &str = "OutOfStock";
/// Status of a condition that nothing is known of.
const UNKNOWN: &str = "Unknown";

/// Annotations of the node: cluster-autoscaler is not to look whether it could do without.
const ANNOTATIONS: [(&str, &str); 1] = [("cluster-autoscaler.kubernetes.io/scale-down-disabled", "true")];

/// Labels that NodeRestriction forbids to `system:node:<name>`: they lie in `kubernetes.io` outside its allow-list. They are
/// written by identities that may, and left out after a refusal.
const RESTRICTED_LABELS: [(&str, &str); 3] = [
    ("kubernetes.io/role", "agent"),
    ("alpha.service-controller.kubernetes.io/exclude-balancer", "true"),
    ("service.beta.kubernetes.io/exclude-node", "true"),
];

/// Whether labels that NodeRestriction forbids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// All.
    All,
    /// Those that `system:node:<name>` may write.
    Unrestricted,
}

/// The names of the labels that [`Labels::Unrestricted`] leaves out, for a log line.
pub fn restricted_labels() -> Vec<&'static str> {
    RESTRICTED_LABELS.iter().map(|(key, _)| *key).collect()
}

/// The labels the node should carry.
pub fn build_labels(settings: &NodeSettings, which: Labels) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = settings.labels.clone();
    let mut set = |key: &str, value: &str| labels.insert(key.to_owned(), value.to_owned());
    set(TYPE_LABEL.0, TYPE_LABEL.1);
    for prefix in ["", "beta."] {
        set(&format!("{prefix}kubernetes.io/os"), "linux");
        set(&format!("{prefix}kubernetes.io/arch"), "amd64");
    }
    set("kubernetes.io/hostname", &settings.name);
    // There is no machine: load balancers cannot have it as a backend, and no route leads to it. The first is Kubernetes' label, the
    // second that of Alibaba Cloud's controller manager.
    set("node.kubernetes.io/exclude-from-external-load-balancers", "true");
    set("service.alibabacloud.com/exclude-node", "true");
    for prefix in ["topology.kubernetes.io", "failure-domain.beta.kubernetes.io"] {
        set(&format!("{prefix}/region"), &settings.region);
        if let Some(zone) = &settings.zone {
            set(&format!("{prefix}/zone"), zone);
        }
    }
    if which == Labels::All {
        for (key, value) in RESTRICTED_LABELS {
            set(key, value);
        }
    }
    labels
}

/// The Node as it is created, status included: it is schedulable from its first moment.
pub fn build_node(
    settings: &NodeSettings,
    which: Labels,
    capacity: &Capacity,
    cloud: &CloudConditions,
    now: Timestamp,
) -> Node {
    let conditions = build_conditions(cloud).into_iter().map(|c| NodeCondition {
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
        ..c
    });
    Node {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            labels: Some(build_labels(settings, which)),
            annotations: Some(
                ANNOTATIONS
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some(provider_id(settings)),
            taints: (!settings.taints.is_empty()).then(|| settings.taints.clone()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            conditions: Some(conditions.collect()),
            ..build_status(settings, capacity)
        }),
    }
}

/// The status without conditions.
fn build_status(settings: &NodeSettings, capacity: &Capacity) -> NodeStatus {
    let address = |type_: &str, address: String| NodeAddress {
        type_: type_.to_owned(),
        address,
    };
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", settings.node_ip.to_string()),
            address("Hostname", settings.name.clone()),
        ]),
        capacity: Some(build_resources(capacity.cpu, capacity.memory(), capacity)),
        allocatable: Some(build_resources(
            capacity.allocatable_cpu,
            capacity.allocatable_memory(),
            capacity,
        )),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint {
                port: i32::from(settings.kubelet_port),
            }),
        }),
        node_info: Some(build_node_info(settings)),
        ..NodeStatus::default()
    }
}

fn build_resources(cpu: MilliCpu, memory: MiB, capacity: &Capacity) -> BTreeMap<String, Quantity> {
    // In the canonical form the API server would turn them into, so that a comparison by text is one by value.
    let cpu = if cpu.0.is_multiple_of(1000) {
        scaled(cpu.0 / 1000, 1000, &["", "k", "M", "G"])
    } else {
        format!("{}m", cpu.0)
    };
    BTreeMap::from([
        ("cpu".to_owned(), Quantity(cpu)),
        ("memory".to_owned(), Quantity(binary(memory))),
        (
            "ephemeral-storage".to_owned(),
            Quantity(binary(capacity.ephemeral_storage())),
        ),
        (
            "pods".to_owned(),
            Quantity(scaled(capacity.pods, 1000, &["", "k", "M", "G"])),
        ),
    ])
}

fn binary(MiB(mib): MiB) -> String {
    scaled(mib, 1024, &["Mi", "Gi", "Ti", "Pi"])
}

/// The number with the largest suffix that leaves it whole, as Kubernetes' canonical form has it.
fn scaled(mut value: u64, step: u64, suffixes: &[&str]) -> String {
    if value == 0 {
        return "0".to_owned();
    }
    let mut index = 0;
    while value.is_multiple_of(step) && index + 1 < suffixes.len() {
        value /= step;
        index += 1;
    }
    format!("{value}{}", suffixes.get(index).copied().unwrap_or_default())
}

fn build_node_info(settings: &NodeSettings) -> NodeSystemInfo {
    // There is no machine, but ids that stay the same tell one virtual node from another and never look like a reboot.
    let digest = Sha256::digest(format!("{}/{}", settings.cluster_id, settings.name));
    let id: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let uuid = format!(
        "{}-{}-{}-{}-{}",
        &id[..8],
        &id[8..12],
        &id[12..16],
        &id[16..20],
        &id[20..]
    );
    NodeSystemInfo {
        architecture: "amd64".to_owned(),
        boot_id: uuid.clone(),
        container_runtime_version: "eci://2018-08-08".to_owned(),
        kernel_version: String::new(),
        kube_proxy_version: String::new(),
        kubelet_version: format!("{KUBERNETES_VERSION}-virtual-node.{}", env!("CARGO_PKG_VERSION")),
        machine_id: id,
        operating_system: "linux".to_owned(),
        os_image: "Alibaba Cloud ECI".to_owned(),
        system_uuid: uuid,
        ..NodeSystemInfo::default()
    }
}

/// The conditions this agent owns, without times. `Ready` says that the agent works, whatever the cloud does: an outage of
/// ECI must not evict pods that run.
pub fn build_conditions(cloud: &CloudConditions) -> Vec<NodeCondition> {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..NodeCondition::default()
    };
    let from_cloud = |type_: &str, c: &CloudCondition| {
        let status = match c.status {
            Some(true) => "True",
            Some(false) => "False",
            None => UNKNOWN,
        };
        condition(type_, status, &c.reason, &c.message)
    };
    vec![
        condition("Ready", "True", "KubeletReady", "virtual-node is posting ready status"),
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "every pod has its own memory",
        ),
        condition(
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "every pod has its own disk",
        ),
        condition(
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "every pod has its own kernel",
        ),
        condition(
            "NetworkUnavailable",
            "False",
            "RouteCreated",
            "every pod has an address of its VSwitch",
        ),
        from_cloud(CLOUD_REACHABLE, &cloud.reachable),
        from_cloud(CLOUD_LIST_UNTRUSTED, &cloud.list_untrusted),
        from_cloud(OUT_OF_STOCK, &cloud.out_of_stock),
    ]
}

/// In the form of Alibaba Cloud's instances, `<region>.<id>`, as its cluster-autoscaler stops at a node without one; no instance
/// and no scaling group has an id like this, so nobody takes the node for theirs.
fn provider_id(settings: &NodeSettings) -> String {
    format!("{}.{}", settings.region, settings.name)
}

/// A merge patch of the Node's labels, annotations and provider id, or `None` where they are right. What others wrote is not
/// mentioned; a provider id can be set once.
pub fn metadata_patch(current: &Node, settings: &NodeSettings, which: Labels) -> Option<Value> {
    let missing =
        |present: Option<&BTreeMap<String, String>>, wanted: BTreeMap<String, String>| -> Map<String, Value> {
            let differs = |(key, value): &(String, String)| present.and_then(|map| map.get(key)) != Some(value);
            let wanted = wanted.into_iter().filter(differs);
            wanted.map(|(key, value)| (key, Value::String(value))).collect()
        };
    let labels = missing(current.metadata.labels.as_ref(), build_labels(settings, which));
    let annotations = ANNOTATIONS
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let annotations = missing(current.metadata.annotations.as_ref(), annotations);
    let known = current.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
    let mut patch = Map::new();
    for (name, map) in [("labels", labels), ("annotations", annotations)] {
        if !map.is_empty() {
            patch.entry("metadata").or_insert_with(|| json!({}))[name] = Value::Object(map);
        }
    }
    if known.unwrap_or_default().is_empty() {
        patch.insert("spec".to_owned(), json!({ "providerID": provider_id(settings) }));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// A strategic merge patch of the Node's status, or `None` where nothing differs and no heartbeat is due. Conditions are
/// merged by type and resources by name, so those of others stay.
pub fn status_patch(
    current: &Node,
    settings: &NodeSettings,
    capacity: &Capacity,
    cloud: &CloudConditions,
    heartbeat_due: bool,
    now: Timestamp,
) -> Option<Value> {
    let empty = NodeStatus::default();
    let current = current.status.as_ref().unwrap_or(&empty);
    let wanted = build_status(settings, capacity);
    let mut status = Map::new();

    if current.addresses != wanted.addresses {
        // Replaced as a whole: merging by type would leave a second InternalIP behind.
        let mut addresses = vec![json!({ "$patch": "replace" })];
        addresses.extend(
            wanted
                .addresses
                .iter()
                .flatten()
                .map(|a| json!({ "type": a.type_, "address": a.address })),
        );
        status.insert("addresses".to_owned(), Value::Array(addresses));
    }
    for (name, current, wanted) in [
        ("capacity", &current.capacity, &wanted.capacity),
        ("allocatable", &current.allocatable, &wanted.allocatable),
    ] {
        let differing: Map<String, Value> = wanted
            .iter()
            .flatten()
            .filter(|(resource, quantity)| current.as_ref().and_then(|c| c.get(*resource)) != Some(quantity))
            .map(|(resource, quantity)| (resource.clone(), Value::String(quantity.0.clone())))
            .collect();
        if !differing.is_empty() {
            status.insert(name.to_owned(), Value::Object(differing));
        }
    }
    if current.daemon_endpoints != wanted.daemon_endpoints {
        status.insert("daemonEndpoints".to_owned(), json!(wanted.daemon_endpoints));
    }
    if current.node_info != wanted.node_info {
        status.insert("nodeInfo".to_owned(), json!(wanted.node_info));
    }
    let conditions = condition_patch(
        current.conditions.as_deref().unwrap_or_default(),
        cloud,
        heartbeat_due,
        now,
    );
    if !conditions.is_empty() {
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
    (!status.is_empty()).then(|| json!({ "status": status }))
}

/// The conditions to write: those that differ, and with a heartbeat all of ours. The time of transition moves only with the
/// condition's status.
fn condition_patch(
    current: &[NodeCondition],
    cloud: &CloudConditions,
    heartbeat_due: bool,
    now: Timestamp,
) -> Vec<Value> {
    let mut patch = Vec::new();
    for wanted in build_conditions(cloud) {
        let present = current.iter().find(|c| c.type_ == wanted.type_);
        if wanted.status == UNKNOWN && present.is_some_and(|c| c.status != UNKNOWN) {
            // At a start, or a take-over: what was known before holds until something is known.
            continue;
        }
        let same_status = present.is_some_and(|c| c.status == wanted.status);
        let same = same_status && present.is_some_and(|c| c.reason == wanted.reason && c.message == wanted.message);
        if same && !heartbeat_due {
            continue;
        }
        let since = present
            .filter(|_| same_status)
            .and_then(|c| c.last_transition_time.clone());
        let condition = NodeCondition {
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: since.or(Some(Time(now))),
            ..wanted
        };
        patch.push(json!(condition));
    }
    patch
}

#[cfg(test)]
mod tests;
