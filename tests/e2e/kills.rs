//! `kill -9` of the agent, again and again at moments drawn by chance, while pods are created, run, end and are deleted,
//! and the cloud loses answers, throttles and fails.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::agent_process::{AgentProcess, IMPATIENT};
use crate::chance::Chance;
use crate::cloud::text;
use crate::cluster::{Cluster, say};
use crate::lives::{CONFIG, Life};
use crate::namespace::Namespace;
use crate::recorder::Recorder;

/// A kill follows the one before within this time.
const PAUSE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn ten_kills_among_forty_pods() {
    lives_go_on("ten_kills", 10, 40).await;
}

#[tokio::test]
#[ignore = "six minutes: make endurance"]
async fn two_hundred_kills_among_three_hundred_pods() {
    lives_go_on("two_hundred_kills", 200, 300).await;
}

async fn lives_go_on(test: &str, kills: u32, pods: u32) {
    let mut chance = Chance::new(test);
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "kills").await;
    namespace.create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": CONFIG }, "data": { "key": "value" } })).await;
    let lives = Life::draw(pods, PAUSE / 2 * kills, &mut chance);
    let phases = Recorder::phases(&cluster, &namespace.name).await;
    let mut agent = AgentProcess::take_over(&cluster, &IMPATIENT).await;
    plan_faults(&cluster, chance.seed).await;

    let (began, something) = (Instant::now(), Notify::new());
    let all_lives = join_all(lives.iter().map(async |life| {
        tokio::time::sleep_until(began + life.begins).await;
        something.notify_one();
        life.lead(&namespace, &phases).await
    }));
    let all_kills = kill(&mut agent, kills, chance.branch(1), &something);
    let (uids, ()) = tokio::join!(all_lives, all_kills);

    say(&format!("{test}: faults met: {}", faults_met(&cluster).await));
    cluster.cloud.drop_faults().await;
    for life in &lives {
        life.has_ended_well(&cluster, &namespace, &phases).await;
    }
    // A group that a pod left behind while nobody looked is found by its tags.
    let owned = async || {
        let living: Vec<String> = namespace
            .pods("lives=by-chance")
            .await
            .iter()
            .map(crate::namespace::uid)
            .collect();
        let bills = namespace.bills().await;
        let mut leaked = bills.into_iter().filter(|bill| bill["RemovalTime"].is_null());
        leaked.find(|bill| !living.contains(&text(&bill["Tags"]["UID"])))
    };
    cluster
        .eventually("no group without a pod", owned, Option::is_none)
        .await;
    let mut groups = BTreeMap::<String, usize>::new();
    for bill in namespace.bills().await {
        *groups.entry(text(&bill["Tags"]["UID"])).or_default() += 1;
    }
    say(&format!(
        "{test}: {kills} kills, {} pods, {} groups",
        uids.len(),
        groups.len()
    ));
    for (uid, count) in &groups {
        assert!(uids.contains(uid), "a group for a pod that nobody created: {uid}");
        assert_eq!(*count, 1, "groups of the pod {uid}");
    }
    namespace
        .kubectl(&["delete", "pods", "--all", "--wait=false"])
        .await
        .ok();
    namespace.no_groups().await;
}

/// Kills the agent `count` times, and leaves it running. Half the kills come soon after a pod was created.
async fn kill(agent: &mut AgentProcess, count: u32, mut chance: Chance, something: &Notify) {
    for _ in 0..count {
        agent.start();
        // Starting takes a part of a second, which is worth a third of the kills.
        let pause = match chance.below(3) {
            0 => chance.within(PAUSE / 5),
            1 => chance.within(PAUSE),
            _ => {
                // When no pod is created any more, after a pause.
                let _ = tokio::time::timeout(PAUSE, something.notified()).await;
                chance.within(PAUSE / 10)
            }
        };
        tokio::time::sleep(pause).await;
        agent.kill();
        if chance.is(30) {
            // What happens meanwhile nobody sees.
            tokio::time::sleep(chance.within(PAUSE / 2)).await;
        }
    }
    agent.start();
}

/// Plans what a cloud does to its callers, all seeded.
async fn plan_faults(cluster: &Cluster, seed: u64) {
    let throttled = json!({ "kind": "error", "code": "Throttling.User" });
    let broken = json!({ "kind": "error", "code": "InternalError" });
    let lost = |kind: &str, when: &str| json!({ "kind": kind, "when": when });
    let mut number = 0;
    for (action, per_mille, fault) in [
        ("CreateContainerGroup", 60, lost("timeout", "after")),
        ("CreateContainerGroup", 60, lost("disconnect", "after")),
        ("CreateContainerGroup", 30, lost("timeout", "before")),
        ("CreateContainerGroup", 80, throttled.clone()),
        ("CreateContainerGroup", 80, broken.clone()),
        ("DeleteContainerGroup", 60, lost("timeout", "after")),
        ("DeleteContainerGroup", 60, lost("disconnect", "after")),
        ("DeleteContainerGroup", 80, throttled.clone()),
        ("DeleteContainerGroup", 80, broken.clone()),
        ("DescribeContainerGroupStatus", 20, lost("disconnect", "before")),
        ("DescribeContainerGroupStatus", 50, throttled),
        ("DescribeContainerGroups", 100, broken),
    ] {
        number += 1;
        let mut plan = fault;
        plan["times"] = json!("always");
        plan["per-mille"] = json!(per_mille);
        plan["seed"] = json!(seed.wrapping_add(number));
        cluster.cloud.fault(action, plan).await;
    }
}

/// By action, how many calls met a fault.
async fn faults_met(cluster: &Cluster) -> String {
    let mut met = BTreeMap::<String, u64>::new();
    let plans: Value = cluster.cloud.get("faults").await;
    for plan in plans.as_array().into_iter().flatten() {
        let what = ["action", "kind", "when", "code"].map(|key| text(&plan[key]));
        let count = plan["met"].as_u64().unwrap_or_default();
        *met.entry(what.join(" ").trim().to_owned()).or_default() += count;
    }
    format!("{met:?}")
}
