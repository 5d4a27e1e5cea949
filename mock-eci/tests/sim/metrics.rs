//! DescribeContainerGroupMetric and DescribeMultiContainerGroupMetric.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use mock_eci::Config;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Reply},
    steering::steer,
};

async fn metric(bed: &Bed, id: &str, params: &[(&str, &str)]) -> Reply {
    let mut all = vec![("ContainerGroupId", id)];
    all.extend_from_slice(params);
    bed.call("DescribeContainerGroupMetric", &all).await
}

async fn records(bed: &Bed, id: &str, params: &[(&str, &str)]) -> Vec<Value> {
    let answer = metric(bed, id, params).await.ok();
    assert_eq!(answer["ContainerGroupId"], id);
    answer["Records"].as_array().expect("a list").clone()
}

async fn running(bed: &Bed) -> String {
    let size = [("Cpu", "2"), ("Memory", "4")];
    let id = bed.create("busy", &size).await;
    bed.until(&id, "Running").await;
    id
}

fn members(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

fn at(record: &Value) -> Timestamp {
    record["Timestamp"].as_str().expect("a time").parse().expect("RFC 3339")
}

fn minutes_ago(bed: &Bed, minutes: i64) -> String {
    (bed.app().clock().now() - SignedDuration::from_mins(minutes)).to_string()
}

const CPU: [&str; 4] = ["Limit", "Load", "UsageCoreNanoSeconds", "UsageNanoCores"];
const MEMORY: [&str; 5] = ["AvailableBytes", "Cache", "Rss", "UsageBytes", "WorkingSet"];

#[tokio::test(start_paused = true)]
async fn members_are_those_of_the_official_sdk() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    bed.app().advance(Duration::from_secs(60));
    let single = records(&bed, &id, &[]).await.pop().expect("a record");
    let ids = json!([id]).to_string();
    let multi = bed
        .call(
            "DescribeMultiContainerGroupMetric",
            &[("ContainerGroupIds", &ids), ("MetricType", "summary")],
        )
        .await
        .ok();
    let multi = &multi["MonitorDatas"][0];
    assert_eq!(multi["ContainerGroupId"], id.as_str());
    let multi = &multi["Records"][0];
    for (record, io) in [(&single, "IO"), (multi, "Io")] {
        let names = [
            "CPU",
            "Containers",
            "Disk",
            "Filesystem",
            "Memory",
            "Network",
            "Timestamp",
        ];
        assert_eq!(members(record), names.into());
        let container = &record["Containers"][0];
        assert_eq!(members(container), ["CPU", "Memory", "Name"].into());
        for owner in [record, container] {
            assert_eq!(members(&owner["CPU"]), CPU.into());
            assert_eq!(members(&owner["Memory"]), MEMORY.into());
            assert_eq!(owner["CPU"]["Limit"], 2_000);
        }
        let (reads, writes) = (format!("Read{io}"), format!("Write{io}"));
        let disk = ["Device", "ReadBytes", "WriteBytes", &reads, &writes];
        assert_eq!(members(&record["Disk"][0]), disk.into());
        let interface = [
            "Name",
            "RxBytes",
            "RxDrops",
            "RxErrors",
            "RxPackets",
            "TxBytes",
            "TxDrops",
            "TxErrors",
            "TxPackets",
        ];
        assert_eq!(members(&record["Network"]["Interfaces"][0]), interface.into());
    }
    let filesystem = ["Available", "Capacity", "FsName", "Usage"];
    assert_eq!(members(&multi["Filesystem"][0]), filesystem.into());
    let with_category = filesystem.into_iter().chain(["Category"]).collect();
    assert_eq!(members(&single["Filesystem"][0]), with_category);
}

#[tokio::test(start_paused = true)]
async fn counters_never_fall_and_restarts_count() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let simulated = bed.app().simulated().expect("simulated").clone();
    for restarts in 1..=4 {
        bed.app().advance(Duration::from_secs(100));
        let exit = mock_eci::runtime::Exit {
            code: 1,
            ..Default::default()
        };
        assert!(simulated.exit(&id, "c", exit));
        bed.until_that(&id, "a restart", |g| g["Containers"][0]["RestartCount"] == restarts)
            .await;
        bed.until(&id, "Running").await;
        bed.until_that(&id, "it runs", |g| {
            g["Containers"][0]["CurrentState"]["State"] == "Running"
        })
        .await;
    }
    bed.app().advance(Duration::from_secs(60));
    let ten = minutes_ago(&bed, 10);
    let records = records(&bed, &id, &[("StartTime", &ten), ("Period", "15")]).await;
    assert!(records.len() > 20, "{}", records.len());
    for pair in records.windows(2) {
        for path in [
            "/CPU/UsageCoreNanoSeconds",
            "/Network/Interfaces/0/RxBytes",
            "/Network/Interfaces/0/TxPackets",
            "/Disk/0/WriteBytes",
        ] {
            let values = [0, 1].map(|i| pair[i].pointer(path).and_then(Value::as_u64).expect("a number"));
            assert!(values[0] <= values[1], "{path}: {values:?}");
        }
    }
    let newest = records.last().expect("a record");
    let (group, container) = (&newest["CPU"], &newest["Containers"][0]["CPU"]);
    assert!(group["UsageCoreNanoSeconds"].as_u64() > container["UsageCoreNanoSeconds"].as_u64());
    assert_eq!(group["UsageNanoCores"], container["UsageNanoCores"]);
}

#[tokio::test(start_paused = true)]
async fn periods_and_times() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    bed.app().advance(Duration::from_secs(3 * 3600));
    let ask = async |params: &[(&str, &str)]| records(&bed, &id, params).await;
    let gap = |records: &[Value]| at(&records[1]).duration_since(at(&records[0])).as_secs();

    let newest = ask(&[("Period", "600")]).await;
    assert_eq!(
        (newest.len(), gap(&newest)),
        (20, 15),
        "without times the last five minutes, whatever the period"
    );
    let (hour, half) = (minutes_ago(&bed, 40), minutes_ago(&bed, 30));
    let minutes = ask(&[("StartTime", &hour)]).await;
    assert_eq!(
        (minutes.len(), gap(&minutes)),
        (40, 60),
        "a minute unless told otherwise"
    );
    let between = ask(&[("StartTime", &hour), ("EndTime", &half), ("Period", "30")]).await;
    assert_eq!((between.len(), gap(&between)), (20, 30));
    let until = ask(&[("EndTime", &half), ("Period", "60")]).await;
    assert_eq!((until.len(), gap(&until)), (5, 60), "five minutes before the end");
    let coarse = ask(&[("StartTime", &minutes_ago(&bed, 175)), ("Period", "600")]).await;
    assert_eq!(gap(&coarse), 600);
    assert!(at(&coarse[0]).as_second() % 600 == 0);

    let before = minutes_ago(&bed, 4 * 60);
    let none = ask(&[
        ("StartTime", &before),
        ("EndTime", &minutes_ago(&bed, 3 * 60 + 30)),
        ("Period", "60"),
    ])
    .await;
    assert!(none.is_empty(), "it did not run then");
    let future = ask(&[
        ("StartTime", &half),
        ("EndTime", "2199-01-01T00:00:00Z"),
        ("Period", "60"),
    ])
    .await;
    assert!(at(future.last().expect("a record")) <= bed.app().clock().now());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    let long_ago = minutes_ago(&bed, 31 * 24 * 60);
    let day = minutes_ago(&bed, 24 * 60);
    for params in [
        &[("Period", "45")][..],
        &[("StartTime", "yesterday")],
        &[("StartTime", &long_ago), ("Period", "600")],
        &[("StartTime", &day), ("Period", "600")],
        &[("StartTime", "2199-01-01T00:00:00Z")],
    ] {
        let reply = metric(&bed, &id, params).await;
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{params:?}");
    }
    let reply = metric(&bed, "eci-nowhere", &[]).await;
    assert_eq!((reply.status, reply.code()), (404, "InvalidContainerGroupId.NotFound"));
    let many = json!(vec!["eci-x"; 21]).to_string();
    for params in [
        &[("ContainerGroupIds", &*many)][..],
        &[("ContainerGroupIds", "[]"), ("MetricType", "all")],
    ] {
        let reply = bed.call("DescribeMultiContainerGroupMetric", params).await;
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{params:?}");
    }
    let reply = bed.call("DescribeMultiContainerGroupMetric", &[]).await;
    assert_eq!((reply.status, reply.code()), (400, "MissingParameter"));
}

#[tokio::test(start_paused = true)]
async fn many_groups_at_once() {
    let bed = Bed::new().await;
    let ids = [running(&bed).await, running(&bed).await];
    bed.app().advance(Duration::from_secs(60));
    let asked = json!([ids[0], "eci-nowhere", ids[1]]).to_string();
    let ask = async |params: &[(&str, &str)]| {
        let mut all = vec![("ContainerGroupIds", &*asked)];
        all.extend_from_slice(params);
        let answer = bed.call("DescribeMultiContainerGroupMetric", &all).await.ok();
        answer["MonitorDatas"].as_array().expect("a list").clone()
    };
    let counts = |datas: &[Value]| -> Vec<usize> {
        let records = datas
            .iter()
            .map(|data| data["Records"].as_array().expect("a list").len());
        records.collect()
    };
    assert_eq!(counts(&ask(&[("MetricType", "summary")]).await), [1, 1]);
    assert_eq!(counts(&ask(&[]).await), [0, 0], "records come with the type only");
    assert!(ask(&[("ResourceGroupId", "rg-other")]).await.is_empty());
    bed.app().set_may_list(false);
    assert!(
        ask(&[("MetricType", "summary")]).await.is_empty(),
        "without the right to list"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_use() {
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let bed = Bed::with(Config {
            seed: 7,
            ..Config::default()
        })
        .await;
        let id = running(&bed).await;
        bed.app().advance(Duration::from_secs(600));
        let record = records(&bed, &id, &[]).await.pop().expect("a record");
        seen.insert((id, record["Memory"]["Rss"].as_u64()));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_ended_uses_nothing_more() {
    let bed = Bed::new().await;
    let job = [
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/exit-after-ms"),
        ("Tag.1.Value", "40000"),
    ];
    let id = bed.create("job", &job).await;
    assert!(records(&bed, &id, &[]).await.is_empty(), "nothing before it runs");
    bed.until(&id, "Succeeded").await;
    bed.app().advance(Duration::from_secs(120));
    let records = records(&bed, &id, &[]).await;
    assert!((2..=3).contains(&records.len()), "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn a_container_uses_what_it_is_told() {
    let bed = Bed::new().await;
    let id = running(&bed).await;
    bed.app().advance(Duration::from_secs(60));
    let container = records(&bed, &id, &[]).await[0]["Containers"][0]["Name"].clone();
    let told = json!({ "container": container, "cpu": 1.25, "memory-mib": 300 });
    let (status, answer) = steer(&bed, "POST", &format!("groups/{id}/usage"), Some(told)).await;
    assert_eq!(status, 200, "{answer}");
    bed.app().advance(Duration::from_secs(60));
    let records = records(&bed, &id, &[]).await;
    let [.., before, last] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(last["CPU"]["UsageNanoCores"], 1_250_000_000);
    assert_eq!(last["Containers"][0]["Memory"]["WorkingSet"], 300 << 20);
    let used = |record: &Value| record["CPU"]["UsageCoreNanoSeconds"].as_u64().expect("a count");
    assert_eq!(used(last) - used(before), 15 * 1_250_000_000);
}
