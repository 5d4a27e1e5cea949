//! The billing ledger: for each group the seconds and the sizes it is billed for. It is the oracle for cost.
//!
//! A bill is a row of segments without gaps: a new one begins where an update changed the size and, for spot groups, with every
//! hour since their creation. Hours within the protection time cost what the market asked when the group was bought (or got
//! its present size), later ones what it asks as they begin.
//!
//! Billing starts when the first image pull begins and ends when the group is final or, after a delete, when its last
//! container has ended. Both ends are cut to whole seconds, as every time ECI reports is, so that a caller can reach the
//! same figure from what it was told.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::{lifecycle::Status, price::Tariff, spot::SpotMarket};
use crate::{
    config::Currency,
    spec::{GroupId, Size},
};

/// Most entries kept; the oldest go first. At ~0.5 kB each this is some 100 MB.
const MAX_ENTRIES: usize = 200_000;

/// Most segments a bill shows; older ones are summed up in the first.
const MAX_SEGMENTS: usize = 1_000;
/// Seconds of the hour by which spot is billed.
const HOUR: i64 = 3_600;

/// What is special about the bill of a spot group.
#[derive(Clone, Debug)]
pub struct SpotTerms {
    /// Where it was bought.
    pub zone: String,
    /// For how many hours the price stays what it was.
    pub protected_hours: u64,
}

/// One group's entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The group.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone_id: Box<str>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The rounded size, which is billed.
    pub size: Size,
    /// Sizes it had before, and until when.
    pub past_sizes: Vec<(Timestamp, Size)>,
    /// By which list it is paid.
    pub tariff: Tariff,
    /// For spot groups.
    pub spot: Option<SpotTerms>,
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
    /// Spot prices.
    pub market: SpotMarket,
    entries: HashMap<GroupId, Entry>,
    order: VecDeque<GroupId>,
}

impl Ledger {
    /// Without entries.
    pub fn new(currency: Currency, seed: u64) -> Self {
        Self {
            currency,
            market: SpotMarket::new(seed, currency),
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

    /// All entries, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().rev().filter_map(|id| self.entries.get(id))
    }

    /// What all of them cost as of now, in 10⁻⁹ of the currency unit.
    pub fn amount_nano(&self, now: Timestamp) -> u64 {
        let segments = self.newest_first().flat_map(|entry| self.segments(entry, now));
        segments.map(|segment| segment.amount_nano).fold(0, u64::saturating_add)
    }

    /// ISO 4217.
    pub fn currency(&self) -> &'static str {
        self.currency.as_str()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.market.clear();
    }

    fn segments(&self, entry: &Entry, now: Timestamp) -> Vec<Segment> {
        let Some(start) = entry.billing_start else {
            return Vec::new();
        };
        let end = entry.billing_end.unwrap_or(now).as_second();
        let sizes = entry.past_sizes.iter().map(|(until, size)| (until.as_second(), *size));
        let mut segments = Segments::default();
        let mut from = start.as_second();
        // When the group got the size that is looked at.
        let mut bought = entry.created_at;
        for (until, size) in sizes.chain([(end, entry.size)]) {
            let until = until.min(end);
            while from < until {
                let (to, rate) = match &entry.spot {
                    None => (until, None),
                    Some(terms) => {
                        let created = entry.created_at.as_second();
                        let hour = (from - created).div_euclid(HOUR);
                        let protected = u64::try_from(hour).is_ok_and(|hour| hour < terms.protected_hours);
                        let begins = Timestamp::from_second(created + hour * HOUR).unwrap_or(entry.created_at);
                        let priced_at = if protected { bought } else { begins.max(bought) };
                        let rate = self
                            .market
                            .tariff_nano_per_hour(entry.tariff, &terms.zone, size, priced_at);
                        (until.min(created + (hour + 1) * HOUR), Some(rate))
                    }
                };
                segments.add(self.segment(entry.tariff, size, (from, to), rate));
                from = to;
            }
            bought = Timestamp::from_second(until).unwrap_or(bought);
        }
        segments.0
    }

    fn segment(&self, tariff: Tariff, size: Size, (from, to): (i64, i64), spot_nano_per_hour: Option<u64>) -> Segment {
        let seconds = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
        let amount_nano = match spot_nano_per_hour {
            None => tariff.amount_nano(self.currency, size, seconds),
            Some(rate) => {
                let hour = u128::from(HOUR.unsigned_abs());
                let amount = (u128::from(rate) * u128::from(seconds) + hour / 2) / hour;
                u64::try_from(amount).unwrap_or(u64::MAX)
            }
        };
        Segment {
            from: Timestamp::from_second(from).unwrap_or(Timestamp::MIN),
            to: Timestamp::from_second(to).unwrap_or(Timestamp::MAX),
            milli_cpu: size.milli_cpu,
            memory_mib: size.memory_mib,
            spot_nano_per_hour,
            billed_seconds: seconds,
            amount_nano,
        }
    }

    fn bill_of(&self, entry: &Entry, now: Timestamp) -> Bill {
        let segments = self.segments(entry, now);
        Bill {
            container_group_id: entry.id.clone(),
            container_group_name: entry.name.clone(),
            zone_id: entry.zone_id.clone(),
            tags: entry.tags.iter().cloned().collect(),
            cpu: entry.size.milli_cpu as f64 / 1000.0,
            memory: entry.size.memory_mib as f64 / 1024.0,
            milli_cpu: entry.size.milli_cpu,
            memory_mib: entry.size.memory_mib,
            billed_seconds: segments.iter().map(|s| s.billed_seconds).sum(),
            amount_nano: segments.iter().map(|s| s.amount_nano).sum(),
            segments,
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

/// The segments of a bill in the making: neighbours of one size and price are one.
#[derive(Default)]
struct Segments(Vec<Segment>);

impl Segments {
    fn add(&mut self, next: Segment) {
        let full = self.0.len() >= MAX_SEGMENTS;
        if let Some(last) = self.0.last_mut()
            && (last.milli_cpu, last.memory_mib, last.spot_nano_per_hour)
                == (next.milli_cpu, next.memory_mib, next.spot_nano_per_hour)
        {
            last.take_in(&next);
            return;
        }
        if full && self.0.len() > 1 {
            let second = self.0.remove(1);
            self.0[0].take_in(&second);
        }
        self.0.push(next);
    }
}

/// A part of a bill in which size and price stay the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Segment {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends, or now.
    pub to: Timestamp,
    /// vCPU billed, in thousandths.
    pub milli_cpu: u64,
    /// Memory billed, in MiB.
    pub memory_mib: u64,
    /// What the spot market asked for an hour, in 10⁻⁹ of the currency unit; null = the list price.
    pub spot_nano_per_hour: Option<u64>,
    /// Whole seconds.
    pub billed_seconds: u64,
    /// Its amount in 10⁻⁹ of the currency unit.
    pub amount_nano: u64,
}

impl Segment {
    fn take_in(&mut self, next: &Self) {
        self.to = next.to;
        self.billed_seconds += next.billed_seconds;
        self.amount_nano = self.amount_nano.saturating_add(next.amount_nano);
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
    /// Its zone.
    pub zone_id: Box<str>,
    /// Its tags.
    pub tags: std::collections::BTreeMap<String, String>,
    /// vCPU billed at the end, or now.
    pub cpu: f64,
    /// GiB billed at the end, or now.
    pub memory: f64,
    /// vCPU billed, in thousandths.
    pub milli_cpu: u64,
    /// Memory billed, in MiB.
    pub memory_mib: u64,
    /// Whole seconds billed so far.
    pub billed_seconds: u64,
    /// Amount so far, in 10⁻⁹ of the currency unit.
    pub amount_nano: u64,
    /// What it is made of, oldest first.
    pub segments: Vec<Segment>,
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
