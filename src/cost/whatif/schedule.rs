//! (pure) An application's tasks, run again on other executors: a list scheduler that keeps the order of stages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::cost::eventlog::{Story, Task};

/// Gaps between tasks of one stage in one slot that are taken for the cost of launching a task.
const LAUNCHING: i64 = 1_000;

/// What is to be done, in the order of submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    stages: Vec<StageWork>,
    /// From the end of the last stage to the application's end.
    tail: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StageWork {
    /// Stages (indices) that were over before it was submitted.
    after: Vec<u32>,
    /// From the end of the last of them, or the application's start, to its submission.
    gap: i64,
    /// From its submission, or a free slot, to its first task.
    lead: i64,
    /// What its tasks take, in the order of their launch.
    tasks: Vec<i64>,
    /// From its last task's end to its own.
    tail: i64,
}

/// Executors that it is run on; times are milliseconds since the application's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fleet {
    /// When each of them registers.
    pub(super) ready: Vec<i64>,
    /// Tasks that each of them runs at once.
    pub(super) slots: Vec<u32>,
}

impl Work {
    /// What was done in `story`; none where nothing was.
    pub(super) fn of(story: &Story) -> Option<Self> {
        let started = story.started?;
        let ended = story.ended.unwrap_or(story.last);
        let durations = durations(story);
        let mut order: Vec<usize> = (0..story.stages.len()).collect();
        let mut tasks: Vec<Vec<(i64, i64, i64)>> = vec![Vec::new(); story.stages.len()];
        for (task, duration) in story.tasks.iter().zip(&durations) {
            if let Some(own) = tasks.get_mut(task.stage as usize) {
                own.push((task.launched, *duration, task.launched + duration));
            }
        }
        tasks.iter_mut().for_each(|own| own.sort_unstable());
        let submitted = |index: usize| {
            let first = tasks[index].first().map(|task| task.0);
            story.stages[index].submitted.or(first)
        };
        let last_end = |index: usize| tasks[index].iter().map(|task| task.2).max();
        let completed = |index: usize| story.stages[index].completed.or(last_end(index));
        order.retain(|index| submitted(*index).is_some());
        order.sort_by_key(|index| (submitted(*index), *index));
        let mut ends: Vec<i64> = tasks.iter().flatten().map(|task| task.2).collect();
        ends.sort_unstable();
        let first_added = story.executors.iter().map(|one| one.added).min().unwrap_or(started);
        let mut stages: Vec<StageWork> = Vec::with_capacity(order.len());
        for (place, index) in order.iter().enumerate() {
            let begun = submitted(*index).unwrap_or(started);
            let over = |other: &&usize| completed(**other).is_some_and(|end| end <= begun);
            // Of long histories the last will do: each of them waited for those before it.
            let before = order[..place].iter().rev().filter(over).take(256);
            let before: Vec<usize> = before.copied().collect();
            let since = before
                .iter()
                .filter_map(|other| completed(*other))
                .max()
                .unwrap_or(started);
            let first = tasks[*index].first().map(|task| task.0);
            let lead = first.map_or(0, |first| {
                let freed = ends
                    .partition_point(|end| *end <= first)
                    .checked_sub(1)
                    .map(|last| ends[last]);
                first - begun.max(first_added).max(freed.unwrap_or(begun))
            });
            stages.push(StageWork {
                after: before
                    .iter()
                    .filter_map(|other| order.iter().position(|one| one == other))
                    .filter_map(|place| u32::try_from(place).ok())
                    .collect(),
                gap: (begun - since).max(0),
                lead: lead.max(0),
                tasks: tasks[*index].iter().map(|task| task.1).collect(),
                tail: completed(*index)
                    .zip(last_end(*index))
                    .map_or(0, |(end, last)| (end - last).max(0)),
            });
        }
        let last = order.iter().filter_map(|index| completed(*index)).max();
        Some(Self {
            stages,
            tail: (ended - last.unwrap_or(started)).max(0),
        })
    }

    /// How long the application takes on `fleet`, in milliseconds; none on a fleet that can run nothing.
    pub(super) fn run(&self, fleet: &Fleet) -> Option<i64> {
        // Slots by when they are free, of equals the first one.
        let mut free: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
        for (ready, slots) in fleet.ready.iter().zip(&fleet.slots) {
            for _ in 0..*slots {
                free.push(Reverse((*ready, free.len())));
            }
        }
        let has_tasks = self.stages.iter().any(|stage| !stage.tasks.is_empty());
        if free.is_empty() && has_tasks {
            return None;
        }
        let mut ends: Vec<i64> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let after = stage.after.iter().filter_map(|other| ends.get(*other as usize)).max();
            let released = after.copied().unwrap_or(0).saturating_add(stage.gap);
            let mut end = released;
            for (number, duration) in stage.tasks.iter().enumerate() {
                let Some(Reverse((at, slot))) = free.pop() else {
                    break;
                };
                let lead = if number == 0 { stage.lead } else { 0 };
                let over = at.max(released).saturating_add(lead).saturating_add(*duration);
                end = end.max(over);
                free.push(Reverse((over, slot)));
            }
            ends.push(end.saturating_add(stage.tail));
        }
        Some(ends.iter().max().copied().unwrap_or(0).saturating_add(self.tail))
    }
}

/// What each task kept its slot for. The driver hears of a task's end later than its executor, which has begun the next one by
/// then: a task takes at most until the next one is launched in its slot, and until then if that is soon.
fn durations(story: &Story) -> Vec<i64> {
    let cpus = story.settings.task_cpus();
    let mut durations: Vec<i64> = story.tasks.iter().map(|task| task.finished - task.launched).collect();
    let mut by_executor: Vec<Vec<usize>> = vec![Vec::new(); story.executors.len()];
    for (index, task) in story.tasks.iter().enumerate() {
        if let Some(own) = by_executor.get_mut(task.executor as usize) {
            own.push(index);
        }
    }
    for (own, executor) in by_executor.iter_mut().zip(&story.executors) {
        own.sort_by_key(|index| (story.tasks[*index].launched, *index));
        let slots = (executor.cores / cpus).max(1) as usize;
        let mut running: Vec<usize> = Vec::with_capacity(slots);
        for index in own.iter().copied() {
            let next: &Task = &story.tasks[index];
            if running.len() >= slots {
                // It takes the slot of the one that ended first.
                let first = (0..running.len()).min_by_key(|place| story.tasks[running[*place]].finished);
                if let Some(place) = first {
                    let before = running.swap_remove(place);
                    let until = next.launched - story.tasks[before].launched;
                    let gap = next.launched - story.tasks[before].finished;
                    if gap < 0 || (gap < LAUNCHING && story.tasks[before].stage == next.stage) {
                        durations[before] = until;
                    }
                }
            }
            running.push(index);
        }
    }
    durations.iter_mut().for_each(|duration| *duration = (*duration).max(0));
    durations
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cost::eventlog::tests::golden_story;

    fn fleet(ready: &[i64], slots: u32) -> Fleet {
        Fleet {
            ready: ready.to_vec(),
            slots: vec![slots; ready.len()],
        }
    }

    /// The fleet that a story ran on.
    fn own(story: &Story) -> Fleet {
        let started = story.started.expect("started");
        Fleet {
            ready: story.executors.iter().map(|one| one.added - started).collect(),
            slots: story.executors.iter().map(|one| one.cores).collect(),
        }
    }

    #[test]
    fn what_ran_takes_as_long_again() {
        let story = golden_story();
        let work = Work::of(&story).expect("started");
        let really = story.ended.expect("ended") - story.started.expect("started");
        let again = work.run(&own(&story)).expect("there are executors");
        assert!((again - really).abs() * 100 < really * 3, "{again} ms, not {really}");
        let one = work
            .run(&fleet(&own(&story).ready[..1], 1))
            .expect("there is an executor");
        assert!(one > again, "one executor takes longer: {one}");
        assert_eq!(work.run(&fleet(&[], 1)), None);
    }

    fn work() -> impl Strategy<Value = Work> {
        let stage = (prop::collection::vec(0_i64..1_000, 0..20), 0_i64..100, any::<bool>());
        (prop::collection::vec(stage, 0..8), 0_i64..100).prop_map(|(stages, tail)| Work {
            stages: (0_u32..)
                .zip(stages)
                .map(|(index, (tasks, gap, waits))| StageWork {
                    after: if waits { (0..index).collect() } else { Vec::new() },
                    gap,
                    tasks,
                    ..StageWork::default()
                })
                .collect(),
            tail,
        })
    }

    proptest! {
        #[test]
        fn nothing_is_quicker_than_its_work_allows(work in work(), executors in 1_usize..6, slots in 1_u32..4) {
            let all: i64 = work.stages.iter().flat_map(|stage| &stage.tasks).sum();
            let longest = work.stages.iter().flat_map(|stage| &stage.tasks).max().copied().unwrap_or(0);
            let gaps: i64 = work.stages.iter().map(|stage| stage.gap).sum();
            let took = work.run(&fleet(&vec![0; executors], slots)).expect("there are executors");
            let width = i64::from(slots) * i64::try_from(executors).expect("few");
            prop_assert!(took >= longest && took * width >= all);
            prop_assert!(took <= all + gaps + work.tail);
        }
    }
}
