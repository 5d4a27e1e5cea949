//! (pure) A JVM's warming up: an executor's first tasks load classes, open connections and run code that is not compiled yet, and so
//! take longer than the same work does later. Fewer executors do that less often than more of them.
//!
//! How much longer is read from the log alone, and within stages, whose tasks do the same: those that an executor began before it
//! had ended any are held against what later ones of the same size took.

use crate::cost::eventlog::{Story, Task};

/// Later tasks of a stage, without which there is nothing to hold its first ones against.
const FEWEST: usize = 4;
/// Fractions of a millisecond, as bytes are many.
const FINE: u32 = 40;

/// What a task takes, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Takes {
    /// On an executor that has not ended any yet.
    pub(super) cold: i64,
    /// On any other; never more.
    pub(super) warm: i64,
}

/// What each task of `story` took, by `durations`, and would have taken later or earlier in its executor's life; and how much longer
/// executors' first tasks usually took: none where the log has too few others to tell.
pub(super) fn takes(story: &Story, durations: &[i64]) -> (Vec<Takes>, Option<i64>) {
    let first = first_ones(story, durations);
    let mut longer: Vec<Option<i64>> = vec![None; story.tasks.len()];
    for own in by_stage(story) {
        let (early, later): (Vec<usize>, Vec<usize>) = own.into_iter().partition(|index| first[*index]);
        if early.is_empty() || later.len() < FEWEST {
            continue;
        }
        let later: Vec<(i64, u64)> = later
            .iter()
            .map(|index| (durations[*index], story.tasks[*index].read))
            .collect();
        let usual = Usual::of(&later);
        // Later tasks waver too: what one in ten of them is beyond the usual as well, is no warming up.
        let mut beyond: Vec<i64> = later.iter().map(|task| usual.beyond(*task)).collect();
        beyond.sort_unstable();
        let wavers = beyond[(beyond.len() * 9).div_ceil(10) - 1].max(0);
        for index in early {
            let beyond = usual.beyond((durations[index], story.tasks[index].read));
            longer[index] = Some(if beyond > wavers { beyond } else { 0 });
        }
    }
    let warming = median(longer.iter().flatten().copied().collect());
    let takes = durations
        .iter()
        .zip(&first)
        .zip(&longer)
        .map(|((took, first), longer)| {
            let (took, longer) = (*took, longer.filter(|_| warming > Some(0)).unwrap_or(0));
            match first {
                true => Takes {
                    cold: took,
                    warm: (took - longer).max(0),
                },
                false => Takes {
                    cold: took.saturating_add(warming.unwrap_or(0)),
                    warm: took,
                },
            }
        });
    (takes.collect(), warming)
}

/// Which tasks began before their executor had ended any.
fn first_ones(story: &Story, durations: &[i64]) -> Vec<bool> {
    let mut warm_from: Vec<i64> = vec![i64::MAX; story.executors.len()];
    let executor = |task: &Task| task.executor as usize;
    for (task, took) in story.tasks.iter().zip(durations) {
        if let Some(from) = warm_from.get_mut(executor(task)) {
            *from = (*from).min(task.launched.saturating_add(*took));
        }
    }
    let began_before = |task: &Task| warm_from.get(executor(task)).is_some_and(|from| task.launched < *from);
    story.tasks.iter().map(began_before).collect()
}

/// Tasks (indices) of each stage that did what they were to do.
fn by_stage(story: &Story) -> Vec<Vec<usize>> {
    let mut stages: Vec<Vec<usize>> = vec![Vec::new(); story.stages.len()];
    for (index, task) in story.tasks.iter().enumerate().filter(|(_, task)| task.succeeded) {
        if let Some(own) = stages.get_mut(task.stage as usize) {
            own.push(index);
        }
    }
    stages
}

/// What later tasks of a stage take.
struct Usual {
    millis: i64,
    /// For each byte that one reads, where all read some; Spark begins with the largest parts.
    per_byte: Option<i128>,
}

impl Usual {
    /// That of tasks that took so long and read so much.
    fn of(tasks: &[(i64, u64)]) -> Self {
        let rates: Option<Vec<i128>> = tasks
            .iter()
            .map(|(took, read)| (i128::from(*took) << FINE).checked_div(i128::from(*read)))
            .collect();
        Self {
            millis: median(tasks.iter().map(|task| task.0).collect()).unwrap_or(0),
            per_byte: rates.and_then(median),
        }
    }

    /// How much longer than these, or than its size lets expect, one took.
    fn beyond(&self, (took, read): (i64, u64)) -> i64 {
        let by_size = self
            .per_byte
            .map_or(0, |rate| rate.saturating_mul(i128::from(read)) >> FINE);
        let by_size = i64::try_from(by_size).unwrap_or(i64::MAX);
        took.saturating_sub(by_size.max(self.millis))
    }
}

/// The lower one of two.
fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    values.get(last / 2).copied()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cost::eventlog::{Executor, Stage};

    /// Executors with one core each that run tasks of one stage, one after the other: what each took, and read.
    pub(in crate::cost::whatif) fn story(executors: &[Vec<(i64, u64)>]) -> (Story, Vec<i64>) {
        let mut story = Story {
            started: Some(0),
            stages: vec![Stage::default()],
            ..Story::default()
        };
        for (number, own) in (0_u32..).zip(executors) {
            story.executors.push(Executor {
                id: number.to_string(),
                cores: 1,
                added: 0,
                removed: None,
                reason: String::new(),
            });
            let mut launched = 0;
            for (took, read) in own {
                story.tasks.push(Task {
                    stage: 0,
                    executor: number,
                    launched,
                    finished: launched + took,
                    succeeded: true,
                    read: *read,
                });
                launched += took;
            }
        }
        let durations = story.tasks.iter().map(|task| task.finished - task.launched).collect();
        (story, durations)
    }

    #[test]
    fn what_first_tasks_took_longer_is_seen() {
        let own = |first| vec![(first, 100), (500, 100), (510, 100), (490, 100), (500, 100)];
        let (story, durations) = story(&[own(6_500), own(7_500)]);
        let (takes, warming) = takes(&story, &durations);
        assert_eq!(warming, Some(6_000));
        let of = |cold, warm| Takes { cold, warm };
        assert_eq!((takes[0], takes[5]), (of(6_500, 500), of(7_500, 500)));
        assert_eq!((takes[1], takes[2]), (of(6_500, 500), of(6_510, 510)));
    }

    #[test]
    fn one_that_read_more_is_no_colder() {
        let (mut story, durations) = story(&[vec![(5_000, 1_000), (500, 100), (510, 100), (490, 100), (500, 100)]]);
        assert_eq!(takes(&story, &durations).1, Some(0));
        // Where nobody knows what they read, it may be that.
        story.tasks.iter_mut().for_each(|task| task.read = 0);
        assert_eq!(takes(&story, &durations).1, Some(4_500));
    }

    #[test]
    fn few_tasks_tell_nothing() {
        let (story, durations) = story(&[vec![(6_500, 0), (500, 0), (500, 0), (500, 0)]]);
        let (takes, warming) = takes(&story, &durations);
        assert_eq!(warming, None);
        let same = |(takes, took): (&Takes, &i64)| takes.cold == *took && takes.warm == *took;
        assert!(takes.iter().zip(&durations).all(same));
    }

    fn executors() -> impl Strategy<Value = Vec<Vec<(i64, u64)>>> {
        let task = (0_i64..10_000, 0_u64..1 << 30);
        prop::collection::vec(prop::collection::vec(task, 0..12), 0..5)
    }

    proptest! {
        #[test]
        fn what_was_seen_is_kept_and_cold_is_never_quicker(executors in executors()) {
            let (story, durations) = story(&executors);
            let first = first_ones(&story, &durations);
            let (takes, warming) = takes(&story, &durations);
            for ((takes, took), first) in takes.iter().zip(&durations).zip(first) {
                prop_assert_eq!(if first { takes.cold } else { takes.warm }, *took);
                prop_assert!(0 <= takes.warm && takes.warm <= takes.cold);
                prop_assert!(warming > Some(0) || takes.warm == takes.cold);
            }
        }

        #[test]
        fn sizes_alone_are_no_warming_up(sizes in prop::collection::vec(prop::collection::vec(1_u64..10_000, 0..12), 0..5)) {
            let mut all: Vec<Vec<(i64, u64)>> = sizes
                .iter()
                .map(|own| own.iter().map(|read| (i64::try_from(*read).expect("small"), *read << 10)).collect())
                .collect();
            // As Spark does it, the largest first.
            all.iter_mut().for_each(|own: &mut Vec<(i64, u64)>| own.sort_unstable_by(|a, b| b.cmp(a)));
            let (story, durations) = story(&all);
            prop_assert!(takes(&story, &durations).1.unwrap_or(0) == 0);
        }
    }
}
