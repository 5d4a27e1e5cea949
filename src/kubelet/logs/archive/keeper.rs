//! Keeping logs: a task for each pod, and in it one for each run of a container.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::layout::{ContainerKey, Object};
use super::parts::Pending;
use super::{Archive, KeptPod, LogKeeper, OnFailure};
use crate::clock;
use crate::kubelet::logs::feed::{Audience, End, Joined};
use crate::kubelet::logs::source::LogError;
use crate::kubelet::logs::stream::{LogAccess, Target};
use crate::kubelet::lookup::{ContainerEntry, ContainerRun, Stage};
use crate::object_store::StoreError;

/// How often it is looked which containers run. It costs nothing but a look into memory.
const LOOK: Duration = Duration::from_secs(1);
/// Lines do not wait longer than this for others to come.
const WAIT: Duration = Duration::from_secs(60);
/// Pauses after failures: doubling from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long it goes on being tried for a pod that nobody knows any more.
const AFTERWARDS: Duration = Duration::from_secs(300);
/// Runs whose state is read from the store at the same time, as after a start of the agent.
const LOOKS_AT_ONCE: usize = 8;

/// Keeps logs of pods in an archive.
#[derive(Clone)]
pub struct Keeper {
    archive: Archive,
    logs: LogAccess,
    selector: Arc<BTreeMap<String, String>>,
    looks: Arc<Semaphore>,
}

/// A run whose log is being kept.
struct KeptRun {
    keeper: Keeper,
    container: ContainerKey,
    target: Target,
    failed: Arc<OnFailure>,
    ending: watch::Receiver<bool>,
    /// Number of the next part.
    next: u32,
    /// Whether the store failed last.
    failing: bool,
}

/// It is no use to go on.
struct GivenUp;

impl Keeper {
    /// Keeps logs from `logs` of pods with these labels.
    pub fn new(archive: Archive, logs: LogAccess, selector: BTreeMap<String, String>) -> Self {
        Self {
            archive,
            logs,
            selector: Arc::new(selector),
            looks: Arc::new(Semaphore::new(LOOKS_AT_ONCE)),
        }
    }

    async fn keep_pod(self, pod: KeptPod, failed: Arc<OnFailure>) {
        let (ending_in, ending) = watch::channel(false);
        let mut begun: HashSet<(String, i32)> = HashSet::new();
        let mut runs = JoinSet::new();
        loop {
            while runs.try_join_next().is_some() {}
            // Asked first: what is over now has nothing to come.
            let stage = self.logs.pods.stage(&pod.uid);
            let entry = self.logs.pods.group_of(&pod.namespace, &pod.name, Some(&pod.uid));
            let Some(entry) = entry else { break };
            if stage == Stage::Ending || stage == Stage::Over {
                ending_in.send_replace(true);
            }
            if let Some(group_id) = &entry.group_id {
                for container in &entry.containers {
                    for restart_count in runs_of(container) {
                        if !begun.insert((container.name.clone(), restart_count)) {
                            continue;
                        }
                        let run = KeptRun {
                            keeper: self.clone(),
                            container: key_of(&pod, &container.name),
                            target: Target {
                                namespace: pod.namespace.clone(),
                                pod: pod.name.clone(),
                                uid: pod.uid.clone(),
                                group_id: group_id.clone(),
                                container: container.name.clone(),
                                restart_count,
                            },
                            failed: failed.clone(),
                            ending: ending.clone(),
                            next: 0,
                            failing: false,
                        };
                        runs.spawn(run.keep());
                    }
                }
            }
            if stage == Stage::Over && runs.is_empty() {
                return;
            }
            sleep(LOOK).await;
        }
        ending_in.send_replace(true);
        // What was read is still written.
        while runs.join_next().await.is_some() {}
    }
}

impl LogKeeper for Keeper {
    fn wants(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    fn keep(&self, pod: KeptPod, failed: OnFailure) -> BoxFuture<'static, ()> {
        self.clone().keep_pod(pod, Arc::new(failed)).boxed()
    }
}

/// What is there of a run, its last part if any, and the number of the next; no more of it if it is over.
async fn look(
    archive: Archive,
    container: ContainerKey,
    restart: i32,
) -> Result<(Option<Option<String>>, u32), StoreError> {
    let mut runs = archive.runs(&container).await?;
    let run = runs.remove(&restart).unwrap_or_default();
    if run.ended {
        return Ok((None, 0));
    }
    let Some(last) = run.parts.last() else {
        return Ok((Some(None), 0));
    };
    let text = archive.get(&container, restart, Object::Part(*last)).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((Some(Some(text)), last + 1))
}

/// Resolves when the pod is about to end.
async fn told(ending: &mut watch::Receiver<bool>) {
    if ending.wait_for(|ending| *ending).await.is_err() {
        std::future::pending().await
    }
}

/// The runs of a container that there may be a log of: the current one, and the one before it.
fn runs_of(container: &ContainerEntry) -> impl Iterator<Item = i32> {
    let current = container.restart_count;
    let waits = matches!(container.state, ContainerRun::Waiting { .. });
    let is_there = !waits || container.has_previous;
    let before = (is_there && !waits && container.has_previous && current > 0).then(|| current - 1);
    before.into_iter().chain(is_there.then_some(current))
}

fn key_of(pod: &KeptPod, container: &str) -> ContainerKey {
    ContainerKey {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        container: container.to_owned(),
    }
}

impl KeptRun {
    async fn keep(mut self) {
        if self.keep_or_give_up().await.is_err() {
            tracing::warn!(
                namespace = self.target.namespace,
                pod = self.target.pod,
                container = self.target.container,
                "the log archive does not have the end of this log"
            );
        }
    }

    async fn keep_or_give_up(&mut self) -> Result<(), GivenUp> {
        let Some(last) = self.look().await? else {
            return Ok(());
        };
        let Some(Joined { text, mut subscription }) = self.join().await? else {
            return Ok(());
        };
        let mut pending = Pending::default();
        pending.begin(last.as_deref(), &text);
        drop((last, text));
        let mut ending = self.ending.clone();
        let mut expected = false;
        let mut write_at: Option<Instant> = None;
        loop {
            if let Some(part) = pending.take_full() {
                self.write(part).await?;
            }
            write_at = match pending.is_empty() {
                true => None,
                false => write_at.or_else(|| Some(clock::monotonic() + WAIT)),
            };
            let waited = async {
                match write_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                piece = subscription.next() => match piece {
                    Some(piece) => pending.add(&piece),
                    None => break,
                },
                () = waited => {
                    write_at = None;
                    if let Some(part) = pending.take_lines() {
                        self.write(part).await?;
                    }
                }
                () = told(&mut ending), if !expected => {
                    subscription.expect_end();
                    expected = true;
                }
            }
        }
        let complete = subscription.end() == Some(End::Complete);
        if !complete {
            pending.end_is_missing();
        }
        if let Some(part) = pending.take_all() {
            self.write(part).await?;
        }
        let end = serde_json::json!({ "parts": self.next, "complete": complete }).to_string();
        self.put(Object::End, end.into()).await
    }

    /// Looks what is there already: the last part, if any; `None` = all of it.
    async fn look(&mut self) -> Result<Option<Option<String>>, GivenUp> {
        let looks = self.keeper.looks.clone();
        let _turn = looks.acquire().await.map_err(|_| GivenUp)?;
        let (archive, restart) = (self.keeper.archive.clone(), self.target.restart_count);
        let container = self.container.clone();
        let looked = move || look(archive.clone(), container.clone(), restart).boxed();
        self.retry(looked).await.map(|(found, next)| {
            self.next = next;
            found
        })
    }

    /// Begins to read; `None` = there is nothing to be read any more.
    async fn join(&mut self) -> Result<Option<Joined>, GivenUp> {
        let mut pause = PAUSES.0;
        loop {
            match self.keeper.logs.feeds().join(&self.target, Audience::Archive).await {
                Ok(joined) => return Ok(Some(joined)),
                Err(LogError::NotFound(_)) => return Ok(None),
                Err(error) => {
                    (self.failed)(format!("the log cannot be read: {error}"));
                    if !self.is_known() {
                        return Err(GivenUp);
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn write(&mut self, part: String) -> Result<(), GivenUp> {
        let number = self.next;
        self.next += 1;
        self.put(Object::Part(number), part.into()).await
    }

    async fn put(&mut self, object: Object, body: Bytes) -> Result<(), GivenUp> {
        let (archive, restart) = (self.keeper.archive.clone(), self.target.restart_count);
        let container = self.container.clone();
        let put = move || {
            let (archive, container, body) = (archive.clone(), container.clone(), body.clone());
            async move { archive.put(&container, restart, object, body).await }.boxed()
        };
        self.retry(put).await
    }

    /// Tries until it works, or nobody knows the pod any more.
    async fn retry<T>(
        &mut self,
        attempt: impl Fn() -> BoxFuture<'static, Result<T, StoreError>>,
    ) -> Result<T, GivenUp> {
        let mut pause = PAUSES.0;
        let mut unknown_since: Option<Instant> = None;
        loop {
            match attempt().await {
                Ok(done) => {
                    self.failing = false;
                    return Ok(done);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        let place = self.keeper.archive.place();
                        (self.failed)(format!("the log archive {place} does not take it: {error}"));
                    }
                    let now = clock::monotonic();
                    if self.is_known() {
                        unknown_since = None;
                    } else if now.duration_since(*unknown_since.get_or_insert(now)) > AFTERWARDS {
                        return Err(GivenUp);
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Whether there is still such a pod.
    fn is_known(&self) -> bool {
        let pods = &self.keeper.logs.pods;
        pods.group_of(&self.target.namespace, &self.target.pod, Some(&self.target.uid))
            .is_some()
    }
}
