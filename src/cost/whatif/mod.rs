//! (pure) What the same application would have cost otherwise: each answer with what it takes for granted.
//!
//! ```text
//! records, story ──► baseline ──► schedule (its tasks on other executors) ─┐
//!                        ├──────► sizes (memory that fills a paid size) ───┼──► Scenario
//!                        └──────► workers (pods packed onto machines) ─────┘
//! ```
//! `warmth` tells schedule what a task takes that comes earlier or later in its executor's life than it did.

mod baseline;
mod schedule;
mod sizes;
mod text;
mod warmth;
mod workers;

use provider::sizes::Size;
use provider::units::{MiB, MilliCpu, NanoMoney};
use serde::Serialize;

pub use text::{csv_lines, text};
pub use workers::WorkerType;

use crate::cost::eventlog::Story;
use crate::cost::price_table::{PriceTable, RegionPrices};
use crate::cost::record::CostRecord;
use baseline::{Baseline, Run, delay};
use schedule::Fleet;
use sizes::Overhead;

/// What is asked for beyond the usual.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// Workers to put all pods on: names of instance types, and what one costs an hour.
    pub workers: Vec<(String, Option<i128>)>,
    /// Of the list price, what spot costs, in percent; none = [`SPOT_PERCENT`].
    pub spot_percent: Option<u32>,
    /// Numbers of executors.
    pub executors: Vec<usize>,
    /// Cores of an executor; none = as they were.
    pub executor_cores: Option<u32>,
    /// MiB that an executor's pod asks for; none = as they were, for each core.
    pub executor_memory: Option<u64>,
    /// Executors that are asked for at a time.
    pub batch_size: Option<usize>,
    /// What other sizes and workers cost by the user, in the currency of the bill; none = by ECI's list prices.
    pub prices: Option<PriceTable>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// What would be otherwise.
    pub name: String,
    /// What it would cost; none = it cannot be said, and why is in the assumptions.
    pub amount: Option<NanoMoney>,
    /// That less what it cost.
    pub difference: Option<NanoMoney>,
    /// Milliseconds from the first to the last that is paid, where the run is simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<i64>,
    /// What is taken for granted.
    pub assumptions: Vec<String>,
}

/// Spot prices where nobody says more, in percent of the list price.
pub const SPOT_PERCENT: u32 = 30;

/// What the application of `records` would have cost otherwise. The first answer is what it did cost.
pub fn scenarios(records: &[&CostRecord], story: Option<&Story>, wishes: &Wishes) -> Vec<Scenario> {
    let Some(mut baseline) = Baseline::of(records, story) else {
        return Vec::new();
    };
    if let Some(own) = own_prices(records, wishes) {
        baseline.prices = own.list(baseline.prices);
    }
    let mut all = vec![answer(
        &baseline,
        "as it ran",
        baseline.total,
        Some(baseline.span),
        &["billed"],
    )];
    if let Some(run) = &baseline.run {
        all.extend(as_it_ran(&baseline, run));
    }
    all.extend(prices(&baseline, wishes));
    all.push(image_cache(&baseline));
    all.extend(on_workers(&baseline, records, wishes));
    all.extend(exact_sizes(&baseline, story));
    match &baseline.run {
        Some(run) => all.extend(other_fleets(&baseline, run, wishes)),
        None if baseline.groups > 0 => all.push(Scenario {
            name: "other numbers and sizes of executors".to_owned(),
            amount: None,
            difference: None,
            millis: None,
            assumptions: vec![
                "needs the event log, with the application's start and the driver's record: give --event-log"
                    .to_owned(),
            ],
        }),
        None => {}
    }
    all
}

/// What the user's table says of the region that the pods ran in.
fn own_prices<'a>(records: &[&CostRecord], wishes: &'a Wishes) -> Option<&'a RegionPrices> {
    Some(wishes.prices.as_ref()?.region(&records.first()?.region))
}

fn answer(
    baseline: &Baseline,
    name: impl Into<String>,
    amount: i128,
    millis: Option<i64>,
    assumptions: &[&str],
) -> Scenario {
    Scenario {
        name: name.into(),
        amount: Some(NanoMoney(amount)),
        difference: Some(NanoMoney(amount - baseline.total)),
        millis,
        assumptions: assumptions.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// Other executors than it ran on.
struct Other {
    /// How many.
    executors: usize,
    /// Cores of each.
    cores: u32,
    /// What is bought for each.
    size: Option<Size>,
    /// Executors that are asked for at a time.
    batch: usize,
}

/// Cost and duration on other executors; none where nothing can run on them.
fn simulated(baseline: &Baseline, run: &Run, other: &Other) -> Option<(i128, i64)> {
    let ready: Vec<i64> = (0..other.executors)
        .map(|index| run.registered + delay(index, (other.batch, run.batch.1)))
        .collect();
    let slots = (other.cores / run.task_cpus).max(1);
    let fleet = Fleet {
        slots: vec![slots; ready.len()],
        ready: ready.clone(),
    };
    let millis = run.work.run(&fleet)?;
    // A spot group's price and any other term stay what they were, for each second and size.
    let size = |amount: i128| match (other.size, baseline.size) {
        (Some(size), Some((_, bought))) if size != bought => {
            let price = |size| baseline.prices.cost(size, 1_000).0;
            amount.saturating_mul(price(size)) / price(bought).max(1)
        }
        _ => amount,
    };
    let paid = ready.iter().map(|ready| {
        let runs = millis.saturating_sub(*ready).max(0);
        whole_seconds(runs.saturating_add(run.executor_before + run.executor_after))
    });
    let executors = size(baseline.executors.of(paid.fold(0, i64::saturating_add)));
    let whole = millis.saturating_add(run.driver_before + run.driver_after);
    Some((executors + baseline.driver.of(whole_seconds(whole)), whole))
}

fn whole_seconds(millis: i64) -> i64 {
    millis.saturating_add(500) / 1_000 * 1_000
}

/// How well the simulation does: the run that is known, simulated.
fn as_it_ran(baseline: &Baseline, run: &Run) -> Option<Scenario> {
    let millis = run.work.run(&run.fleet)?;
    let longer = millis.saturating_sub(run.millis);
    let executors = baseline
        .executors
        .of(baseline.executors.millis + longer * i64::try_from(baseline.groups.saturating_sub(run.moved)).unwrap_or(0));
    let driver = baseline.driver.of(baseline.driver.millis + longer);
    let mut assumptions = vec!["how far off the simulation is: its own error, before any of the assumptions below"];
    if run.moved > 0 {
        assumptions.push("executors that went before the end count as staying");
    }
    Some(answer(
        baseline,
        "as it ran, simulated",
        executors + driver,
        Some(run.driver_before + millis + run.driver_after),
        &assumptions,
    ))
}

/// All on the pool, by other prices.
fn prices(baseline: &Baseline, wishes: &Wishes) -> Vec<Scenario> {
    let (driver, executors) = (baseline.driver, baseline.executors);
    let list = driver.list + executors.list;
    let mut all = Vec::new();
    if list != baseline.total {
        let assumed = "the same seconds and sizes by the list price";
        all.push(answer(
            baseline,
            "all on the pool, pay as you go",
            list,
            Some(baseline.span),
            &[assumed],
        ));
    }
    if baseline.groups == 0 {
        return all;
    }
    let percent = wishes.spot_percent.unwrap_or(SPOT_PERCENT);
    let mut amount = executors.list.saturating_mul(i128::from(percent)) / 100;
    let mut assumptions = vec![
        format!("spot costs {percent} % of the list price (--spot-percent)"),
        "none is taken back; the driver stays as it is".to_owned(),
    ];
    if let Some((_, bought)) = baseline.size
        && let Some(spot) = sizes::spot_size(bought, &baseline.prices)
        && spot != bought
    {
        let price = |size| baseline.prices.cost(size, 1_000).0;
        amount = amount.saturating_mul(price(spot)) / price(bought).max(1);
        assumptions.push(format!(
            "spot sells no less than 2 vCPU: each executor is {spot}, not {bought}"
        ));
    }
    let mut spot = answer(
        baseline,
        "executors on spot",
        driver.amount + amount,
        Some(baseline.span),
        &[],
    );
    spot.assumptions = assumptions;
    all.push(spot);
    all
}

fn image_cache(baseline: &Baseline) -> Scenario {
    const NAME: &str = "with an image cache";
    const NO_PULL: &str =
        "no time at all for pulling; the image cache itself is not counted (snapshots are billed by their size)";
    let simple = baseline.total - baseline.driver.pulling - baseline.executors.pulling;
    // Without a pull executors come earlier, and the driver waits less.
    if let Some(run) = &baseline.run {
        let saved = run.driver_pulling + run.executor_pulling.min(run.registered);
        let driver = baseline.driver.of(baseline.driver.millis - saved);
        let executors = baseline.executors.amount - baseline.executors.pulling;
        return answer(
            baseline,
            NAME,
            driver + executors,
            Some(baseline.span - saved),
            &[NO_PULL, "the first tasks begin earlier by what an executor pulled"],
        );
    }
    answer(
        baseline,
        NAME,
        simple,
        None,
        &[NO_PULL, "each group's life is shorter by that and the same otherwise"],
    )
}

fn on_workers(baseline: &Baseline, records: &[&CostRecord], wishes: &Wishes) -> Vec<Scenario> {
    let usual = || workers::USUAL.iter().map(|name| ((*name).to_owned(), None)).collect();
    let wanted: Vec<(String, Option<i128>)> = if wishes.workers.is_empty() {
        usual()
    } else {
        wishes.workers.clone()
    };
    let own = own_prices(records, wishes);
    let answers = wanted.into_iter().map(|(name, price)| {
        let price = price.or_else(|| own?.instance_type(&name).map(|price| price.0));
        let Some(worker) = WorkerType::named(&name, price, &baseline.prices) else {
            return impossible(format!("all on workers {name}"), "its name does not say what it has: only c, g and r types are known");
        };
        let Some((count, amount)) = worker.bill(records, baseline.span) else {
            return impossible(format!("all on workers {name}"), "a pod does not fit on one");
        };
        let mut all = answer(
            baseline,
            format!("all on {count} × {name}"),
            amount,
            Some(baseline.span),
            &[
                "paid by the second from the first pod's start to the last's end, made and gone at once, and nothing else runs there",
                "the system keeps 0.1 vCPU and 10 % of the memory; pods are packed by what they ask for",
            ],
        );
        all.assumptions.push(format!(
            "one costs {} {} an hour, {}",
            NanoMoney(worker.per_hour),
            baseline.prices.currency.as_str(),
            if worker.is_given { "as given" } else { "ECI's list price of its size: give --worker-price" }
        ));
        all
    });
    answers.collect()
}

fn impossible(name: String, why: &str) -> Scenario {
    Scenario {
        name,
        amount: None,
        difference: None,
        millis: None,
        assumptions: vec![why.to_owned()],
    }
}

/// Sizes that executors fill to the last MiB.
fn exact_sizes(baseline: &Baseline, story: Option<&Story>) -> Vec<Scenario> {
    let Some((asked, bought)) = baseline.size else {
        return Vec::new();
    };
    let settings = story.map(|story| story.settings.clone()).unwrap_or_default();
    let overhead = Overhead::of(&settings);
    let price = |size| baseline.prices.cost(size, 1_000).0;
    let sizes = sizes::neighbours(asked, &baseline.prices).into_iter();
    let answers = sizes.filter(|size| *size != asked).filter_map(|size| {
        let memory = overhead.memory_within(size.memory)?;
        let amount = baseline.executors.amount.saturating_mul(price(size)) / price(bought).max(1);
        let gain = if size == bought {
            format!(
                "the same price as now, with {} instead of {}",
                size.memory, asked.memory
            )
        } else {
            format!("if the executors do with {} instead of {}", size.memory, asked.memory)
        };
        Some(answer(
            baseline,
            format!("executors of {size}: spark.executor.memory={memory}m"),
            baseline.driver.amount + amount,
            Some(baseline.span),
            &[&overhead.words(), &gain, "tasks take as long as they did"],
        ))
    });
    answers.collect()
}

/// Other numbers of executors, other sizes, other batches.
fn other_fleets(baseline: &Baseline, run: &Run, wishes: &Wishes) -> Vec<Scenario> {
    const TASKS: &str =
        "tasks take as long as they did, whoever runs them: no more or less contention, spilling or shuffling";
    let warming = match run.work.warming {
        Some(0) => "executors' first tasks took no longer than later ones, and do not here".to_owned(),
        Some(longer) => {
            format!("executors' first tasks take {longer} ms longer than later ones, as they did (a JVM warms up)")
        }
        None => {
            "tasks take no longer for being an executor's first: there are too few to tell whether they did".to_owned()
        }
    };
    let now = run.fleet.ready.len();
    let bought = baseline.size.map(|size| size.1);
    let cores = wishes.executor_cores.unwrap_or(run.cores).max(1);
    let size = other_size(baseline, run, wishes, cores);
    let batch = wishes.batch_size.unwrap_or(run.batch.0).max(1);
    let mut wanted = wishes.executors.clone();
    if wanted.is_empty() {
        wanted = vec![now.div_ceil(2), now, now + 1, now * 2];
        if cores == run.cores && size == bought && batch == run.batch.0 {
            wanted.retain(|count| *count != now);
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let others = wanted.into_iter().filter(|count| *count > 0).map(|executors| {
        let other = Other {
            executors,
            cores,
            size,
            batch,
        };
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut name = format!(
            "{} of {}",
            plural(executors, "executor"),
            plural(cores as usize, "core")
        );
        if let Some(size) = size {
            name.push_str(&format!(" ({size})"));
        }
        let Some((amount, millis)) = simulated(baseline, run, &other) else {
            return impossible(name, "nothing can run on them");
        };
        let mut one = answer(
            baseline,
            name,
            amount,
            Some(millis),
            &[TASKS, &warming, "all of them from the beginning to the end"],
        );
        if executors > batch || wishes.batch_size.is_some() {
            let delay = run.batch.1;
            one.assumptions.push(format!(
                "{batch} are asked for at a time, {delay} ms apart (spark.kubernetes.allocation.batch.size)"
            ));
        }
        one
    });
    others.collect()
}

fn other_size(baseline: &Baseline, run: &Run, wishes: &Wishes, cores: u32) -> Option<Size> {
    let (asked, bought) = baseline.size?;
    if cores == run.cores && wishes.executor_memory.is_none() {
        return Some(bought);
    }
    let scaled = |now: u64| {
        now.saturating_mul(u64::from(cores))
            .div_ceil(u64::from(run.cores.max(1)))
    };
    let memory = wishes.executor_memory.unwrap_or_else(|| scaled(asked.memory.0));
    provider::sizes::fit(MilliCpu(scaled(asked.cpu.0)), MiB(memory), &baseline.prices)
}

#[cfg(test)]
pub(crate) mod tests;
