//! All groups with their indexes: adding, finding, forgetting. What happens to them is in `react`.

mod change;
mod lists;
mod market;
mod react;
#[cfg(test)]
mod tests;

pub use change::Unchangeable;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    group::Group,
    ledger::{Entry, Ledger, SpotTerms},
    lifecycle::Status,
    price::Tariff,
    resources::{Account, Quotas},
    stock::Stock,
    tokens::Tokens,
};
use crate::{
    config::{Currency, Enforced, Limits},
    runtime::Runtime,
    spec::{GroupId, GroupSpec, Size},
    timers::{Timers, after},
};

/// Final groups are kept this long in any case.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// And beyond that only so many, the newest.
const KEPT_NEWEST: usize = 100;
/// A group that could not be made is forgotten after this time.
const SCHEDULE_FAILED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// vCPU quota where there is none, in thousandths: still a number, because ListUsage says one.
const UNLIMITED_MILLI_CPU: u64 = 1_000_000_000;

/// Something to do later.
#[derive(Clone, Debug)]
pub enum Timer {
    /// Start an instance of a container whose back-off is over.
    Start(GroupId, Box<str>, u32),
    /// Say that the pull of a container's image waits for its next attempt.
    PullBackOff(GroupId, Box<str>, u32),
    /// A group's active deadline.
    Deadline(GroupId),
    /// A group's `MaxPendingMinute`.
    Pending(GroupId),
    /// Look whether a spot group can stay, as of this time.
    SpotCheck(GroupId, Timestamp),
    /// Take a spot group back, as announced for this time.
    SpotRelease(GroupId, Timestamp),
    /// Nothing was found for this group.
    NoStock(GroupId),
    /// Look which final groups are to be forgotten.
    Retention,
    /// Forget this group if it is still there.
    Forget(GroupId),
}

/// Everything the cloud remembers.
#[derive(Debug)]
pub struct State {
    groups: HashMap<GroupId, Group>,
    by_age: BTreeMap<u64, GroupId>,
    by_change: BTreeMap<(Timestamp, u64), GroupId>,
    /// Final groups by the time they became so, and their order of creation.
    finished: BTreeMap<(Timestamp, u64), GroupId>,
    /// Records that lists have looked at so far.
    looked_at: u64,
    created: u64,
    changes: u64,
    ids: StdRng,
    /// For `VSwitchRandom`.
    places: StdRng,
    used_milli_cpu: u64,
    /// Tokens of creates.
    pub tokens: Tokens,
    /// Bills.
    pub ledger: Ledger,
    /// What there is beside groups.
    pub account: Account,
    /// What can be bought where.
    pub stock: Stock,
    /// What is to be done later.
    pub timers: Timers<Timer>,
    /// Most vCPU of live groups, in thousandths.
    pub max_milli_cpu: u64,
    /// Whether an update of the files of a ConfigFile volume restarts the containers that mount it.
    pub config_files_restart: bool,
    enforced: Enforced,
    /// Whether the caller may list; without, lists are empty (and no error), as ECI does it.
    pub may_list: bool,
}

impl State {
    /// An empty account.
    pub fn new(seed: u64, currency: Currency, max_milli_cpu: u64, quotas: Quotas) -> Self {
        Self {
            groups: HashMap::new(),
            by_age: BTreeMap::new(),
            by_change: BTreeMap::new(),
            finished: BTreeMap::new(),
            looked_at: 0,
            created: 0,
            changes: 0,
            ids: StdRng::seed_from_u64(seed),
            // Another stream than the ids', which come from the same seed.
            places: StdRng::seed_from_u64(seed ^ 0x5eed_0f51_0000_0002),
            used_milli_cpu: 0,
            tokens: Tokens::default(),
            ledger: Ledger::new(currency, seed),
            account: Account::new(seed, quotas),
            stock: Stock::default(),
            timers: Timers::default(),
            max_milli_cpu,
            config_files_restart: true,
            enforced: Limits::Documented.enforced(),
            may_list: true,
        }
    }

    /// One group.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// All groups, oldest first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.by_age.values().filter_map(|id| self.groups.get(id))
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// vCPU of live groups, in thousandths.
    pub fn used_milli_cpu(&self) -> u64 {
        self.used_milli_cpu
    }

    /// Which limits are in force.
    pub fn enforced(&self) -> Enforced {
        self.enforced
    }

    /// Puts limits in force, or not. Call rates are not kept here.
    pub fn enforce(&mut self, enforced: Enforced) {
        self.enforced = enforced;
        self.account.quotas = match enforced.caches {
            true => Quotas::DOCUMENTED,
            false => Quotas::NONE,
        };
    }

    /// Most vCPU of live groups as it is in force, in thousandths.
    pub fn quota_milli_cpu(&self) -> u64 {
        match self.enforced.vcpu {
            true => self.max_milli_cpu,
            false => self.max_milli_cpu.max(UNLIMITED_MILLI_CPU),
        }
    }

    /// A new id: `eci-` and 20 lower-case alphanumerics.
    fn new_id(&mut self) -> GroupId {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        loop {
            let mut id = String::with_capacity(24);
            id.push_str("eci-");
            id.extend((0..20).map(|_| char::from(ALPHABET[self.ids.random_range(0..ALPHABET.len())])));
            if !self.groups.contains_key(id.as_str()) {
                return id.into();
            }
        }
    }

    /// Adds a group of this spec; `id` for one that is adopted.
    pub fn add(&mut self, id: Option<GroupId>, spec: Arc<GroupSpec>, now: Timestamp) -> GroupId {
        let id = id.unwrap_or_else(|| self.new_id());
        self.created += 1;
        let group = Group::new(id.clone(), self.created, spec.clone(), now);
        self.used_milli_cpu += spec.size.milli_cpu;
        self.ledger.open(Entry {
            id: id.clone(),
            name: spec.name.clone(),
            zone_id: spec.zone_id.as_str().into(),
            tags: spec.tags.clone(),
            size: spec.size,
            past_sizes: Vec::new(),
            tariff: Tariff::of(&spec),
            spot: spec.is_spot().then(|| SpotTerms {
                zone: spec.zone_id.clone(),
                protected_hours: spec.protected_hours(),
            }),
            created_at: now,
            billing_start: None,
            billing_end: None,
            states: vec![(Status::Scheduling, now)],
            removed_at: None,
        });
        if let Some(deadline) = spec.active_deadline {
            self.timers.add(after(now, deadline), Timer::Deadline(id.clone()));
        }
        if let Some(pending) = spec.max_pending {
            self.timers.add(after(now, pending), Timer::Pending(id.clone()));
        }
        if spec.is_spot() {
            let check = market::end_of_protection(&spec, now);
            self.timers.add(check, Timer::SpotCheck(id.clone(), check));
        }
        self.by_age.insert(self.created, id.clone());
        self.groups.insert(id.clone(), group);
        if spec.asked != Size::default() && spec.asked != spec.size {
            self.with(&id, |group| group.note_rounding(now));
        }
        self.touch(&id, now);
        id
    }

    /// Changes a group's record directly (adoption); the life cycle is not asked.
    pub fn edit(&mut self, id: &GroupId, now: Timestamp, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.groups.get_mut(id) {
            change(group);
            self.touch(id, now);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.by_age.clear();
        self.by_change.clear();
        self.finished.clear();
        self.used_milli_cpu = 0;
        self.tokens.clear();
        self.ledger.clear();
        self.account.clear();
        self.stock.clear();
        self.timers.clear();
    }

    /// Forgets a group that has ended, as happens by itself when it is an hour old; false = there is no such group.
    pub fn forget(&mut self, id: &str, now: Timestamp, runtime: &dyn Runtime) -> bool {
        let Some(group) = self.groups.get(id).filter(|g| g.status.is_final()) else {
            return false;
        };
        let id = group.id.clone();
        self.remove(&id, now);
        runtime.remove(&id);
        true
    }

    fn remove(&mut self, id: &GroupId, at: Timestamp) {
        if let Some(group) = self.groups.remove(id) {
            self.by_age.remove(&group.seq);
            self.by_change.remove(&group.changed);
            if let Some(finished_at) = group.finished_at {
                self.finished.remove(&(finished_at, group.seq));
            }
            self.ledger.with(id, |entry| entry.removed_at = Some(at));
        }
    }

    fn forget_old(&mut self, now: Timestamp, runtime: &dyn Runtime) {
        if !self.enforced.retention {
            return;
        }
        while self.finished.len() > KEPT_NEWEST {
            let Some(oldest) = self.finished.first_entry() else {
                return;
            };
            let (at, _) = *oldest.key();
            if now.duration_since(at) < KEPT_FOR {
                return;
            }
            let id = oldest.remove();
            // One that lives again will be final again.
            if self.groups.get(&id).is_some_and(|g| g.finished_at == Some(at)) {
                self.remove(&id, now);
                runtime.remove(&id);
            }
        }
    }

    fn with(&mut self, id: &GroupId, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.groups.get_mut(id) {
            change(group);
            group.rendered = None;
        }
    }

    /// Makes this the newest change.
    fn touch(&mut self, id: &GroupId, at: Timestamp) {
        let Some(group) = self.groups.get_mut(id) else { return };
        self.by_change.remove(&group.changed);
        self.changes += 1;
        group.changed = (at, self.changes);
        group.rendered = None;
        self.by_change.insert(group.changed, id.clone());
    }
}
