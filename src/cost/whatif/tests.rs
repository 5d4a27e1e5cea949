use jiff::Timestamp;
use proptest::prelude::*;
use provider::billing::{Rate, Tariff, Usage};

use super::*;
use crate::cost::application::Role;
use crate::cost::eventlog::tests::golden_story;
use crate::cost::record::tests::record;

/// Records of the run of the golden log: a driver and two executors that were billed for as long as they would have been.
pub(crate) fn golden_records() -> Vec<CostRecord> {
    let story = golden_story();
    let (start, end) = (story.started.expect("started"), story.ended.expect("ended"));
    let group = |name: &str, role, executor: Option<&str>, (from, pulled): (i64, i64), to: i64| {
        let mut record = record(name);
        (record.role, record.executor) = (role, executor.map(str::to_owned));
        record.pod = name.to_owned();
        let at = |millis| Timestamp::from_millisecond(millis).expect("a time");
        record.created = at(from - 1_000);
        record.billed = Usage::exact(at(from), at(to));
        record.started = Some(at(from + pulled));
        let bought = record.bought.expect("known");
        let tariff = Tariff::pay_as_you_go(Rate::of_size(&provider::pricing::PriceList::CNY, bought.into()));
        record.charge = record.billed.charge(&tariff);
        record.tariff = Some(tariff);
        record
    };
    let mut records = vec![group(
        "words-driver",
        Role::Driver,
        None,
        (start - 20_000, 12_000),
        end + 2_000,
    )];
    for id in ["1", "0"] {
        let name = format!("words-exec-{id}");
        let added = story.executors.iter().find(|one| one.id == id).expect("there").added;
        records.push(group(
            &name,
            Role::Executor,
            Some(id),
            (added - 25_000, 15_000),
            end + 3_000,
        ));
    }
    records
}

fn golden(wishes: &Wishes) -> Vec<Scenario> {
    let records = golden_records();
    let records: Vec<&CostRecord> = records.iter().collect();
    scenarios(&records, Some(&golden_story()), wishes)
}

fn amount(all: &[Scenario], name: &str) -> i128 {
    let found = all.iter().find(|one| one.name.starts_with(name));
    let found = found.unwrap_or_else(|| panic!("no {name} in {all:#?}"));
    found.amount.expect("known").0
}

#[test]
fn the_usual_questions() {
    let all = golden(&Wishes::default());
    let ran = amount(&all, "as it ran");
    assert_eq!(
        ran,
        golden_records()
            .iter()
            .map(|record| record.charge.amount.0)
            .sum::<i128>()
    );
    let simulated = amount(&all, "as it ran, simulated");
    assert!((simulated - ran).abs() * 100 < ran * 3, "{simulated}, not {ran}");
    assert!(amount(&all, "with an image cache") < ran);
    assert!(amount(&all, "executors on spot") < ran);
    assert!(
        amount(&all, "1 executor of 1 core") < ran,
        "half of the executors were mostly idle"
    );
    assert!(amount(&all, "4 executors of 1 core") > ran);
    // 3 GiB are asked for, and 4 bought: fill them, or do with 2.
    let filled = "executors of 1 vCPU / 4 GiB: spark.executor.memory=3712m";
    assert_eq!(amount(&all, filled), ran);
    assert!(amount(&all, "executors of 1 vCPU / 2 GiB: spark.executor.memory=1664m") < ran);
    assert!(amount(&all, "all on 1 × ecs.g7.xlarge") > 0);
    assert!(
        all.iter().all(|one| !one.assumptions.is_empty()),
        "each says what it takes for granted"
    );
}

#[test]
fn wishes_are_answered() {
    let all = golden(&Wishes {
        workers: vec![
            ("ecs.g7.large".to_owned(), Some(1_000_000_000)),
            ("box".to_owned(), None),
        ],
        executors: vec![3],
        executor_cores: Some(2),
        batch_size: Some(1),
        ..Wishes::default()
    });
    let found = |name: &str| {
        all.iter()
            .find(|one| one.name.starts_with(name))
            .unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(
        found("3 executors of 2 cores").name,
        "3 executors of 2 cores (2 vCPU / 8 GiB)"
    );
    assert!(
        found("3 executors")
            .assumptions
            .iter()
            .any(|text| text.starts_with("1 are asked for at a time"))
    );
    assert_eq!(found("all on workers box").amount, None);
    // Three pods of 1 vCPU and 3 GiB: 1.9 vCPU of a worker are left.
    assert!(found("all on 3 × ecs.g7.large").amount.is_some());
}

#[test]
fn without_an_event_log_some_answers_are_not_there() {
    let records = golden_records();
    let all = scenarios(&records.iter().collect::<Vec<_>>(), None, &Wishes::default());
    assert!(amount(&all, "with an image cache") < amount(&all, "as it ran"));
    assert!(
        all.iter()
            .any(|one| one.amount.is_none() && one.assumptions[0].contains("--event-log"))
    );
    assert!(scenarios(&[], None, &Wishes::default()).is_empty());
}

proptest! {
    #[test]
    fn any_wish_is_answered(executors in prop::collection::vec(0_usize..50, 0..4), cores in prop::option::of(0_u32..9),
        memory in prop::option::of(0_u64..1 << 20), batch in prop::option::of(0_usize..5), percent in prop::option::of(0_u32..120))
    {
        let all = golden(&Wishes {
            executors,
            executor_cores: cores,
            executor_memory: memory,
            batch_size: batch,
            spot_percent: percent,
            ..Wishes::default()
        });
        prop_assert!(all.iter().all(|one| one.amount.is_none_or(|amount| amount >= NanoMoney(0))));
    }
}
