//! The billing ledger.

use std::time::Duration;

use mock_eci::{Config, config::Currency};

use crate::bed::Bed;

#[tokio::test(start_paused = true)]
async fn seconds_from_pull_to_end_at_the_rounded_size() {
    let bed = Bed::new().await;
    let params = [
        ("Cpu", "1.5"),
        ("Memory", "3"),
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/schedule-ms"),
        ("Tag.1.Value", "10000"),
        ("Tag.2.Key", "mock-eci/pull-ms"),
        ("Tag.2.Value", "7000"),
        ("Tag.3.Key", "mock-eci/exit-after-ms"),
        ("Tag.3.Value", "100000"),
    ];
    let id = bed.create("billed", &params).await;
    bed.until(&id, "Pending").await;
    bed.until(&id, "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let bills = bed.app().ledger();
    assert_eq!(bills.len(), 1);
    let bill = &bills[0];
    assert_eq!(
        (bill.container_group_id.as_str(), bill.container_group_name.as_str()),
        (id.as_str(), "billed")
    );
    assert_eq!(
        (bill.milli_cpu, bill.memory_mib),
        (2_000, 4_096),
        "the size that was bought, not the one asked for"
    );
    // 7 s of pull and 100 s of running; the 10 s before are free, and so is what follows the end.
    assert!((107..=108).contains(&bill.billed_seconds), "{bill:?}");
    assert_eq!(bill.amount_nano, bill.billed_seconds * 122_520);
    assert_eq!(bill.currency, "CNY");
    let seconds = |since: Option<jiff::Timestamp>| since.expect("a time").as_second();
    assert_eq!(
        seconds(bill.billing_end) - seconds(bill.billing_start),
        bill.billed_seconds as i64
    );
    let states: Vec<_> = bill.states.iter().map(|s| s.status.as_str()).collect();
    assert_eq!(states, ["Scheduling", "Pending", "Running", "Succeeded"]);
    assert_eq!(bill.tags["mock-eci/pull-ms"], "7000");
}

#[tokio::test(start_paused = true)]
async fn a_running_group_costs_more_by_the_second_and_a_deleted_one_until_it_stopped() {
    let bed = Bed::with(Config {
        currency: Currency::Usd,
        ..Config::default()
    })
    .await;
    let params = [
        ("Cpu", "1"),
        ("Memory", "2"),
        ("Tag.1.Key", "mock-eci/stop-ms"),
        ("Tag.1.Value", "5000"),
    ];
    let id = bed.create("long", &params).await;
    bed.until(&id, "Running").await;
    bed.app().advance(Duration::from_secs(3_600));
    let so_far = bed.app().ledger()[0].billed_seconds;
    assert!((3_600..=3_602).contains(&so_far), "{so_far}");
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    bed.until_gone(&id).await;
    bed.app().advance(Duration::from_secs(3_600));
    let bill = &bed.app().ledger()[0];
    assert!(
        (3_605..=3_607).contains(&bill.billed_seconds),
        "{}",
        bill.billed_seconds
    );
    assert_eq!(bill.amount_nano, bill.billed_seconds * (7_700 + 2 * 960));
    assert!(bill.removal_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_never_found_resources_costs_nothing() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "no-stock",
            &[("Tag.1.Key", "mock-eci/launch-error"), ("Tag.1.Value", "NoStock")],
        )
        .await;
    bed.until(&id, "ScheduleFailed").await;
    assert_eq!(bed.app().ledger()[0].amount_nano, 0);
}
