//! (pure) What a run was like, so far as another one would be like it.

use provider::pricing::PriceList;
use provider::sizes::Size;

use super::schedule::{Fleet, Work};
use crate::cost::application::Role;
use crate::cost::eventlog::Story;
use crate::cost::record::CostRecord;

/// Spark's own choice of how many executors it asks for at a time, and how long it waits between.
const BATCH_SIZE: usize = 10;
const BATCH_DELAY: i64 = 1_000;

/// What a run was like. Times are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Baseline {
    /// Paid for all of it.
    pub(super) total: i128,
    /// Paid for drivers and pods that are neither.
    pub(super) driver: Bill,
    /// Paid for executors.
    pub(super) executors: Bill,
    /// Executors' groups.
    pub(super) groups: usize,
    /// What an executor asks for, and what is bought for it.
    pub(super) size: Option<(Size, Size)>,
    /// From when to when anything was billed.
    pub(super) span: i64,
    /// Prices of sizes.
    pub(super) prices: PriceList,
    /// Where there is an event log of it.
    pub(super) run: Option<Run>,
}

/// Money for time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill {
    pub(super) amount: i128,
    /// By the list price, without spot.
    pub(super) list: i128,
    pub(super) millis: i64,
    /// Of it before first containers ran.
    pub(super) pulling: i128,
    pub(super) pulling_millis: i64,
}

/// What the event log says of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) work: Work,
    /// The executors that it ran on.
    pub(super) fleet: Fleet,
    /// From the application's start to its end.
    pub(super) millis: i64,
    /// Driver: from the start of billing to the application's start, and from its end to billing's.
    pub(super) driver_before: i64,
    pub(super) driver_after: i64,
    /// Driver: of the time before, pulling.
    pub(super) driver_pulling: i64,
    /// Executors, the usual one of each: from the application's start to the registration of one of the first batch, from billing to
    /// registration, pulling of that, and from the application's end to billing's.
    pub(super) registered: i64,
    pub(super) executor_before: i64,
    pub(super) executor_pulling: i64,
    pub(super) executor_after: i64,
    /// Cores of an executor, and those that a task takes.
    pub(super) cores: u32,
    pub(super) task_cpus: u32,
    /// Executors that are asked for at a time, and the time between.
    pub(super) batch: (usize, i64),
    /// Executors that came after the first batches or went before the end.
    pub(super) moved: usize,
}

impl Baseline {
    pub(super) fn of(records: &[&CostRecord], story: Option<&Story>) -> Option<Self> {
        let first = records.first()?;
        let prices = PriceList::by_currency(first.currency.as_str())?;
        let executors: Vec<&CostRecord> = records
            .iter()
            .copied()
            .filter(|record| record.role == Role::Executor)
            .collect();
        let from = records.iter().map(|record| record.billed.likely().0).min()?;
        let to = records.iter().map(|record| record.billed.likely().1).max()?;
        let bill = |wanted: bool| {
            let own = records
                .iter()
                .filter(|record| (record.role == Role::Executor) == wanted);
            own.fold(Bill::default(), |bill, record| bill.and(record))
        };
        Some(Self {
            total: records.iter().map(|record| record.charge.amount.0).sum(),
            driver: bill(false),
            executors: bill(true),
            groups: executors.len(),
            size: size(&executors),
            span: to.as_millisecond() - from.as_millisecond(),
            prices,
            run: story.and_then(|story| run(records, &executors, story)),
        })
    }
}

impl Bill {
    fn and(self, record: &CostRecord) -> Self {
        let (from, to) = record.billed.likely();
        let split = record.split();
        Self {
            amount: self.amount + record.charge.amount.0,
            list: self.list + record.list_amount().0,
            millis: self.millis + to.as_millisecond() - from.as_millisecond(),
            pulling: self.pulling + split.pulling.0,
            pulling_millis: self.pulling_millis + split.pulling_seconds * 1_000,
        }
    }

    /// What `millis` cost on the same terms.
    pub(super) fn of(self, millis: i64) -> i128 {
        proportion(self.amount, millis, self.millis)
    }
}

/// `amount * part / whole`, rounded half up; nothing of nothing.
pub(super) fn proportion(amount: i128, part: i64, whole: i64) -> i128 {
    let whole = i128::from(whole);
    if whole <= 0 {
        return 0;
    }
    amount.saturating_mul(i128::from(part.max(0))).saturating_add(whole / 2) / whole
}

/// What most executors ask for and get, where all have one size.
fn size(executors: &[&CostRecord]) -> Option<(Size, Size)> {
    let first = executors.first()?;
    let of = |record: &CostRecord| Some((record.asked?, record.bought?));
    let size = of(first)?;
    let same = executors
        .iter()
        .all(|record| of(record) == Some(size) && record.instance_type.is_empty());
    same.then(|| (size.0.into(), size.1.into()))
}

fn run(records: &[&CostRecord], executors: &[&CostRecord], story: &Story) -> Option<Run> {
    let started = story.started?;
    let ended = story.ended.unwrap_or(story.last);
    let driver = records.iter().find(|record| record.role == Role::Driver)?;
    let (from, to) = driver.billed.likely();
    let pulled = |record: &CostRecord| {
        let (from, to) = record.billed.likely();
        let started = record.started.unwrap_or(to).clamp(from, to);
        started.as_millisecond() - from.as_millisecond()
    };
    let parsed = |key: &str| story.settings.get(key);
    let batch_size = parsed("spark.kubernetes.allocation.batch.size").and_then(|text| text.parse().ok());
    let batch_delay = parsed("spark.kubernetes.allocation.batch.delay").and_then(millis);
    let batch = (
        batch_size.unwrap_or(BATCH_SIZE).max(1),
        batch_delay.unwrap_or(BATCH_DELAY),
    );
    let mut added: Vec<i64> = story.executors.iter().map(|one| one.added - started).collect();
    added.sort_unstable();
    let of_first_batch: Vec<i64> = added
        .iter()
        .copied()
        .zip(0..)
        .map(|(at, index)| at - delay(index, batch))
        .collect();
    let pairs: Vec<(&CostRecord, i64, bool)> = executors
        .iter()
        .filter_map(|record| {
            let id = record.executor.as_deref()?;
            let own = story.executors.iter().find(|one| one.id == id)?;
            Some((*record, own.added, own.removed.is_none_or(|at| at >= ended)))
        })
        .collect();
    let before = pairs
        .iter()
        .map(|(record, added, _)| added - record.billed.likely().0.as_millisecond());
    let stayed = pairs.iter().filter(|pair| pair.2);
    let after = stayed.map(|(record, ..)| record.billed.likely().1.as_millisecond() - ended);
    let cores = story.executors.iter().map(|one| one.cores).max()?;
    Some(Run {
        work: Work::of(story)?,
        fleet: Fleet {
            ready: story.executors.iter().map(|one| (one.added - started).max(0)).collect(),
            slots: story
                .executors
                .iter()
                .map(|one| (one.cores / story.settings.task_cpus()).max(1))
                .collect(),
        },
        millis: ended - started,
        driver_before: (started - from.as_millisecond()).max(0),
        driver_after: (to.as_millisecond() - ended).max(0),
        driver_pulling: pulled(driver),
        registered: median(of_first_batch).max(0),
        executor_before: median(before.collect()).max(0),
        executor_pulling: median(executors.iter().map(|record| pulled(record)).collect()),
        executor_after: median(after.collect()).max(0),
        cores,
        task_cpus: story.settings.task_cpus(),
        batch,
        moved: pairs.iter().filter(|pair| !pair.2).count(),
    })
}

/// When the executor with this number is asked for, after the first.
pub(super) fn delay(index: usize, (size, delay): (usize, i64)) -> i64 {
    i64::try_from(index / size.max(1))
        .unwrap_or(i64::MAX)
        .saturating_mul(delay)
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Durations as Spark writes them, so far as anybody writes this one: `1s`, `500ms`.
fn millis(text: &str) -> Option<i64> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.trim().parse().ok();
    }
    let number = text.strip_suffix('s').unwrap_or(text);
    number.trim().parse::<i64>().ok()?.checked_mul(1_000)
}
