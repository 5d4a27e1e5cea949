//! (pure) An application's bill split by what the money went into: phases of each group, stages, job groups.
//!
//! ```text
//! records ─┬─► phase (each group's life) ──► Analysis (phases, stages, job groups, what is no stage's)
//! story ───┘         └── share (parts that add up)
//! ```
//!
//! # Guarantees
//! - Parts add up to the whole exactly: phases of a group to its charge, stages with all that is no stage's to the total.
//! - A moment of an executor with C cores is paid by core: each running task takes its share, cores without a task are `spare`.

mod job_group;
mod phase;
mod share;
mod text;

use std::collections::{BTreeMap, HashMap};

use provider::units::NanoMoney;
use serde::Serialize;

use job_group::job_groups;
pub use job_group::{JobGroupCost, Meanwhile};
use phase::{Bucket, Life, life};
pub use phase::{Phase, Span};
pub(super) use text::{cores, extent, prevailing, stage_name, who};
pub use text::{csv_lines, text};

use crate::cost::application::Role;
use crate::cost::eventlog::Story;
use crate::cost::record::CostRecord;

/// Time and money of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Milliseconds that were paid.
    pub millis: i64,
    /// Paid for them.
    pub amount: NanoMoney,
}

impl Part {
    fn add(&mut self, other: Self) {
        self.millis = self.millis.saturating_add(other.millis);
        self.amount += other.amount;
    }
}

/// One group's part of the bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupSplit {
    /// Id of the group.
    pub group: String,
    /// Name of the pod.
    pub pod: String,
    /// Its part in the application.
    pub role: Role,
    /// Spark's number of the executor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// All of it.
    pub total: NanoMoney,
    /// What it went into; the amounts are the total.
    pub phases: BTreeMap<Phase, Part>,
    /// Of working: paid for cores that had no task.
    pub spare_cores: NanoMoney,
    /// Milliseconds of cores with a task.
    pub busy_core_millis: i64,
    /// Milliseconds of cores while Spark had the executor.
    pub offered_core_millis: i64,
    /// Why Spark gave it up, in Spark's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub removed: String,
    /// Its life, stretch by stretch.
    #[serde(skip)]
    pub spans: Vec<Span>,
}

/// What an attempt of a stage cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageCost {
    /// Number of the stage.
    pub id: u32,
    /// Number of the attempt.
    pub attempt: u32,
    /// What Spark calls it.
    pub name: String,
    /// Job group; empty = none.
    pub group: String,
    /// Whether it failed.
    pub failed: bool,
    /// Tasks that ran.
    pub tasks: usize,
    /// Milliseconds of cores that were paid for it.
    pub core_millis: i64,
    /// Milliseconds that its tasks ran, as executors measured them.
    pub run_millis: i64,
    /// Milliseconds from its submission to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<i64>,
    /// Paid for it.
    pub amount: NanoMoney,
}

/// What is no stage's; with the stages it is the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overhead {
    /// Drivers, and pods that are no executors.
    pub driver: NanoMoney,
    /// Executors: pulling.
    pub pulling: NanoMoney,
    /// Executors: waiting.
    pub waiting: NanoMoney,
    /// Executors: idle.
    pub idle: NanoMoney,
    /// Executors: cores without a task while others had one.
    pub spare_cores: NanoMoney,
    /// Executors: winding down.
    pub winding_down: NanoMoney,
    /// Executors: time of which no event log tells.
    pub unknown: NanoMoney,
}

impl Overhead {
    /// Its parts with their names.
    pub fn parts(&self) -> [(&'static str, NanoMoney); 7] {
        [
            ("driver", self.driver),
            ("executors pulling", self.pulling),
            ("executors waiting", self.waiting),
            ("executors idle", self.idle),
            ("spare cores", self.spare_cores),
            ("executors winding down", self.winding_down),
            ("executors not known", self.unknown),
        ]
    }
}

/// The event log that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFacts {
    /// Milliseconds from the application's start to its end, or to where the log breaks off.
    pub millis: i64,
    /// Executors that registered.
    pub executors: usize,
    /// Of those, how many Spark decommissioned.
    pub decommissioned: usize,
    /// Runs of tasks.
    pub tasks: usize,
    /// Why it is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_off: Option<String>,
    /// Lines that could not be read.
    pub unreadable: u64,
}

/// An application's bill, split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// The event log, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_log: Option<LogFacts>,
    /// All of it.
    pub total: NanoMoney,
    /// What it went into.
    pub phases: BTreeMap<Phase, Part>,
    /// Each group's part.
    pub groups: Vec<GroupSplit>,
    /// Stages, in the order of their submission.
    pub stages: Vec<StageCost>,
    /// Job groups, in the order of their first stage.
    pub job_groups: Vec<JobGroupCost>,
    /// What is no stage's.
    pub overhead: Overhead,
}

/// Splits the bill that `records`, of one application and one currency, make up.
pub fn analyse(records: &[&CostRecord], story: Option<&Story>) -> Analysis {
    let mut tasks: HashMap<&str, Vec<(u32, i64, i64)>> = HashMap::new();
    let mut runs: Vec<usize> = vec![0; story.map_or(0, |story| story.stages.len())];
    for (story, task) in story
        .iter()
        .flat_map(|story| story.tasks.iter().map(move |task| (story, task)))
    {
        if let Some(executor) = story.executors.get(task.executor as usize) {
            let own = tasks.entry(executor.id.as_str()).or_default();
            own.push((task.stage, task.launched, task.finished));
        }
        if let Some(count) = runs.get_mut(task.stage as usize) {
            *count += 1;
        }
    }
    let mut analysis = Analysis {
        event_log: story.map(facts),
        total: records.iter().map(|record| record.charge.amount).sum(),
        phases: BTreeMap::new(),
        groups: Vec::with_capacity(records.len()),
        stages: story.map_or_else(Vec::new, |story| stages(story, &runs)),
        job_groups: Vec::new(),
        overhead: Overhead::default(),
    };
    for record in records {
        let own = record.executor.as_deref().filter(|_| record.role == Role::Executor);
        let own = own.and_then(|id| tasks.get(id)).map_or(&[][..], Vec::as_slice);
        let life = life(record, story, own);
        book(&mut analysis, record, &life);
        let removed = own_reason(record, story);
        let group = group_split(record, life, removed);
        for (phase, part) in &group.phases {
            analysis.phases.entry(*phase).or_default().add(*part);
        }
        analysis.groups.push(group);
    }
    analysis.job_groups = job_groups(&analysis.stages, story, records);
    analysis
}

/// Adds a group's money to the stages and to what is none of theirs.
fn book(analysis: &mut Analysis, record: &CostRecord, life: &Life) {
    let overhead = &mut analysis.overhead;
    for (bucket, amount) in &life.money {
        let amount = NanoMoney(*amount);
        let part = match bucket {
            Bucket::Stage(index) => match analysis.stages.get_mut(*index as usize) {
                Some(stage) => &mut stage.amount,
                None => &mut overhead.unknown,
            },
            _ if record.role != Role::Executor => &mut overhead.driver,
            Bucket::SpareCores => &mut overhead.spare_cores,
            Bucket::Phase(Phase::Pulling) => &mut overhead.pulling,
            Bucket::Phase(Phase::Waiting) => &mut overhead.waiting,
            Bucket::Phase(Phase::Idle) => &mut overhead.idle,
            Bucket::Phase(Phase::WindingDown) => &mut overhead.winding_down,
            Bucket::Phase(Phase::Running | Phase::Working) => &mut overhead.unknown,
        };
        *part += amount;
    }
    for (index, millis) in &life.core_millis {
        if let Some(stage) = analysis.stages.get_mut(*index as usize) {
            stage.core_millis = stage.core_millis.saturating_add(*millis);
        }
    }
}

fn group_split(record: &CostRecord, life: Life, removed: String) -> GroupSplit {
    let mut phases: BTreeMap<Phase, Part> = BTreeMap::new();
    for (phase, millis) in &life.millis {
        phases.entry(*phase).or_default().millis = *millis;
    }
    for (bucket, amount) in &life.money {
        let phase = match bucket {
            Bucket::Phase(phase) => *phase,
            Bucket::Stage(_) | Bucket::SpareCores => Phase::Working,
        };
        phases.entry(phase).or_default().amount += NanoMoney(*amount);
    }
    let spare = life.money.get(&Bucket::SpareCores).copied().unwrap_or_default();
    GroupSplit {
        group: record.group.clone(),
        pod: record.pod.clone(),
        role: record.role,
        executor: record.executor.clone(),
        total: record.charge.amount,
        phases,
        spare_cores: NanoMoney(spare),
        busy_core_millis: life.core_millis.values().sum(),
        offered_core_millis: life.offered_core_millis,
        removed,
        spans: life.spans,
    }
}

fn own_reason(record: &CostRecord, story: Option<&Story>) -> String {
    let own = story.and_then(|story| {
        let id = record.executor.as_deref()?;
        story.executors.iter().find(|executor| executor.id == id)
    });
    own.map(|executor| executor.reason.clone()).unwrap_or_default()
}

fn facts(story: &Story) -> LogFacts {
    let end = story.ended.unwrap_or(story.last);
    LogFacts {
        millis: end - story.started.unwrap_or(end),
        executors: story.executors.len(),
        decommissioned: story.executors.iter().filter(|one| one.is_decommissioned()).count(),
        tasks: story.tasks.len(),
        broken_off: story.broken_off.clone(),
        unreadable: story.unreadable,
    }
}

fn stages(story: &Story, runs: &[usize]) -> Vec<StageCost> {
    let stages = story.stages.iter().zip(runs);
    stages
        .map(|(stage, tasks)| StageCost {
            id: stage.id,
            attempt: stage.attempt,
            name: stage.name.clone(),
            group: stage.group.clone(),
            failed: stage.failed,
            tasks: *tasks,
            core_millis: 0,
            run_millis: stage.run_ms,
            millis: stage.completed.zip(stage.submitted).map(|(to, from)| to - from),
            amount: NanoMoney::default(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
