//! What one node's pods count in the agent's metrics.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::metrics::Metrics;

/// Counters of one node.
#[derive(Clone)]
pub struct Figures {
    metrics: Metrics,
    node: String,
}

/// A round of polling; its duration is counted when it is dropped.
pub struct Round<'a> {
    figures: &'a Figures,
    kind: &'static str,
    began: tokio::time::Instant,
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.figures
            .metrics
            .poll_round_seconds
            .with_label_values(&[self.kind])
            .observe(seconds);
    }
}

impl Figures {
    /// The counters of `node`.
    pub fn new(metrics: Metrics, node: &str) -> Self {
        Self {
            metrics,
            node: node.to_owned(),
        }
    }

    /// Begins a round of polling.
    pub fn round(&self, kind: &'static str) -> Round<'_> {
        Round {
            figures: self,
            kind,
            began: clock::monotonic(),
        }
    }

    /// How many pods there are in each state.
    pub fn pods(&self, state: &str, count: usize) {
        self.metrics
            .pods
            .with_label_values(&[self.node.as_str(), state])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many pods are in line for room under a cap.
    pub fn capped(&self, count: usize) {
        self.metrics.capped_pods.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A decision was carried out.
    pub fn decision(&self, what: &str) {
        self.metrics.decisions.with_label_values(&[what]).inc();
    }

    /// Something failed.
    pub fn trouble(&self, class: &str) {
        self.metrics.errors.with_label_values(&[class]).inc();
    }

    /// A field is weaker here than the pod asks. Indexes are left out, so that the label's values are few.
    pub fn weakened(&self, field: &str) {
        let shape: String = field.chars().filter(|c| !c.is_ascii_digit()).collect();
        self.metrics.weakened_fields.with_label_values(&[shape.as_str()]).inc();
    }

    /// An Event found no room.
    pub fn event_dropped(&self) {
        self.trouble("EventDropped");
    }

    /// A status was written, or not.
    pub fn status_patch(&self, outcome: &str) {
        self.metrics.status_patches.with_label_values(&[outcome]).inc();
    }

    /// A pod made at `created` is Running.
    pub fn running(&self, created: Option<Timestamp>, now: Timestamp) {
        let Some(created) = created else { return };
        let took: Duration = now.duration_since(created).try_into().unwrap_or_default();
        self.metrics
            .pod_start_seconds
            .with_label_values(&[self.node.as_str()])
            .observe(took.as_secs_f64());
    }
}
