//! What one run measured.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::apiserver::{Refusals, Writes};
use crate::census::Latency;
use crate::shape::Shape;
use crate::subject::Subject;

/// One subject with one shape of pods, once. Times are in seconds from the first request of their phase.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) subject: Subject,
    pub(crate) shape: Shape,
    /// Counted from 1.
    pub(crate) round: usize,
    /// Place in the order of the round, from 1.
    pub(crate) place: usize,
    pub(crate) pods: usize,
    /// All requests to create pods were answered.
    pub(crate) created_seconds: f64,
    /// The scheduler had bound all pods.
    pub(crate) bound_seconds: f64,
    /// All pods were Running.
    pub(crate) running_seconds: f64,
    /// From a pod's binding to its being Running.
    pub(crate) bind_to_running_seconds: Option<Latency>,
    /// The subject's process.
    pub(crate) process: Process,
    /// mock-eci's, where there was one.
    pub(crate) cloud: Option<Process>,
    /// CPU seconds until all pods were Running, of every program, by name (cut after 15 characters).
    pub(crate) cpu_seconds_by_program: BTreeMap<String, f64>,
    /// Share (0–1) of the machine's CPU that other work took until all pods were Running.
    pub(crate) foreign_cpu_share: f64,
    /// The subject's, until all pods were Running and a while longer.
    pub(crate) writes_to_running: Writes,
    /// Requests of anyone's that the API server refused meanwhile.
    pub(crate) refusals_to_running: Refusals,
    pub(crate) restart: Restart,
    /// Where the subject deletes pods.
    pub(crate) deletion: Option<Deletion>,
    /// The subject's own counters and gauges when all pods were Running.
    pub(crate) own_metrics: BTreeMap<String, f64>,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Process {
    /// CPU, from the first pod created until all were Running.
    pub(crate) cpu_seconds: f64,
    /// Most memory it ever had, over all of its life and, for a subject, after the restart too.
    pub(crate) peak_bytes: u64,
    /// Memory it had a while after all pods were Running.
    pub(crate) resident_bytes: u64,
}

/// A restart beside all the running pods, while one more waits.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Restart {
    /// From the start until it said it was ready.
    pub(crate) ready_seconds: Option<f64>,
    /// From the start until the waiting pod was Running.
    pub(crate) served_seconds: f64,
    /// CPU from the start until the waiting pod was Running.
    pub(crate) cpu_seconds: f64,
    /// Until a while after that, the waiting pod's own included.
    pub(crate) writes: Writes,
    /// Most memory the new process had.
    pub(crate) peak_bytes: u64,
}

/// Deletion of all pods, each with the grace it asks for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Deletion {
    /// All pods were gone.
    pub(crate) gone_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) writes: Writes,
}

impl Figures {
    /// Of `seconds` for all pods, the milliseconds of one.
    pub(crate) fn milliseconds_per_pod(&self, seconds: f64) -> f64 {
        seconds * 1_000.0 / self.pods as f64
    }

    /// Writes to pod objects in the life of a pod: until Running, and where it deletes, until the object is gone.
    pub(crate) fn writes_per_life(&self) -> f64 {
        let to_running = self.writes_to_running.of_pods() as f64 / self.pods as f64;
        // The pod that waited for the restart is deleted with the others.
        let to_gone = self
            .deletion
            .map_or(0.0, |d| d.writes.of_pods() as f64 / (self.pods + 1) as f64);
        to_running + to_gone
    }

    /// Writes after the restart that the waiting pod does not account for.
    pub(crate) fn needless_writes(&self) -> f64 {
        let of_one = self.writes_to_running.of_pods() as f64 / self.pods as f64;
        (self.restart.writes.of_pods() as f64 - of_one.round()).max(0.0)
    }
}
