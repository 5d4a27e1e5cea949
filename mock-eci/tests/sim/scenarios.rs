//! Scenarios as data, the seed, and what single groups and containers say against them.

use std::time::Duration;

use mock_eci::{Config, clock::Mode, config::Limits, scenario::Scenario};
use serde_json::Value;

use crate::bed::Bed;

/// A cloud whose time moves by steps alone, so that the order of what happens is the seed's.
async fn bed(scenario: Scenario, seed: u64) -> Bed {
    Bed::with(Config {
        scenario,
        seed,
        clock: Mode::Stepped,
        limits: Limits::None,
        ..Config::default()
    })
    .await
}

fn scenario(text: &str) -> Scenario {
    Scenario::parse("test", &format!("about = \"a test\"\n{text}")).expect("a scenario")
}

/// Lets time pass, and what is due happen: Tokio's paused clock moves on only when nothing is left to do.
async fn step(bed: &Bed, millis: u64) {
    bed.app().advance(Duration::from_millis(millis));
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Ids and what became of them, with the time since each one's creation.
async fn story(seed: u64) -> Vec<(String, Vec<(String, String)>)> {
    let bed = bed(Scenario::load("chaos").expect("a scenario"), seed).await;
    for n in 0..60 {
        bed.create(&format!("group-{n}"), &[("RestartPolicy", "Never")]).await;
    }
    for _ in 0..140 {
        step(&bed, 500).await;
    }
    let bills = bed.app().ledger();
    bills
        .into_iter()
        .map(|bill| {
            let since = |at: jiff::Timestamp| at.duration_since(bill.creation_time).to_string();
            let states = bill.states.iter().map(|s| (format!("{:?}", s.status), since(s.since)));
            (bill.container_group_id.to_string(), states.collect())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_tells_the_same_story() {
    let first = story(3).await;
    assert_eq!(story(3).await, first);
    assert_ne!(story(4).await, first);
    let ends = |status: &str| {
        let last = first.iter().filter_map(|(_, states)| states.last());
        last.filter(|(s, _)| s == status).count()
    };
    assert!(ends("Failed") > 30, "most containers crash: {first:?}");
    assert!(ends("ScheduleFailed") > 0, "some groups find no stock: {first:?}");
}

#[tokio::test(start_paused = true)]
async fn images_take_time_by_their_size_once_each() {
    let text = "[images]\nms-per-gib = 10240\n[images.named]\n\"busybox\" = 100\nspark = 900";
    let bed = bed(scenario(text), 1).await;
    let more = [
        ("Container.2.Name", "s"),
        ("Container.2.Image", "spark:3.5"),
        ("Container.3.Name", "t"),
        ("Container.3.Image", "spark:3.5"),
    ];
    let id = bed.create("both", &more).await;
    let small = bed.create("small", &[]).await;
    let own = bed
        .create("own", &[("Tag.1.Key", "mock-eci/pull-ms"), ("Tag.1.Value", "20000")])
        .await;
    let mut since = Vec::new();
    for second in 0..25 {
        let running = |id: &str| bed.app().cloud().status(id).is_some_and(|s| s.as_str() == "Running");
        since.push((second, running(&small), running(&id), running(&own)));
        step(&bed, 1_000).await;
    }
    let first = |of: fn(&(u64, bool, bool, bool)) -> bool| since.iter().find(|s| of(s)).map(|s| s.0);
    // The first step only finds the resources.
    assert_eq!(first(|s| s.1), Some(2));
    assert_eq!(first(|s| s.2), Some(11));
    assert_eq!(first(|s| s.3), Some(21));
}

fn container(group: &Value) -> Value {
    group["Containers"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn shares_of_failures() {
    let bed = bed(
        scenario("start-error-per-mille = 1000\nstart-error = \"CreateContainerError\""),
        1,
    )
    .await;
    let id = bed.create("never", &[]).await;
    step(&bed, 10).await;
    let state = container(&bed.describe(&id).await.expect("the group"))["CurrentState"].clone();
    assert_eq!(
        (&state["State"], &state["Reason"]),
        (&"Waiting".into(), &"CreateContainerError".into()),
        "{state}"
    );

    let bed = self::bed(scenario("[exit]\nafter-ms = [5, 5]\noom-per-mille = 1000"), 1).await;
    let id = bed.create("large", &[("RestartPolicy", "Never")]).await;
    step(&bed, 1).await;
    step(&bed, 10).await;
    let state = container(&bed.describe(&id).await.expect("the group"))["CurrentState"].clone();
    assert_eq!(
        (&state["Reason"], &state["ExitCode"]),
        (&"OOMKilled".into(), &137.into()),
        "{state}"
    );

    let bed = self::bed(scenario("[exit]\nafter-ms = [5, 5]\nper-mille = 0"), 1).await;
    let id = bed.create("steady", &[("RestartPolicy", "Never")]).await;
    step(&bed, 1).await;
    step(&bed, 100_000).await;
    assert_eq!(bed.describe(&id).await.expect("the group")["Status"], "Running");
}

#[tokio::test(start_paused = true)]
async fn a_container_says_how_it_ends() {
    let bed = bed(scenario(""), 1).await;
    let own = [
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/exit-after-ms"),
        ("Tag.1.Value", "5"),
        ("Container.1.EnvironmentVar.1.Key", "MOCK_ECI_EXIT_SIGNAL"),
        ("Container.1.EnvironmentVar.1.Value", "15"),
        ("Container.1.EnvironmentVar.2.Key", "MOCK_ECI_EXIT_MESSAGE"),
        ("Container.1.EnvironmentVar.2.Value", "told to"),
    ];
    let id = bed.create("own", &own).await;
    step(&bed, 1).await;
    step(&bed, 10).await;
    let state = container(&bed.describe(&id).await.expect("the group"))["CurrentState"].clone();
    assert_eq!(
        (&state["ExitCode"], &state["Signal"]),
        (&143.into(), &15.into()),
        "{state}"
    );
    assert_eq!(state["Message"], "told to");
}
