//! One process that serves a node in each of two zones, by the real scheduler, and a zone that has no stock.
//!
//! The zones are not that of the testbed's own node, so that other tests do not notice.

use serde_json::{Value, json};

use crate::bills::recorded;
use crate::cloud::text;
use crate::cluster::{AGENT_IP, Cluster, condition};
use crate::kubectl::kubectl;
use crate::many_nodes::ManyNodes;
use crate::namespace::{Namespace, pod, uid};

const A: &str = "cn-hangzhou-i";
const B: &str = "cn-hangzhou-j";
const NODE_A: &str = "virtual-kubelet-cn-hangzhou-i";
const NODE_B: &str = "virtual-kubelet-cn-hangzhou-j";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// A pod that asks for the pool of this test, and for no zone.
fn pooled(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeSelector"] = json!({ "pool": "zones" });
    pod["spec"]["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }]);
    pod
}

async fn stock(cluster: &Cluster, milli_cpu: Value, told: &str) {
    let body = json!({ "zone": A, "milli-cpu": milli_cpu, "told": told });
    cluster.cloud.post("stock", body).await;
}

/// Zones of all groups there ever were for the pod, and which of them was paid for.
async fn groups(cluster: &Cluster, uid: &str) -> Vec<(String, bool)> {
    let bills = cluster.cloud.bills_of_pod(uid).await;
    let of = |bill: &Value| (text(&bill["ZoneId"]), !bill["BillingStart"].is_null());
    bills.iter().map(of).collect()
}

#[tokio::test]
async fn a_node_in_each_zone_and_pods_that_move_on_when_one_has_no_stock() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "zones").await;
    for (id, zone) in [("vsw-zones-a", A), ("vsw-zones-b", B)] {
        cluster.cloud.post("vswitches", json!({ "id": id, "zone": zone })).await;
    }
    let nodes = [(NODE_A, "vsw-zones-a", 10_253), (NODE_B, "vsw-zones-b", 10_254)].map(|(name, vswitch, port)| {
        let listen = format!("{AGENT_IP}:{port}");
        json!({ "name": name, "vswitch-ids": [vswitch], "kubelet-listen": listen })
    });
    let more = json!({ "metrics-listen": "127.0.0.1:10266", "max-vcpu": 40, "node-labels": "pool=zones" });
    let agent = ManyNodes::start(&cluster, &namespace, &nodes, more).await;

    // What schedulers, autoscalers and controllers of the cloud go by.
    for (name, zone) in [(NODE_A, A), (NODE_B, B)] {
        let node = cluster
            .until("the node to be ready", &format!("/api/v1/nodes/{name}"), |node| {
                condition(node, "Ready") == "True"
            })
            .await;
        let labels = &node["metadata"]["labels"];
        for (label, value) in [
            (ZONE_LABEL, zone),
            ("topology.kubernetes.io/region", "cn-hangzhou"),
            ("node.kubernetes.io/exclude-from-external-load-balancers", "true"),
            ("service.alibabacloud.com/exclude-node", "true"),
        ] {
            assert_eq!(labels[label], value, "{label}: {labels}");
        }
        let annotations = &node["metadata"]["annotations"];
        assert_eq!(
            annotations["cluster-autoscaler.kubernetes.io/scale-down-disabled"],
            "true"
        );
        assert_eq!(node["spec"]["providerID"], format!("cn-hangzhou.{name}"));
        assert_eq!(node["spec"]["taints"][0]["key"], "virtual-kubelet.io/provider");
        let capacity = async || {
            let node = cluster.get(&format!("/api/v1/nodes/{name}")).await;
            (
                node["status"]["capacity"]["cpu"].clone(),
                node["status"]["capacity"]["pods"].clone(),
            )
        };
        cluster
            .eventually("the capacity that the settings allow", capacity, |(cpu, pods)| {
                cpu == "40" && pods == "160"
            })
            .await;
    }

    // A pod that names a zone is in it.
    let mut there = pooled("names-b");
    there["spec"]["nodeSelector"][ZONE_LABEL] = json!(B);
    let (there, _) = namespace.running(there).await;
    assert_eq!(groups(&cluster, &there).await, [(B.to_owned(), true)]);
    assert_eq!(namespace.pod("names-b").await["spec"]["nodeName"], NODE_B);

    // All others are bound to zone A from here on, which has no stock.
    kubectl(&["cordon", NODE_B]).await.ok();
    for (told, before) in [("call", &[][..]), ("later", &[(A.to_owned(), false)])] {
        stock(&cluster, json!(0), told).await;
        let names: Vec<String> = (0..3).map(|number| format!("{told}-{number}")).collect();
        for name in &names {
            namespace.create(pooled(name)).await;
        }
        for name in &names {
            let pod = namespace.phase(name, "Running").await;
            assert_eq!(pod["spec"]["nodeName"], NODE_A);
            assert_eq!(pod["metadata"]["annotations"]["k8s.aliyun.com/eci-instance-zone"], B);
            // One group ran, and was paid for.
            let ever = groups(&cluster, &uid(&pod)).await;
            assert_eq!(ever, [before, &[(B.to_owned(), true)]].concat());
            for (reason, word) in [("NoStock", A), ("CreatedInOtherZone", B)] {
                let look = async || namespace.events(name, reason).await;
                let events = cluster.eventually(reason, look, |events| !events.is_empty()).await;
                assert!(text(&events[0]["message"]).contains(word), "{events:?}");
            }
            assert!(namespace.events(name, "Failed").await.is_empty());
        }
    }
    let node = format!("/api/v1/nodes/{NODE_A}");
    let out = cluster
        .until("the condition", &node, |node| condition(node, "OutOfStock") == "True")
        .await;
    assert_eq!(condition(&out, "Ready"), "True");

    // One that is tied to the zone waits, and says for what.
    let mut tied = pooled("tied");
    tied["spec"]["nodeSelector"][ZONE_LABEL] = json!(A);
    namespace.create(tied).await;
    let look = async || namespace.events("tied", "NoStock").await;
    cluster.eventually("an Event", look, |events| !events.is_empty()).await;
    assert_eq!(namespace.pod("tied").await["status"]["phase"], "Pending");
    stock(&cluster, json!("enough"), "call").await;
    let tied = namespace.phase("tied", "Running").await;
    let last = groups(&cluster, &uid(&tied)).await.pop();
    assert_eq!(last, Some((A.to_owned(), true)));
    cluster
        .until("the condition to go", &node, |node| {
            condition(node, "OutOfStock") == "False"
        })
        .await;

    namespace
        .kubectl(&["delete", "pods", "--all", "--wait=false"])
        .await
        .ok();
    namespace.no_groups().await;
    recorded(&cluster, &namespace).await;
    agent.end().await;
}
