use jiff::Timestamp;
use proptest::prelude::*;
use provider::billing::{HourPrice, Rate, SpotTerms, Tariff, Usage};

use super::*;
use crate::cost::eventlog::{Executor, Stage, Task};
use crate::cost::record::tests::record;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).expect("a time")
}

/// A record that is billed between two seconds, at a thousand a second.
fn group(name: &str, role: Role, executor: Option<&str>, (from, started, to): (i64, Option<i64>, i64)) -> CostRecord {
    let mut record = record(name);
    record.role = role;
    record.executor = executor.map(str::to_owned);
    record.billed = Usage::exact(at(from * 1_000), at(to * 1_000));
    record.started = started.map(|started| at(started * 1_000));
    let tariff = Tariff::pay_as_you_go(Rate::per_second(NanoMoney(1_000)));
    record.charge = record.billed.charge(&tariff);
    record.tariff = Some(tariff);
    record
}

fn executor(id: &str, cores: u32, added: i64, removed: Option<i64>) -> Executor {
    Executor {
        id: id.to_owned(),
        cores,
        added,
        removed,
        reason: removed.map_or_else(String::new, |_| "idle".to_owned()),
    }
}

fn task(stage: u32, executor: u32, launched: i64, finished: i64) -> Task {
    Task {
        stage,
        executor,
        launched,
        finished,
        succeeded: true,
        read: 0,
    }
}

fn stage(id: u32, group: &str) -> Stage {
    Stage {
        id,
        group: group.to_owned(),
        ..Stage::default()
    }
}

#[test]
fn a_life_by_the_second() {
    let story = Story {
        id: "spark-1".to_owned(),
        started: Some(15_000),
        ended: Some(60_000),
        last: 60_000,
        executors: vec![executor("1", 2, 30_000, None)],
        stages: vec![
            stage(0, "a"),
            Stage {
                submitted: Some(35_000),
                completed: Some(51_000),
                ..stage(1, "b")
            },
        ],
        // Two at once for five seconds, then one for ten.
        tasks: vec![task(0, 0, 35_000, 40_000), task(1, 0, 35_000, 50_000)],
        ..Story::default()
    };
    let driver = group("driver", Role::Driver, None, (0, Some(10), 62));
    let one = group("one", Role::Executor, Some("1"), (20, Some(25), 63));
    let never = group("two", Role::Executor, Some("2"), (20, Some(25), 63));
    let analysis = analyse(&[&driver, &one, &never], Some(&story));
    let seconds = |group: usize| {
        let phases = analysis.groups[group].phases.iter();
        phases
            .map(|(phase, part)| (phase.as_str(), part.millis / 1_000, part.amount.0 / 1_000))
            .collect::<Vec<_>>()
    };
    let pulling = |seconds| ("pulling", seconds, i128::from(seconds));
    assert_eq!(
        seconds(0),
        [
            pulling(10),
            ("waiting", 5, 5),
            ("winding down", 2, 2),
            ("running", 45, 45)
        ]
    );
    assert_eq!(
        seconds(1),
        [
            pulling(5),
            ("waiting", 5, 5),
            ("idle", 15, 15),
            ("working", 15, 15),
            ("winding down", 3, 3)
        ]
    );
    assert_eq!(seconds(2), [pulling(5), ("waiting", 35, 35), ("winding down", 3, 3)]);
    let of_stage = |index: usize| (analysis.stages[index].amount.0, analysis.stages[index].core_millis);
    // Half of five seconds; the other half, and half of ten.
    assert_eq!(of_stage(0), (2_500, 5_000));
    assert_eq!(of_stage(1), (7_500, 15_000));
    assert_eq!(analysis.overhead.spare_cores, NanoMoney(5_000));
    assert_eq!(analysis.groups[1].busy_core_millis, 20_000);
    assert_eq!(analysis.groups[1].offered_core_millis, 60_000);
    let groups: Vec<_> = analysis
        .job_groups
        .iter()
        .map(|one| (one.group.as_str(), one.amount.0))
        .collect();
    assert_eq!(groups, [("a", 2_500), ("b", 7_500)]);
    // All three groups are paid from 35 to 51 s, while b runs; the clock of a is not known.
    let meanwhile = |index: usize| analysis.job_groups[index].meanwhile;
    let all = Meanwhile {
        millis: 16_000,
        amount: NanoMoney(3 * 16_000),
    };
    assert_eq!((meanwhile(0), meanwhile(1)), (None, Some(all)));
    let lines = csv_lines(&analysis, "CNY");
    let ends: Vec<_> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("job group,"))
        .collect();
    assert!(
        ends[0].ends_with(",,") && ends[1].ends_with(",0.000048000,16000"),
        "{lines}"
    );
}

#[test]
fn without_an_event_log_there_is_pulling_and_running() {
    let one = group("one", Role::Executor, Some("1"), (20, Some(25), 63));
    let analysis = analyse(&[&one], None);
    let phases: Vec<_> = analysis
        .phases
        .iter()
        .map(|(phase, part)| (*phase, part.amount.0))
        .collect();
    assert_eq!(phases, [(Phase::Pulling, 5_000), (Phase::Running, 38_000)]);
    assert_eq!(analysis.overhead.unknown, NanoMoney(38_000));
}

#[test]
fn where_the_log_breaks_off_nothing_is_known() {
    let story = Story {
        started: Some(15_000),
        last: 40_000,
        executors: vec![executor("1", 1, 30_000, None), executor("2", 1, 30_000, Some(35_000))],
        ..Story::default()
    };
    let one = group("one", Role::Executor, Some("1"), (20, Some(25), 63));
    let two = group("two", Role::Executor, Some("2"), (20, Some(25), 36));
    let analysis = analyse(&[&one, &two], Some(&story));
    let last = |group: usize| {
        analysis.groups[group]
            .spans
            .last()
            .map(|span| (span.phase, span.to - span.from))
    };
    assert_eq!(last(0), Some((Phase::Running, 23_000)));
    assert_eq!(last(1), Some((Phase::WindingDown, 1_000)));
    assert_eq!(analysis.groups[1].removed, "idle");
}

fn any_record() -> impl Strategy<Value = CostRecord> {
    let times = (0_i64..10_000, prop::option::of(0_i64..12_000), 0_i64..12_000);
    let spot = prop::option::of((
        0_i64..9_000,
        prop::collection::vec(prop::option::of(1_i128..5_000_000), 4),
    ));
    (0_usize..5, times, 1_i128..10_000, spot, any::<bool>()).prop_map(|(who, times, price, spot, priced)| {
        let (role, id) = match who {
            0 => (Role::Driver, None),
            4 => (Role::Pod, None),
            id => (Role::Executor, Some(id.to_string())),
        };
        let mut record = group("g", role, id.as_deref(), times);
        let tariff = Tariff {
            list: Rate::per_second(NanoMoney(price)),
            spot: spot.map(|(created, hours)| SpotTerms {
                created: at(created * 1_000),
                protected_hours: 0,
                hours: (0..)
                    .zip(hours)
                    .filter_map(|(hour, price)| {
                        let rate = Rate::per_hour(NanoMoney(price?));
                        Some(HourPrice { hour, rate })
                    })
                    .collect(),
            }),
        };
        record.charge = record.billed.charge(&tariff);
        record.tariff = priced.then_some(tariff);
        record
    })
}

fn any_story() -> impl Strategy<Value = Story> {
    let time = || 0_i64..12_000_000;
    let executors = prop::collection::vec((1_u32..5, time(), prop::option::of(time())), 3);
    let tasks = prop::collection::vec((0_u32..4, 0_u32..4, time(), 0_i64..2_000_000), 0..40);
    (
        executors,
        tasks,
        prop::option::of(time()),
        prop::option::of(time()),
        time(),
    )
        .prop_map(|(executors, tasks, started, ended, last)| Story {
            started,
            ended,
            last,
            executors: (1..)
                .zip(executors)
                .map(|(id, (cores, added, removed))| executor(&format!("{id}"), cores, added, removed))
                .collect(),
            stages: (0..3).map(|id| stage(id, if id == 2 { "" } else { "g" })).collect(),
            tasks: tasks
                .into_iter()
                .map(|(stage, executor, from, millis)| task(stage, executor, from, from + millis))
                .collect(),
            ..Story::default()
        })
}

proptest! {
    #[test]
    fn parts_add_up_to_the_whole(records in prop::collection::vec(any_record(), 0..6), story in prop::option::of(any_story())) {
        let records: Vec<&CostRecord> = records.iter().collect();
        let analysis = analyse(&records, story.as_ref());
        let total: NanoMoney = records.iter().map(|record| record.charge.amount).sum();
        prop_assert_eq!(analysis.total, total);
        let phases: NanoMoney = analysis.phases.values().map(|part| part.amount).sum();
        prop_assert_eq!(phases, total);
        let stages: NanoMoney = analysis.stages.iter().map(|stage| stage.amount).sum();
        let overhead: NanoMoney = analysis.overhead.parts().iter().map(|part| part.1).sum();
        prop_assert_eq!(stages + overhead, total);
        let groups: NanoMoney = analysis.job_groups.iter().map(|group| group.amount).sum();
        prop_assert_eq!(groups, stages);
        for (group, record) in analysis.groups.iter().zip(&records) {
            let (start, end) = record.billed.likely();
            let own: NanoMoney = group.phases.values().map(|part| part.amount).sum();
            prop_assert_eq!(own, record.charge.amount);
            let millis: i64 = group.phases.values().map(|part| part.millis).sum();
            prop_assert_eq!(millis, end.as_millisecond() - start.as_millisecond());
            prop_assert!(group.phases.values().all(|part| part.amount >= NanoMoney(0) && part.millis >= 0));
            // Stretches follow one another without a gap.
            let mut at = start.as_millisecond();
            for span in &group.spans {
                prop_assert_eq!(span.from, at);
                prop_assert!(span.to > span.from);
                at = span.to;
            }
            prop_assert_eq!(at, end.as_millisecond());
            prop_assert!(group.busy_core_millis <= group.offered_core_millis);
        }
    }
}
