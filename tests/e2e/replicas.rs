//! Several agents for one node, of which one works: it is killed, ended in order, or stopped like a machine that hangs, in
//! the middle of a burst. Another takes over; nothing is made twice or lost, and the node stays Ready.
//!
//! The replicas run by the rights of `manifests/base`, as a service account that acts as the node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::agent_process::AgentProcess;
use crate::cloud::text;
use crate::cluster::{AGENT_IP, Cluster, NODE, say};
use crate::kubectl::{kubectl, run};
use crate::namespace::{CONTAINER, Namespace, pod, slow_to_schedule};
use crate::recorder::Recorder;

const RBAC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/base/agent-rbac.yaml");
/// The namespace that the manifests name.
pub const HOME: &str = "virtual-node";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/virtual-node/leases/virtual-node";
/// Longer than it takes to kill the leader.
const SLOW: Duration = Duration::from_secs(15);
/// Of the second replica.
const OTHER_IP: &str = "172.31.0.11";
const OTHER_METRICS: &str = "127.0.0.1:10256";

#[tokio::test]
async fn a_leader_killed_in_a_burst_is_succeeded_and_nothing_is_made_twice() {
    killed_in_a_burst(60).await;
}

#[tokio::test]
#[ignore = "two minutes: make endurance"]
async fn a_leader_killed_in_a_burst_of_five_hundred_pods() {
    killed_in_a_burst(500).await;
}

async fn killed_in_a_burst(count: usize) {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "replicas").await;
    let (mut first, mut second) = two_replicas(&cluster).await;
    let node = Recorder::node(&cluster).await;
    let phases = Recorder::phases(&cluster, &namespace.name).await;

    // Every other group is still on its way when the leader is killed.
    let burst = |number: usize| match pod(&format!("burst-{number}")) {
        quick if number.is_multiple_of(2) => quick,
        pod => slow_to_schedule(pod, SLOW),
    };
    let pods: Vec<Value> = (0..count).map(burst).collect();
    let creating = stream::iter(pods).for_each_concurrent(16, async |pod| {
        namespace.post("pods", pod).await;
    });
    let killing = async {
        let running = async || phases.count("Running");
        cluster
            .eventually("a third of them to run", running, |running| *running >= count / 3)
            .await;
        let before = holder(&cluster).await;
        let killed = Instant::now();
        first.kill();
        let left = phases.count("Running");
        let after = another_leader(&cluster, &before).await;
        let elected = killed.elapsed();
        cluster
            .eventually(
                "more of them to run",
                async || phases.count("Running"),
                |running| *running > left,
            )
            .await;
        say(&format!(
            "{count} pods: another leader ({after}) after {:.1} s, at work after {:.1} s",
            elected.as_secs_f64(),
            killed.elapsed().as_secs_f64()
        ));
    };
    tokio::join!(creating, killing);
    cluster
        .eventually(
            "all of them to run",
            async || phases.count("Running"),
            |running| *running == count,
        )
        .await;
    one_group_a_pod(&namespace, count).await;
    // The node is where the second replica is, which serves what the first had started.
    let logs = namespace.kubectl(&["logs", "burst-0", "--container", CONTAINER]).await;
    logs.ok();
    assert_eq!(node.of(NODE), ["True/True"], "it was Ready all the time");

    // The one that was killed comes back and stands by.
    first.start();
    let before = holder(&cluster).await;
    second.terminate().await;
    another_leader(&cluster, &before).await;
    namespace
        .kubectl(&["delete", "pods", "--all", "--wait=false"])
        .await
        .ok();
    namespace.no_groups().await;
    assert_eq!(node.of(NODE), ["True/True"], "it was Ready all the time");
}

#[tokio::test]
async fn a_rolling_update_hands_over_in_order() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "rolling").await;
    let (mut first, mut second) = two_replicas(&cluster).await;
    let node = Recorder::node(&cluster).await;
    let (_, group) = namespace.running(pod("stays")).await;
    for round in 0..2 {
        let before = holder(&cluster).await;
        let asked = Instant::now();
        // As a Deployment does it: the new one is there before the old one is told to end.
        let ending = if round == 0 { &mut first } else { &mut second };
        ending.terminate().await;
        let ended = asked.elapsed();
        another_leader(&cluster, &before).await;
        say(&format!(
            "round {round}: ended after {:.1} s, succeeded after {:.1} s",
            ended.as_secs_f64(),
            asked.elapsed().as_secs_f64()
        ));
        namespace.running(pod(&format!("during-{round}"))).await;
        ending.start();
    }
    assert_eq!(node.of(NODE), ["True/True"], "it was Ready all the time");
    assert_eq!(cluster.cloud.status(&group).await, "Running");
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();
    namespace.no_groups().await;
}

#[tokio::test]
async fn a_leader_that_hung_does_nothing_more_when_it_wakes() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "hung").await;
    let (mut first, _second) = two_replicas(&cluster).await;
    namespace.running(pod("before")).await;
    let before = holder(&cluster).await;
    first.signal("STOP").await;
    let leader = another_leader(&cluster, &before).await;
    namespace.running(pod("meanwhile")).await;
    first.signal("CONT").await;
    assert!(!first.ended().await, "it ends, and says that this was not wished for");
    assert_eq!(holder(&cluster).await, leader);
    namespace.running(pod("after")).await;
    one_group_a_pod(&namespace, 3).await;
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();
    namespace.no_groups().await;
}

/// Two replicas in place of the testbed's agent; the first leads and the node is its own, the second stands by.
async fn two_replicas(cluster: &Cluster) -> (AgentProcess, AgentProcess) {
    cluster.add_address(OTHER_IP).await;
    let kubeconfig = service_account(cluster).await;
    let kubeconfig = kubeconfig.to_str().expect("a path of the testbed");
    let mut first = AgentProcess::take_over(
        cluster,
        &[
            "--kubeconfig",
            kubeconfig,
            "--impersonate-node",
            "true",
            "--leader-elect",
            "true",
            "--leader-elect-resource-namespace",
            HOME,
        ],
    )
    .await;
    let listen = format!("{OTHER_IP}:10250");
    let mut second = first.another(&[
        "--node-ip",
        OTHER_IP,
        "--kubelet-listen",
        &listen,
        "--metrics-listen",
        OTHER_METRICS,
    ]);
    let before = holder(cluster).await;
    first.start();
    another_leader(cluster, &before).await;
    cluster
        .until(
            "the node to be the first replica's",
            &format!("/api/v1/nodes/{NODE}"),
            |node| address(node) == AGENT_IP,
        )
        .await;
    cluster.condition("Ready", "True").await;
    second.start();
    let metrics = format!("http://{OTHER_METRICS}/metrics");
    let look = async || run("curl", &["--silent", &metrics], "").await.out;
    cluster
        .eventually("the second replica to stand by", look, |text| {
            text.contains("virtual_node_leader 0")
        })
        .await;
    (first, second)
}

/// The service account of the manifests with its rights; returns a kubeconfig with its token.
pub async fn service_account(cluster: &Cluster) -> PathBuf {
    let made = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": HOME } });
    run("kubectl", &["apply", "-f", "-"], &made.to_string()).await.ok();
    let rights = std::fs::read_to_string(RBAC).expect("a file of this repository");
    let rights = rights.replace("virtual-kubelet-REGION-ZONE", NODE);
    run("kubectl", &["apply", "--namespace", HOME, "-f", "-"], &rights)
        .await
        .ok();
    let token = kubectl(&["create", "token", "virtual-node", "--namespace", HOME])
        .await
        .ok();
    let admin = kubectl(&["config", "view", "--raw", "--output", "json"]).await.ok();
    let mut config: Value = serde_json::from_str(&admin).expect("JSON");
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let file = cluster.file("kubeconfigs/replicas");
    std::fs::write(&file, config.to_string()).expect("a file of the testbed");
    file
}

/// Who leads; empty = nobody.
async fn holder(cluster: &Cluster) -> String {
    text(&cluster.get(LEASE).await["spec"]["holderIdentity"])
}

/// Waits until somebody else than `before` leads.
async fn another_leader(cluster: &Cluster, before: &str) -> String {
    cluster
        .eventually(
            "another leader",
            async || holder(cluster).await,
            |now| !now.is_empty() && now != before,
        )
        .await
}

fn address(node: &Value) -> String {
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let internal = addresses.into_iter().find(|address| address["type"] == "InternalIP");
    internal.map(|address| text(&address["address"])).unwrap_or_default()
}

async fn one_group_a_pod(namespace: &Namespace<'_>, pods: usize) {
    let mut groups = BTreeMap::<String, usize>::new();
    for bill in namespace.bills().await {
        *groups.entry(text(&bill["Tags"]["UID"])).or_default() += 1;
    }
    assert_eq!(groups.len(), pods, "one group a pod");
    assert!(groups.values().all(|count| *count == 1), "{groups:?}");
}
