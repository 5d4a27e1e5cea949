//! Observed state: the one poller of a node's groups.
//!
//! # Flow
//! - Groups in motion are asked for by id, 20 a call, every 250 ms or as seldom as our share of the call limit demands.
//! - Settled groups are asked for together: what changed within the last minute, every few seconds. The windows overlap; a
//!   record that was seen is recognised by its hash and not decoded again.
//! - A complete list comes every 30 s, and soon after deletes. Only it may say that a group is gone, and only when it is
//!   trusted: a caller that lost its rights gets an empty list, not an error, so a list in which none of the expected
//!   groups appears says nothing, however often it comes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use eci::{Client, GroupQuery, StatusEntry, StatusQuery};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use provider::status;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock;
use crate::pods::absorb;
use crate::pods::adopt::{Adopter, Stranger};
use crate::pods::cloud_state::CloudState;
use crate::pods::figures::Figures;
use crate::pods::input::Input;
use crate::pods::metering;
use crate::pods::patience::Patience;
use crate::pods::record::{GroupState, PodRecord, Uid};
use crate::pods::store::{Records, Store};
use crate::shutdown::Shutdown;

/// Ids in one call, ECI's bound.
const IDS_PER_CALL: usize = 20;
/// Records on one page, what ECI's documentation gives as its default.
const PAGE: u32 = 200;
/// Calls by id under way at once.
const PARALLEL_CALLS: usize = 4;
/// How often groups in motion are asked for when calls are cheap.
const MOTION_PERIOD: Duration = Duration::from_millis(250);
/// How often changes of settled groups are asked for.
const CHANGES_PERIOD: Duration = Duration::from_secs(3);
/// The window of that question; ECI's minimum. Twenty times the period, so nothing is lost to a slow round.
const CHANGES_WINDOW_SECONDS: u32 = 60;
/// How often it is looked whether the pods are listed, at the start.
const FIRST_LIST_PERIOD: Duration = Duration::from_millis(20);
/// Pause after a first list that failed or was not trusted.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// Lists in a row that must lack a group before it counts as gone.
const LISTS_TO_BE_GONE: u8 = 2;

/// Reads the cloud and writes observations into the store.
pub struct Poller {
    /// Name of the node.
    pub node: String,
    /// The client.
    pub eci: Client,
    /// The records.
    pub store: Store,
    /// Where the UIDs of changed records go.
    pub inputs: mpsc::Sender<Input>,
    /// Tags that every group of this node carries.
    pub ownership: Vec<(String, String)>,
    /// What to do with groups nobody expects.
    pub adopter: Adopter,
    /// What the cloud is like, for the node's conditions.
    pub cloud: CloudState,
    /// Figures.
    pub figures: Figures,
    /// How long the cloud is given.
    pub patience: Patience,
    /// Calls a second that polling may use; none = no limit.
    pub calls_per_second: Option<f64>,
}

impl Poller {
    /// Polls until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let by_id = async {
            let mut initialized = Instant::now();
            loop {
                let began = Instant::now();
                let mut calls = self.poll_motion().await;
                if initialized.elapsed() >= CHANGES_PERIOD {
                    calls += self.poll_initializing().await;
                    initialized = began;
                }
                let pace = self
                    .calls_per_second
                    .map_or(Duration::ZERO, |r| Duration::from_secs_f64(calls as f64 / r));
                tokio::time::sleep_until(began + MOTION_PERIOD.max(pace)).await;
                if calls == 0 {
                    // Whatever begins to move wakes this; the timeout is only a net.
                    let _ = tokio::time::timeout(CHANGES_PERIOD, self.store.motion_began()).await;
                }
            }
        };
        let rest = async {
            let mut lists = tokio::time::interval(self.patience.list_period);
            let mut changes = tokio::time::interval(CHANGES_PERIOD);
            lists.set_missed_tick_behavior(MissedTickBehavior::Delay);
            changes.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                // Until both sides are listed nothing can be created: no time is lost here.
                if !self.store.lock().pods_listed {
                    tokio::time::sleep(FIRST_LIST_PERIOD).await;
                    continue;
                }
                if !self.store.lock().groups_listed() {
                    self.list_all().await;
                    if !self.store.lock().groups_listed() {
                        tokio::time::sleep(LIST_AGAIN).await;
                    }
                    continue;
                }
                tokio::select! {
                    _ = lists.tick() => self.list_all().await,
                    _ = changes.tick() => self.poll_changes().await,
                }
            }
        };
        tokio::select! {
            () = shutdown.triggered() => {}
            () = by_id => {}
            () = rest => {}
        }
    }

    /// Asks for the groups in motion by id; returns the number of calls.
    async fn poll_motion(&self) -> usize {
        let (moving, ending, witness) = {
            let records = self.store.lock();
            let (moving, ending) = records.ids_in_motion(clock::now());
            // Looked for only where it is needed: it may take a while to find one.
            let witness = (!ending.is_empty()).then(|| records.witness().cloned()).flatten();
            (moving, ending, witness)
        };
        let mut questions: Vec<Vec<Arc<str>>> = moving.chunks(IDS_PER_CALL).map(<[_]>::to_vec).collect();
        // With a group among them that is there for certain, what the answer lacks is gone, and no delete is spent on asking.
        questions.extend(
            ending
                .chunks(IDS_PER_CALL - 1)
                .map(|ids| ids.iter().chain(&witness).cloned().collect()),
        );
        if questions.is_empty() {
            return 0;
        }
        let round = self.figures.round("motion");
        let calls = questions.len();
        stream::iter(&questions)
            .for_each_concurrent(PARALLEL_CALLS, |chunk| async move {
                let asked_at = clock::now();
                let query = StatusQuery {
                    ids: chunk.iter().map(|id| id.to_string()).collect(),
                    limit: Some(IDS_PER_CALL as u32),
                    ..StatusQuery::default()
                };
                match self.eci.describe_status(&query).await {
                    Ok(page) => {
                        self.cloud.reached();
                        let touched = self.take_answer_by_id(chunk, &page.records, asked_at);
                        self.tell(touched).await;
                    }
                    Err(error) => self.cloud.failed(&error),
                }
            })
            .await;
        drop(round);
        calls
    }

    /// Asks for the init containers of groups in motion that are not through with them: the cheap call's records do not
    /// change with them. Returns the number of calls.
    async fn poll_initializing(&self) -> usize {
        let initializing: Vec<Uid> = {
            let records = self.store.lock();
            records
                .moving(clock::now())
                .filter(|(_, record)| needs_full_observation(record))
                .map(|(uid, _)| uid.clone())
                .collect()
        };
        let changed = self.complete(&initializing).await;
        if !changed.is_empty() {
            let _ = self.inputs.send(Input::Observed(changed)).await;
        }
        initializing.len().div_ceil(IDS_PER_CALL)
    }

    /// Takes the answer for `asked`. A group that was deleted and that an answer showing another of ours lacks is gone.
    fn take_answer_by_id(&self, asked: &[Arc<str>], entries: &[StatusEntry], asked_at: Timestamp) -> Vec<Uid> {
        let mut records = self.store.lock();
        let mut touched = Vec::new();
        let mut present: HashSet<Arc<str>> = HashSet::with_capacity(entries.len());
        for entry in entries {
            self.take_entry(&mut records, entry, &mut touched, |id| {
                present.insert(id.clone());
            });
        }
        let trusted = !present.is_empty();
        for id in &present {
            let uid = records.uid_of_group(id).cloned();
            // Of a group that is being deleted it counts until when it was there.
            let ending = |record: &PodRecord| matches!(record.group, GroupState::Present { delete: Some(_), .. });
            if let Some(uid) = uid.filter(|uid| records.get(uid).is_some_and(ending)) {
                records.update(&uid, |record| metering::alive(&mut record.meter, asked_at));
            }
        }
        for id in asked.iter().filter(|id| !present.contains(*id)) {
            let Some(uid) = records.uid_of_group(id).cloned() else {
                continue;
            };
            let changed = records.update(&uid, |record| {
                match &mut record.group {
                    GroupState::Present {
                        delete: Some(accepted),
                        missing,
                        ..
                    } if accepted.at < asked_at => {
                        *missing = missing.saturating_add(1);
                    }
                    _ => return false,
                }
                if trusted {
                    absorb::group_gone(record, clock::now(), rand::random());
                }
                true
            });
            if changed == Some(true) {
                touched.push(uid);
            }
        }
        touched
    }

    /// Asks what changed within the window.
    async fn poll_changes(&self) {
        if self.store.lock().is_empty() {
            return;
        }
        let _round = self.figures.round("changes");
        let began = clock::now();
        let query = StatusQuery {
            since_seconds: Some(CHANGES_WINDOW_SECONDS),
            tags: self.ownership.clone(),
            limit: Some(PAGE),
            ..StatusQuery::default()
        };
        let mut pages = std::pin::pin!(self.pages(query));
        while let Some(page) = pages.next().await {
            match page {
                Ok(entries) => {
                    let mut touched = Vec::new();
                    {
                        let mut records = self.store.lock();
                        for entry in &entries {
                            self.take_entry(&mut records, entry, &mut touched, |_| {});
                        }
                    }
                    self.tell(touched).await;
                }
                Err(error) => return self.cloud.failed(&error),
            }
        }
        self.store.lock().confirmed = began;
    }

    /// Reads every group of this node and concludes which are gone, which are ours to adopt, and which nobody wants.
    pub async fn list_all(&self) {
        let round = self.figures.round("list");
        let began = clock::now();
        let query = StatusQuery {
            tags: self.ownership.clone(),
            limit: Some(PAGE),
            ..StatusQuery::default()
        };
        let mut present: HashSet<Arc<str>> = HashSet::new();
        let mut strangers: Vec<Stranger> = Vec::new();
        let mut pages = std::pin::pin!(self.pages(query));
        while let Some(page) = pages.next().await {
            let entries = match page {
                Ok(entries) => entries,
                Err(error) => return self.cloud.failed(&error),
            };
            let mut touched = Vec::new();
            {
                let mut records = self.store.lock();
                for entry in &entries {
                    let stranger = self.take_entry(&mut records, entry, &mut touched, |id| {
                        present.insert(id.clone());
                    });
                    strangers.extend(stranger);
                }
            }
            self.tell(touched).await;
        }
        drop(round);
        let touched = self.conclude(&present, strangers.is_empty(), began);
        self.tell(touched).await;
        match self.adopter.sort(&self.store, &self.inputs, strangers, began).await {
            Ok(strays) => self.adopter.caps.strays(&self.node, strays),
            Err(error) => return self.cloud.failed(&error),
        }
        self.finish_first_list().await;
        if self.store.lock().groups_listed() {
            self.adopter.caps.open(&self.node);
        }
    }

    /// Takes from a complete list what it proves.
    fn conclude(&self, present: &HashSet<Arc<str>>, no_strangers: bool, began: Timestamp) -> Vec<Uid> {
        let mut records = self.store.lock();
        let expected: Vec<(Uid, bool, bool)> = records
            .expected(began - self.patience.list_lag)
            .filter_map(|(uid, record)| {
                let id = record.group_id()?;
                Some((uid.clone(), present.contains(id), record.desired.finished))
            })
            .collect();
        // Groups of finished pods may have been cleared away by ECI, so they are no reason to doubt a list.
        let must_be_there = expected.iter().filter(|(_, _, finished)| !finished).count();
        let trusted = must_be_there == 0 || !present.is_empty() || !no_strangers;
        self.cloud.listed(trusted, must_be_there);
        if !trusted {
            return Vec::new();
        }
        let mut touched = Vec::new();
        for (uid, seen, _) in &expected {
            let changed = records.update(uid, |record| {
                let gone = match &mut record.group {
                    GroupState::Present { missing, .. } if *seen => {
                        *missing = 0;
                        metering::alive(&mut record.meter, began);
                        false
                    }
                    GroupState::Present { delete, missing, .. } => {
                        *missing = missing.saturating_add(1);
                        delete.is_some() || *missing >= LISTS_TO_BE_GONE
                    }
                    _ => false,
                };
                if gone {
                    absorb::group_gone(record, clock::now(), rand::random());
                }
                gone
            });
            if changed == Some(true) {
                touched.push(uid.clone());
            }
        }
        if records.pods_listed {
            records.lists += 1;
        }
        touched
    }

    /// After the first trusted list, a pod whose group was not found has none.
    async fn finish_first_list(&self) {
        let touched = {
            let mut records = self.store.lock();
            if !records.groups_listed() {
                return;
            }
            let unknown: Vec<Uid> = records
                .iter()
                .filter(|(_, r)| r.group == GroupState::Unknown)
                .map(|(uid, _)| uid.clone())
                .collect();
            for uid in &unknown {
                records.update(uid, |r| {
                    r.group = GroupState::Absent {
                        attempt: r.published.attempt,
                    }
                });
            }
            unknown
        };
        self.tell(touched).await;
    }

    /// Takes one record of an answer; returns the group's id where it belongs to no pod we know.
    fn take_entry(
        &self,
        records: &mut Records,
        entry: &StatusEntry,
        touched: &mut Vec<Uid>,
        mut seen: impl FnMut(&Arc<str>),
    ) -> Option<Stranger> {
        let hash = entry.hash();
        if let Some(uid) = records.uid_of_hash(hash) {
            if let Some(id) = records.get(uid).and_then(|r| r.group_id()) {
                seen(id);
            }
            return None;
        }
        let group = match entry.decode() {
            Ok(group) => group,
            Err(error) => {
                self.cloud.unreadable(&error);
                return None;
            }
        };
        let Some(uid) = records.uid_of_group(&group.id).cloned() else {
            return Some(Stranger {
                id: group.id,
                start_time: group.start_time,
            });
        };
        if let Some(id) = records.get(&uid).and_then(|r| r.group_id()) {
            seen(id);
        }
        if records.observe(&uid, hash, group, clock::now()) {
            touched.push(uid);
        }
        None
    }

    /// All pages of a question.
    fn pages(&self, query: StatusQuery) -> impl futures::Stream<Item = Result<Vec<StatusEntry>, eci::Error>> + use<'_> {
        stream::try_unfold(Some(query), async move |query| {
            let Some(query) = query else { return Ok(None) };
            let page = self.eci.describe_status(&query).await?;
            self.cloud.reached();
            let next = page.next_token.map(|token| StatusQuery {
                next_token: Some(token),
                ..query
            });
            Ok(Some((page.records, next)))
        })
    }

    /// Hands changed records to the reconciler, completed where the cheap call says too little.
    async fn tell(&self, touched: Vec<Uid>) {
        if touched.is_empty() {
            return;
        }
        self.complete(&touched).await;
        // A closed channel means shutdown; the store keeps the observation either way.
        let _ = self.inputs.send(Input::Observed(touched)).await;
    }

    /// Reads the init containers of those groups that have any still at work: only the full call reports them. Returns
    /// the records that this changed.
    async fn complete(&self, touched: &[Uid]) -> Vec<Uid> {
        let ids: Vec<String> = {
            let records = self.store.lock();
            touched
                .iter()
                .filter_map(|uid| records.get(uid))
                .filter(|record| needs_full_observation(record))
                .filter_map(|r| r.group_id().map(|id| id.to_string()))
                .collect()
        };
        let mut changed = Vec::new();
        for ids in ids.chunks(IDS_PER_CALL) {
            let query = GroupQuery {
                ids: ids.to_vec(),
                ..GroupQuery::default()
            };
            match self.eci.describe_container_groups(&query).await {
                Ok(page) => {
                    let mut records = self.store.lock();
                    for group in page.groups {
                        let Some(uid) = records.uid_of_group(&group.id).cloned() else {
                            continue;
                        };
                        records.update(&uid, |record| {
                            if let Some(meter) = &mut record.meter {
                                meter.see(&group, &record.facts, clock::now());
                            }
                            if let Some(observed) = &mut record.observed {
                                observed.group.whereabouts.clone_from(&group.whereabouts);
                            }
                        });
                        if records.observe_init_containers(&uid, group.init_containers, clock::now()) {
                            changed.push(uid);
                        }
                    }
                }
                Err(error) => self.cloud.failed(&error),
            }
            let mut records = self.store.lock();
            for id in ids {
                let Some(uid) = records.uid_of_group(id).cloned() else {
                    continue;
                };
                // Whether that helped or not: nobody waits for more.
                records.update(&uid, |record| {
                    if let Some(group) = record.meter.as_mut().and_then(|meter| meter.group.as_mut()) {
                        group.full_record_asked = true;
                    }
                });
            }
        }
        changed
    }
}

fn needs_full_observation(record: &PodRecord) -> bool {
    let observed = record.observed.as_ref();
    observed.is_some_and(|o| status::needs_full_observation(&o.group, &record.facts))
        || record.meter.as_ref().is_some_and(|meter| meter.needs_full_record())
}
