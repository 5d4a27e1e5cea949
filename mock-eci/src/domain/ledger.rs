//! The billing ledger: for each group the seconds and the size it is billed for. It is the oracle for cost.
//!
//! Billing starts when the first image pull begins and ends when the group is final or, after a delete, when its last
//! container has ended. Both ends are cut to whole seconds, as every time ECI reports is, so that a caller can reach the
//! same figure from what it was told.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::{lifecycle::Status, price::Rates};
use crate::{
    config::Currency,
    spec::{GroupId, Size},
};

/// Most entries kept; the oldest go first. At ~0.5 kB each this is some 100 MB.
const MAX_ENTRIES: usize = 200_000;

/// One group's entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The group.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The rounded size, which is billed.
    pub size: Size,
    /// When it was created.
    pub created_at: Timestamp,
    /// When billing started.
    pub billing_start: Option<Timestamp>,
    /// When billing ended; none = it has not started, or goes on.
    pub billing_end: Option<Timestamp>,
    /// Each status it had and since when.
    pub states: Vec<(Status, Timestamp)>,
    /// When its record went away.
    pub removed_at: Option<Timestamp>,
}

/// All entries.
#[derive(Debug)]
pub struct Ledger {
    currency: Currency,
    entries: HashMap<GroupId, Entry>,
    order: VecDeque<GroupId>,
}

impl Ledger {
    /// Without entries.
    pub fn new(currency: Currency) -> Self {
        Self {
            currency,
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Opens the entry of a new group.
    pub fn open(&mut self, entry: Entry) {
        if self.order.len() >= MAX_ENTRIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(entry.id.clone());
        self.entries.insert(entry.id.clone(), entry);
    }

    /// Changes the entry of a group.
    pub fn with(&mut self, id: &GroupId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(id) {
            change(entry);
        }
    }

    /// One group's bill as of now.
    pub fn bill(&self, id: &GroupId, now: Timestamp) -> Option<Bill> {
        self.entries.get(id).map(|entry| self.bill_of(entry, now))
    }

    /// All bills as of now, in the order of creation.
    pub fn bills(&self, now: Timestamp) -> Vec<Bill> {
        self.order.iter().filter_map(|id| self.bill(id, now)).collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    fn bill_of(&self, entry: &Entry, now: Timestamp) -> Bill {
        let end = entry.billing_end.unwrap_or(now);
        let seconds = entry
            .billing_start
            .map_or(0, |start| end.as_second().saturating_sub(start.as_second()));
        let seconds = u64::try_from(seconds).unwrap_or(0);
        Bill {
            container_group_id: entry.id.clone(),
            container_group_name: entry.name.clone(),
            tags: entry.tags.iter().cloned().collect(),
            cpu: entry.size.milli_cpu as f64 / 1000.0,
            memory: entry.size.memory_mib as f64 / 1024.0,
            milli_cpu: entry.size.milli_cpu,
            memory_mib: entry.size.memory_mib,
            billed_seconds: seconds,
            amount_nano: Rates::of(self.currency).amount_nano(entry.size, seconds),
            currency: self.currency.as_str(),
            creation_time: entry.created_at,
            billing_start: entry.billing_start,
            billing_end: entry.billing_end,
            removal_time: entry.removed_at,
            states: entry
                .states
                .iter()
                .map(|(status, at)| StateSince {
                    status: *status,
                    since: *at,
                })
                .collect(),
        }
    }
}

/// One group's bill, as `GET /mock/ledger` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Bill {
    /// The group.
    pub container_group_id: GroupId,
    /// Its name.
    pub container_group_name: String,
    /// Its tags.
    pub tags: std::collections::BTreeMap<String, String>,
    /// vCPU billed.
    pub cpu: f64,
    /// GiB billed.
    pub memory: f64,
    /// vCPU billed, in thousandths.
    pub milli_cpu: u64,
    /// Memory billed, in MiB.
    pub memory_mib: u64,
    /// Whole seconds billed so far.
    pub billed_seconds: u64,
    /// Amount so far, in 10⁻⁹ of the currency unit.
    pub amount_nano: u64,
    /// ISO 4217.
    pub currency: &'static str,
    /// When the group was created.
    pub creation_time: Timestamp,
    /// When billing started; null = not yet, or never.
    pub billing_start: Option<Timestamp>,
    /// When billing ended; null = it goes on, or never started.
    pub billing_end: Option<Timestamp>,
    /// When the group's record went away; null = it is there.
    pub removal_time: Option<Timestamp>,
    /// Each status and since when.
    pub states: Vec<StateSince>,
}

/// A status and when it began.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateSince {
    /// The status.
    pub status: Status,
    /// When it began.
    pub since: Timestamp,
}
