//! The loop: inputs change records, [`decide`] says what follows, effects carry it out, and their results are inputs again.
//!
//! One task owns the flow, so a pod's effects never overlap. Effects of different pods run side by side, in [`lanes`](super::lanes).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use kube::runtime::watcher;
use provider::annotations;
use provider::group::GroupStatus;
use provider::mapping::{self, Purchase, Settings};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::budget::{self, look};
use crate::clock;
use crate::cost::recorder::Recorder;
use crate::kubelet::archive::{KeptPod, LogKeeper};
use crate::pods::absorb::{
    absorb, absorb_ending, absorb_logs_kept, absorb_money, absorb_release, absorb_source_change, why_not_started,
};
use crate::pods::act::Effects;
use crate::pods::bill;
use crate::pods::claims;
use crate::pods::decide::{Decision, decide};
use crate::pods::desired;
use crate::pods::events::Notices;
use crate::pods::figures::Figures;
use crate::pods::fresh::FreshPods;
use crate::pods::input::{Input, Outcome};
use crate::pods::lanes::{Kind, Lanes, Parallel};
use crate::pods::live::LiveWatches;
use crate::pods::metering;
use crate::pods::publish;
use crate::pods::record::{Files, GroupState, KeptLogs, PodRecord, Uid};
use crate::pods::store::{Records, Store};
use crate::pods::tell::tell;
use crate::pods::watch::NodePod;
use crate::shutdown::Shutdown;

/// How long results of effects are awaited at shutdown.
const DRAIN: Duration = Duration::from_secs(10);
/// Inputs taken at once before decisions are made.
const BATCH: usize = 512;
/// The reconciler of one node.
pub struct Reconciler {
    store: Store,
    effects: Arc<Effects>,
    notices: Notices,
    figures: Figures,
    settings: Arc<Settings>,
    node_ip: Arc<str>,
    lanes: Lanes,
    fresh: FreshPods,
    live: LiveWatches,
    keeper: Option<Arc<dyn LogKeeper>>,
    recorder: Option<Recorder>,
    /// UIDs seen since the watch began its current list.
    listing: Option<std::collections::HashSet<Uid>>,
    /// Pods that may not have a group yet, by namespace and name; see [`Reconciler::must_wait`].
    held: HashMap<(Box<str>, Box<str>), Uid>,
    inputs: mpsc::Sender<Input>,
    schedule: mpsc::UnboundedSender<ScheduleRequest<Uid>>,
    due: Option<mpsc::UnboundedReceiver<ScheduleRequest<Uid>>>,
}

impl Reconciler {
    /// A reconciler whose effects report to `inputs`.
    pub fn new(
        store: Store,
        effects: Arc<Effects>,
        notices: Notices,
        figures: Figures,
        keeper: Option<Arc<dyn LogKeeper>>,
        parallel: Parallel,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (schedule, due) = mpsc::unbounded_channel();
        let (settings, recorder) = (effects.settings.clone(), effects.recorder.clone());
        let effects_client = effects.kube.clone();
        let node_ip = Arc::from(settings.node_ip.as_str());
        Self {
            store,
            effects,
            notices,
            figures,
            settings,
            node_ip,
            lanes: Lanes::new(parallel),
            fresh: FreshPods::default(),
            live: LiveWatches::new(effects_client, inputs.clone()),
            keeper,
            recorder,
            listing: None,
            held: HashMap::new(),
            inputs,
            schedule,
            due: Some(due),
        }
    }

    /// Runs until shutdown, then waits for what is under way: a create that was sent must be heard.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>, shutdown: Shutdown) {
        let Some(due) = self.due.take() else { return };
        let requests = futures::stream::unfold(due, async |mut due| due.recv().await.map(|request| (request, due)));
        let mut timers = pin!(scheduler(requests));
        let mut batch = Vec::with_capacity(BATCH);
        let mut room = self.effects.caps.listen();
        let mut money = self.effects.budgets.listen();
        loop {
            let mut touched: Vec<Uid> = Vec::new();
            tokio::select! {
                () = shutdown.triggered() => break,
                count = inputs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    let now = clock::now();
                    for input in batch.drain(..) {
                        self.take(input, now, &mut touched);
                    }
                }
                Some(uid) = timers.next() => touched.push(uid),
                Some(uid) = room.recv() => touched.push(uid),
                Some(uid) = money.recv() => {
                    let now = clock::now();
                    self.store.update(&uid, |record| absorb_money(record, now));
                    touched.push(uid);
                }
            }
            let now = clock::now();
            for uid in &touched {
                self.consider(uid, now);
            }
            self.start_effects(now);
            if self.effects.caps.are_set() {
                self.figures.capped(self.effects.caps.waiting());
            }
        }
        self.drain(&mut inputs).await;
    }

    /// Hears the results of running effects, so that what they learned is in the log at least; starts nothing.
    async fn drain(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        let deadline = Instant::now() + DRAIN;
        while self.lanes.are_busy() {
            match tokio::time::timeout_at(deadline, inputs.recv()).await {
                Ok(Some(input @ Input::Done(..))) => self.take(input, clock::now(), &mut Vec::new()),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    tracing::warn!("effects are still under way; they are found again by their tags at the next start");
                    return;
                }
            }
        }
    }

    fn take(&mut self, input: Input, now: Timestamp, touched: &mut Vec<Uid>) {
        match input {
            Input::Pod(event) => self.take_pod_event(*event, now, touched),
            Input::Observed(uids) => {
                self.learn_of_stock(&uids);
                touched.extend(uids);
            }
            Input::SourceChanged(source) => {
                for uid in self.live.pods_of(&source) {
                    self.store.update(&uid, |record| absorb_source_change(record, now));
                    touched.push(uid);
                }
            }
            Input::Release(uid, message) => {
                self.store.update(&uid, |record| {
                    if absorb_release(record, message, now) {
                        self.figures.decision("release-announced");
                        self.notices.release(record);
                    }
                });
                touched.push(uid);
            }
            Input::LogsKept(uid, result) => {
                self.store.update(&uid, |record| {
                    absorb_logs_kept(record);
                    if let Err(why) = result {
                        self.figures.trouble("LogArchive");
                        self.notices.logs_not_kept(record, why);
                    }
                });
                touched.push(uid);
            }
            Input::CostKept(uid, group) => {
                self.store.update(&uid, |record| bill::kept(record, &group));
                touched.push(uid);
            }
            Input::Done(uid, outcome) => {
                self.lanes.ended(&outcome);
                self.take_outcome(&uid, outcome, now);
                touched.push(uid);
            }
        }
    }

    fn take_pod_event(&mut self, event: watcher::Event<NodePod>, now: Timestamp, touched: &mut Vec<Uid>) {
        match event {
            watcher::Event::Init => self.listing = Some(std::collections::HashSet::new()),
            watcher::Event::InitApply(pod) => {
                let uid = self.apply(pod, now);
                if let Some(listing) = &mut self.listing {
                    listing.insert(uid.clone());
                }
                touched.push(uid);
            }
            watcher::Event::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                let mut records = self.store.lock();
                // What was deleted while the watch was away has no event of its own.
                let vanished: Vec<Uid> = records
                    .iter()
                    .map(|(uid, _)| uid.clone())
                    .filter(|uid| !listed.contains(uid))
                    .collect();
                for uid in vanished {
                    records.update(&uid, |record| record.desired.gone = true);
                    touched.push(uid);
                }
                records.pods_listed = true;
                touched.extend(self.held.drain().map(|(_, uid)| uid));
            }
            // The object we removed ourselves is shown once more, without grace, before it goes. Its record may be gone by
            // then: made again, it would end a group that has ended.
            watcher::Event::Apply(pod)
                if pod.deletion_grace_seconds() == Some(0) && self.store.lock().get(pod.uid()).is_none() => {}
            watcher::Event::Apply(pod) => touched.push(self.apply(pod, now)),
            watcher::Event::Delete(pod) => {
                let uid = Uid::from(pod.uid());
                self.store
                    .update(&uid, |record| record.desired = desired::gone(&record.desired, &pod));
                touched.push(uid);
            }
        }
    }

    /// Brings the record of `pod` up to date, or makes one.
    fn apply(&mut self, mut pod: NodePod, now: Timestamp) -> Uid {
        let uid = Uid::from(pod.uid());
        let sought = self.sought(&pod);
        match pod.whole.take() {
            Some(whole) => self.fresh.put(&uid, whole),
            None => drop(self.fresh.remove(&uid)),
        }
        let pod = &pod;
        let mut records = self.store.lock();
        let known = records.update(&uid, |record| {
            let wanted = desired::of(pod, &self.settings);
            if record.desired.inputs != wanted.inputs && record.trouble.as_ref().is_some_and(|t| t.kind.is_permanent())
            {
                // What could never run has changed.
                record.trouble = None;
            }
            if record.desired != wanted {
                // News from Kubernetes, most of all a deletion, does not wait for an old failure's back-off.
                record.hold = None;
                record.desired = wanted;
            }
            let mut facts = desired::facts(pod, &self.node_ip);
            if pod.resource_version() >= record.published.resource_version {
                record.published = publish::published(pod);
                record.published.annotated &=
                    pod.annotation(annotations::INSTANCE_ID) == record.group_id().map(|id| &**id);
            } else {
                facts.previous = std::mem::take(&mut record.facts.previous);
            }
            *record.facts = facts;
            record.cost_unset = desired::cost_unset(pod);
            self.read_budget(pod, record);
        });
        if known.is_none() {
            let group = match pod.annotation(annotations::INSTANCE_ID) {
                Some(id) => GroupState::Present {
                    id: Arc::from(id),
                    attempt: publish::published(pod).attempt,
                    delete: None,
                    // As old as its pod: the very first list must show it, or is not believed.
                    since: pod.created().unwrap_or(now),
                    missing: 0,
                },
                None if records.groups_listed() => GroupState::Absent {
                    attempt: publish::published(pod).attempt,
                },
                None => GroupState::Unknown,
            };
            let mut record = PodRecord::new(
                desired::facts(pod, &self.node_ip),
                desired::of(pod, &self.settings),
                group,
                now,
            );
            record.published = publish::published(pod);
            record.owner = desired::owner(pod);
            record.meter = self
                .recorder
                .as_ref()
                .map(|recorder| metering::meter(recorder, pod, &record, sought, &self.settings));
            record.requested = desired::requested_cpu(pod);
            record.bought = desired::bought_cpu(pod);
            record.cost_unset = desired::cost_unset(pod);
            if let Some(files) = pod
                .annotation(annotations::LIVE_FILES)
                .filter(|_| record.renews_files())
            {
                // They may have changed while no agent looked.
                record.rare.get_or_insert_default().files = Some(Files {
                    look_at: Some(now),
                    ..Files::parse(files)
                });
            }
            if self.keep_logs(pod, &uid) {
                record.rare.get_or_insert_default().logs = Some(KeptLogs::default());
            }
            self.read_budget(pod, &mut record);
            records.insert(uid.clone(), record);
            self.figures.pods("known", records.len());
        }
        uid
    }

    /// What an earlier agent may have bought for `pod`: what its group is made of beyond what ECI tells, should one be found.
    fn sought(&self, pod: &NodePod) -> Option<Purchase> {
        let whole = pod.whole.as_ref().filter(|_| self.recorder.is_some())?;
        {
            let records = self.store.lock();
            if records.groups_listed() || records.get(pod.uid()).is_some() {
                return None;
            }
        }
        let attempt = publish::published(pod).attempt;
        let pod: Pod = serde_json::from_str(whole.get()).ok()?;
        mapping::purchase(&pod, &self.settings, attempt as usize)
    }

    /// What the annotations of `pod` say that its application may cost.
    fn read_budget(&self, pod: &NodePod, record: &mut PodRecord) {
        let settings = self.effects.budgets.settings();
        let (budget, wrong) = budget::of_annotations(|name| pod.annotation(name), &settings);
        for note in wrong {
            self.notices.budget(record, look::IGNORED, note);
        }
        if budget.is_some() || record.rare.is_some() {
            record.rare.get_or_insert_default().budget = budget;
        }
    }

    /// Begins to keep the logs of `pod`, if they are to be kept.
    fn keep_logs(&self, pod: &NodePod, uid: &Uid) -> bool {
        let Some(keeper) = self.keeper.as_ref().filter(|keeper| keeper.wants(pod.labels())) else {
            return false;
        };
        let kept = KeptPod {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
        };
        let (inputs, of) = (self.inputs.clone(), uid.clone());
        // Where there is no room for it, the next failure will say so.
        let failed = Box::new(move |why| drop(inputs.try_send(Input::LogsKept(of.clone(), Err(why)))));
        let keeping = keeper.keep(kept, failed);
        let (inputs, uid) = (self.inputs.clone(), uid.clone());
        tokio::spawn(async move {
            keeping.await;
            let _ = inputs.send(Input::LogsKept(uid, Ok(()))).await;
        });
        true
    }

    /// Decides for `uid` and queues what follows.
    fn consider(&mut self, uid: &Uid, now: Timestamp) {
        let mut records = self.store.lock();
        if self.effects.caps.are_set() {
            records.update(uid, |record| claims::settle(&self.effects.caps, uid, record, now));
        }
        if let Some(recorder) = &self.recorder {
            let confirmed = records.confirmed;
            records.update(uid, |record| {
                bill::settle(record, uid, confirmed, now, recorder, &self.settings, &self.inputs);
            });
        }
        records.update(uid, |record| absorb_ending(record, now));
        let Some(record) = records.get(uid) else { return };
        let decision = decide(record, now);
        if !matches!(record.group, GroupState::Unknown | GroupState::Absent { .. }) || record.desired.gone {
            self.fresh.remove(uid);
        }
        if record.desired.finished || record.desired.gone || record.desired.deletion.is_some() {
            self.live.unfollow(uid);
        }
        if self.must_wait(&records, record, &decision) {
            self.fresh.remove(uid);
            self.held.insert(name_of(record), uid.clone());
            return;
        }
        match &decision {
            Decision::Wait(None) => {}
            Decision::Wait(Some(at)) => {
                let delay = at.duration_since(now).try_into().unwrap_or(Duration::ZERO);
                let run_at = Instant::now() + delay;
                // The receiver lives as long as the loop.
                let _ = self.schedule.send(ScheduleRequest {
                    message: uid.clone(),
                    run_at,
                });
            }
            Decision::Forget => {
                self.effects.caps.release(uid);
                self.effects.caps.leave(uid);
                let successor = records
                    .remove(uid)
                    .and_then(|record| self.held.remove(&name_of(&record)));
                self.figures.pods("known", records.len());
                drop(records);
                if let Some(successor) = successor {
                    self.consider(&successor, now);
                }
            }
            _ => {
                if let Some(kind) = Kind::of(&decision) {
                    self.lanes.queue(kind, uid.clone());
                }
            }
        }
    }

    /// What these groups tell of the stock of the node's own zone.
    fn learn_of_stock(&self, uids: &[Uid]) {
        let records = self.store.lock();
        let seen = uids.iter().filter_map(|uid| records.get(uid));
        for (record, seen) in seen.filter_map(|record| Some((record, record.observed.as_ref()?))) {
            let zone = record.placed.as_ref().map(|placed| placed.at.zone_id.as_str());
            // Once it was written where a group is, its news are about something else.
            if zone.is_none_or(|zone| !zone.is_empty() && zone != self.settings.zone_id) {
                continue;
            }
            match seen.group.status {
                GroupStatus::ScheduleFailed => {
                    let (reason, message) = why_not_started(&seen.group);
                    self.effects.stock.missed(reason, message);
                }
                GroupStatus::Pending | GroupStatus::Running => self.effects.stock.found(),
                _ => {}
            }
        }
    }

    /// Whether `decision` must wait: no group is made while one of an earlier pod of that name may live. While pods are being
    /// listed, it is not known yet which are gone.
    fn must_wait(&self, records: &Records, record: &PodRecord, decision: &Decision) -> bool {
        matches!(decision, Decision::Create { .. }) && (self.listing.is_some() || records.has_predecessor(record))
    }

    /// Starts queued effects as far as the lanes allow. What was queued may be outdated: it is decided again.
    fn start_effects(&mut self, now: Timestamp) {
        for kind in Kind::ALL {
            while let Some(uid) = self.lanes.next(kind) {
                let started = {
                    let mut records = self.store.lock();
                    let Some(record) = records.get(&uid) else { continue };
                    let decision = decide(record, now);
                    if Kind::of(&decision) == Some(kind) && !self.must_wait(&records, record, &decision) {
                        let whole = (kind == Kind::Create).then(|| self.fresh.remove(&uid)).flatten();
                        let effect = self.effects.prepare(record, &decision, whole, now);
                        records.update(&uid, |record| record.busy = true);
                        effect
                    } else {
                        None
                    }
                };
                match started {
                    Some(effect) => {
                        self.lanes.started(kind);
                        let inputs = self.inputs.clone();
                        tokio::spawn(async move {
                            let outcome = effect.await;
                            // A closed channel means that the loop has ended and the tags will tell.
                            let _ = inputs.send(Input::Done(uid, outcome)).await;
                        });
                    }
                    None => self.consider(&uid, now),
                }
            }
        }
    }

    fn take_outcome(&mut self, uid: &Uid, mut outcome: Outcome, now: Timestamp) {
        if let Some(files) = outcome.files_mut() {
            self.live.follow(uid, std::mem::take(&mut files.sources));
        }
        let jitter = rand::random();
        self.store.update(uid, |record| {
            let lesson = absorb(record, outcome, now, jitter);
            tell(lesson, record, uid, now, &self.figures, &self.notices);
        });
    }
}

fn name_of(record: &PodRecord) -> (Box<str>, Box<str>) {
    (record.facts.namespace.clone(), record.facts.name.clone())
}
