//! Where the relay forwards to: the endpoints of a Service, as its EndpointSlices name them.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use prometheus::IntGauge;
use tokio::time::Instant;

use crate::chain::chain;
use crate::clock;
use crate::config::HostPort;
use crate::metrics::{Gate, Health, Metrics};
use crate::shutdown::Shutdown;

/// An endpoint that just failed is tried after all others for so long.
const AVOID_FOR: Duration = Duration::from_secs(5);

/// The endpoints of one port; clones share them.
#[derive(Clone)]
pub(super) struct Endpoints {
    /// What is forwarded, for metrics and log lines.
    pub(super) port: &'static str,
    state: Arc<Mutex<State>>,
    count: IntGauge,
    gate: Gate,
}

#[derive(Default)]
struct State {
    all: Vec<HostPort>,
    /// Which of them is next.
    next: usize,
    failed: HashMap<HostPort, Instant>,
}

impl Endpoints {
    pub(super) fn new(port: &'static str, metrics: &Metrics, health: &Health) -> Self {
        Self {
            port,
            state: Arc::default(),
            count: metrics.relay_endpoints.with_label_values(&[port]),
            gate: health.require(format!("{port} endpoints known"), "no endpoint was learnt yet"),
        }
    }

    /// Sets the endpoints. None at all is not believed: the former ones are more likely to answer than nothing.
    pub(super) fn replace(&self, mut endpoints: Vec<HostPort>) {
        endpoints.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        endpoints.dedup();
        let mut state = self.lock();
        if endpoints == state.all {
            return;
        }
        if endpoints.is_empty() {
            tracing::warn!(
                port = self.port,
                "no endpoint is ready; the last known ones stay in use"
            );
            return;
        }
        let list: Vec<String> = endpoints.iter().map(|e| format!("{}:{}", e.host, e.port)).collect();
        tracing::info!(port = self.port, endpoints = ?list, "endpoints");
        state.failed.retain(|endpoint, _| endpoints.contains(endpoint));
        state.all = endpoints;
        self.count.set(i64::try_from(state.all.len()).unwrap_or(i64::MAX));
        self.gate.open();
    }

    /// All endpoints in the order they should be tried: in turn, those that just failed last.
    pub(super) fn in_turn(&self) -> Vec<HostPort> {
        let now = clock::monotonic();
        let mut state = self.lock();
        state.failed.retain(|_, at| now.duration_since(*at) < AVOID_FOR);
        let State { all, next, failed } = &mut *state;
        let start = if all.is_empty() { 0 } else { *next % all.len() };
        *next = next.wrapping_add(1);
        let (mut good, bad): (Vec<_>, Vec<_>) = all[start..]
            .iter()
            .chain(&all[..start])
            .cloned()
            .partition(|endpoint| !failed.contains_key(endpoint));
        good.extend(bad);
        good
    }

    /// Notes whether `endpoint` answered.
    pub(super) fn note(&self, endpoint: &HostPort, answered: bool) {
        let mut state = self.lock();
        if answered {
            state.failed.remove(endpoint);
        } else {
            state.failed.insert(endpoint.clone(), clock::monotonic());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Service, and which of its ports feeds which endpoints.
pub(super) struct Service {
    namespace: &'static str,
    name: &'static str,
    ports: Vec<(&'static str, Endpoints)>,
}

impl Service {
    /// The API server.
    pub(super) fn kubernetes(tcp: Endpoints) -> Self {
        Self {
            namespace: "default",
            name: "kubernetes",
            ports: vec![("TCP", tcp)],
        }
    }

    /// The cluster's DNS.
    pub(super) fn dns(udp: Endpoints, tcp: Endpoints) -> Self {
        Self {
            namespace: "kube-system",
            name: "kube-dns",
            ports: vec![("UDP", udp), ("TCP", tcp)],
        }
    }
}

/// Follows the EndpointSlices of `service` until the shutdown.
pub(super) async fn watch(client: kube::Client, service: Service, shutdown: Shutdown) {
    let api: Api<EndpointSlice> = Api::namespaced(client, service.namespace);
    let config = watcher::Config::default().labels(&format!("kubernetes.io/service-name={}", service.name));
    let mut events = pin!(watcher::watcher(api, config).default_backoff());
    let mut slices = BTreeMap::new();
    let mut failing = false;
    while let Some(Some(event)) = shutdown.race(events.next()).await {
        match event {
            Ok(event) => {
                failing = false;
                if apply(&mut slices, event) {
                    for (protocol, endpoints) in &service.ports {
                        endpoints.replace(addresses(slices.values(), protocol));
                    }
                }
            }
            Err(error) => {
                if !failing {
                    let name = format!("{}/{}", service.namespace, service.name);
                    let error = chain(&error);
                    tracing::warn!(
                        service = name,
                        error,
                        "endpoints cannot be watched; the last known ones stay in use"
                    );
                }
                failing = true;
            }
        }
    }
}

/// Takes in an event; whether the slices are complete now.
fn apply(slices: &mut BTreeMap<String, EndpointSlice>, event: Event<EndpointSlice>) -> bool {
    let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    match event {
        Event::Init => {
            slices.clear();
            false
        }
        Event::InitApply(slice) => {
            slices.insert(name(&slice), slice);
            false
        }
        Event::InitDone => true,
        Event::Apply(slice) => {
            slices.insert(name(&slice), slice);
            true
        }
        Event::Delete(slice) => {
            slices.remove(&name(&slice));
            true
        }
    }
}

/// The ready addresses with the port of that protocol; where none is ready, all that serve at all.
fn addresses<'a>(slices: impl Iterator<Item = &'a EndpointSlice>, protocol: &str) -> Vec<HostPort> {
    let (mut ready, mut others) = (Vec::new(), Vec::new());
    for slice in slices {
        let of_protocol = |p: &&k8s_openapi::api::discovery::v1::EndpointPort| {
            p.protocol.as_deref().unwrap_or("TCP") == protocol
                && !p.name.as_deref().unwrap_or_default().contains("metrics")
        };
        let port = slice.ports.iter().flatten().find(of_protocol).and_then(|p| p.port);
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let is_ready = endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
            let list = if is_ready { &mut ready } else { &mut others };
            list.extend(endpoint.addresses.iter().map(|host| HostPort {
                host: host.clone(),
                port,
            }));
        }
    }
    if ready.is_empty() { others } else { ready }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoints() -> Endpoints {
        Endpoints::new("api", &Metrics::new().expect("registers"), &Health::new())
    }

    fn host(name: &str) -> HostPort {
        HostPort {
            host: name.to_owned(),
            port: 53,
        }
    }

    fn slice(name: &str, addresses: &[(&str, bool)]) -> EndpointSlice {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|(address, ready)| json!({ "addresses": [address], "conditions": { "ready": ready } }))
            .collect();
        serde_json::from_value(json!({
            "metadata": { "name": name },
            "addressType": "IPv4",
            "ports": [
                { "name": "metrics", "protocol": "TCP", "port": 9153 },
                { "name": "dns-tcp", "protocol": "TCP", "port": 5353 },
                { "name": "dns", "protocol": "UDP", "port": 53 },
            ],
            "endpoints": endpoints,
        }))
        .expect("a slice")
    }

    #[test]
    fn endpoints_take_turns_and_those_that_failed_wait() {
        let endpoints = endpoints();
        endpoints.replace(vec![host("a"), host("b"), host("c")]);
        let first = endpoints.in_turn();
        let second = endpoints.in_turn();
        assert_eq!(first, [host("a"), host("b"), host("c")]);
        assert_eq!(second, [host("b"), host("c"), host("a")]);
        endpoints.note(&host("c"), false);
        assert_eq!(endpoints.in_turn(), [host("a"), host("b"), host("c")]);
        endpoints.note(&host("c"), true);
        endpoints.replace(vec![host("c")]);
        assert_eq!(endpoints.in_turn(), [host("c")]);
    }

    #[test]
    fn the_last_known_endpoints_are_kept_when_there_are_none() {
        let endpoints = endpoints();
        assert_eq!(endpoints.in_turn(), []);
        endpoints.replace(vec![host("a")]);
        endpoints.replace(Vec::new());
        assert_eq!(endpoints.in_turn(), [host("a")]);
    }

    #[test]
    fn each_protocol_has_its_port_and_only_ready_addresses_count() {
        let slices = [
            slice("x", &[("10.0.0.1", true), ("10.0.0.2", false)]),
            slice("y", &[("10.0.0.3", true)]),
        ];
        let list = |protocol| {
            addresses(slices.iter(), protocol)
                .into_iter()
                .map(|e| format!("{}:{}", e.host, e.port))
                .collect::<Vec<_>>()
        };
        assert_eq!(list("UDP"), ["10.0.0.1:53", "10.0.0.3:53"]);
        assert_eq!(list("TCP"), ["10.0.0.1:5353", "10.0.0.3:5353"]);
        let unready = [slice("x", &[("10.0.0.2", false)])];
        assert_eq!(addresses(unready.iter(), "UDP").len(), 1, "better than none");
    }

    #[test]
    fn a_list_begun_anew_drops_what_it_does_not_name() {
        let mut slices = BTreeMap::new();
        assert!(apply(&mut slices, Event::Apply(slice("old", &[]))));
        assert!(!apply(&mut slices, Event::Init));
        assert!(!apply(&mut slices, Event::InitApply(slice("new", &[]))));
        assert!(apply(&mut slices, Event::InitDone));
        assert_eq!(slices.keys().collect::<Vec<_>>(), ["new"]);
        assert!(apply(&mut slices, Event::Delete(slice("new", &[]))));
        assert!(slices.is_empty());
    }
}
