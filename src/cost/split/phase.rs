//! (pure) What a group's paid time went into, moment by moment.

use std::collections::BTreeMap;

use serde::Serialize;

use super::share::share;
use crate::cost::application::Role;
use crate::cost::eventlog::Story;
use crate::cost::record::CostRecord;

/// What paid time went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Images are pulled: from the start of billing until the first container ran.
    Pulling,
    /// The container runs, and Spark does not know it yet.
    Waiting,
    /// An executor without a task.
    Idle,
    /// An executor with a task at least.
    Working,
    /// The driver has given the executor up, or the application is over.
    WindingDown,
    /// It runs: a driver between the application's start and end, or anything of which no event log tells more.
    Running,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Pulling,
        Self::Waiting,
        Self::Idle,
        Self::Working,
        Self::Running,
        Self::WindingDown,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pulling => "pulling",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
            Self::Working => "working",
            Self::WindingDown => "winding down",
            Self::Running => "running",
        }
    }
}

/// A stretch of one phase; milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Of what.
    pub phase: Phase,
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
}

/// Where money went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bucket {
    /// Into a phase other than working.
    Phase(Phase),
    /// Into cores that ran tasks of a stage: index in [`Story::stages`].
    Stage(u32),
    /// Into cores that had no task while others of the same executor had.
    SpareCores,
}

/// A group's paid time and money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) spans: Vec<Span>,
    pub(super) millis: BTreeMap<Phase, i64>,
    pub(super) money: BTreeMap<Bucket, i128>,
    /// Milliseconds of cores that ran tasks, by stage.
    pub(super) core_millis: BTreeMap<u32, i64>,
    /// Milliseconds of cores from when it registered until it was given up.
    pub(super) offered_core_millis: i64,
}

/// Most cores divide this, so that shares of a moment are whole.
const SCALE: u128 = 720_720;

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    TaskEnds(u32),
    Price,
    Phase(Phase),
    TaskBegins(u32),
}

/// The life of the group of `record`. `tasks` are those of its executor: stage, from, to.
pub(super) fn life(record: &CostRecord, story: Option<&Story>, tasks: &[(u32, i64, i64)]) -> Life {
    let (start, end) = record.billed.likely();
    let (start, end) = (start.as_millisecond(), end.as_millisecond());
    let executor = story.and_then(|story| own_executor(record, story));
    let cores = executor.map_or(1, |executor| executor.cores.max(1));
    let mut changes: Vec<(i64, Change)> = Vec::with_capacity(tasks.len() * 2 + 8);
    for (at, phase) in phases(record, story) {
        changes.push((at.clamp(start, end), Change::Phase(phase)));
    }
    for (stage, from, to) in tasks {
        let (from, to) = ((*from).clamp(start, end), (*to).clamp(start, end));
        if from < to {
            changes.push((from, Change::TaskBegins(*stage)));
            changes.push((to, Change::TaskEnds(*stage)));
        }
    }
    changes.extend(price_changes(record, start, end).map(|at| (at, Change::Price)));
    // Of phases that begin at one moment, the last one in the order of a life counts: the sort is stable.
    changes.sort_by_key(|(at, change)| (*at, matches!(change, Change::Phase(_))));
    changes.push((end, Change::Price));

    let mut life = Life::default();
    let mut weights: BTreeMap<Bucket, u128> = BTreeMap::new();
    let mut running: BTreeMap<u32, u32> = BTreeMap::new();
    let mut busy = 0_u32;
    let (mut base, mut at, mut priced_from) = (Phase::Pulling, start, start);
    for (time, change) in changes {
        let millis = time - at;
        if millis > 0 {
            let weight = u128::from(millis.unsigned_abs()) * SCALE;
            let phase = if base == Phase::Idle && busy > 0 {
                Phase::Working
            } else {
                base
            };
            if phase == Phase::Working {
                let of = u128::from(busy.max(cores));
                for (stage, count) in &running {
                    *weights.entry(Bucket::Stage(*stage)).or_default() += weight * u128::from(*count) / of;
                    *life.core_millis.entry(*stage).or_default() +=
                        millis * i64::from(*count) * i64::from(cores) / i64::from(busy.max(cores));
                }
                let spare = u128::from(cores.saturating_sub(busy));
                *weights.entry(Bucket::SpareCores).or_default() += weight * spare / of;
            } else {
                *weights.entry(Bucket::Phase(phase)).or_default() += weight;
            }
            if matches!(phase, Phase::Idle | Phase::Working) {
                life.offered_core_millis += millis * i64::from(cores);
            }
            *life.millis.entry(phase).or_default() += millis;
            match life.spans.last_mut() {
                Some(last) if last.phase == phase => last.to = time,
                _ => life.spans.push(Span {
                    phase,
                    from: at,
                    to: time,
                }),
            }
            at = time;
        }
        match change {
            Change::Phase(phase) => base = phase,
            Change::TaskBegins(stage) => {
                *running.entry(stage).or_default() += 1;
                busy += 1;
            }
            Change::TaskEnds(stage) => {
                if let Some(count) = running.get_mut(&stage) {
                    *count = count.saturating_sub(1);
                    busy = busy.saturating_sub(1);
                    if *count == 0 {
                        running.remove(&stage);
                    }
                }
            }
            Change::Price => {
                pay(record, &mut life, std::mem::take(&mut weights), priced_from, time);
                priced_from = time;
            }
        }
    }
    // What the record says without a tariff, or by one that is not its own.
    let paid: i128 = life.money.values().sum();
    if paid != record.charge.amount.0 {
        let weights: Vec<u128> = life.money.values().map(|part| part.unsigned_abs()).collect();
        let shares = share(record.charge.amount.0, &weights);
        life.money
            .values_mut()
            .zip(shares)
            .for_each(|(part, share)| *part = share);
        if life.money.is_empty() {
            life.money.insert(Bucket::Phase(Phase::Pulling), record.charge.amount.0);
        }
    }
    life
}

/// Shares out what was due between two moments.
fn pay(record: &CostRecord, life: &mut Life, weights: BTreeMap<Bucket, u128>, from: i64, to: i64) {
    let at = |millis| jiff::Timestamp::from_millisecond(millis).ok();
    let (Some(tariff), Some(from), Some(to)) = (&record.tariff, at(from), at(to)) else {
        return;
    };
    let due = record.billed.part(tariff, from, to).0;
    let shares = share(due, &weights.values().copied().collect::<Vec<_>>());
    for (bucket, share) in weights.into_keys().zip(shares) {
        *life.money.entry(bucket).or_default() += share;
    }
}

/// Moments at which a spot group's price may change.
fn price_changes(record: &CostRecord, start: i64, end: i64) -> impl Iterator<Item = i64> {
    const HOUR: i64 = 3_600_000;
    let spot = record.tariff.as_ref().and_then(|tariff| tariff.spot.as_ref());
    let created = spot.map_or(end, |spot| spot.created.as_millisecond());
    let first = if spot.is_some() {
        (start - created).div_euclid(HOUR) + 1
    } else {
        0
    };
    // No group that this can be asked about runs for longer than some years.
    let hours = if spot.is_some() { first..first + 50_000 } else { 0..0 };
    hours
        .map(move |hour| created + hour * HOUR)
        .take_while(move |at| *at < end)
}

/// When which phase begins, in the order of a life.
fn phases(record: &CostRecord, story: Option<&Story>) -> Vec<(i64, Phase)> {
    let (start, end) = record.billed.likely();
    let end = end.as_millisecond();
    // Whole seconds, as in all that is said of the record elsewhere.
    let started = record.started.map_or(end, |at| at.as_second() * 1_000);
    let mut phases = vec![(start.as_millisecond(), Phase::Pulling)];
    let story = story.filter(|_| record.role != Role::Pod);
    let Some(story) = story else {
        phases.push((started, Phase::Running));
        return phases;
    };
    phases.push((started, Phase::Waiting));
    let until = story.ended.unwrap_or(story.last);
    match record.role {
        Role::Driver | Role::Pod => phases.push((story.started.unwrap_or(started).max(started), Phase::Running)),
        Role::Executor => {
            if let Some(executor) = own_executor(record, story) {
                let added = executor.added.max(started);
                phases.push((added, Phase::Idle));
                if let Some(removed) = executor.removed.filter(|removed| *removed < until) {
                    phases.push((removed.max(added), Phase::WindingDown));
                    return phases;
                }
            }
        }
    }
    let latest = phases.iter().map(|phase| phase.0).fold(until, i64::max);
    if story.ended.is_some() {
        phases.push((latest, Phase::WindingDown));
    } else if record.role == Role::Executor {
        // The log breaks off, and what came then is not known.
        phases.push((latest, Phase::Running));
    }
    phases
}

fn own_executor<'a>(record: &CostRecord, story: &'a Story) -> Option<&'a crate::cost::eventlog::Executor> {
    let id = record.executor.as_deref()?;
    story.executors.iter().find(|executor| executor.id == id)
}
