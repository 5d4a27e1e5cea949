//! What the pods of a run do, seen by a watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bench::follow::{Follow, Step, Versioned};
use kube::Client;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::load::{PODS, explain};
use measure::daemon::Daemon;

/// When nothing at all has happened for so long, it never will.
const STALL: Duration = Duration::from_secs(90);
/// How often the programs are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// How many pods are how far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Pods there are.
    pub(crate) present: usize,
    /// Of them, those bound to a node.
    pub(crate) bound: usize,
    /// Of them, those that run.
    pub(crate) running: usize,
    /// A pod that ended, which none should.
    ended: Option<String>,
    /// When the last event came.
    at: Option<Instant>,
}

/// Seconds from a pod's binding to its being Running, as a watcher sees both.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    bound: Option<Instant>,
    running: Option<Instant>,
}

/// The watch, until it is dropped.
pub(crate) struct Census {
    client: Client,
    counts: watch::Receiver<Counts>,
    times: Arc<Mutex<HashMap<String, Times>>>,
    task: JoinHandle<Result<()>>,
}

#[derive(Clone, Debug, Deserialize)]
struct SeenPod {
    metadata: SeenMetadata,
    #[serde(default)]
    spec: SeenSpec,
    #[serde(default)]
    status: SeenStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenMetadata {
    name: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenSpec {
    node_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct SeenStatus {
    phase: Option<String>,
}

impl Versioned for SeenPod {
    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Census {
    /// Starts watching.
    pub(crate) fn start(client: &Client) -> Self {
        let follow = Follow::new(client, PODS, "");
        let (sender, counts) = watch::channel(Counts::default());
        let times = Arc::new(Mutex::new(HashMap::new()));
        let task = tokio::spawn(watch_pods(follow, sender, times.clone()));
        Self {
            client: client.clone(),
            counts,
            times,
            task,
        }
    }

    /// Waits until the counts are as `done` wants them; `what` says what they are then. Returns when the event came.
    ///
    /// The end of one of `daemons`, of a pod, or of all movement is an error.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        daemons: &mut [&mut Daemon],
        done: impl Fn(&Counts) -> bool,
    ) -> Result<Instant> {
        let mut last_event = Instant::now();
        loop {
            let counts = self.counts.borrow_and_update().clone();
            if done(&counts) {
                return Ok(counts.at.unwrap_or_else(Instant::now));
            }
            if let Some(pod) = counts.ended {
                bail!("pod {pod} ended instead of running: {}", explain(&self.client).await);
            }
            for daemon in daemons.iter_mut() {
                daemon.check()?;
            }
            if self.task.is_finished() {
                return Err((&mut self.task)
                    .await?
                    .err()
                    .unwrap_or_else(|| anyhow!("the watch of pods ended")));
            }
            last_event = last_event.max(counts.at.unwrap_or(last_event));
            if last_event.elapsed() > STALL {
                let Counts {
                    present,
                    bound,
                    running,
                    ..
                } = counts;
                let tails: Vec<String> = daemons.iter().map(|daemon| daemon.tail()).collect();
                bail!(
                    "nothing moved for {} s before {what}: {present} pods, {bound} bound, {running} Running; {}{}",
                    STALL.as_secs(),
                    explain(&self.client).await,
                    tails.concat()
                );
            }
            let _ = timeout(LOOK, self.counts.changed()).await;
        }
    }

    /// When the last of the pods seen so far was bound.
    pub(crate) fn last_bound(&self) -> Option<Instant> {
        self.times().values().filter_map(|times| times.bound).max()
    }

    /// Of the pods seen so far.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let mut seconds: Vec<f64> = self
            .times()
            .values()
            .filter_map(|times| Some((times.running? - times.bound?).as_secs_f64()))
            .collect();
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| {
            seconds
                .get(((seconds.len().max(1) - 1) as f64 * share).round() as usize)
                .copied()
        };
        Some(Latency {
            p50: at(0.5)?,
            p99: at(0.99)?,
            max: at(1.0)?,
        })
    }

    fn times(&self) -> std::sync::MutexGuard<'_, HashMap<String, Times>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch_pods(
    mut follow: Follow<SeenPod>,
    sender: watch::Sender<Counts>,
    times: Arc<Mutex<HashMap<String, Times>>>,
) -> Result<()> {
    // Name to "is bound" and "runs".
    let mut pods = HashMap::<String, (bool, bool)>::new();
    let mut counts = Counts::default();
    loop {
        let step = follow.next().await?;
        let now = Instant::now();
        match step {
            Step::Is(pod) => {
                let bound = pod.spec.node_name.is_some();
                let phase = pod.status.phase.as_deref().unwrap_or_default();
                let running = phase == "Running";
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                let times = times.entry(pod.metadata.name.clone()).or_default();
                if bound {
                    times.bound.get_or_insert(now);
                }
                if running {
                    times.running.get_or_insert(now);
                }
                // Of a pod that is being deleted it is what a kubelet says, too.
                if matches!(phase, "Failed" | "Succeeded") && pod.metadata.deletion_timestamp.is_none() {
                    counts.ended = Some(pod.metadata.name.clone());
                }
                let before = pods.insert(pod.metadata.name, (bound, running));
                counts.take(before, false);
                counts.take(Some((bound, running)), true);
            }
            Step::Gone(pod) => counts.take(pods.remove(&pod.metadata.name), false),
            Step::Synced => continue,
        }
        counts.at = Some(now);
        sender.send_replace(counts.clone());
    }
}

impl Counts {
    /// Counts a pod in or out.
    fn take(&mut self, pod: Option<(bool, bool)>, into: bool) {
        let Some((bound, running)) = pod else { return };
        for (count, holds) in [
            (&mut self.present, true),
            (&mut self.bound, bound),
            (&mut self.running, running),
        ] {
            if holds {
                *count = if into { *count + 1 } else { count.saturating_sub(1) };
            }
        }
    }
}
