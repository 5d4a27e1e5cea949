//! (pure) An application's tasks, run again on other executors: a list scheduler that keeps the order of stages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::warmth::{self, Takes};
use crate::cost::eventlog::{Story, Task};

/// Gaps between tasks of one stage in one slot that are taken for the cost of launching a task.
const LAUNCHING: i64 = 1_000;

/// What is to be done, in the order of submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    stages: Vec<StageWork>,
    /// How much longer executors' first tasks take; none = the log does not tell.
    pub(super) warming: Option<i64>,
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
    tasks: Vec<Takes>,
    /// From its last task's end to its own.
    tail: i64,
}

/// A task that ran.
#[derive(Clone, Copy, Debug)]
struct Ran {
    from: i64,
    to: i64,
    takes: Takes,
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
        let (takes, warming) = warmth::takes(story, &durations);
        let mut order: Vec<usize> = (0..story.stages.len()).collect();
        let mut tasks: Vec<Vec<Ran>> = vec![Vec::new(); story.stages.len()];
        for ((task, duration), takes) in story.tasks.iter().zip(&durations).zip(takes) {
            if let Some(own) = tasks.get_mut(task.stage as usize) {
                own.push(Ran {
                    from: task.launched,
                    to: task.launched + duration,
                    takes,
                });
            }
        }
        tasks
            .iter_mut()
            .for_each(|own| own.sort_by_key(|task| (task.from, task.to)));
        let submitted = |index: usize| {
            let first = tasks[index].first().map(|task| task.from);
            story.stages[index].submitted.or(first)
        };
        let last_end = |index: usize| tasks[index].iter().map(|task| task.to).max();
        let completed = |index: usize| story.stages[index].completed.or(last_end(index));
        order.retain(|index| submitted(*index).is_some());
        order.sort_by_key(|index| (submitted(*index), *index));
        let mut ends: Vec<i64> = tasks.iter().flatten().map(|task| task.to).collect();
        ends.sort_unstable();
        let first_added = story.executors.iter().map(|one| one.added).min().unwrap_or(started);
        let mut stages: Vec<StageWork> = Vec::with_capacity(order.len());
        for (place, index) in order.iter().enumerate() {
            let begun = submitted(*index).unwrap_or(started);
            let over = |(_, other): &(usize, &usize)| completed(**other).is_some_and(|end| end <= begun);
            // Of long histories the last will do: each of them waited for those before it.
            let before = order[..place].iter().enumerate().rev().filter(over).take(256);
            let before: Vec<(usize, &usize)> = before.collect();
            let since = before
                .iter()
                .filter_map(|(_, other)| completed(**other))
                .max()
                .unwrap_or(started);
            let first = tasks[*index].first().map(|task| task.from);
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
                    .filter_map(|(place, _)| u32::try_from(*place).ok())
                    .collect(),
                gap: (begun - since).max(0),
                lead: lead.max(0),
                tasks: tasks[*index].iter().map(|task| task.takes).collect(),
                tail: completed(*index)
                    .zip(last_end(*index))
                    .map_or(0, |(end, last)| (end - last).max(0)),
            });
        }
        let last = order.iter().filter_map(|index| completed(*index)).max();
        Some(Self {
            stages,
            warming,
            tail: (ended - last.unwrap_or(started)).max(0),
        })
    }

    /// How long the application takes on `fleet`, in milliseconds; none on a fleet that can run nothing.
    pub(super) fn run(&self, fleet: &Fleet) -> Option<i64> {
        // Slots (indices of their executors) by when they are free, of equals the first one.
        let mut free: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
        for (executor, (ready, slots)) in fleet.ready.iter().zip(&fleet.slots).enumerate() {
            free.extend((0..*slots).map(|_| Reverse((*ready, executor))));
        }
        // When the first task ends on each of them.
        let mut warm_from: Vec<i64> = vec![i64::MAX; fleet.ready.len()];
        let has_tasks = self.stages.iter().any(|stage| !stage.tasks.is_empty());
        if free.is_empty() && has_tasks {
            return None;
        }
        let mut ends: Vec<i64> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let after = stage.after.iter().filter_map(|other| ends.get(*other as usize)).max();
            let released = after.copied().unwrap_or(0).saturating_add(stage.gap);
            let mut end = released;
            for (number, takes) in stage.tasks.iter().enumerate() {
                let Some(Reverse((at, executor))) = free.pop() else {
                    break;
                };
                let lead = if number == 0 { stage.lead } else { 0 };
                let launched = at.max(released).saturating_add(lead);
                let is_cold = launched < warm_from[executor];
                let over = launched.saturating_add(if is_cold { takes.cold } else { takes.warm });
                warm_from[executor] = warm_from[executor].min(over);
                end = end.max(over);
                free.push(Reverse((over, executor)));
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
    fn own_fleet(story: &Story) -> Fleet {
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
        let again = work.run(&own_fleet(&story)).expect("there are executors");
        assert!((again - really).abs() * 100 < really * 3, "{again} ms, not {really}");
        let one = work
            .run(&fleet(&own_fleet(&story).ready[..1], 1))
            .expect("there is an executor");
        assert!(one > again, "one executor takes longer: {one}");
        assert_eq!(work.run(&fleet(&[], 1)), None);
    }

    #[test]
    fn what_warmed_up_takes_as_long_again() {
        let own = |first, later, count| [vec![(first, 100)], vec![(later, 100); count]].concat();
        let (mut story, _) = warmth::tests::story(&[own(6_500, 510, 6), own(7_100, 503, 5), own(6_050, 520, 7)]);
        story.ended = Some(6_050 + 7 * 520);
        let work = Work::of(&story).expect("started");
        assert_eq!(work.warming, Some(5_990));
        assert_eq!(work.run(&own_fleet(&story)), story.ended);
        // 6050 is what comes first, 18 tasks and the other two without what they took longer.
        let one = work.run(&fleet(&[0], 1)).expect("there is an executor");
        assert_eq!(one, 6_050 + 6 * 510 + 5 * 503 + 7 * 520 + 2 * 510);
    }

    #[test]
    fn fewer_executors_warm_up_less_often() {
        let of = |cold, warm| Takes { cold, warm };
        let mut tasks = vec![of(6_500, 500), of(7_500, 500)];
        tasks.extend([of(6_500, 500); 10]);
        let stage = |tasks| StageWork {
            tasks,
            ..StageWork::default()
        };
        let work = Work {
            stages: vec![stage(tasks), stage(vec![of(6_100, 100)])],
            ..Work::default()
        };
        let on = |ready: &[i64], slots| work.run(&fleet(ready, slots));
        assert_eq!(on(&[0], 1), Some(6_500 + 11 * 500 + 100));
        // The first is warm a second earlier and takes two more.
        assert_eq!(on(&[0, 0], 1), Some(7_500 + 4 * 500 + 100));
        // All slots of an executor are cold until the first task ends there.
        assert_eq!(on(&[0], 2), on(&[0, 0], 1));
        // One that comes late is cold when the other is not any more.
        assert_eq!(on(&[0, 7_000], 1), Some(7_000 + 6_500));
    }

    fn work() -> impl Strategy<Value = Work> {
        let takes = (0_i64..1_000, prop_oneof![Just(0), 0_i64..5_000]).prop_map(|(warm, longer)| Takes {
            cold: warm + longer,
            warm,
        });
        let stage = (prop::collection::vec(takes, 0..20), 0_i64..100, any::<bool>());
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
            warming: None,
            tail,
        })
    }

    proptest! {
        #[test]
        fn nothing_is_quicker_than_its_work_allows(work in work(), executors in 1_usize..6, slots in 1_u32..4) {
            let tasks = || work.stages.iter().flat_map(|stage| &stage.tasks);
            let all: i64 = tasks().map(|task| task.warm).sum();
            let cold: i64 = tasks().map(|task| task.cold).sum();
            let longest = tasks().map(|task| task.warm).max().unwrap_or(0);
            let gaps: i64 = work.stages.iter().map(|stage| stage.gap).sum();
            let took = work.run(&fleet(&vec![0; executors], slots)).expect("there are executors");
            let width = i64::from(slots) * i64::try_from(executors).expect("few");
            prop_assert!(took >= longest && took * width >= all);
            prop_assert!(took <= cold + gaps + work.tail);
        }
    }
}
