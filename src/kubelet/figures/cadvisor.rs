//! `/metrics/cadvisor`: the names that dashboards and rules ask for. Pure.
//!
//! As with a kubelet, the node's series have the id `/`, a pod's `/kubepods/pod<uid>`, and those of its containers are below that,
//! with an image and a name; sums over containers leave the others out by `image!=""` or `container!=""`. What ECI measures
//! for a group as a whole (network, disks, file systems) stands at the pod.

use jiff::Timestamp;
use provider::response::{CpuUse, DiskUse, FilesystemUse, InterfaceUse, MemoryUse};

use super::exposition::{Family, Label, Lines, epoch, no_node, no_pod, node_of, seconds};
use super::running::RunningContainer;
use super::snapshot::{NodeFigures, PodFigures, Snapshot};

/// The period that quotas are for, in microseconds: the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// The families, by name.
pub(super) static FAMILIES: &[Family] = &[
    Family::counter(
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
        |snapshot, lines| {
            if let Some((node, at)) = node_of(snapshot) {
                lines.put(&with(NODE, TOTAL), seconds(node.core_nanoseconds), Some(at));
            }
        },
        |pod, lines| {
            let used = pod.core_nanoseconds.map(seconds);
            lines.put_some(&with(labels_of(pod, &pod_id(pod)), TOTAL), used, Some(pod.at));
            for (container, used) in pod.containers() {
                let used = used.cpu.usage_core_nano_seconds.map(seconds);
                let own = Own::of(pod, container);
                lines.put_some(&with(own.labels(), TOTAL), used, Some(pod.at));
            }
        },
    ),
    Family::gauge(
        "container_fs_limit_bytes",
        "Number of bytes that can be consumed by the container on this filesystem.",
        no_node,
        |pod, lines| filesystems(pod, lines, |fs| fs.capacity),
    ),
    Family::counter(
        "container_fs_reads_bytes_total",
        "Cumulative count of bytes read",
        no_node,
        |pod, lines| disks(pod, lines, |disk| disk.read_bytes),
    ),
    Family::counter(
        "container_fs_reads_total",
        "Cumulative count of reads completed",
        no_node,
        |pod, lines| disks(pod, lines, |disk| disk.read_io),
    ),
    Family::gauge(
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on this filesystem.",
        no_node,
        |pod, lines| filesystems(pod, lines, |fs| fs.usage),
    ),
    Family::counter(
        "container_fs_writes_bytes_total",
        "Cumulative count of bytes written",
        no_node,
        |pod, lines| disks(pod, lines, |disk| disk.write_bytes),
    ),
    Family::counter(
        "container_fs_writes_total",
        "Cumulative count of writes completed",
        no_node,
        |pod, lines| disks(pod, lines, |disk| disk.write_io),
    ),
    Family::gauge(
        "container_last_seen",
        "Last time a container was seen by the exporter",
        |snapshot, lines| {
            if let Some((_, at)) = node_of(snapshot) {
                lines.put(&NODE, epoch(at), Some(at));
            }
        },
        |pod, lines| memory(pod, lines, Some(pod.at), |_| Some(epoch(pod.at))),
    ),
    Family::gauge(
        "container_memory_cache",
        "Number of bytes of page cache memory.",
        |snapshot, lines| node_memory(snapshot, lines, |node| node.cache_bytes),
        |pod, lines| memory(pod, lines, Some(pod.at), |memory| bytes(memory.cache)),
    ),
    Family::gauge(
        "container_memory_rss",
        "Size of RSS in bytes.",
        |snapshot, lines| node_memory(snapshot, lines, |node| node.rss_bytes),
        |pod, lines| memory(pod, lines, Some(pod.at), |memory| bytes(memory.rss)),
    ),
    Family::gauge(
        "container_memory_swap",
        "Container swap usage in bytes.",
        // Container groups have none.
        |snapshot, lines| node_memory(snapshot, lines, |_| 0),
        |pod, lines| memory(pod, lines, Some(pod.at), |_| bytes(Some(0))),
    ),
    Family::gauge(
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |snapshot, lines| node_memory(snapshot, lines, |node| node.usage_bytes),
        |pod, lines| memory(pod, lines, Some(pod.at), |memory| bytes(memory.usage_bytes)),
    ),
    Family::gauge(
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        |snapshot, lines| node_memory(snapshot, lines, |node| node.working_set_bytes),
        |pod, lines| memory(pod, lines, Some(pod.at), |memory| bytes(memory.working_set)),
    ),
    Family::counter(
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.rx_bytes),
    ),
    Family::counter(
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.rx_errors),
    ),
    Family::counter(
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.rx_drops),
    ),
    Family::counter(
        "container_network_receive_packets_total",
        "Cumulative count of packets received",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.rx_packets),
    ),
    Family::counter(
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.tx_bytes),
    ),
    Family::counter(
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.tx_errors),
    ),
    Family::counter(
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.tx_drops),
    ),
    Family::counter(
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted",
        no_node,
        |pod, lines| interfaces(pod, lines, |interface| interface.tx_packets),
    ),
    Family::gauge(
        "container_scrape_error",
        "1 if there was an error while getting container metrics, 0 otherwise",
        |snapshot, lines| lines.put(&[], f64::from(u8::from(snapshot.failed)), None),
        no_pod,
    ),
    Family::gauge(
        "container_spec_cpu_period",
        "CPU period of the container.",
        no_node,
        |pod, lines| cpu_limit(pod, lines, |_| CPU_PERIOD),
    ),
    Family::gauge(
        "container_spec_cpu_quota",
        "CPU quota of the container.",
        no_node,
        |pod, lines| cpu_limit(pod, lines, |milli| milli.saturating_mul(CPU_PERIOD / 1_000)),
    ),
    Family::gauge(
        "container_spec_memory_limit_bytes",
        "Memory limit for the container.",
        |snapshot, lines| lines.put(&NODE, snapshot.node.facts.memory_bytes as f64, None),
        |pod, lines| memory(pod, lines, None, |memory| bytes(memory.limit())),
    ),
    Family::gauge(
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        |snapshot, lines| lines.put(&NODE, epoch(snapshot.node.facts.since), None),
        |pod, lines| {
            lines.put_some(&labels_of(pod, &pod_id(pod)), pod.pod.started.map(epoch), None);
            for (container, _) in pod.containers() {
                lines.put_some(&Own::of(pod, container).labels(), container.started.map(epoch), None);
            }
        },
    ),
    Family::gauge(
        "machine_cpu_cores",
        "Number of logical CPU cores.",
        |snapshot, lines| lines.put(&MACHINE, snapshot.node.facts.milli_cpu as f64 / 1e3, None),
        no_pod,
    ),
    Family::gauge(
        "machine_memory_bytes",
        "Amount of memory installed on the machine.",
        |snapshot, lines| lines.put(&MACHINE, snapshot.node.facts.memory_bytes as f64, None),
        no_pod,
    ),
    Family::gauge(
        "machine_scrape_error",
        "1 if there was an error while getting machine metrics, 0 otherwise.",
        |_, lines| lines.put(&[], 0.0, None),
        no_pod,
    ),
];

type Labels<'a> = [Label<'a>; 6];

/// All series of a family have the same labels; those that say nothing are empty.
const fn labels<'a>(
    container: &'a str,
    id: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
) -> Labels<'a> {
    [
        ("container", container),
        ("id", id),
        ("image", image),
        ("name", name),
        ("namespace", namespace),
        ("pod", pod),
    ]
}

const NODE: Labels<'static> = labels("", "/", "", "", "", "");
/// A virtual node is no machine, and has none of these.
const MACHINE: [Label<'static>; 3] = [("boot_id", ""), ("machine_id", ""), ("system_uuid", "")];
/// All cores together.
const TOTAL: Label<'static> = ("cpu", "total");

fn pod_id(pod: &PodFigures) -> String {
    format!("/kubepods/pod{}", pod.pod.uid)
}

/// The labels of a pod as a whole.
fn labels_of<'a>(pod: &'a PodFigures, id: &'a str) -> Labels<'a> {
    labels("", id, "", "", &pod.pod.namespace, &pod.pod.name)
}

/// `labels` with one more in its place: labels are written in the order of their names.
fn with<'a>(labels: Labels<'a>, more: Label<'a>) -> [Label<'a>; 7] {
    let mut all = [more; 7];
    let at = labels.iter().take_while(|(name, _)| *name < more.0).count();
    all[..at].copy_from_slice(&labels[..at]);
    all[at + 1..].copy_from_slice(&labels[at..]);
    all
}

/// What a container's labels are made of.
struct Own<'a> {
    pod: &'a PodFigures,
    container: &'a RunningContainer,
    id: String,
    /// Names this run of the container, as a runtime's id would.
    name: String,
}

impl<'a> Own<'a> {
    fn of(pod: &'a PodFigures, container: &'a RunningContainer) -> Self {
        let name = format!("{}/{}/{}", pod.pod.group_id, container.name, container.restart_count);
        Self {
            pod,
            container,
            id: format!("{}/{name}", pod_id(pod)),
            name,
        }
    }

    fn labels(&self) -> Labels<'_> {
        let (pod, container) = (&self.pod.pod, self.container);
        labels(
            &container.name,
            &self.id,
            &container.image,
            &self.name,
            &pod.namespace,
            &pod.name,
        )
    }
}

fn bytes(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64)
}

fn node_memory(snapshot: &Snapshot, lines: &mut Lines, figure: fn(&NodeFigures) -> u64) {
    if let Some((node, at)) = node_of(snapshot) {
        lines.put(&NODE, figure(node) as f64, Some(at));
    }
}

/// A figure of memory, of the pod and of each of its containers.
fn memory(pod: &PodFigures, lines: &mut Lines, at: Option<Timestamp>, figure: impl Fn(&MemoryUse) -> Option<f64>) {
    lines.put_some(&labels_of(pod, &pod_id(pod)), figure(&pod.sample.memory), at);
    for (container, used) in pod.containers() {
        lines.put_some(&Own::of(pod, container).labels(), figure(&used.memory), at);
    }
}

/// What follows from the limit of vCPUs, of the pod and of each of its containers.
fn cpu_limit(pod: &PodFigures, lines: &mut Lines, figure: fn(u64) -> u64) {
    let figure = |used: &CpuUse| bytes(used.limit.map(figure));
    lines.put_some(&labels_of(pod, &pod_id(pod)), figure(&pod.sample.cpu), None);
    for (container, used) in pod.containers() {
        lines.put_some(&Own::of(pod, container).labels(), figure(&used.cpu), None);
    }
}

fn interfaces(pod: &PodFigures, lines: &mut Lines, figure: fn(&InterfaceUse) -> Option<u64>) {
    for interface in &pod.sample.interfaces {
        of_pod(pod, lines, ("interface", &interface.name), figure(interface));
    }
}

fn disks(pod: &PodFigures, lines: &mut Lines, figure: fn(&DiskUse) -> Option<u64>) {
    for disk in &pod.sample.disks {
        of_pod(pod, lines, ("device", &disk.device), figure(disk));
    }
}

fn filesystems(pod: &PodFigures, lines: &mut Lines, figure: fn(&FilesystemUse) -> Option<u64>) {
    for fs in &pod.sample.filesystems {
        of_pod(pod, lines, ("device", &fs.name), figure(fs));
    }
}

fn of_pod(pod: &PodFigures, lines: &mut Lines, label: Label<'_>, value: Option<u64>) {
    let id = pod_id(pod);
    lines.put_some(&with(labels_of(pod, &id), label), bytes(value), Some(pod.at));
}
