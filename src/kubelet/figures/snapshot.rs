//! All figures of a node at one time, from which every route writes its own form. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use provider::response::{ContainerUse, Sample};

use super::ledger::{Ledger, Reading};
use super::running::{RunningContainer, RunningPod};
use super::sampler::Samples;

/// Figures of a node and its pods.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The node.
    pub(super) node: NodeFigures,
    /// Its pods that have figures, by namespace and name.
    pub(super) pods: Vec<PodFigures>,
    /// Whether some figures could not be asked for.
    pub(super) failed: bool,
}

/// What is known of a node before its figures.
#[derive(Clone, Debug)]
pub(super) struct NodeFacts {
    /// Name.
    pub(super) name: String,
    /// Since when it is counted.
    pub(super) since: Timestamp,
    /// vCPUs it offers, in thousandths.
    pub(super) milli_cpu: u64,
    /// Memory it offers.
    pub(super) memory_bytes: u64,
}

/// Figures of a node: what its pods use together.
#[derive(Debug)]
pub(super) struct NodeFigures {
    pub(super) facts: NodeFacts,
    /// Of when they are; `None` = there are none yet.
    pub(super) at: Option<Timestamp>,
    pub(super) core_nanoseconds: u64,
    pub(super) nano_cores: u64,
    pub(super) usage_bytes: u64,
    pub(super) working_set_bytes: u64,
    pub(super) rss_bytes: u64,
    pub(super) cache_bytes: u64,
}

/// Figures of a pod.
#[derive(Debug)]
pub(super) struct PodFigures {
    pub(super) pod: RunningPod,
    /// Of when they are.
    pub(super) at: Timestamp,
    pub(super) sample: Arc<Sample>,
    /// The pod's own counter; ECI's may begin anew.
    pub(super) core_nanoseconds: Option<u64>,
    /// Containers: place in `pod`, and in `sample`.
    containers: Vec<(usize, usize)>,
}

impl Snapshot {
    /// Joins what runs with what was measured, and counts it.
    pub(super) fn build(
        facts: NodeFacts,
        mut running: Vec<RunningPod>,
        samples: &Samples,
        ledger: &mut Ledger,
        now: Timestamp,
    ) -> Self {
        running.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let is_idle = running.is_empty();
        let groups: HashSet<Arc<str>> = running.iter().map(|pod| pod.group_id.clone()).collect();
        let mut pods: Vec<PodFigures> = running
            .into_iter()
            .filter_map(|pod| PodFigures::build(pod, samples))
            .collect();
        let readings = pods.iter().filter_map(|pod| {
            Some(Reading {
                group: &pod.pod.group_id,
                since: pod.pod.started,
                at: pod.at,
                raw: pod.sample.cpu.usage_core_nano_seconds?,
            })
        });
        ledger.take(readings, |group| groups.contains(group));
        for pod in &mut pods {
            pod.core_nanoseconds = ledger.of(&pod.pod.group_id);
        }
        let sum = |figure: fn(&Sample) -> Option<u64>| {
            let figures = pods.iter().filter_map(|pod| figure(&pod.sample));
            figures.fold(0_u64, u64::saturating_add)
        };
        let node = NodeFigures {
            facts,
            at: ledger.time(is_idle.then_some(now)),
            core_nanoseconds: ledger.total(),
            nano_cores: sum(|sample| sample.cpu.usage_nano_cores),
            usage_bytes: sum(|sample| sample.memory.usage_bytes),
            // metrics-server takes 0 for a missing figure, and an idle node is not a missing one.
            working_set_bytes: sum(|sample| sample.memory.working_set).max(1),
            rss_bytes: sum(|sample| sample.memory.rss),
            cache_bytes: sum(|sample| sample.memory.cache),
        };
        Self {
            node,
            pods,
            failed: samples.failed,
        }
    }
}

impl PodFigures {
    fn build(pod: RunningPod, samples: &Samples) -> Option<Self> {
        let sample = samples.by_group.get(&pod.group_id)?.clone();
        let at = sample.at?;
        let place = |container: &RunningContainer| {
            // A sample of before the container was started again is about another run, whose counter said something else.
            let is_of_this_run = container.started.is_none_or(|started| started <= at);
            let found = sample.containers.iter().position(|c| *c.name == *container.name)?;
            let figures = sample.containers.get(found)?;
            // metrics-server drops the whole pod where one of its containers has but half of its figures.
            let is_whole = figures.cpu.usage_core_nano_seconds.is_some() && figures.memory.working_set.is_some();
            (is_of_this_run && is_whole).then_some(found)
        };
        let containers = pod.containers.iter().enumerate();
        let containers = containers.filter_map(|(i, c)| Some((i, place(c)?))).collect();
        Some(Self {
            pod,
            at,
            sample,
            core_nanoseconds: None,
            containers,
        })
    }

    /// Its containers that run, each with what it uses.
    pub(super) fn containers(&self) -> impl Iterator<Item = (&RunningContainer, &ContainerUse)> {
        self.containers
            .iter()
            .filter_map(|&(i, j)| Some((self.pod.containers.get(i)?, self.sample.containers.get(j)?)))
    }
}

#[cfg(test)]
mod tests;
