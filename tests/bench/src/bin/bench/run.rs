//! One run: a subject alone on the cluster, from its start to the last of its pods gone.
//!
//! ```text
//! start ─ node ready ─ create N ─ all Running ─ stop, create one more, start ─ that one Running ─ delete all ─ gone
//! ```

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use bench::kube_client::{self, is_missing, send};
use http::Method;
use kube::Client;
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use crate::apiserver::{Counters, Writes};
use crate::census::Census;
use crate::figures::{Deletion, Figures, Process, Restart};
use crate::load::{create_pods, delete_pods};
use crate::say;
use crate::shape::Shape;
use crate::subject::{Places, Subject};
use measure::daemon::Daemon;
use measure::usage::{Memory, Snapshot};

/// How long the bench goes on looking for writes after a phase is over: late ones count, too.
const AFTERMATH: Duration = Duration::from_secs(3);

/// What is to be run, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) subject: Subject,
    pub(crate) shape: Shape,
    pub(crate) round: usize,
    pub(crate) place: usize,
    pub(crate) pods: usize,
    pub(crate) client: &'a Client,
    pub(crate) http: &'a reqwest::Client,
    pub(crate) places: &'a Places,
}

impl Plan<'_> {
    /// Runs it, and leaves the cluster without pods and nodes.
    pub(crate) async fn run(self) -> Result<Figures> {
        let Self {
            subject,
            shape,
            pods,
            client,
            ..
        } = self;
        let what = format!("{} with {pods} {}", subject.name(), shape.title());
        say(&format!("{what} …"));
        let mut cloud = match subject.needs_cloud() {
            true => Some(self.places.start_cloud().await?),
            false => None,
        };
        subject.register(client).await?;
        let mut agent = subject.start(self.places)?;
        subject.ready(&mut agent, self.http).await?;
        self.node_ready(&mut agent).await?;
        let mut census = Census::start(client);

        let mut figures = self
            .fill(&mut agent, &mut cloud, &mut census)
            .await
            .with_context(|| what.clone())?;
        agent.stop().await?;
        let (mut agent, restart) = self
            .restart(&mut cloud, &mut census)
            .await
            .with_context(|| what.clone())?;
        figures.restart = restart;
        figures.deletion = self
            .empty(&mut agent, &mut cloud, &mut census)
            .await
            .with_context(|| what.clone())?;
        let peak = Memory::of(agent.pid)?.peak;
        figures.restart.peak_bytes = peak;
        figures.process.peak_bytes = figures.process.peak_bytes.max(peak);
        if let (Some(cloud), Some(process)) = (&cloud, &mut figures.cloud) {
            process.peak_bytes = Memory::of(cloud.pid)?.peak;
        }
        agent.stop().await?;
        if let Some(cloud) = cloud {
            cloud.stop().await?;
        }
        self.remove_node().await?;
        say(&format!("  {:.0} pods a second", pods as f64 / figures.running_seconds));
        Ok(figures)
    }

    /// Creates the pods and waits until they run.
    async fn fill(&self, agent: &mut Daemon, cloud: &mut Option<Daemon>, census: &mut Census) -> Result<Figures> {
        let count = self.pods;
        let pods = (0..count)
            .map(|i| self.shape.pod(&self.pod_name(i), self.subject.node()))
            .collect();
        let counters = Counters::read(self.client).await?;
        let before = Snapshot::take()?;
        let start = Instant::now();
        create_pods(self.client, pods).await?;
        let created = start.elapsed();
        let running = census
            .until("all pods ran", &mut watched(agent, cloud), |counts| {
                counts.running == count
            })
            .await?
            - start;
        let spent = Snapshot::take()?.since(&before);

        sleep(AFTERMATH).await;
        let counters_after = Counters::read(self.client).await?;
        let own_metrics = parse_metrics(&self.subject.metrics(self.http).await?);
        let process = |daemon: &Daemon| -> Result<Process> {
            let memory = Memory::of(daemon.pid)?;
            Ok(Process {
                cpu_seconds: spent.by(daemon.pid),
                peak_bytes: memory.peak,
                resident_bytes: memory.resident,
            })
        };
        Ok(Figures {
            subject: self.subject,
            shape: self.shape,
            round: self.round,
            place: self.place,
            pods: count,
            created_seconds: created.as_secs_f64(),
            bound_seconds: census.last_bound().map_or(0.0, |at| (at - start).as_secs_f64()),
            running_seconds: running.as_secs_f64(),
            bind_to_running_seconds: census.latency(),
            process: process(agent)?,
            cloud: cloud.as_ref().map(process).transpose()?,
            cpu_seconds_by_program: spent.by_name.clone(),
            foreign_cpu_share: spent.foreign_share,
            writes_to_running: counters_after.writes - counters.writes,
            refusals_to_running: counters_after.refused_since(&counters),
            restart: Restart {
                ready_seconds: None,
                served_seconds: 0.0,
                cpu_seconds: 0.0,
                writes: Writes::default(),
                peak_bytes: 0,
            },
            deletion: None,
            own_metrics,
        })
    }

    /// Starts it again beside its running pods, with one more that waits for it.
    async fn restart(&self, cloud: &mut Option<Daemon>, census: &mut Census) -> Result<(Daemon, Restart)> {
        let all = self.pods + 1;
        let waiting = self.shape.pod(&self.pod_name(self.pods), self.subject.node());
        create_pods(self.client, vec![waiting]).await?;
        let mut others: Vec<&mut Daemon> = cloud.iter_mut().collect();
        census
            .until("the waiting pod was bound", &mut others, |counts| counts.bound == all)
            .await?;

        let counters = Counters::read(self.client).await?;
        let before = Snapshot::take()?;
        let mut agent = self.subject.start(self.places)?;
        let start = agent.started;
        self.subject.ready(&mut agent, self.http).await?;
        let ready = self.subject.tells_ready().then(|| start.elapsed().as_secs_f64());
        let served = census
            .until("the waiting pod ran", &mut watched(&mut agent, cloud), |counts| {
                counts.running == all
            })
            .await?;
        let cpu_seconds = Snapshot::take()?.since(&before).by(agent.pid);
        sleep(AFTERMATH).await;
        let restart = Restart {
            ready_seconds: ready,
            served_seconds: (served - start).as_secs_f64(),
            cpu_seconds,
            writes: Counters::read(self.client).await?.writes - counters.writes,
            peak_bytes: 0,
        };
        Ok((agent, restart))
    }

    /// Deletes all pods and waits until they are gone.
    async fn empty(
        &self,
        agent: &mut Daemon,
        cloud: &mut Option<Daemon>,
        census: &mut Census,
    ) -> Result<Option<Deletion>> {
        let names: Vec<String> = (0..=self.pods).map(|i| self.pod_name(i)).collect();
        let counters = Counters::read(self.client).await?;
        let before = Snapshot::take()?;
        let start = Instant::now();
        delete_pods(self.client, &names, self.subject.deletes()).await?;
        let gone = census
            .until("all pods were gone", &mut watched(agent, cloud), |counts| {
                counts.present == 0
            })
            .await?;
        let cpu_seconds = Snapshot::take()?.since(&before).by(agent.pid);
        let writes = (Counters::read(self.client).await?.writes - counters.writes).less_deletes(names.len());
        Ok(self.subject.deletes().then(|| Deletion {
            gone_seconds: (gone - start).as_secs_f64(),
            cpu_seconds,
            writes,
        }))
    }

    fn pod_name(&self, index: usize) -> String {
        format!("{}-{}-{}-{index}", self.subject.name(), self.shape.name(), self.round)
    }

    /// Waits until the scheduler may use the node.
    async fn node_ready(&self, agent: &mut Daemon) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", self.subject.node());
        let schedulable = async || {
            let Ok(request) = kube_client::request(Method::GET, &path, "", Vec::new()) else {
                return false;
            };
            match self.client.request::<Value>(request).await {
                Ok(node) => is_schedulable(&node),
                Err(_) => false,
            }
        };
        agent.until("a Ready node without taints", schedulable).await
    }

    async fn remove_node(&self) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", self.subject.node());
        match send(self.client, Method::DELETE, &path, Vec::new()).await {
            Err(error) if !is_missing(&error) => Err(error).context("deleting the node"),
            _ => Ok(()),
        }
    }
}

/// The programs whose end would make waiting vain.
fn watched<'a>(agent: &'a mut Daemon, cloud: &'a mut Option<Daemon>) -> Vec<&'a mut Daemon> {
    std::iter::once(agent).chain(cloud.as_mut()).collect()
}

fn is_schedulable(node: &Value) -> bool {
    let ready = node["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let tainted = node["spec"]["taints"]
        .as_array()
        .is_some_and(|taints| !taints.is_empty());
    ready && !tainted
}

/// Counters and gauges; the many lines of histograms are left out but for their sums and counts.
fn parse_metrics(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket{"))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tainted_node_is_not_schedulable() {
        let mut node = serde_json::json!({
            "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert!(!is_schedulable(&node));
        node["spec"] = serde_json::json!({});
        assert!(is_schedulable(&node));
        node["status"]["conditions"][0]["status"] = "False".into();
        assert!(!is_schedulable(&node));
    }

    #[test]
    fn buckets_are_left_out() {
        let text = "# HELP a b\na_bucket{le=\"1\"} 2\na_sum 0.5\nb{c=\"d e\"} 3\n";
        let want = BTreeMap::from([("a_sum".to_owned(), 0.5), ("b{c=\"d e\"}".to_owned(), 3.0)]);
        assert_eq!(parse_metrics(text), want);
    }
}
