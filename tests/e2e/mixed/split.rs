//! What a job of both sides cost: its executors on the pool, and nothing of those on the worker.

use std::collections::BTreeSet;

use serde_json::Value;

use super::jobs::{Places, count};
use crate::bills::{cost, recorded, verdict};
use crate::cloud::text;
use crate::cluster::{Cluster, NODE};
use crate::namespace::Namespace;

/// A job that is over (Spark's id and our name of it), and of which no pod is left: what is said of its cost is the ledger's bill,
/// and its split by the event log is of the groups that it had, and adds up.
pub async fn check(cluster: &Cluster, namespace: &Namespace<'_>, (application, name): (&str, &str), places: &Places) {
    let bills = recorded(cluster, namespace).await;
    let log = format!("s3a://{name}-events/");
    let since = namespace.age();
    let show = [
        "show",
        application,
        "--namespace",
        &namespace.name,
        "--since",
        &since,
        "--event-log",
        &log,
        "--output",
        "json",
    ];
    if count(places, NODE) == 0 {
        let refused = cost(&show).await.refusal();
        assert!(
            refused.contains(&format!("no application is called {application:?}")),
            "{refused}"
        );
        return;
    }
    let shown: Value = serde_json::from_str(&cost(&show).await.ok()).expect("JSON");
    let verdict = verdict(&bills, application);
    assert!(
        verdict == "exact" || verdict.starts_with("within"),
        "{application}: {bills}"
    );

    let split = &shown["analyses"][0];
    let groups = split["groups"].as_array().expect("groups");
    let told: BTreeSet<String> = groups.iter().map(|group| text(&group["pod"])).collect();
    let on_pool = places.iter().filter(|(_, node)| *node == NODE);
    assert_eq!(told, on_pool.map(|(pod, _)| pod.clone()).collect(), "{split}");
    assert_eq!(groups.len(), told.len(), "{split}");
    assert_eq!(
        split["eventLog"]["executors"], 4,
        "those of the worker are in the event log: {split}"
    );
    for group in groups {
        assert_eq!(amounts(&group["phases"]), amount(&group["total"]), "{group}");
    }
    let total = groups.iter().map(|group| amount(&group["total"])).sum::<i64>();
    assert_eq!(total, amount(&split["total"]), "{split}");
    assert_eq!(amounts(&split["phases"]), total, "{split}");
    let stages: i64 = split["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|stage| amount(&stage["amount"]))
        .sum();
    let overhead: i64 = split["overhead"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, part)| amount(part))
        .sum();
    assert_eq!(stages + overhead, total, "{split}");
    let driver = groups.iter().any(|group| group["role"] == "driver");
    assert_eq!(
        amount(&split["overhead"]["driver"]) > 0,
        driver,
        "a driver on the worker costs nothing: {split}"
    );
    assert!(stages > 0, "those of the pool have worked: {split}");
}

/// Amounts of a map of parts.
fn amounts(parts: &Value) -> i64 {
    let parts = parts.as_object().expect("parts");
    parts.values().map(|part| amount(&part["amount"])).sum()
}

fn amount(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no amount: {value}"))
}
