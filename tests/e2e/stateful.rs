//! A StatefulSet's promise, at most one pod of a name: a name never has two living groups, whatever is deleted and killed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agent_process::{AgentProcess, IMPATIENT};
use crate::cloud::{text, time};
use crate::cluster::{Cluster, condition};
use crate::namespace::{Namespace, pod, uid, with_variable};

#[tokio::test]
async fn a_name_never_has_two_living_groups() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "stateful").await;
    // Each takes its time to end, so that two of a name would meet.
    let spec = with_variable(pod("unused"), "MOCK_ECI_STOP_MS", "1500")["spec"].clone();
    let labels = json!({ "app": "store" });
    namespace
        .create(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "store" },
            "spec": {
                "replicas": 2, "serviceName": "store", "podManagementPolicy": "Parallel",
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": spec },
            },
        }))
        .await;
    let mut agent = AgentProcess::take_over(&cluster, &IMPATIENT).await;
    agent.start();
    let names = ["store-0", "store-1"];
    let mut made = renewed(&cluster, &namespace, &names, &BTreeMap::new()).await;

    // As it should be done, and by force.
    for grace in ["--grace-period=10", "--grace-period=0"] {
        delete(&namespace, &names, grace).await;
        made = renewed(&cluster, &namespace, &names, &made).await;
    }
    // By force while nobody looks: the agent finds a new pod of the name, and a group of one it never knew.
    agent.kill();
    delete(&namespace, &names, "--grace-period=0").await;
    agent.start();
    made = renewed(&cluster, &namespace, &names, &made).await;
    // While the cloud is away: the new ones wait until the old ones are known to be gone.
    cluster.signal("mock-eci", "STOP").await;
    delete(&namespace, &names[..1], "--grace-period=10").await;
    delete(&namespace, &names[1..], "--grace-period=0").await;
    cluster.condition("CloudReachable", "False").await;
    let leaving = namespace.pod("store-0").await;
    assert_eq!(
        uid(&leaving),
        made["store-0"],
        "it goes only when its group is known to be gone"
    );
    assert!(leaving["metadata"]["deletionTimestamp"].is_string(), "{leaving}");
    cluster.signal("mock-eci", "CONT").await;
    renewed(&cluster, &namespace, &names, &made).await;

    let mut lives = BTreeMap::<String, Vec<(Timestamp, Timestamp)>>::new();
    for bill in namespace.bills().await {
        let began = time(&bill["CreationTime"]).expect("a group has a beginning");
        let ended = [time(&bill["BillingEnd"]), time(&bill["RemovalTime"])]
            .into_iter()
            .flatten()
            .min();
        let life = (began, ended.unwrap_or(Timestamp::MAX));
        lives.entry(text(&bill["Tags"]["PodName"])).or_default().push(life);
    }
    for name in names {
        let groups = &lives[name];
        assert_eq!(groups.len(), 5, "one group for each pod of {name}: {groups:?}");
        for pair in groups.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{name} had two living groups: {groups:?}");
        }
    }
    namespace.kubectl(&["delete", "statefulset", "store"]).await.ok();
    namespace.no_groups().await;
}

async fn delete(namespace: &Namespace<'_>, names: &[&str], grace: &str) {
    let mut arguments = vec!["delete", "pod", "--wait=false", "--force=true", grace];
    if grace != "--grace-period=0" {
        arguments.retain(|argument| *argument != "--force=true");
    }
    arguments.extend(names);
    namespace.kubectl(&arguments).await.ok();
}

/// Waits until pods of those names are ready and none of them is one of `before`; returns their UIDs.
async fn renewed(
    cluster: &Cluster,
    namespace: &Namespace<'_>,
    names: &[&str],
    before: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let look = async || namespace.pods("app=store").await;
    let is_new = |pod: &Value| {
        let name = text(&pod["metadata"]["name"]);
        condition(pod, "Ready") == "True" && before.get(&name).is_none_or(|old| *old != uid(pod))
    };
    let pods = cluster
        .eventually("new pods of the same names", look, |pods| {
            pods.len() == names.len() && pods.iter().all(is_new)
        })
        .await;
    pods.iter()
        .map(|pod| (text(&pod["metadata"]["name"]), uid(pod)))
        .collect()
}
