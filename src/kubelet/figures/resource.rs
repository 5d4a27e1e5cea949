//! `/metrics/resource`: what metrics-server reads, and with it `kubectl top` and the HorizontalPodAutoscaler. Pure.
//!
//! Names, labels, texts and times are a kubelet's of Kubernetes 1.35; tests hold them against a real one's.

use super::exposition::{Family, Label, Lines, epoch, no_node, no_pod, node_of, seconds};
use super::snapshot::{NodeFigures, PodFigures, Snapshot};

/// The families, in the order a kubelet writes them.
pub(super) static FAMILIES: &[Family] = &[
    Family::counter(
        "container_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        no_node,
        |pod, lines| {
            for (container, used) in pod.containers() {
                let used = used.cpu.usage_core_nano_seconds;
                lines.put_some(&labels(pod, &container.name), used.map(seconds), Some(pod.at));
            }
        },
    ),
    Family::gauge(
        "container_memory_working_set_bytes",
        "[STABLE] Current working set of the container in bytes",
        no_node,
        |pod, lines| {
            for (container, used) in pod.containers() {
                let used = used.memory.working_set;
                lines.put_some(&labels(pod, &container.name), used.map(|n| n as f64), Some(pod.at));
            }
        },
    ),
    Family::gauge(
        "container_start_time_seconds",
        "[STABLE] Start time of the container since unix epoch in seconds",
        no_node,
        |pod, lines| {
            for (container, _) in pod.containers() {
                lines.put_some(&labels(pod, &container.name), container.started.map(epoch), None);
            }
        },
    ),
    Family::gauge(
        "container_swap_limit_bytes",
        "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
        no_node,
        no_swap_of_containers,
    ),
    Family::gauge(
        "container_swap_usage_bytes",
        "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
        no_node,
        no_swap_of_containers,
    ),
    Family::counter(
        "node_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        |snapshot, lines| of_node(snapshot, lines, |node| seconds(node.core_nanoseconds)),
        no_pod,
    ),
    Family::gauge(
        "node_memory_working_set_bytes",
        "[STABLE] Current working set of the node in bytes",
        |snapshot, lines| of_node(snapshot, lines, |node| node.working_set_bytes as f64),
        no_pod,
    ),
    Family::gauge(
        "node_swap_usage_bytes",
        "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
        |snapshot, lines| of_node(snapshot, lines, |_| NO_SWAP),
        no_pod,
    ),
    Family::counter(
        "pod_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        no_node,
        |pod, lines| lines.put_some(&pod_labels(pod), pod.core_nanoseconds.map(seconds), Some(pod.at)),
    ),
    Family::gauge(
        "pod_memory_working_set_bytes",
        "[STABLE] Current working set of the pod in bytes",
        no_node,
        |pod, lines| {
            let used = pod.sample.memory.working_set;
            lines.put_some(&pod_labels(pod), used.map(|n| n as f64), Some(pod.at));
        },
    ),
    Family::gauge(
        "pod_swap_usage_bytes",
        "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
        no_node,
        |pod, lines| lines.put(&pod_labels(pod), NO_SWAP, Some(pod.at)),
    ),
    Family::gauge(
        "resource_scrape_error",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        |snapshot, lines| lines.put(&[], f64::from(u8::from(snapshot.failed)), None),
        no_pod,
    ),
];

/// Container groups have none.
const NO_SWAP: f64 = 0.0;

fn no_swap_of_containers(pod: &PodFigures, lines: &mut Lines) {
    for (container, _) in pod.containers() {
        lines.put(&labels(pod, &container.name), NO_SWAP, Some(pod.at));
    }
}

fn of_node(snapshot: &Snapshot, lines: &mut Lines, figure: fn(&NodeFigures) -> f64) {
    if let Some((node, at)) = node_of(snapshot) {
        lines.put(&[], figure(node), Some(at));
    }
}

fn labels<'a>(pod: &'a PodFigures, container: &'a str) -> [Label<'a>; 3] {
    let [namespace, name] = pod_labels(pod);
    [("container", container), namespace, name]
}

fn pod_labels(pod: &PodFigures) -> [Label<'_>; 2] {
    [("namespace", &pod.pod.namespace), ("pod", &pod.pod.name)]
}
