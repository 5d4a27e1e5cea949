//! Spot prices and reclaims, stock in the call and after it, vSwitches and their zones, MaxPendingMinute.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::bed::{Bed, Reply};

const ZONE: &str = "cn-hangzhou-h";
const OTHER: &str = "cn-hangzhou-i";

async fn steer(bed: &Bed, path: &str, body: Value) {
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(format!("http://eci.test/mock/{path}"))
        .header("content-type", "application/json")
        .body(body.to_string().into())
        .expect("a request");
    let response = bed
        .app()
        .handle(request, mock_eci::Peer::Memory)
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200, "{:?}", response.body());
}

async fn try_create(bed: &Bed, params: &[(&str, &str)]) -> Reply {
    let mut all = vec![
        ("ContainerGroupName", "market"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "busybox:1"),
        ("Cpu", "2"),
        ("Memory", "4"),
    ];
    all.extend_from_slice(params);
    bed.call("CreateContainerGroup", &all).await
}

fn has_event(group: &Value, reason: &str) -> bool {
    let events = group["Events"].as_array().expect("events");
    events.iter().any(|e| e["Reason"] == reason)
}

#[tokio::test(start_paused = true)]
async fn a_bid_below_the_price_is_not_matched() {
    let bed = Bed::new().await;
    let bid = |limit: &'static str| [("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", limit)];
    let refused = try_create(&bed, &bid("0.001")).await;
    assert_eq!((refused.status, refused.code()), (403, "Spot.NotMatched"));
    try_create(&bed, &bid("0.4")).await.ok();
    steer(&bed, "spot", json!({"zone": ZONE, "price-factor": 100})).await;
    assert_eq!(try_create(&bed, &bid("0.4")).await.code(), "Spot.NotMatched");
    try_create(&bed, &[("SpotStrategy", "SpotAsPriceGo")]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_spot_group_is_announced_and_taken_back_after_its_protection() {
    let bed = Bed::new().await;
    let params = [
        ("Cpu", "2"),
        ("Memory", "4"),
        ("SpotStrategy", "SpotWithPriceLimit"),
        ("SpotPriceLimit", "0.4"),
        ("SpotDuration", "2"),
    ];
    let id = bed.create("spot", &params).await;
    bed.until(&id, "Running").await;
    steer(&bed, "spot", json!({"zone": ZONE, "price-factor": 100})).await;
    bed.app().advance(Duration::from_secs(2 * 3_600 - 60));
    let protected = bed.until(&id, "Running").await;
    assert!(!has_event(&protected, "SpotToBeReleased"));
    bed.app().advance(Duration::from_secs(60));
    let told = bed
        .until_that(&id, "the notice", |g| has_event(g, "SpotToBeReleased"))
        .await;
    assert_eq!(told["Status"], "Running");
    let events = told["Events"].as_array().expect("events");
    let notice = events
        .iter()
        .find(|e| e["Reason"] == "SpotToBeReleased")
        .expect("the notice");
    assert_eq!(
        (&notice["Type"], &notice["Message"]),
        (&json!("Warning"), &json!("Spot ECI will be released in 3 minutes"))
    );
    bed.app().advance(Duration::from_secs(180));
    let expired = bed.until(&id, "Expired").await;
    assert!(expired["ExpiredTime"].as_str().is_some_and(|t| !t.is_empty()));
    let pod = bed.pod_status(&id).await.expect("the group");
    assert_eq!(pod["PodStatus"]["Phase"], "Failed");
    let conditions = pod["PodStatus"]["Conditions"].as_array().expect("conditions");
    let ready = conditions.iter().find(|c| c["type"] == "Ready").expect("the condition");
    assert_eq!(ready["Reason"], "BidFailed");

    let bill = &bed.app().ledger()[0];
    let prices: Vec<_> = bill
        .segments
        .iter()
        .map(|s| s.spot_nano_per_hour.expect("a price"))
        .collect();
    assert_eq!(
        prices.len(),
        2,
        "two hours at the price it was bought for, then the list price: {bill:?}"
    );
    assert!(prices[0] < prices[1]);
    assert_eq!(prices[1], 441_072_000, "spot never costs more than the list");
    assert!((180..=181).contains(&bill.segments[1].billed_seconds), "{bill:?}");
    assert_eq!(
        bill.amount_nano,
        bill.segments.iter().map(|s| s.amount_nano).sum::<u64>()
    );
}

#[tokio::test(start_paused = true)]
async fn groups_that_take_any_price_stay_until_stock_runs_out() {
    let bed = Bed::new().await;
    let params = [
        ("SpotStrategy", "SpotAsPriceGo"),
        ("SpotDuration", "0"),
        ("Cpu", "2"),
        ("Memory", "4"),
    ];
    let id = bed.create("any-price", &params).await;
    bed.until(&id, "Running").await;
    steer(&bed, "spot", json!({"zone": ZONE, "price-factor": 100})).await;
    bed.app().advance(Duration::from_secs(24 * 3_600));
    assert_eq!(bed.until(&id, "Running").await["Status"], "Running");
    steer(&bed, "stock", json!({"zone": ZONE, "milli-cpu": 0})).await;
    bed.app().advance(Duration::from_secs(600));
    let group = bed.until(&id, "Running").await;
    assert!(
        !has_event(&group, "SpotToBeReleased"),
        "no more, but what it has it keeps"
    );
    steer(&bed, "stock", json!({"zone": ZONE, "milli-cpu": "none"})).await;
    bed.until(&id, "Expired").await;
}

#[tokio::test(start_paused = true)]
async fn steering_takes_back_with_and_without_notice() {
    let bed = Bed::new().await;
    let id = bed.create("notice", &[("SpotStrategy", "SpotAsPriceGo")]).await;
    bed.until(&id, "Running").await;
    steer(&bed, &format!("groups/{id}/reclaim"), json!({"notice-seconds": 30})).await;
    let told = bed.describe(&id).await.expect("the group");
    assert!(has_event(&told, "SpotToBeReleased"));
    assert_eq!(told["Status"], "Running");
    let noticed = tokio::time::Instant::now();
    bed.until(&id, "Expired").await;
    let took = noticed.elapsed();
    assert!(
        (Duration::from_secs(30)..Duration::from_secs(31)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn stock_fails_in_the_call_or_after_it() {
    let bed = Bed::new().await;
    steer(&bed, "stock", json!({"zone": ZONE, "milli-cpu": 2_000})).await;
    try_create(&bed, &[]).await.ok();
    let refused = try_create(&bed, &[]).await;
    assert_eq!((refused.status, refused.code()), (403, "OperationDenied.NoStock"));
    try_create(&bed, &[("ZoneId", OTHER)]).await.ok();

    steer(&bed, "stock", json!({"zone": ZONE, "milli-cpu": 0, "told": "later"})).await;
    let created = try_create(&bed, &[]).await.ok();
    let id = created["ContainerGroupId"].as_str().expect("an id");
    let group = bed.until(id, "ScheduleFailed").await;
    assert!(has_event(&group, "NoStock"));
    let pod = bed.pod_status(id).await.expect("the group");
    let conditions = pod["PodStatus"]["Conditions"].as_array().expect("conditions");
    for (kind, status) in [("ContainerInstanceCreated", "False"), ("Unschedulable", "True")] {
        let condition = conditions.iter().find(|c| c["type"] == kind).expect(kind);
        assert_eq!(
            (&condition["status"], &condition["Reason"]),
            (&json!(status), &json!("NoStock"))
        );
    }
    steer(&bed, "stock", json!({"zone": ZONE, "milli-cpu": "enough"})).await;
    try_create(&bed, &[]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn the_next_vswitch_is_tried() {
    let bed = Bed::new().await;
    steer(&bed, "vswitches", json!({"id": "vsw-1", "zone": ZONE, "addresses": 1})).await;
    steer(&bed, "vswitches", json!({"id": "vsw-2", "zone": OTHER})).await;
    let both = [("VSwitchId", "vsw-1,vsw-2"), ("ScheduleStrategy", "VSwitchOrdered")];
    let mut places = Vec::new();
    for _ in 0..2 {
        let created = try_create(&bed, &both).await.ok();
        let id = created["ContainerGroupId"].as_str().expect("an id").to_owned();
        let group = bed.until(&id, "Running").await;
        places.push((group["VSwitchId"].clone(), group["ZoneId"].clone()));
    }
    assert_eq!(
        places,
        [(json!("vsw-1"), json!(ZONE)), (json!("vsw-2"), json!(OTHER))],
        "the first has one address"
    );
    let full = try_create(&bed, &[("VSwitchId", "vsw-1")]).await;
    assert_eq!((full.status, full.code()), (403, "InvalidVSwitchId.IpNotEnough"));
    let elsewhere = try_create(&bed, &[("VSwitchId", "vsw-2"), ("ZoneId", ZONE)]).await;
    assert_eq!(
        (elsewhere.status, elsewhere.code()),
        (403, "OperationDenied.VswZoneMisMatch")
    );
    steer(&bed, "stock", json!({"zone": OTHER, "milli-cpu": 0})).await;
    let nowhere = try_create(&bed, &[("VSwitchId", "vsw-2,vsw-1")]).await;
    assert_eq!((nowhere.status, nowhere.code()), (403, "OperationDenied.NoStock"));
}

#[tokio::test(start_paused = true)]
async fn what_pends_too_long_fails() {
    let bed = Bed::new().await;
    let never = [
        ("MaxPendingMinute", "5"),
        ("Tag.1.Key", "mock-eci/start-error"),
        ("Tag.1.Value", "ErrImagePull"),
    ];
    let id = bed.create("pends", &never).await;
    bed.until(&id, "Pending").await;
    let group = bed.until(&id, "Failed").await;
    assert!(has_event(&group, "FailedScheduling"));
    let bill = &bed.app().ledger()[0];
    assert!(
        (299..=300).contains(&bill.billed_seconds),
        "Pending is billed: {bill:?}"
    );
    let runs = bed.create("runs", &[("MaxPendingMinute", "5")]).await;
    bed.until(&runs, "Running").await;
    bed.app().advance(Duration::from_secs(600));
    bed.until(&runs, "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_size_that_was_rounded_up_is_said_so() {
    let bed = Bed::new().await;
    let odd = bed.create("odd", &[("Cpu", "1.5"), ("Memory", "3")]).await;
    let group = bed.until(&odd, "Running").await;
    let events = group["Events"].as_array().expect("events");
    let event = events
        .iter()
        .find(|e| e["Reason"] == "AutoInstanceTypeMatch")
        .expect("the event");
    assert_eq!(
        event["Message"],
        "The best matched instanceType for current instance is 2-4Gi"
    );
    let even = bed.create("even", &[("Cpu", "2"), ("Memory", "4")]).await;
    assert!(!has_event(&bed.until(&even, "Running").await, "AutoInstanceTypeMatch"));
}
