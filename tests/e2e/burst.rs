//! Workers first, then the pool, by the real scheduler: a worker that holds few pods, and caps that hold for everybody.
//!
//! Burst acts by the rights of `manifests/burst`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agent_process::AgentProcess;
use crate::cloud::{text, time};
use crate::cluster::{Cluster, NODE, say};
use crate::fake_worker::{FakeWorker, WORKER};
use crate::kubectl::{kubectl, run};
use crate::namespace::{Namespace, pod, template_spec, with_variable};

/// What burst may do.
pub const RBAC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/burst/burst-rbac.yaml");
/// As whom.
pub const IDENTITY: &str = "system:serviceaccount:virtual-node:virtual-node-burst";
const TAINT: &str = "virtual-kubelet.io/provider=alibabacloud:NoSchedule";
const BURST_RESOURCE: &str = "alibabacloud.com/burst-resource";
const POLICY: &str = "k8s.aliyun.com/eci-burst-policy";

/// The taint that the serverless testbed's node does not have; it goes when this is dropped.
pub struct Tainted;

impl Tainted {
    /// Puts it there.
    pub async fn new() -> Self {
        kubectl(&["taint", "node", NODE, TAINT, "--overwrite"]).await.ok();
        Self
    }
}

impl Drop for Tainted {
    fn drop(&mut self) {
        let arguments = ["taint", "node", NODE, &format!("{TAINT}-")];
        let _ = std::process::Command::new("kubectl").args(arguments).output();
    }
}

/// An agent with burst in place of the testbed's, ready.
pub async fn bursting(cluster: &Cluster) -> AgentProcess {
    bursting_with(cluster, &[]).await
}

/// The same with more flags, each with its value.
pub async fn bursting_with(cluster: &Cluster, more: &[&str]) -> AgentProcess {
    home().await;
    kubectl(&["apply", "-f", RBAC]).await.ok();
    let kubeconfig = std::env::var("KUBECONFIG").expect("the testbed sets it");
    let mut flags = vec![
        "--burst",
        "true",
        "--burst-kubeconfig",
        &kubeconfig,
        "--burst-impersonate",
        IDENTITY,
        "--register-with-taints",
        TAINT,
    ];
    flags.extend(more);
    let mut agent = AgentProcess::take_over(cluster, &flags).await;
    agent.start();
    ready(cluster).await;
    agent
}

/// The namespace that the manifests name.
pub async fn home() {
    let home = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "virtual-node" } });
    run("kubectl", &["apply", "-f", "-"], &home.to_string()).await.ok();
}

/// Waits until the agent says that it is ready.
pub async fn ready(cluster: &Cluster) {
    let look = async || {
        run("curl", &["--silent", "http://127.0.0.1:10255/readyz"], "")
            .await
            .out
    };
    cluster
        .eventually("the agent to be ready", look, |text| text.ends_with("\nready\n"))
        .await;
}

/// A Deployment whose pods carry a label of burst.
pub fn deployment(name: &str, replicas: usize, label: (&str, &str), spec: &Value) -> Value {
    let mut labels = json!({ "app": name });
    labels[label.0] = json!(label.1);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    })
}

fn on(pods: &[Value], node: &str) -> BTreeSet<String> {
    let pods = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
    pods.map(|pod| text(&pod["metadata"]["name"])).collect()
}

fn are_running(pods: &[Value], count: usize) -> bool {
    pods.len() == count && pods.iter().all(|pod| pod["status"]["phase"] == "Running")
}

#[tokio::test]
async fn each_policy_goes_where_it_says() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "burst").await;
    let mut agent = bursting(&cluster).await;
    let _tainted = Tainted::new().await;
    let _worker = FakeWorker::with_room(&cluster, 6).await;

    // Workers first: six fit, three overflow; scaled down, exactly those of the pool go.
    let label = (BURST_RESOURCE, "eci");
    namespace.create(deployment("first", 9, label, &template_spec())).await;
    let look = async || namespace.pods("app=first").await;
    let pods = cluster
        .eventually("nine pods to run", look, |pods| are_running(pods, 9))
        .await;
    let (home, pool) = (on(&pods, WORKER), on(&pods, NODE));
    assert_eq!((home.len(), pool.len()), (6, 3));
    let tolerant = |pod: &&Value| {
        pod["spec"]["tolerations"]
            .to_string()
            .contains("virtual-kubelet.io/provider")
    };
    let let_in: BTreeSet<String> = pods
        .iter()
        .filter(tolerant)
        .map(|p| text(&p["metadata"]["name"]))
        .collect();
    assert_eq!(let_in, pool, "no other was let onto the pool");
    namespace
        .kubectl(&["scale", "deployment", "first", "--replicas=6"])
        .await
        .ok();
    let pods = cluster.eventually("six pods", look, |pods| pods.len() == 6).await;
    assert_eq!(on(&pods, WORKER), home, "the pool's are gone, the worker's stay");
    namespace.no_groups().await;

    // Workers only, with the worker full: they wait, and have never been on the pool when it is over.
    let label = (POLICY, "ecs-only");
    namespace
        .create(deployment("workers", 3, label, &template_spec()))
        .await;
    let unscheduled = |pods: &Vec<Value>| {
        let waits = |pod: &Value| pod["status"]["conditions"].to_string().contains("Unschedulable");
        pods.len() == 3 && pods.iter().all(waits)
    };
    let look = async || namespace.pods("app=workers").await;
    cluster.eventually("three pods to wait", look, unscheduled).await;

    // The pool only, with room on the worker: held by a gate until they are shaped.
    namespace
        .kubectl(&["scale", "deployment", "first", "--replicas=3"])
        .await
        .ok();
    let pods = cluster
        .eventually("them to run", look, |pods| are_running(pods, 3))
        .await;
    assert_eq!(on(&pods, WORKER).len(), 3, "as workers had room they ran there");
    namespace
        .kubectl(&["delete", "deployment", "first", "workers"])
        .await
        .ok();
    let mut spec = template_spec();
    spec["schedulingGates"] = json!([{ "name": "k8s.aliyun.com/eci-burst" }]);
    let before = namespace.bills().await.len();
    namespace
        .create(deployment("pool", 4, (BURST_RESOURCE, "eci_only"), &spec))
        .await;
    let look = async || namespace.pods("app=pool").await;
    let pods = cluster
        .eventually("four pods to run", look, |pods| are_running(pods, 4))
        .await;
    assert_eq!(on(&pods, NODE).len(), 4, "the worker is empty");
    assert_eq!(namespace.bills().await.len(), before + 4);

    // What burst may do to a pod is no more than it needs.
    let name = text(&pods[0]["metadata"]["name"]);
    let image = json!({ "spec": { "containers": [{ "name": "main", "image": "another" }] } }).to_string();
    let refused = namespace
        .kubectl(&["patch", "pod", &name, "--as", IDENTITY, "--patch", &image])
        .await;
    let why = refused.refusal();
    assert!(why.contains("burst changes no image"), "{why}");

    namespace.kubectl(&["delete", "deployment", "pool"]).await.ok();
    namespace.no_groups().await;
    agent.terminate().await;
}

#[tokio::test]
async fn a_profile_with_a_mistake_leaves_the_old_one_and_says_so() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "profile").await;
    let mut agent = bursting(&cluster).await;
    let _tainted = Tainted::new().await;
    let set = async |selectors: &str| {
        let profile = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "eci-profile", "namespace": "kube-system" },
            "data": { "selectors": selectors },
        });
        run("kubectl", &["apply", "-f", "-"], &profile.to_string()).await.ok();
    };
    set(r#"[{ "name": "batch", "objectSelector": { "matchLabels": { "tier": "batch" } }, "effect": { "labels": { "burst": "on" } } }]"#)
        .await;
    let labelled = |name: &str| {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({ "tier": "batch" });
        pod
    };
    namespace.create(labelled("one")).await;
    let one = namespace.phase("one", "Running").await;
    assert_eq!(one["metadata"]["labels"]["burst"], "on");
    set("[{").await;
    let look = async || {
        let events = cluster.get("/api/v1/namespaces/kube-system/events").await;
        let items = events["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().find(|event| event["reason"] == "ProfileRejected")
    };
    let event = cluster
        .eventually("an Event", look, Option::is_some)
        .await
        .expect("one");
    assert_eq!(event["involvedObject"]["name"], "eci-profile");
    assert!(
        text(&event["message"]).contains("data.selectors is not a JSON list"),
        "{event}"
    );
    let metrics = run("curl", &["--silent", "http://127.0.0.1:10255/metrics"], "")
        .await
        .out;
    assert!(metrics.contains("virtual_node_burst_profile_valid 0"));
    namespace.create(labelled("two")).await;
    namespace.phase("two", "Running").await;
    kubectl(&["delete", "configmap", "eci-profile", "--namespace", "kube-system"])
        .await
        .ok();
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();
    namespace.no_groups().await;
    agent.terminate().await;
}

#[tokio::test]
async fn caps_hold_for_two_hundred_pods_of_two_namespaces_though_the_agent_is_killed() {
    const CAP: usize = 50;
    let cluster = Cluster::alone().await;
    let namespaces = [
        Namespace::new(&cluster, "caps-a").await,
        Namespace::new(&cluster, "caps-b").await,
    ];
    for namespace in &namespaces {
        let cap = format!("k8s.aliyun.com/eci-max-pods={CAP}");
        kubectl(&["annotate", "namespace", &namespace.name, &cap]).await.ok();
    }
    let mut agent = bursting(&cluster).await;
    let _tainted = Tainted::new().await;
    for number in 0..100 {
        for namespace in &namespaces {
            let mut pod = pod(&format!("p-{number}"));
            pod["spec"]["restartPolicy"] = json!("Never");
            // A quarter brings a toleration of its own, and asks nobody.
            if number % 4 == 0 {
                pod["spec"]["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }]);
            } else {
                pod["metadata"]["labels"] = json!({ BURST_RESOURCE: "eci" });
            }
            let life = (3_000 + 50 * number).to_string();
            namespace
                .post("pods", with_variable(pod, "MOCK_ECI_EXIT_AFTER_MS", &life))
                .await;
        }
    }
    let succeeded = async || {
        let mut count = 0;
        for namespace in &namespaces {
            let pods = namespace.pods("").await;
            count += pods.iter().filter(|pod| pod["status"]["phase"] == "Succeeded").count();
        }
        count
    };
    for part in [20, 90] {
        cluster
            .eventually("some to end", &succeeded, |count| *count >= part)
            .await;
        agent.kill();
        agent.start();
    }
    cluster
        .eventually("all to end", &succeeded, |count| *count == 200)
        .await;
    for namespace in &namespaces {
        let bills = namespace.bills().await;
        let most = most_at_a_time(&bills);
        say(&format!("{}: {} groups, {most} at a time", namespace.name, bills.len()));
        assert_eq!(bills.len(), 100, "one group a pod");
        assert!(most <= CAP, "{} had {most}", namespace.name);
        let told = namespace.events("", "NamespaceCapReached").await;
        assert!(!told.is_empty(), "somebody waited, and was told for what");
        namespace
            .kubectl(&["delete", "pods", "--all", "--wait=false"])
            .await
            .ok();
    }
    for namespace in &namespaces {
        namespace.no_groups().await;
    }
    agent.terminate().await;
}

/// By the cloud's ledger: a group counts from its creation until it has ended or is gone.
fn most_at_a_time(bills: &[Value]) -> usize {
    let over = ["Succeeded", "Failed", "Expired", "ScheduleFailed"];
    let mut changes: Vec<(Timestamp, bool)> = Vec::new();
    for bill in bills {
        let mut states = bill["States"].as_array().into_iter().flatten();
        let ended = states.find(|state| over.iter().any(|status| state["Status"] == *status));
        let ended = ended
            .and_then(|state| time(&state["Since"]))
            .or_else(|| time(&bill["RemovalTime"]));
        changes.push((time(&bill["CreationTime"]).expect("a time"), true));
        changes.push((ended.unwrap_or(Timestamp::MAX), false));
    }
    // What ends at a moment makes room for what begins at it.
    changes.sort_unstable();
    let (mut now, mut most) = (0usize, 0);
    for (_, begins) in changes {
        now = if begins { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}
