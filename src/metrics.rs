//! What the process tells Prometheus: every metric's name and help in one place, typed handles everywhere else.
//!
//! [`Metrics`] is made once and cloned. Label values come from enums of the code that counts (error classes, actions,
//! decisions), never from pods, so that the number of series does not grow with the number of pods; those of cost name
//! namespaces, up to a bound.

mod health;
mod process;
mod serve;

use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, core::Collector,
};

pub use health::{Gate, Health};
pub use serve::serve;

/// Seconds; calls to ECI take tens of milliseconds and time out at some tens of seconds.
const CALL_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Handles on all metrics; clones count into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Calls to ECI, by `action` and `outcome` (`ok` or the label of the error class).
    pub eci_calls: IntCounterVec,
    /// Seconds a call to ECI took, retries apart, by `action`.
    pub eci_call_seconds: HistogramVec,
    /// Pods of the virtual nodes, by `node` and `state`.
    pub pods: IntGaugeVec,
    /// Patches of pod status, by `outcome`.
    pub status_patches: IntCounterVec,
    /// Decisions about pods, by `decision` (create, delete, adopt, reject …).
    pub decisions: IntCounterVec,
    /// Failures, by `class`.
    pub errors: IntCounterVec,
    /// Seconds a round of asking ECI for the states of groups took, by `kind` (moving, settled, complete).
    pub poll_round_seconds: HistogramVec,
    /// Seconds from the pod's creation to its being reported Running.
    pub pod_start_seconds: HistogramVec,
    /// Pod fields that were accepted although ECI cannot enforce them, by `field`.
    pub weakened_fields: IntCounterVec,
    /// Whether this replica leads (1) or stands by (0).
    pub leader: IntGauge,
    /// Pods in line for room under the cap of their namespace.
    pub capped_pods: IntGauge,
    /// Pods without a node that may be let onto the virtual nodes.
    pub burst_waiting: IntGauge,
    /// Turns of such pods, by `outcome` (let_in, moot, not_possible, capped, failed).
    pub burst_turns: IntCounterVec,
    /// Versions of the eci-profile that were read, by `outcome` (ok, rejected).
    pub burst_profile_loads: IntCounterVec,
    /// Whether the newest version of the eci-profile is in force: 0 = it has mistakes.
    pub burst_profile_valid: IntGauge,
    /// Pods that the webhook was asked about, by `outcome` (untouched, shaped, warned, refused, failed).
    pub webhook_admissions: IntCounterVec,
    /// Seconds its answers took.
    pub webhook_admission_seconds: Histogram,
    /// Renewals of node leases, by `outcome`.
    pub lease_renewals: IntCounterVec,
    /// Writes of Node objects, by `kind` (create, metadata, status) and `outcome`.
    pub node_writes: IntCounterVec,
    /// Requests to the kubelet API, by `route` and `code`.
    pub kubelet_requests: IntCounterVec,
    /// Looks at the files of the kubelet API's certificates that found some that cannot be used.
    pub kubelet_tls_reload_failures: IntCounter,
    /// Sessions of streams that are open, by `route` (exec, attach, portForward).
    pub kubelet_streams: IntGaugeVec,
    /// Log streams that are being followed.
    pub log_streams: IntGauge,
    /// Places where followed logs have a gap, because ECI returns only the newest lines.
    pub log_gaps: IntCounter,
    /// Requests to the log archive's store, by `operation` and `outcome`.
    pub log_archive_requests: IntCounterVec,
    /// Records of cost, by `outcome` (kept, dropped).
    pub cost_records: IntCounterVec,
    /// What groups that are over have cost, in units of the `currency`, by `namespace` and `role`.
    pub cost: CounterVec,
    /// What of its budget a `namespace` has spent: 1 = all.
    pub budget_spent_ratio: GaugeVec,
    /// What followed from budgets, by `action` (warned, reached, stopped).
    pub budget_actions: IntCounterVec,
    /// Writes of records of cost, by `outcome` (ok, failed).
    pub cost_writes: IntCounterVec,
    /// Connections and queries the relay forwarded, by `port` (api, dns-tcp, dns-udp) and `outcome`.
    pub relay_forwards: IntCounterVec,
    /// Connections and queries the relay holds now, by `port`.
    pub relay_active: IntGaugeVec,
    /// Endpoints the relay knows, by `port` (api, dns).
    pub relay_endpoints: IntGaugeVec,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    /// Two metrics with one name, which is a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let build = gauges(
            r,
            "build_info",
            "Version of this program; always 1",
            &["version", "kubernetes"],
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), crate::node::KUBERNETES_VERSION])
            .set(1);
        r.register(Box::new(process::ProcessCollector::new()))?;
        Ok(Self {
            eci_calls: counters(r, "eci_calls_total", "Calls to ECI", &["action", "outcome"])?,
            eci_call_seconds: seconds(r, "eci_call_seconds", "Duration of calls to ECI", &["action"])?,
            pods: gauges(r, "pods", "Pods of the virtual nodes", &["node", "state"])?,
            status_patches: counters(r, "pod_status_patches_total", "Patches of pod status", &["outcome"])?,
            decisions: counters(r, "pod_decisions_total", "Decisions about pods", &["decision"])?,
            errors: counters(r, "errors_total", "Failures by class", &["class"])?,
            poll_round_seconds: seconds(r, "poll_round_seconds", "Duration of a round of polling ECI", &["kind"])?,
            pod_start_seconds: register(
                r,
                HistogramVec::new(
                    HistogramOpts::new(
                        "virtual_node_pod_start_seconds",
                        "From the creation of a pod until it is reported Running",
                    )
                    .buckets(vec![0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0, 3600.0]),
                    &["node"],
                )?,
            )?,
            weakened_fields: counters(
                r,
                "weakened_fields_total",
                "Pod fields accepted although ECI cannot enforce them",
                &["field"],
            )?,
            leader: register(
                r,
                IntGauge::new("virtual_node_leader", "Whether this replica leads (1) or stands by (0)")?,
            )?,
            capped_pods: gauge(
                r,
                "capped_pods",
                "Pods in line for room under the cap of their namespace",
            )?,
            burst_waiting: gauge(
                r,
                "burst_waiting_pods",
                "Pods without a node that may be let onto the virtual nodes",
            )?,
            burst_turns: counters(
                r,
                "burst_turns_total",
                "Decisions about letting a waiting pod onto the virtual nodes",
                &["outcome"],
            )?,
            burst_profile_loads: counters(
                r,
                "burst_profile_loads_total",
                "Versions of the eci-profile that were read",
                &["outcome"],
            )?,
            burst_profile_valid: gauge(
                r,
                "burst_profile_valid",
                "Whether the newest version of the eci-profile is in force",
            )?,
            webhook_admissions: counters(
                r,
                "webhook_admissions_total",
                "Pods that the admission webhook was asked about",
                &["outcome"],
            )?,
            webhook_admission_seconds: register(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "virtual_node_webhook_admission_seconds",
                        "Duration of the admission webhook's answers",
                    )
                    .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0]),
                )?,
            )?,
            lease_renewals: counters(r, "lease_renewals_total", "Renewals of node leases", &["outcome"])?,
            node_writes: counters(r, "node_writes_total", "Writes of Node objects", &["kind", "outcome"])?,
            kubelet_requests: counters(
                r,
                "kubelet_requests_total",
                "Requests to the kubelet API",
                &["route", "code"],
            )?,
            kubelet_tls_reload_failures: register(
                r,
                IntCounter::new(
                    "virtual_node_kubelet_tls_reload_failures_total",
                    "Looks at the files of the kubelet API's certificates that found some that cannot be used",
                )?,
            )?,
            kubelet_streams: gauges(
                r,
                "kubelet_streams",
                "Sessions of exec, attach and port-forward that are open",
                &["route"],
            )?,
            log_streams: register(
                r,
                IntGauge::new("virtual_node_log_streams", "Log streams being followed")?,
            )?,
            log_gaps: register(
                r,
                IntCounter::new("virtual_node_log_gaps_total", "Gaps in followed logs")?,
            )?,
            log_archive_requests: counters(
                r,
                "log_archive_requests_total",
                "Requests to the store of the log archive",
                &["operation", "outcome"],
            )?,
            cost_records: counters(
                r,
                "cost_records_total",
                "Records of what container groups cost",
                &["outcome"],
            )?,
            cost: register(
                r,
                CounterVec::new(
                    Opts::new("cost_total", "What container groups that are over have cost").namespace("virtual_node"),
                    &["namespace", "role", "currency"],
                )?,
            )?,
            budget_spent_ratio: register(
                r,
                GaugeVec::new(
                    Opts::new("budget_spent_ratio", "What of its budget a namespace has spent")
                        .namespace("virtual_node"),
                    &["namespace"],
                )?,
            )?,
            budget_actions: counters(r, "budget_actions_total", "What followed from budgets", &["action"])?,
            cost_writes: counters(r, "cost_writes_total", "Writes of such records", &["outcome"])?,
            relay_forwards: counters(
                r,
                "relay_forwards_total",
                "Connections and queries the relay forwarded",
                &["port", "outcome"],
            )?,
            relay_active: gauges(
                r,
                "relay_active",
                "Connections and queries the relay holds now",
                &["port"],
            )?,
            relay_endpoints: gauges(r, "relay_endpoints", "Endpoints the relay knows", &["port"])?,
            registry,
        })
    }

    /// What [`serve`] reads.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    register(
        registry,
        IntCounterVec::new(Opts::new(name, help).namespace("virtual_node"), labels)?,
    )
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(
        registry,
        IntGauge::with_opts(Opts::new(name, help).namespace("virtual_node"))?,
    )
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    register(
        registry,
        IntGaugeVec::new(Opts::new(name, help).namespace("virtual_node"), labels)?,
    )
}

fn seconds(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help)
        .namespace("virtual_node")
        .buckets(CALL_BUCKETS.to_vec());
    register(registry, HistogramVec::new(opts, labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_register_and_are_written_out() {
        let metrics = Metrics::new().expect("distinct names");
        metrics
            .eci_calls
            .with_label_values(&["CreateContainerGroup", "ok"])
            .inc();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&metrics.registry().gather())
            .expect("encodes");
        assert!(
            text.contains(r#"virtual_node_eci_calls_total{action="CreateContainerGroup",outcome="ok"} 1"#),
            "{text}"
        );
        assert!(text.contains("virtual_node_build_info{"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("process_cpu_seconds_total "), "{text}");
    }
}
