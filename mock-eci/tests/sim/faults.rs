//! Counted faults, as a client meets them.

use std::time::Duration;

use mock_eci::{
    Disconnected,
    faults::{Plan, When},
};

use crate::bed::Bed;

const CREATE: [(&str, &str); 4] = [
    ("ContainerGroupName", "faulty"),
    ("Container.1.Name", "c"),
    ("Container.1.Image", "i"),
    ("ClientToken", "t-1"),
];

#[tokio::test(start_paused = true)]
async fn the_next_calls_of_an_action_fail() {
    let bed = Bed::new().await;
    bed.app()
        .faults()
        .add(Plan::error("CreateContainerGroup", 2, "OperationDenied.NoStock", 403));
    for _ in 0..2 {
        let reply = bed.call("CreateContainerGroup", &CREATE).await;
        assert_eq!((reply.status, reply.code()), (403, "OperationDenied.NoStock"));
        assert_eq!(
            bed.call("DescribeRegions", &[]).await.status,
            200,
            "other actions do not meet it"
        );
    }
    assert_eq!(bed.call("CreateContainerGroup", &CREATE).await.status, 200);
    assert_eq!(bed.app().group_ids().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_before_or_after_taking_effect() {
    let bed = Bed::new().await;
    for (when, groups) in [(When::Before, 0), (When::After, 1)] {
        bed.app()
            .faults()
            .add(Plan::disconnect("CreateContainerGroup", 1, when));
        assert_eq!(
            bed.try_call("CreateContainerGroup", &CREATE).await.err(),
            Some(Disconnected)
        );
        assert_eq!(bed.app().group_ids().len(), groups, "{when:?}");
    }
    // The same request again finds the group of the lost answer.
    let created = bed.call("CreateContainerGroup", &CREATE).await.ok();
    assert_eq!(created["ContainerGroupId"], bed.app().group_ids()[0]);
    assert_eq!(bed.app().group_ids().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_progress_holds_its_token() {
    let bed = Bed::new().await;
    bed.app()
        .faults()
        .add(Plan::timeout("CreateContainerGroup", 1, When::After));
    let lost = bed.call("CreateContainerGroup", &CREATE);
    tokio::pin!(lost);
    // The caller waits, and so does its token.
    assert!(
        tokio::time::timeout(Duration::from_secs(5), lost.as_mut())
            .await
            .is_err()
    );
    let meanwhile = bed.call("CreateContainerGroup", &CREATE).await;
    assert_eq!((meanwhile.status, meanwhile.code()), (403, "LastTokenProcessing"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gave_up_finds_its_group() {
    let bed = Bed::new().await;
    bed.app()
        .faults()
        .add(Plan::timeout("CreateContainerGroup", 1, When::After));
    let lost = bed.call("CreateContainerGroup", &CREATE);
    assert!(tokio::time::timeout(Duration::from_secs(5), lost).await.is_err());
    let again = bed.call("CreateContainerGroup", &CREATE).await.ok();
    assert_eq!(again["ContainerGroupId"], bed.app().group_ids()[0]);
}

#[tokio::test(start_paused = true)]
async fn slow_answers_take_effect_at_once() {
    let bed = Bed::new().await;
    bed.app()
        .faults()
        .add(Plan::slow("CreateContainerGroup", 1, Duration::from_secs(3)));
    let started = tokio::time::Instant::now();
    let slow = bed.call("CreateContainerGroup", &CREATE);
    tokio::pin!(slow);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), slow.as_mut())
            .await
            .is_err()
    );
    assert_eq!(bed.app().group_ids().len(), 1);
    slow.await.ok();
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn documented_call_rates_throttle() {
    let bed = Bed::new().await;
    let mut admitted = 0;
    let throttled = loop {
        let reply = bed
            .call(
                "DescribeContainerLog",
                &[("ContainerGroupId", "eci-x"), ("ContainerName", "c")],
            )
            .await;
        if reply.code() == "Throttling" {
            break reply;
        }
        admitted += 1;
    };
    assert_eq!((admitted, throttled.status), (500, 400));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let reply = bed
        .call(
            "DescribeContainerLog",
            &[("ContainerGroupId", "eci-x"), ("ContainerName", "c")],
        )
        .await;
    assert_eq!(reply.code(), "InvalidContainerGroupId.NotFound");
    bed.app().set_limits(mock_eci::config::Limits::None);
    for _ in 0..600 {
        let reply = bed
            .call(
                "DescribeContainerLog",
                &[("ContainerGroupId", "eci-x"), ("ContainerName", "c")],
            )
            .await;
        assert_eq!(reply.code(), "InvalidContainerGroupId.NotFound");
    }
}
