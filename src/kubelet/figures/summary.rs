//! `/stats/summary`: the statistics API `v1alpha1` of kubelets. Pure.
//!
//! What only a machine has (its own file system and network, its system containers, page faults, pressure) is left out, as the
//! API allows: it says nothing of a node that is none.

use std::sync::Arc;

use jiff::Timestamp;
use provider::response::{CpuUse, MemoryUse, Sample};
use serde::Serialize;

use super::running::RunningContainer;
use super::snapshot::{NodeFigures, PodFigures, Snapshot};

/// Pods that are written at a time.
const PODS: usize = 200;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    All,
    /// `?only_cpu_and_memory=true`.
    CpuAndMemory,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStats<'a> {
    node_name: &'a str,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<SwapStats>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodStats<'a> {
    pod_ref: PodReference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    containers: Vec<ContainerStats<'a>>,
    cpu: CpuStats,
    memory: MemoryStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<NetworkStats<'a>>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<FsStats>,
    swap: SwapStats,
}

#[derive(Serialize)]
struct PodReference<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStats<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    cpu: CpuStats,
    memory: MemoryStats,
    swap: SwapStats,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CpuStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_set_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SwapStats {
    time: String,
    swap_available_bytes: u64,
    swap_usage_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkStats<'a> {
    time: String,
    /// The first interface stands here as well: it is the default one.
    #[serde(flatten)]
    default: InterfaceStats<'a>,
    interfaces: Vec<InterfaceStats<'a>>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceStats<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_errors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_errors: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FsStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
}

/// Writes the summary in pieces, a few pods at a time.
pub(super) fn pieces(snapshot: Arc<Snapshot>, scope: Scope) -> impl Iterator<Item = String> + Send {
    let head = format!("{{\"node\":{},\"pods\":[", to_json(&node(&snapshot.node)));
    let parts = snapshot.pods.len().div_ceil(PODS);
    let pods = (0..parts).map(move |part| {
        let mut text = String::new();
        for (index, pod) in snapshot.pods.iter().enumerate().skip(part * PODS).take(PODS) {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&to_json(&pod_stats(pod, scope)));
        }
        text
    });
    std::iter::once(head)
        .chain(pods)
        .chain(std::iter::once("]}".to_owned()))
}

/// These structures always serialize.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn node(figures: &NodeFigures) -> NodeStats<'_> {
    let facts = &figures.facts;
    NodeStats {
        node_name: &facts.name,
        start_time: time(facts.since),
        cpu: figures.at.map(|at| CpuStats {
            time: time(at),
            usage_nano_cores: Some(figures.nano_cores),
            usage_core_nano_seconds: Some(figures.core_nanoseconds),
        }),
        memory: figures.at.map(|at| MemoryStats {
            time: time(at),
            available_bytes: Some(facts.memory_bytes.saturating_sub(figures.working_set_bytes)),
            usage_bytes: Some(figures.usage_bytes),
            working_set_bytes: Some(figures.working_set_bytes),
            rss_bytes: Some(figures.rss_bytes),
        }),
        swap: figures.at.map(no_swap),
    }
}

fn pod_stats(pod: &PodFigures, scope: Scope) -> PodStats<'_> {
    let sample = &*pod.sample;
    let is_all = scope == Scope::All;
    let counted = CpuUse {
        usage_core_nano_seconds: pod.core_nanoseconds,
        ..sample.cpu
    };
    PodStats {
        pod_ref: PodReference {
            name: &pod.pod.name,
            namespace: &pod.pod.namespace,
            uid: &pod.pod.uid,
        },
        start_time: pod.pod.started.map(time),
        containers: pod
            .containers()
            .map(|(container, used)| container_stats(container, &used.cpu, &used.memory, pod.at))
            .collect(),
        cpu: cpu(&counted, pod.at),
        memory: memory(&sample.memory, pod.at),
        network: network(sample, pod.at).filter(|_| is_all),
        ephemeral_storage: storage(sample, pod.at).filter(|_| is_all),
        swap: no_swap(pod.at),
    }
}

fn container_stats<'a>(
    container: &'a RunningContainer,
    cpu_use: &CpuUse,
    memory_use: &MemoryUse,
    at: Timestamp,
) -> ContainerStats<'a> {
    ContainerStats {
        name: &container.name,
        start_time: container.started.map(time),
        cpu: cpu(cpu_use, at),
        memory: memory(memory_use, at),
        swap: no_swap(at),
    }
}

fn cpu(used: &CpuUse, at: Timestamp) -> CpuStats {
    CpuStats {
        time: time(at),
        usage_nano_cores: used.usage_nano_cores,
        usage_core_nano_seconds: used.usage_core_nano_seconds,
    }
}

fn memory(used: &MemoryUse, at: Timestamp) -> MemoryStats {
    MemoryStats {
        time: time(at),
        available_bytes: used.available_bytes,
        usage_bytes: used.usage_bytes,
        working_set_bytes: used.working_set,
        rss_bytes: used.rss,
    }
}

/// Container groups have none.
fn no_swap(at: Timestamp) -> SwapStats {
    SwapStats {
        time: time(at),
        swap_available_bytes: 0,
        swap_usage_bytes: 0,
    }
}

fn network(sample: &Sample, at: Timestamp) -> Option<NetworkStats<'_>> {
    let interfaces = sample.interfaces.iter().map(|interface| InterfaceStats {
        name: &interface.name,
        rx_bytes: interface.rx_bytes,
        rx_errors: interface.rx_errors,
        tx_bytes: interface.tx_bytes,
        tx_errors: interface.tx_errors,
    });
    let interfaces: Vec<InterfaceStats<'_>> = interfaces.collect();
    Some(NetworkStats {
        time: time(at),
        default: *interfaces.first()?,
        interfaces,
    })
}

/// The group's own file system, which holds layers, logs and volumes of kind emptyDir.
fn storage(sample: &Sample, at: Timestamp) -> Option<FsStats> {
    let fs = sample.filesystems.first()?;
    Some(FsStats {
        time: time(at),
        available_bytes: fs.available,
        capacity_bytes: fs.capacity,
        used_bytes: fs.usage,
    })
}

/// A time as Kubernetes writes it: RFC 3339 in whole seconds.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
