//! The loop that lets waiting pods onto the pool: it watches the pods without a node, and appends to those whose turn has come what
//! lets them in.
//!
//! # Guarantees
//! - A pod is let in only if the pool would take it: a virtual node of the kind it asks for, a size that ECI sells, a mapping
//!   without a refusal, and room under its namespace's cap. What is let in cannot be taken back.
//! - Nobody waits behind a pod that cannot go: turns go round the namespaces, failures pause by themselves, and many turns run
//!   side by side.
//! - A patch is for the version of the pod that was judged; a newer one is judged again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use provider::mapping::Settings;
use provider::units::MilliCpu;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::feasible;
use super::mutate::{PodView, merge_patch};
use super::pace::Pace;
use super::pledges::Pledges;
use super::policy::Policy;
use super::queue::Queue;
use super::scene::Scene;
use super::waiting::{FIELDS, Step, UnscheduledPod, Waiting};
use crate::budget::{self, Asking, Budgets};
use crate::caps::{Caps, Wait};
use crate::chain::chain;
use crate::clock;
use crate::cost::application::Whose;
use crate::metrics::{Gate, Metrics};
use crate::pods::events::{Notices, Weight};
use crate::pods::record::Uid;
use crate::pods::trouble::TroubleKind;

/// Reason: the pool would not take the pod.
pub const NOT_POSSIBLE: &str = "BurstNotPossible";
/// Reason: a label or annotation that means nothing.
pub const BAD_POLICY: &str = "BurstPolicyInvalid";
/// Reason: what the policy asks for cannot be had any more.
pub const NOT_ENFORCED: &str = "BurstPolicyNotEnforced";

/// Turns under way at once.
const PARALLEL: usize = 16;
/// Turns a second; a burst of as many goes at once.
const PER_SECOND: f64 = 100.0;
/// How soon a namespace that has no room under its cap, or a pod that has changed, is looked at again: one read each.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pods on a page of the list where the API server cannot stream it.
const PAGE_SIZE: u32 = 200;

/// What the loop needs.
pub struct Overflow {
    /// The API server, by the identity of burst.
    pub kube: Client,
    /// What policies are judged by.
    pub scene: Scene,
    /// How pods are mapped, to see whether they could be.
    pub mapping: Arc<Settings>,
    /// How long the scheduler is left to find room on workers.
    pub wait: SignedDuration,
    /// What namespaces may have.
    pub caps: Caps,
    /// What they and their applications may cost.
    pub budgets: Budgets,
    /// Events.
    pub notices: Notices,
    /// Metrics.
    pub metrics: Metrics,
    /// Whether the API server streams lists.
    pub streaming_lists: bool,
}

/// How a turn ended.
#[derive(Debug)]
enum Turn {
    /// It was let in, or shaped.
    Done,
    /// It is gone, bound, or not as it was: the watch will tell.
    Moot,
    /// The pool would not take it.
    NotPossible(String),
    /// No room under the cap of its namespace.
    Capped(Wait),
    /// What it or its namespace may cost is spent.
    OverBudget(budget::Wait),
    /// The API server could not be asked, or refused.
    Failed(String),
}

/// The pods, and whose turn it is.
struct Pods {
    waiting: HashMap<Uid, Waiting>,
    queue: Queue,
    /// Those that were told that there is no room for them.
    told: HashSet<Uid>,
}

impl Overflow {
    /// Runs for ever.
    pub async fn run(self, gate: Gate) {
        let this = Arc::new(self);
        let pledges = Arc::new(Mutex::new(Pledges::default()));
        let api: Api<UnscheduledPod> = Api::all(this.kube.clone());
        let config = watcher::Config::default().fields(FIELDS);
        let config = if this.streaming_lists {
            config.streaming_lists()
        } else {
            config.page_size(PAGE_SIZE)
        };
        let mut events = pin!(watcher(api, config).default_backoff());
        let (results_in, mut results) = mpsc::unbounded_channel::<(Uid, Turn)>();
        let mut pace = Pace::new(PER_SECOND, Instant::now());
        let mut pods = Pods {
            waiting: HashMap::new(),
            queue: Queue::default(),
            told: HashSet::new(),
        };
        let mut listed: Option<HashSet<Uid>> = None;
        let mut running = 0;
        loop {
            let wake = pods.wake_at(running, &pace);
            tokio::select! {
                event = events.next() => match event {
                    None => return,
                    Some(Ok(event)) => this.take(event, &mut pods, &pledges, &mut listed, &gate),
                    Some(Err(error)) => {
                        tracing::warn!(error = chain(&error), "watching pods without a node failed; will retry");
                    }
                },
                Some((uid, turn)) = results.recv() => {
                    running -= 1;
                    this.end(&uid, turn, &mut pods, &pledges);
                }
                () = this.scene.changed() => {
                    pods.queue.wake_all(clock::now());
                    this.look_at_all(&mut pods, &pledges);
                }
                () = sleep_until(wake) => {}
            }
            if !this.scene.is_known() || listed.is_some() {
                continue;
            }
            while running < PARALLEL && pace.allows(Instant::now()) {
                let Some((uid, waiting)) = pods.next() else {
                    break;
                };
                pace.take();
                running += 1;
                let (this, pledges, results) = (this.clone(), pledges.clone(), results_in.clone());
                tokio::spawn(async move {
                    let turn = this.turn(&uid, &waiting, &pledges).await;
                    // A closed channel means that the loop has ended.
                    let _ = results.send((uid, turn));
                });
            }
            this.metrics
                .burst_waiting
                .set(i64::try_from(pods.queue.len()).unwrap_or(i64::MAX));
        }
    }

    fn take(
        &self,
        event: watcher::Event<UnscheduledPod>,
        pods: &mut Pods,
        pledges: &Mutex<Pledges>,
        listed: &mut Option<HashSet<Uid>>,
        gate: &Gate,
    ) {
        match event {
            watcher::Event::Init => *listed = Some(HashSet::new()),
            watcher::Event::InitApply(pod) => {
                let uid = Uid::from(pod.uid());
                listed.get_or_insert_default().insert(uid.clone());
                self.put(uid, pod, pods, pledges);
            }
            watcher::Event::InitDone => {
                let listed = listed.take().unwrap_or_default();
                let gone: Vec<Uid> = pods
                    .waiting
                    .keys()
                    .filter(|uid| !listed.contains(*uid))
                    .cloned()
                    .collect();
                for uid in gone {
                    pods.forget(&uid, pledges);
                }
                gate.open();
            }
            watcher::Event::Apply(pod) => self.put(Uid::from(pod.uid()), pod, pods, pledges),
            // It has a node, is over or is gone: all of these leave the selection.
            watcher::Event::Delete(pod) => pods.forget(pod.uid(), pledges),
        }
    }

    fn put(&self, uid: Uid, pod: UnscheduledPod, pods: &mut Pods, pledges: &Mutex<Pledges>) {
        pods.waiting.insert(uid.clone(), pod.into_waiting());
        self.look_at(&uid, pods, pledges);
    }

    /// Decides anew for all, because what they are judged by has changed.
    fn look_at_all(&self, pods: &mut Pods, pledges: &Mutex<Pledges>) {
        let uids: Vec<Uid> = pods.waiting.keys().cloned().collect();
        for uid in uids {
            self.look_at(&uid, pods, pledges);
        }
    }

    fn look_at(&self, uid: &Uid, pods: &mut Pods, pledges: &Mutex<Pledges>) {
        if !self.scene.is_known() {
            return;
        }
        let Some(waiting) = pods.waiting.get(uid) else { return };
        let namespace = self.scene.namespace(&waiting.namespace);
        match waiting.step(&self.scene.rules(), &namespace, self.wait) {
            Ok(Step::Nothing) => pods.queue.remove(uid),
            Ok(Step::LetIn) => {
                pods.queue.remove(uid);
                // One let in before a restart: of what it takes only the count is known until it arrives.
                let mut pledges = pledges.lock().unwrap_or_else(PoisonError::into_inner);
                pledges.make(uid, &waiting.namespace, MilliCpu(0), clock::now());
            }
            Ok(Step::Loose) => {
                pods.queue.remove(uid);
                let note = "policy ecs-only, but the pod tolerates the taint of virtual nodes, so the scheduler may place it there: \
                            remove the toleration, or give its template the scheduling gate k8s.aliyun.com/eci-burst";
                self.say(uid, waiting, Weight::Warning, NOT_ENFORCED, note.to_owned());
            }
            Ok(Step::Shape) => pods
                .queue
                .put(uid, &waiting.namespace, waiting.created, waiting.created),
            Ok(Step::LetInAt(at, _)) => pods.queue.put(uid, &waiting.namespace, waiting.created, at),
            Err(bad) => {
                pods.queue.remove(uid);
                self.say(
                    uid,
                    waiting,
                    Weight::Warning,
                    BAD_POLICY,
                    format!("{bad}; the pod has no burst policy"),
                );
            }
        }
    }

    /// One pod's turn.
    async fn turn(&self, uid: &Uid, waiting: &Waiting, pledges: &Mutex<Pledges>) -> Turn {
        let api: Api<Pod> = Api::namespaced(self.kube.clone(), &waiting.namespace);
        let pod = match api.get_opt(&waiting.name).await {
            Ok(Some(pod)) => pod,
            Ok(None) => return Turn::Moot,
            Err(error) => return Turn::Failed(chain(&error)),
        };
        let bound = pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_some());
        let another = pod.metadata.uid.as_deref() != Some(&**uid);
        if bound || another || pod.metadata.deletion_timestamp.is_some() {
            return Turn::Moot;
        }
        let namespace = self.scene.namespace(&waiting.namespace);
        let rules = self.scene.rules();
        let choice = match rules.choose(PodView::of(&pod), &namespace) {
            Ok(choice) => choice,
            Err(_) => return Turn::Moot,
        };
        let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
        let gated = gates.is_some_and(|gates| gates.iter().any(|gate| gate.name == super::names::GATE));
        if gated {
            return match rules.while_gated(&pod, &namespace) {
                Ok(mutation) => {
                    for warning in mutation.warnings {
                        self.say(uid, waiting, Weight::Warning, NOT_ENFORCED, warning);
                    }
                    self.patch(&api, &pod, &mutation.pod).await
                }
                Err(_) => Turn::Moot,
            };
        }
        let Some(choice) = choice else { return Turn::Moot };
        let after = rules.overflowing(&pod, &namespace);
        if let Err(reason) = feasible::some_node_fits(&after, &self.scene.nodes()) {
            return Turn::NotPossible(reason);
        }
        let cpu = match feasible::group_cpu(&after, &self.mapping) {
            Ok(cpu) => cpu,
            Err(reason) => return Turn::NotPossible(reason),
        };
        // Who has nowhere else to go waits for room on the pool, in line with the others there.
        if choice.policy != Policy::EciOnly {
            // What is not counted yet is asked again before the group is made.
            if let Err(wait @ budget::Wait::Reached { .. }) =
                self.budgets.ask(&asking(&pod, &self.budgets), clock::now())
            {
                return Turn::OverBudget(wait);
            }
            let mut pledges = pledges.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock::now();
            let coming = pledges.on_their_way(&waiting.namespace, now, |uid| self.caps.knows(uid));
            if let Err(wait) = self.caps.has_room(&waiting.namespace, cpu, coming) {
                return Turn::Capped(wait);
            }
            pledges.make(uid, &waiting.namespace, cpu, now);
        }
        let turn = self.patch(&api, &pod, &after).await;
        if !matches!(turn, Turn::Done) {
            pledges.lock().unwrap_or_else(PoisonError::into_inner).cancel(uid);
        }
        turn
    }

    async fn patch(&self, api: &Api<Pod>, before: &Pod, after: &Pod) -> Turn {
        let Some(patch) = merge_patch(before, after) else {
            return Turn::Done;
        };
        let name = before.metadata.name.as_deref().unwrap_or_default();
        match api
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Turn::Done,
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Turn::Moot,
            Err(kube::Error::Api(answer)) if answer.code == 422 => Turn::NotPossible(answer.message.clone()),
            Err(error) => Turn::Failed(chain(&error)),
        }
    }

    fn end(&self, uid: &Uid, turn: Turn, pods: &mut Pods, pledges: &Mutex<Pledges>) {
        let now = clock::now();
        let outcome = match &turn {
            Turn::Done => "let_in",
            Turn::Moot => "moot",
            Turn::NotPossible(_) => "not_possible",
            Turn::Capped(..) => "capped",
            Turn::OverBudget(_) => "over_budget",
            Turn::Failed(_) => "failed",
        };
        self.metrics.burst_turns.with_label_values(&[outcome]).inc();
        let Some(waiting) = pods.waiting.get(uid) else {
            pods.queue.remove(uid);
            return;
        };
        match turn {
            Turn::Done => {
                tracing::info!(pod = %waiting.name, namespace = %waiting.namespace, %uid, "let a pod onto the virtual nodes");
                // The watch shows what it is like now, and whether that is enough.
                pods.queue.failed(uid, now);
            }
            Turn::Moot => {
                pods.queue.again(uid, now + LOOK_AGAIN);
                self.look_at(uid, pods, pledges);
            }
            Turn::NotPossible(reason) => {
                let note = format!("cannot run on virtual nodes: {reason}");
                self.say(uid, waiting, Weight::Warning, NOT_POSSIBLE, note);
                pods.queue.failed(uid, now);
            }
            Turn::Capped(wait @ Wait::TooLarge { .. }) => {
                self.say(
                    uid,
                    waiting,
                    Weight::Warning,
                    TroubleKind::Cap.event_reason(),
                    wait.to_string(),
                );
                pods.queue.failed(uid, now);
            }
            Turn::OverBudget(wait) => {
                self.say(uid, waiting, Weight::Warning, wait.reason(), wait.to_string());
                pods.queue.failed(uid, now);
            }
            // What is being counted is known in a moment.
            Turn::Capped(Wait::Counting { .. }) => pods.queue.block(uid, now + LOOK_AGAIN),
            Turn::Capped(wait @ Wait::Full { .. }) => {
                let namespace = waiting.namespace.clone();
                pods.queue.block(uid, now + LOOK_AGAIN);
                // It is the same for all of them, and none of the others has a turn to learn it by.
                let due: Vec<Uid> = pods
                    .queue
                    .due(&namespace, now)
                    .filter(|uid| !pods.told.contains(*uid))
                    .cloned()
                    .collect();
                for uid in due {
                    if let Some(waiting) = pods.waiting.get(&uid) {
                        self.say(
                            &uid,
                            waiting,
                            Weight::Warning,
                            TroubleKind::Cap.event_reason(),
                            wait.to_string(),
                        );
                    }
                    pods.told.insert(uid);
                }
            }
            Turn::Failed(failure) => {
                tracing::warn!(pod = %waiting.name, namespace = %waiting.namespace, %uid, error = failure, "letting a pod onto the virtual nodes failed; will retry");
                pods.queue.failed(uid, now);
            }
        }
    }

    fn say(&self, uid: &Uid, waiting: &Waiting, weight: Weight, reason: &'static str, note: String) {
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(waiting.namespace.to_string()),
            name: Some(waiting.name.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        };
        self.notices.about_once(on, weight, reason, note);
    }
}

/// Whose money `pod` would cost.
fn asking(pod: &Pod, budgets: &Budgets) -> Asking {
    let meta = &pod.metadata;
    let (labels, none) = (meta.labels.as_ref(), BTreeMap::new());
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let whose = Whose::of(pod.name_any().as_str(), labels.unwrap_or(&none), owners);
    let text = |name: &str| meta.annotations.as_ref()?.get(name).map(String::as_str);
    let (own, _) = budget::of_annotations(text, &budgets.settings());
    Asking::new(
        meta.namespace.as_deref().unwrap_or_default(),
        &whose.application.id,
        own,
    )
}

impl Pods {
    /// The pod whose turn it is.
    fn next(&mut self) -> Option<(Uid, Waiting)> {
        loop {
            let uid = self.queue.next(clock::now())?;
            match self.waiting.get(&uid) {
                Some(waiting) => return Some((uid, waiting.clone())),
                None => self.queue.remove(&uid),
            }
        }
    }

    fn forget(&mut self, uid: &str, pledges: &Mutex<Pledges>) {
        self.waiting.remove(uid);
        self.told.remove(uid);
        self.queue.remove(uid);
        let mut pledges = pledges.lock().unwrap_or_else(PoisonError::into_inner);
        pledges.placed(uid, clock::now());
    }

    /// When the next turn may begin; none = after the next event or result.
    fn wake_at(&self, running: usize, pace: &Pace) -> Option<Instant> {
        if running >= PARALLEL {
            return None;
        }
        let due: Timestamp = self.queue.next_due()?;
        let until: Duration = due.duration_since(clock::now()).try_into().unwrap_or(Duration::ZERO);
        Some((Instant::now() + until).max(pace.next()))
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
