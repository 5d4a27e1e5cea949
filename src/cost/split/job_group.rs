//! (pure) What job groups cost, such as queries: their stages, and all that was paid while they ran.

use std::collections::HashMap;

use jiff::Timestamp;
use provider::units::NanoMoney;
use serde::Serialize;

use super::StageCost;
use crate::cost::eventlog::Story;
use crate::cost::record::CostRecord;

/// What the stages of a job group cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobGroupCost {
    /// Its name; empty = stages without one.
    pub group: String,
    /// What it says of itself.
    pub description: String,
    /// Attempts of stages.
    pub stages: usize,
    /// Milliseconds of cores that were paid for it.
    pub core_millis: i64,
    /// Paid for it.
    pub amount: NanoMoney,
    /// From the submission of its first stage to the end of its last; none of stages without a group, which can be anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<Meanwhile>,
}

/// A time, and what it cost with all that others did, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meanwhile {
    /// Milliseconds.
    pub millis: i64,
    /// Paid for all of the application: it is counted twice where job groups run side by side.
    pub amount: NanoMoney,
}

/// Job groups of `stages`, which are those of `story`, in the order of their first stage.
pub(super) fn job_groups(stages: &[StageCost], story: Option<&Story>, records: &[&CostRecord]) -> Vec<JobGroupCost> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(JobGroupCost, Option<(i64, i64)>)> = Vec::new();
    let told = story.map_or(&[][..], |story| story.stages.as_slice());
    for (stage, told) in stages.iter().zip(told) {
        let place = *places.entry(stage.group.as_str()).or_insert_with(|| {
            let description = Some(&told.description).filter(|_| !stage.group.is_empty());
            let group = JobGroupCost {
                group: stage.group.clone(),
                description: description.cloned().unwrap_or_default(),
                ..JobGroupCost::default()
            };
            groups.push((group, None));
            groups.len() - 1
        });
        let (group, times) = &mut groups[place];
        group.stages += 1;
        group.core_millis = group.core_millis.saturating_add(stage.core_millis);
        group.amount += stage.amount;
        if let Some((from, to)) = told.submitted.zip(told.completed) {
            let (first, last) = times.unwrap_or((from, to));
            *times = Some((first.min(from), last.max(to)));
        }
    }
    let named = |(mut group, times): (JobGroupCost, Option<(i64, i64)>)| {
        let times = times.filter(|_| !group.group.is_empty());
        group.meanwhile = times.and_then(|times| meanwhile(records, times));
        group
    };
    groups.into_iter().map(named).collect()
}

fn meanwhile(records: &[&CostRecord], (from, to): (i64, i64)) -> Option<Meanwhile> {
    let at = |millis| Timestamp::from_millisecond(millis).ok();
    let (start, end) = (at(from)?, at(to)?);
    let due = |record: &&CostRecord| Some(record.billed.part(record.tariff.as_ref()?, start, end));
    Some(Meanwhile {
        millis: to - from,
        amount: records.iter().filter_map(due).sum(),
    })
}
