//! (pure) Who has what of a namespace's cap, and who is next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use provider::units::MilliCpu;

use crate::pods::record::Uid;

/// What a namespace may have on virtual nodes at a time; none = as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    /// Pods with a group.
    pub pods: Option<u64>,
    /// vCPU of their groups, as bought.
    pub cpu: Option<MilliCpu>,
}

/// Of what a cap is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// [`Cap::pods`].
    Pods,
    /// [`Cap::cpu`].
    Cpu,
}

impl Cap {
    /// The part of it that is counted in `unit`, for people.
    pub fn told(&self, unit: Unit) -> String {
        match unit {
            Unit::Pods => format!("{} pods", self.pods.unwrap_or(u64::MAX)),
            Unit::Cpu => self.cpu.unwrap_or(MilliCpu(u64::MAX)).to_string(),
        }
    }

    fn refuses(&self, taken: Sum) -> Option<Unit> {
        if self.pods.is_some_and(|cap| taken.pods > cap) {
            return Some(Unit::Pods);
        }
        self.cpu.is_some_and(|cap| taken.cpu > cap.0).then_some(Unit::Cpu)
    }
}

/// What one pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The pod.
    pub uid: Uid,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// vCPU of its group.
    pub cpu: MilliCpu,
}

/// A group of ours that belongs to no pod we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Namespace of the pod it was made for.
    pub namespace: Arc<str>,
    /// Its vCPU.
    pub cpu: MilliCpu,
}

/// Why nothing was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not now.
    Full(Unit),
    /// Not ever.
    TooLarge(Unit),
}

/// Pods and their CPU, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    pods: u64,
    cpu: u64,
}

impl Sum {
    fn of(cpu: MilliCpu) -> Self {
        Self { pods: 1, cpu: cpu.0 }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            pods: self.pods.saturating_add(other.pods),
            cpu: self.cpu.saturating_add(other.cpu),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            pods: self.pods.saturating_sub(other.pods),
            cpu: self.cpu.saturating_sub(other.cpu),
        }
    }
}

/// One namespace.
#[derive(Debug, Default)]
struct Account {
    held: Sum,
    strays: Sum,
    /// In line, oldest first.
    waiting: BTreeMap<(Timestamp, Uid), MilliCpu>,
}

impl Account {
    fn is_empty(&self) -> bool {
        self.held == Sum::default() && self.strays == Sum::default() && self.waiting.is_empty()
    }
}

#[derive(Debug)]
struct Holder {
    namespace: Arc<str>,
    cpu: MilliCpu,
}

/// The books.
#[derive(Debug)]
pub(super) struct Ledger {
    default: Cap,
    own: HashMap<Arc<str>, Cap>,
    accounts: HashMap<Arc<str>, Account>,
    holders: HashMap<Uid, Holder>,
    /// Where in which line a pod is.
    places: HashMap<Uid, (Arc<str>, Timestamp)>,
    strays: HashMap<String, Vec<Stray>>,
}

impl Ledger {
    pub(super) fn new(default: Cap) -> Self {
        Self {
            default,
            own: HashMap::new(),
            accounts: HashMap::new(),
            holders: HashMap::new(),
            places: HashMap::new(),
            strays: HashMap::new(),
        }
    }

    /// What `namespace` may have.
    pub(super) fn cap(&self, namespace: &str) -> Cap {
        self.own.get(namespace).copied().unwrap_or(self.default)
    }

    /// vCPU for which the pod counts, if it does.
    pub(super) fn held_by(&self, uid: &str) -> Option<MilliCpu> {
        self.holders.get(uid).map(|holder| holder.cpu)
    }

    /// Grants, or puts in line.
    pub(super) fn reserve(&mut self, claim: &Claim, created: Timestamp) -> Result<(), Refusal> {
        // The same create once more.
        if self.held_by(&claim.uid).is_some() {
            return Ok(());
        }
        self.wait(claim, created);
        self.judge(&claim.namespace, (created, &claim.uid), claim.cpu)?;
        self.hold(claim);
        Ok(())
    }

    /// Puts in line, at the place of its age.
    pub(super) fn wait(&mut self, claim: &Claim, created: Timestamp) {
        self.unqueue(&claim.uid);
        let namespace = claim.namespace.clone();
        let account = self.accounts.entry(namespace.clone()).or_default();
        account.waiting.insert((created, claim.uid.clone()), claim.cpu);
        self.places.insert(claim.uid.clone(), (namespace, created));
    }

    /// Whether the pod at that place in line may go: there is room for it and for all that are older.
    fn judge(&self, namespace: &str, place: (Timestamp, &Uid), cpu: MilliCpu) -> Result<(), Refusal> {
        let cap = self.cap(namespace);
        if let Some(unit) = cap.refuses(Sum::of(cpu)) {
            return Err(Refusal::TooLarge(unit));
        }
        let Some(account) = self.accounts.get(namespace) else {
            return Ok(());
        };
        let mut taken = account.held.plus(account.strays);
        let older = account.waiting.iter();
        for (_, cpu) in older.take_while(|((at, uid), _)| (*at, uid) < place) {
            // One that never can go keeps nobody back.
            if cap.refuses(Sum::of(*cpu)).is_none() {
                taken = taken.plus(Sum::of(*cpu));
            }
            if let Some(unit) = cap.refuses(taken) {
                return Err(Refusal::Full(unit));
            }
        }
        match cap.refuses(taken.plus(Sum::of(cpu))) {
            None => Ok(()),
            Some(unit) => Err(Refusal::Full(unit)),
        }
    }

    /// Whether a pod in line may go.
    pub(super) fn would_go(&self, uid: &str) -> bool {
        let Some((uid, (namespace, created))) = self.places.get_key_value(uid) else {
            return true;
        };
        let account = self.accounts.get(namespace);
        let cpu = account.and_then(|account| account.waiting.get(&(*created, uid.clone())));
        cpu.is_none_or(|cpu| self.judge(namespace, (*created, uid), *cpu).is_ok())
    }

    /// Whether one more would find room behind all that are in line and `more`.
    pub(super) fn has_room(&self, namespace: &str, cpu: MilliCpu, more: (u64, MilliCpu)) -> Result<(), Refusal> {
        let cap = self.cap(namespace);
        if let Some(unit) = cap.refuses(Sum::of(cpu)) {
            return Err(Refusal::TooLarge(unit));
        }
        let mut taken = Sum {
            pods: more.0,
            cpu: more.1.0,
        };
        if let Some(account) = self.accounts.get(namespace) {
            taken = taken.plus(account.held).plus(account.strays);
            let waiting = account.waiting.values().map(|cpu| Sum::of(*cpu));
            taken = waiting.filter(|one| cap.refuses(*one).is_none()).fold(taken, Sum::plus);
        }
        match cap.refuses(taken.plus(Sum::of(cpu))) {
            None => Ok(()),
            Some(unit) => Err(Refusal::Full(unit)),
        }
    }

    /// Counts what exists.
    pub(super) fn hold(&mut self, claim: &Claim) {
        self.unqueue(&claim.uid);
        // One text for all pods of a namespace.
        let known = self.accounts.get_key_value(&claim.namespace);
        let namespace = known.map_or_else(|| claim.namespace.clone(), |(namespace, _)| namespace.clone());
        let holder = Holder {
            namespace: namespace.clone(),
            cpu: claim.cpu,
        };
        if let Some(before) = self.holders.insert(claim.uid.clone(), holder) {
            self.change(&before.namespace, |a| a.held = a.held.minus(Sum::of(before.cpu)));
        }
        self.change(&namespace, |a| a.held = a.held.plus(Sum::of(claim.cpu)));
    }

    /// Gives back; returns who may go.
    pub(super) fn release(&mut self, uid: &str) -> Vec<Uid> {
        let Some(holder) = self.holders.remove(uid) else {
            return Vec::new();
        };
        self.change(&holder.namespace, |a| a.held = a.held.minus(Sum::of(holder.cpu)));
        self.next(&holder.namespace)
    }

    /// Leaves the line; returns who may go.
    pub(super) fn leave(&mut self, uid: &str) -> Vec<Uid> {
        match self.unqueue(uid) {
            Some(namespace) => self.next(&namespace),
            None => Vec::new(),
        }
    }

    /// Counts groups without a pod anew; returns who may go.
    pub(super) fn strays(&mut self, node: &str, strays: Vec<Stray>) -> Vec<Uid> {
        let before = self.strays.insert(node.to_owned(), strays.clone()).unwrap_or_default();
        for stray in &strays {
            self.change(&stray.namespace, |a| a.strays = a.strays.plus(Sum::of(stray.cpu)));
        }
        for stray in &before {
            self.change(&stray.namespace, |a| a.strays = a.strays.minus(Sum::of(stray.cpu)));
        }
        let mut namespaces: Vec<Arc<str>> = before.into_iter().map(|stray| stray.namespace).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces.iter().flat_map(|namespace| self.next(namespace)).collect()
    }

    /// Sets a namespace's own cap; returns who may go.
    pub(super) fn set(&mut self, namespace: &str, cap: Option<Cap>) -> Vec<Uid> {
        let before = match cap {
            Some(cap) => self.own.insert(Arc::from(namespace), cap),
            None => self.own.remove(namespace),
        };
        if before == cap {
            Vec::new()
        } else {
            self.next(namespace)
        }
    }

    /// What a namespace may have that has no cap of its own.
    pub(super) fn default_cap(&self) -> Cap {
        self.default
    }

    /// How many are in any line.
    pub(super) fn line(&self) -> usize {
        self.places.len()
    }

    /// Whether the pod counts or is in line.
    pub(super) fn knows(&self, uid: &str) -> bool {
        self.holders.contains_key(uid) || self.places.contains_key(uid)
    }

    /// All in any line.
    pub(super) fn all_waiting(&self) -> Vec<Uid> {
        self.places.keys().cloned().collect()
    }

    /// Those at the head of the line for whom there is room.
    fn next(&self, namespace: &str) -> Vec<Uid> {
        let Some(account) = self.accounts.get(namespace) else {
            return Vec::new();
        };
        let cap = self.cap(namespace);
        let mut taken = account.held.plus(account.strays);
        let mut next = Vec::new();
        for ((_, uid), cpu) in &account.waiting {
            if cap.refuses(Sum::of(*cpu)).is_some() {
                continue;
            }
            taken = taken.plus(Sum::of(*cpu));
            if cap.refuses(taken).is_some() {
                break;
            }
            next.push(uid.clone());
        }
        next
    }

    fn unqueue(&mut self, uid: &str) -> Option<Arc<str>> {
        let (uid, (namespace, created)) = self.places.remove_entry(uid)?;
        self.change(&namespace, |a| {
            a.waiting.remove(&(created, uid));
        });
        Some(namespace)
    }

    /// Changes an account, which is there for as long as something is in it.
    fn change(&mut self, namespace: &Arc<str>, change: impl FnOnce(&mut Account)) {
        let account = self.accounts.entry(namespace.clone()).or_default();
        change(account);
        if account.is_empty() {
            self.accounts.remove(namespace);
        }
    }

    /// Pods and CPU that are counted for `namespace`.
    #[cfg(test)]
    pub(super) fn taken(&self, namespace: &str) -> (u64, u64) {
        let account = self.accounts.get(namespace);
        let sum = account.map_or(Sum::default(), |a| a.held.plus(a.strays));
        (sum.pods, sum.cpu)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.holders.is_empty() && self.places.is_empty()
    }
}
