//! The records of one node's pods, with the indexes that the two lanes need. The only thing the lanes share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use provider::group::{GroupStatus, ObservedContainer, ObservedGroup};
use provider::status::conditions::Kind;
use provider::units::MilliCpu;
use tokio::sync::Notify;

use crate::pods::record::{GroupState, Observed, PodRecord, Uid};

/// How long a group that does not change is asked for by id.
const MOTION_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Handle to the records; cheap to clone. Locks are held for moments only and never across an await.
#[derive(Clone, Debug, Default)]
pub struct Store {
    inner: Arc<Mutex<Records>>,
    motion: Arc<Notify>,
}

/// The records and their indexes.
#[derive(Debug, Default)]
pub struct Records {
    by_uid: HashMap<Uid, Box<PodRecord>>,
    by_group: HashMap<Arc<str>, Uid>,
    by_hash: HashMap<u64, Uid>,
    motion: HashSet<Uid>,
    /// Pods whose object is gone while something of theirs is left.
    gone: HashSet<Uid>,
    /// Whether the first list of pods is complete: before, a group without a record proves nothing.
    pub pods_listed: bool,
    /// The newest moment of which it is known what had changed until then.
    pub confirmed: Timestamp,
    /// How many complete and trusted lists of groups were seen since then.
    pub lists: u64,
}

impl Store {
    /// Locks the records.
    pub fn lock(&self) -> MutexGuard<'_, Records> {
        // A panic while holding the lock leaves every record whole: each is changed by single assignments.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Resolves when a group may have begun to move.
    pub async fn motion_began(&self) {
        self.motion.notified().await;
    }

    /// Changes the record of `uid`, if there is one, and brings the indexes up to date.
    pub fn update<R>(&self, uid: &str, change: impl FnOnce(&mut PodRecord) -> R) -> Option<R> {
        let (result, moving) = {
            let mut records = self.lock();
            let result = records.update(uid, change)?;
            (result, !records.motion.is_empty())
        };
        if moving {
            self.motion.notify_one();
        }
        Some(result)
    }
}

impl Records {
    /// Whether both sides were listed: before, that a pod has no group is not known.
    pub fn groups_listed(&self) -> bool {
        self.lists > 0
    }

    /// The record of `uid`.
    pub fn get(&self, uid: &str) -> Option<&PodRecord> {
        self.by_uid.get(uid).map(|record| &**record)
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = (&Uid, &PodRecord)> {
        self.by_uid.iter().map(|(uid, record)| (uid, &**record))
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// Adds a record.
    pub fn insert(&mut self, uid: Uid, record: PodRecord) {
        if let Some(id) = record.group_id() {
            self.by_group.insert(id.clone(), uid.clone());
        }
        if record.in_motion() {
            self.motion.insert(uid.clone());
        }
        if record.desired.gone {
            self.gone.insert(uid.clone());
        }
        self.by_uid.insert(uid, Box::new(record));
    }

    /// Changes one record and brings the indexes up to date.
    pub fn update<R>(&mut self, uid: &str, change: impl FnOnce(&mut PodRecord) -> R) -> Option<R> {
        let (uid, _) = self.by_uid.get_key_value(uid)?;
        let uid = uid.clone();
        let record = self.by_uid.get_mut(&uid)?;
        let id_before = record.group_id().cloned();
        let hash_before = record.observed.as_ref().map(|o| o.hash);
        let gone_before = record.desired.gone;
        let result = change(record);
        let id_after = record.group_id().cloned();
        let hash_after = record.observed.as_ref().map(|o| o.hash);
        let moving = record.in_motion();
        if record.desired.gone && !gone_before {
            self.gone.insert(uid.clone());
        }
        if id_before != id_after {
            if let Some(id) = id_before {
                self.by_group.remove(&id);
            }
            if let Some(id) = id_after {
                self.by_group.insert(id, uid.clone());
            }
        }
        if hash_before != hash_after {
            if let Some(hash) = hash_before {
                self.by_hash.remove(&hash);
            }
            if let Some(hash) = hash_after {
                self.by_hash.insert(hash, uid.clone());
            }
        }
        if moving {
            self.motion.insert(uid);
        } else {
            self.motion.remove(&uid);
        }
        Some(result)
    }

    /// Drops a record.
    pub fn remove(&mut self, uid: &str) -> Option<Box<PodRecord>> {
        let record = self.by_uid.remove(uid)?;
        if let Some(id) = record.group_id() {
            self.by_group.remove(id);
        }
        if let Some(observed) = &record.observed {
            self.by_hash.remove(&observed.hash);
        }
        self.motion.remove(uid);
        self.gone.remove(uid);
        Some(record)
    }

    /// The pod whose group has this id.
    pub fn uid_of_group(&self, id: &str) -> Option<&Uid> {
        self.by_group.get(id)
    }

    /// The pod whose group was last seen as the record with this hash.
    pub fn uid_of_hash(&self, hash: u64) -> Option<&Uid> {
        self.by_hash.get(&hash)
    }

    /// CPU requested by the pods that have a group, as the scheduler counts.
    pub fn requested_by_placed(&self) -> MilliCpu {
        let placed = self
            .by_uid
            .values()
            .filter(|r| r.group_id().is_some() && !r.group_ended());
        MilliCpu(placed.map(|r| r.requested.0).sum())
    }

    /// CPU requested by the pods that have yet to get their group, as the scheduler counts.
    pub fn requested_by_waiting(&self) -> MilliCpu {
        let waits = |group: &GroupState| matches!(group, GroupState::Absent { .. } | GroupState::Accepted { .. });
        let ends = |r: &PodRecord| r.desired.finished || r.desired.gone || r.desired.deletion.is_some();
        let waiting = self.by_uid.values().filter(|r| waits(&r.group) && !ends(r));
        MilliCpu(waiting.map(|r| r.requested.0).sum())
    }

    /// Ids of the groups whose state may change soon, and of those whose deletion was accepted. A group that was slow to change for long (an image of an hour's
    /// pull) is left to the question for changes, so that many of them do not eat the call limit.
    pub fn ids_in_motion(&self, now: Timestamp) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (mut moving, mut ending) = (Vec::new(), Vec::new());
        for record in self.motion.iter().filter_map(|uid| self.by_uid.get(uid)) {
            let GroupState::Present { id, since, delete, .. } = &record.group else {
                continue;
            };
            let last = record.observed.as_ref().map_or(*since, |o| o.changed.max(*since));
            if delete.is_some() {
                ending.push(id.clone());
            } else if now.duration_since(last) < MOTION_PATIENCE {
                moving.push(id.clone());
            }
        }
        (moving, ending)
    }

    /// Records of groups whose state may change soon and that nobody deletes.
    pub fn moving(&self, now: Timestamp) -> impl Iterator<Item = (&Uid, &PodRecord)> {
        self.motion.iter().filter_map(move |uid| {
            let record = self.by_uid.get(uid)?;
            let GroupState::Present {
                since, delete: None, ..
            } = &record.group
            else {
                return None;
            };
            let last = record.observed.as_ref().map_or(*since, |o| o.changed.max(*since));
            (now.duration_since(last) < MOTION_PATIENCE).then_some((uid, &**record))
        })
    }

    /// Takes what the full call said of the init containers of `uid`; tells whether it differs from what was known.
    pub fn observe_init_containers(&mut self, uid: &str, seen: Option<Vec<ObservedContainer>>, now: Timestamp) -> bool {
        self.update(uid, |record| {
            let Some(observed) = &mut record.observed else {
                return false;
            };
            let differs = observed.group.init_containers != seen;
            if differs {
                observed.group.init_containers = seen;
                observed.changed = now;
            }
            differs
        })
        .unwrap_or(false)
    }

    /// A group that was seen and that nobody is about to delete: an answer that should show it and does not is none to be
    /// trusted.
    pub fn witness(&self) -> Option<&Arc<str>> {
        let mut records = self.by_uid.values();
        records.find_map(|record| match &record.group {
            GroupState::Present { id, delete: None, .. }
                if record.observed.is_some() && !record.group_ended() && !record.busy =>
            {
                Some(id)
            }
            _ => None,
        })
    }

    /// The pod called `name` in `namespace`; of two with one name (the older still ending), the one not deleted.
    pub fn find(&self, namespace: &str, name: &str) -> Option<(&Uid, &PodRecord)> {
        self.iter()
            .filter(|(_, r)| &*r.facts.name == name && &*r.facts.namespace == namespace)
            .min_by_key(|(_, r)| r.desired.gone)
    }

    /// Whether a pod of the same name that was here before is not over yet: its group may still run, and a name has one group at
    /// a time, or two members of a StatefulSet would be one.
    pub fn has_predecessor(&self, record: &PodRecord) -> bool {
        let (name, namespace) = (&record.facts.name, &record.facts.namespace);
        let mut gone = self.gone.iter().filter_map(|uid| self.by_uid.get(uid));
        gone.any(|other| {
            other.facts.name == *name && other.facts.namespace == *namespace && other.facts.uid != record.facts.uid
        })
    }

    /// Takes an observation of the group of `uid`; tells whether it differs from the last one.
    pub fn observe(&mut self, uid: &str, hash: u64, mut group: ObservedGroup, now: Timestamp) -> bool {
        // Known from the pod, or not needed again: at 10,000 pods each of these is a megabyte.
        group.tags = Vec::new();
        group.name = String::new();
        group.uuid = None;
        // What Kubernetes' own conditions say is computed here; ECI's tell more, and those of a failed group say why it failed.
        let failed = group.status == GroupStatus::Failed;
        group
            .conditions
            .retain(|c| failed || !Kind::parse(&c.type_).is_some_and(Kind::is_a_kubelets));
        // Lists grew while they were decoded; most hold one container and room for four.
        group.containers.shrink_to_fit();
        group.conditions.shrink_to_fit();
        self.update(uid, |record| {
            if let GroupState::Present { missing, .. } = &mut record.group {
                *missing = 0;
            }
            if let Some(meter) = &mut record.meter {
                meter.see(&group, &record.facts, now);
            }
            let before = record.observed.take();
            // An answer from where the news has not come yet: a status that went back would be written, and again forth.
            if before
                .as_ref()
                .is_some_and(|o| o.group.status.has_passed(&group.status))
            {
                record.observed = before;
                return false;
            }
            if group.init_containers.is_none() {
                // The cheap call does not report them; what the full one said stays until it is asked again.
                group.init_containers = before.as_ref().and_then(|o| o.group.init_containers.clone());
            }
            if group.whereabouts.is_none() {
                group.whereabouts = before.as_ref().and_then(|o| o.group.whereabouts.clone());
            }
            let same = before.as_ref().filter(|o| o.group == group);
            let changed = same.map_or(now, |o| o.changed);
            let differs = same.is_none();
            record.observed = Some(Observed { hash, group, changed });
            differs
        })
        .unwrap_or(false)
    }

    /// Records that should be in a complete list that began at `began`: their groups exist, as far as we know.
    pub fn expected(&self, began: Timestamp) -> impl Iterator<Item = (&Uid, &PodRecord)> {
        self.iter().filter(move |(_, record)| match &record.group {
            GroupState::Present { since, delete, .. } => *since < began && delete.is_none_or(|d| d.at < began),
            _ => false,
        })
    }
}
