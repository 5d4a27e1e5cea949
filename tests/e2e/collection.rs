//! All pods of a namespace deleted by one deletecollection while half of their groups still look for resources: all of
//! them go, billing ends, and no delete waits behind creates. How long that took is printed, not judged.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::agent_process::AgentProcess;
use crate::cloud::time;
use crate::cluster::{Cluster, say};
use crate::namespace::{Namespace, pod, slow_to_schedule};
use crate::recorder::Recorder;

/// Calls of DeleteContainerGroup that ECI documents: so many at once, and so many in a minute. The agent uses five fewer.
const DOCUMENTED: (f64, f64) = (95.0, 1000.0);
/// Far beyond what a thousand pods take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pods whose creates are held up while the collection is deleted.
const QUEUE: usize = 20;

#[tokio::test]
async fn a_hundred_and_fifty_pods_go_at_once() {
    goes_at_once("150 pods", 150).await;
}

#[tokio::test]
async fn two_hundred_pods_go_as_fast_as_the_limiter_allows() {
    goes_ahead_of_creates("200 pods", 200).await;
}

#[tokio::test]
#[ignore = "a minute or two: make endurance"]
async fn a_thousand_pods_go_at_once() {
    goes_at_once("1,000 pods", 1000).await;
}

#[tokio::test]
#[ignore = "four minutes: make endurance"]
async fn a_thousand_pods_go_as_fast_as_the_limiter_allows() {
    goes_ahead_of_creates("1,000 pods", 1000).await;
}

/// With quotas lifted.
async fn goes_at_once(what: &str, count: usize) {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "collection").await;
    cluster.cloud.post("limits", json!({ "limits": "none" })).await;
    let mut agent = AgentProcess::take_over(&cluster, &["--eci-limits", "none"]).await;
    agent.start();
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    half_of_them_run(&cluster, &namespace, &phases, count).await;
    delete_all(&cluster, &namespace, &phases, &format!("{what}, quotas lifted")).await;
    all_is_over(&namespace, count).await;
}

/// At the limits that ECI documents, while creates wait for permits of their own.
async fn goes_ahead_of_creates(what: &str, count: usize) {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "collection").await;
    let queue = Namespace::new(&cluster, "queue").await;
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    half_of_them_run(&cluster, &namespace, &phases, count).await;
    // From here on one create a minute: the queue stands as long as this test takes, and far longer.
    let limits = cluster.file("limits.toml");
    std::fs::write(&limits, "[CreateContainerGroup]\nper_minute = 1\nburst = 1\n").expect("a file of the testbed");
    let limits = limits.to_str().expect("a path of the testbed");
    let mut agent = AgentProcess::take_over(&cluster, &["--eci-limits", limits]).await;
    agent.start();
    create(&queue, (0..QUEUE).map(|number| pod(&format!("waits-{number}")))).await;
    let created = async || queue.bills().await.len();
    cluster
        .eventually("the first create of the queue", created, |count| *count > 0)
        .await;

    let limiter = (count as f64 - DOCUMENTED.0).max(0.0) / (DOCUMENTED.1 / 60.0);
    let what = format!("{what}, documented limits (the limiter allows {limiter:.1} s)");
    delete_all(&cluster, &namespace, &phases, &what).await;
    let first_creates = created().await;
    assert!(
        first_creates < QUEUE / 2,
        "the deletes waited until {first_creates} of {QUEUE} creates were through"
    );
    all_is_over(&namespace, count).await;
    queue.kubectl(&["delete", "pods", "--all", "--wait=false"]).await.ok();
    queue.no_groups().await;
}

/// Makes `count` pods: half run, the groups of the other half look for resources for an hour.
async fn half_of_them_run(cluster: &Cluster, namespace: &Namespace<'_>, phases: &Recorder, count: usize) {
    let pods = (0..count).map(|number| {
        let pod = pod(&format!("pod-{number}"));
        if number % 2 == 0 {
            pod
        } else {
            slow_to_schedule(pod, Duration::from_secs(3600))
        }
    });
    create(namespace, pods).await;
    let running = async || phases.count("Running");
    let half = count.div_ceil(2);
    cluster
        .within(PATIENCE, "half of the pods to run", running, |running| *running == half)
        .await;
    let placed = async || namespace.bills().await.len();
    cluster
        .within(PATIENCE, "a group for each pod", placed, |placed| *placed == count)
        .await;
}

/// Creates pods, some at a time.
async fn create(namespace: &Namespace<'_>, pods: impl Iterator<Item = Value>) {
    stream::iter(pods)
        .for_each_concurrent(16, |pod| async { drop(namespace.post("pods", pod).await) })
        .await;
}

/// Deletes all pods by one call; says how long it took until they were gone and until nothing was billed any more.
async fn delete_all(cluster: &Cluster, namespace: &Namespace<'_>, phases: &Recorder, what: &str) {
    let (began, began_at) = (Instant::now(), Timestamp::now());
    let path = format!("/api/v1/namespaces/{}/pods", namespace.name);
    cluster.send(http::Method::DELETE, &path, &json!({})).await;
    let called = began.elapsed().as_secs_f64();
    let left = async || phases.names().len() - phases.count("gone");
    cluster
        .within(PATIENCE, "all pods to be gone", left, |left| *left == 0)
        .await;
    let gone = began.elapsed().as_secs_f64();
    let bills = namespace.bills().await;
    let ends = bills.iter().filter_map(|bill| time(&bill["BillingEnd"]));
    let billed = ends
        .max()
        .map_or(0.0, |end| end.duration_since(began_at).as_secs_f64().max(0.0));
    say(&format!(
        "deletecollection of {what}: the call took {called:.1} s, billing had stopped after {billed:.1} s, the last object was gone after {gone:.1} s"
    ));
}

/// Looks that nothing is left, nothing billed, and each pod had one group that was deleted.
async fn all_is_over(namespace: &Namespace<'_>, count: usize) {
    namespace.no_groups().await;
    let bills = namespace.bills().await;
    assert_eq!(bills.len(), count, "one group a pod");
    let open = |bill: &&Value| bill["BillingStart"].is_string() && bill["BillingEnd"].is_null();
    let open: Vec<&Value> = bills.iter().filter(open).collect();
    assert!(open.is_empty(), "still billed: {open:?}");
}
