//! Figures: what nodes, pods and containers use, and which pods there are, in the forms a kubelet gives them.
//!
//! ```text
//! routes ──► Figures (one a node) ──► RunningPods (what runs)
//!                │                └─► Sampler (one a process) ──► ECI, 20 groups a call
//!                ▼
//!             Snapshot ──► summary │ resource │ cadvisor          pure
//! ```
//!
//! Nothing is asked for or computed before somebody wants to know. Figures carry the time of the sample they are from.

mod cadvisor;
mod exposition;
mod ledger;
mod pods;
mod resource;
mod routes;
pub mod running;
pub mod sampler;
mod snapshot;
mod summary;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus::Registry;
use tokio::sync::watch;

pub(super) use routes::routes;

use crate::clock;
use crate::node::Capacity;
use ledger::Ledger;
use pods::BoundPods;
use running::RunningPods;
use sampler::Sampler;
use snapshot::{NodeFacts, Snapshot};

/// The figures of one node; clones are the same.
#[derive(Clone)]
pub struct Figures(Arc<Inner>);

struct Inner {
    node: String,
    since: Timestamp,
    capacity: watch::Receiver<Capacity>,
    running: Arc<dyn RunningPods>,
    sampler: Sampler,
    ledger: Mutex<Ledger>,
    bound: BoundPods,
    registry: Registry,
}

impl Figures {
    /// Of `node`, whose counters begin now. `sampler` is the one of the process, `client` acts as the node, and `registry` has
    /// the metrics of the process.
    pub fn new(
        node: String,
        capacity: watch::Receiver<Capacity>,
        running: Arc<dyn RunningPods>,
        sampler: Sampler,
        client: kube::Client,
        registry: Registry,
    ) -> Self {
        Self(Arc::new(Inner {
            bound: BoundPods::new(client, node.clone()),
            node,
            since: clock::now(),
            capacity,
            running,
            sampler,
            ledger: Mutex::default(),
            registry,
        }))
    }

    /// All figures as of now.
    async fn snapshot(&self) -> Snapshot {
        let inner = &*self.0;
        let ids: Vec<Arc<str>> = inner.running.running().into_iter().map(|pod| pod.group_id).collect();
        let samples = inner.sampler.samples(&ids).await;
        // Looked at again: a pod that ended while samples were asked for has none to show.
        let running = inner.running.running();
        let capacity = *inner.capacity.borrow();
        let facts = NodeFacts {
            name: inner.node.clone(),
            since: inner.since,
            milli_cpu: capacity.cpu.0,
            memory_bytes: capacity.memory().0.saturating_mul(1 << 20),
        };
        // Each change of the ledger is whole by itself.
        let mut ledger = inner.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot::build(facts, running, &samples, &mut ledger, clock::now())
    }
}

#[cfg(test)]
pub(in crate::kubelet) mod tests;
