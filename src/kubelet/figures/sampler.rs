//! Samples of what groups use, kept for a short while: one sampler for all nodes of the process.
//!
//! Nothing is asked for before somebody wants figures. Then the groups that were not asked about lately are, 20 to a call, in
//! one round at a time; who comes meanwhile waits for that round. A round that takes longer than a scraper waits goes on in the
//! background, and the answer is what is known by then: samples carry their own times, so that an older one is no lie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Shared};
use futures::{FutureExt as _, StreamExt as _, stream};
use provider::error::ErrorClass;
use provider::response::{GroupMetrics, Sample};
use tokio::time::{Instant, timeout_at};

use crate::chain::chain;
use crate::clock;
use crate::metrics::Metrics;

/// ECI takes a sample every 15 s. Asked at this distance, each is seen, and a scraper that comes a little early sees news.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a scraper waits for a round: Prometheus and metrics-server give up after 10 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// A sample that no newer one followed for so long is not shown any more, and a group that nobody asked about is forgotten.
const MEMORY: Duration = Duration::from_secs(120);
/// Calls at the same time.
const PARALLEL: usize = 4;

/// Where samples come from: ECI, or a script in tests.
pub trait SampleSource: Send + Sync {
    /// The newest samples of up to 20 groups; those that are not there are left out.
    fn newest(&self, ids: Vec<String>) -> BoxFuture<'static, Result<Vec<GroupMetrics>, SampleError>>;
}

/// Why there are no samples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SampleError {
    /// What it means.
    pub class: ErrorClass,
    /// For people.
    pub message: String,
}

impl SampleSource for eci::Client {
    fn newest(&self, ids: Vec<String>) -> BoxFuture<'static, Result<Vec<GroupMetrics>, SampleError>> {
        let client = self.clone();
        async move {
            client.describe_metrics(&ids).await.map_err(|error| SampleError {
                class: error.class(),
                message: chain(&error),
            })
        }
        .boxed()
    }
}

/// Keeps samples of groups; clones share them.
#[derive(Clone)]
pub struct Sampler(Arc<Inner>);

struct Inner {
    source: Arc<dyn SampleSource>,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    groups: HashMap<Arc<str>, Known>,
    /// What is being asked at present.
    round: Option<Round>,
}

type Round = Shared<BoxFuture<'static, ()>>;

/// What is known of a group.
struct Known {
    /// When it was asked about last.
    asked: Instant,
    /// It is being asked about.
    pending: bool,
    /// The last call failed.
    failed: bool,
    /// Its newest sample, and when that became known.
    sample: Option<(Arc<Sample>, Instant)>,
}

/// An answer of the sampler.
#[derive(Debug, Default)]
pub struct Samples {
    /// The newest sample of each group that has one.
    pub by_group: HashMap<Arc<str>, Arc<Sample>>,
    /// Whether something could not be asked for.
    pub failed: bool,
}

impl Sampler {
    /// One that knows nothing yet.
    pub fn new(source: Arc<dyn SampleSource>, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            source,
            metrics,
            state: Mutex::default(),
        }))
    }

    /// The newest samples of `ids`, asking for what is due.
    pub async fn samples(&self, ids: &[Arc<str>]) -> Samples {
        let deadline = clock::monotonic() + PATIENCE;
        // At most the round under way, and one for what it left out.
        while let Some(round) = self.round(ids) {
            if timeout_at(deadline, round).await.is_err() {
                break;
            }
        }
        self.known(ids)
    }

    /// The round that `ids` wait for: the one under way, or a new one if some of them are due.
    fn round(&self, ids: &[Arc<str>]) -> Option<Round> {
        let now = clock::monotonic();
        let mut state = self.0.lock();
        let is_pending = |id: &Arc<str>| state.groups.get(id).is_some_and(|known| known.pending);
        let is_due = |id: &Arc<str>| {
            let known = state.groups.get(id);
            known.is_none_or(|known| !known.pending && now.duration_since(known.asked) >= PERIOD)
        };
        let due: Vec<Arc<str>> = ids.iter().filter(|id| is_due(id)).cloned().collect();
        if due.is_empty() && !ids.iter().any(is_pending) {
            return None;
        }
        if let Some(round) = state.round.as_ref().filter(|round| round.peek().is_none()) {
            return Some(round.clone());
        }
        state.groups.retain(|_, known| now.duration_since(known.asked) < MEMORY);
        for id in &due {
            let known = state.groups.entry(id.clone()).or_insert_with(|| Known {
                asked: now,
                pending: true,
                failed: false,
                sample: None,
            });
            known.asked = now;
            known.pending = true;
        }
        // A task of its own: it is finished even if who began it goes away.
        let asking = tokio::spawn(self.0.clone().ask(due));
        let round = async move {
            let _ = asking.await;
        };
        let round = round.boxed().shared();
        state.round = Some(round.clone());
        Some(round)
    }

    fn known(&self, ids: &[Arc<str>]) -> Samples {
        let now = clock::monotonic();
        let state = self.0.lock();
        let mut samples = Samples::default();
        for id in ids {
            let Some(known) = state.groups.get(id) else { continue };
            samples.failed |= known.failed;
            if let Some((sample, since)) = &known.sample
                && now.duration_since(*since) < MEMORY
            {
                samples.by_group.insert(id.clone(), sample.clone());
            }
        }
        samples
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves every entry whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(self: Arc<Self>, due: Vec<Arc<str>>) {
        let parts: Vec<Vec<Arc<str>>> = due.chunks(eci::MAX_IDS).map(<[_]>::to_vec).collect();
        let mut calls = stream::iter(parts)
            .map(|part| {
                let answer = self.source.newest(part.iter().map(ToString::to_string).collect());
                async move { (part, answer.await) }
            })
            .buffer_unordered(PARALLEL);
        let mut told = false;
        while let Some((part, answer)) = calls.next().await {
            if let Err(error) = &answer {
                self.metrics.errors.with_label_values(&[error.class.label()]).inc();
                if !told {
                    tracing::warn!(%error, "figures of container groups could not be asked for");
                    told = true;
                }
            }
            self.take(&part, answer.ok());
        }
    }

    /// Takes in the answer to a question about `part`; none = the call failed.
    fn take(&self, part: &[Arc<str>], answer: Option<Vec<GroupMetrics>>) {
        let now = clock::monotonic();
        let failed = answer.is_none();
        let mut state = self.lock();
        for id in part {
            if let Some(known) = state.groups.get_mut(id) {
                (known.pending, known.failed) = (false, failed);
            }
        }
        for group in answer.into_iter().flatten() {
            let Some(known) = state.groups.get_mut(group.group_id.as_str()) else {
                continue;
            };
            let Some(mut sample) = group.newest() else { continue };
            // An answer from where the news has not come yet is no news.
            if known.sample.as_ref().is_none_or(|(last, _)| last.at < sample.at) {
                shrink(&mut sample);
                known.sample = Some((Arc::new(sample), now));
            }
        }
    }
}

/// Lists grew while they were decoded; most hold one item and room for four.
fn shrink(sample: &mut Sample) {
    sample.containers.shrink_to_fit();
    sample.interfaces.shrink_to_fit();
    sample.disks.shrink_to_fit();
    sample.filesystems.shrink_to_fit();
}

#[cfg(test)]
mod tests;
