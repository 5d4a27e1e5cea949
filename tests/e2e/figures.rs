//! What pods and nodes use: the real metrics-server, `kubectl top`, a HorizontalPodAutoscaler, and two nodes in one process.
//!
//! mock-eci's containers use what steering tells them. Samples are taken every 15 s and metrics-server needs two of them, so that
//! each change is seen half a minute later.

use serde_json::{Value, json};

use crate::bills::recorded;
use crate::cluster::{AGENT_IP, Cluster, NODE};
use crate::kubectl::{kubectl, run};
use crate::many_nodes::ManyNodes;
use crate::namespace::{CONTAINER, Namespace, pod, template_spec};

/// Has a group's container use so much from now on.
async fn uses(cluster: &Cluster, group: &str, vcpu: f64, mib: u64) {
    try_uses(cluster, group, vcpu, mib)
        .await
        .unwrap_or_else(|refusal| panic!("mock-eci: {refusal}"));
}

/// As [`uses`], of a group that may not run any more.
async fn try_uses(cluster: &Cluster, group: &str, vcpu: f64, mib: u64) -> Result<Value, String> {
    let told = json!({ "container": CONTAINER, "cpu": vcpu, "memory-mib": mib });
    cluster.cloud.try_post(&format!("groups/{group}/usage"), told).await
}

/// A line of `kubectl top`, its words; empty while there is none.
async fn top(arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["top"];
    all.extend(arguments);
    all.push("--no-headers");
    let said = kubectl(&all).await;
    let line = said.out.lines().next().unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn top_shows_what_pods_and_the_node_use() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "top").await;
    let (_, group) = namespace.running(pod("busy")).await;
    uses(&cluster, &group, 0.2, 300).await;

    let of_pod = ["pod", "busy", "--containers", "--namespace", &namespace.name];
    let wanted = ["busy", CONTAINER, "200m", "300Mi"];
    cluster
        .eventually("top pod", async || top(&of_pod).await, |line| *line == wanted)
        .await;
    // Other tests have pods on it as well.
    let node = top(&["node", NODE]).await;
    assert_eq!(node.first().map(String::as_str), Some(NODE), "{node:?}");
    let number = |word: &str| {
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap_or_else(|_| panic!("no number: {node:?}"))
    };
    assert!(number(&node[1]) >= 200 && number(&node[3]) >= 300, "{node:?}");

    // The time is the sample's own, not that of the question.
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods/busy", namespace.name);
    let metrics = cluster.get(&path).await;
    let at: jiff::Timestamp = metrics["timestamp"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{metrics}"));
    assert_eq!(at.as_second() % 15, 0, "{metrics}");
}

/// A Deployment of one whose autoscaler wants half of its CPU requests used, within moments.
pub async fn autoscaled(namespace: &Namespace<'_>, spec: Value) {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": spec },
        },
    });
    namespace.create(deployment).await;
    let at_once = json!({ "stabilizationWindowSeconds": 0 });
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{
                "type": "Resource",
                "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } },
            }],
            "behavior": { "scaleUp": at_once, "scaleDown": at_once },
        },
    });
    namespace.create(autoscaler).await;
}

/// How many pods an autoscaler's Deployment has and how many it has ready, and what the autoscaler says.
pub async fn scale(cluster: &Cluster, namespace: &Namespace<'_>) -> (u64, u64, Value) {
    let path = |group: &str, kind: &str| format!("/apis/{group}/namespaces/{}/{kind}/web", namespace.name);
    let deployment = cluster.get(&path("apps/v1", "deployments")).await;
    let autoscaler = cluster.get(&path("autoscaling/v2", "horizontalpodautoscalers")).await;
    let number = |name: &str| deployment["status"][name].as_u64().unwrap_or_default();
    (
        number("replicas"),
        number("readyReplicas"),
        autoscaler["status"].clone(),
    )
}

#[tokio::test]
async fn an_autoscaler_follows_the_load() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "autoscaler").await;
    autoscaled(&namespace, template_spec()).await;
    // New pods, too: what they use by themselves is nobody's business.
    let all_use = async |vcpu: f64| {
        for pod in namespace.pods("app=web").await {
            let group = &pod["metadata"]["annotations"]["k8s.aliyun.com/eci-instance-id"];
            if let (Some(group), "Running") = (group.as_str(), pod["status"]["phase"].as_str().unwrap_or_default()) {
                // It may have ended a moment ago, when there is less to do.
                let _ = try_uses(&cluster, group, vcpu, 100).await;
            }
        }
        scale(&cluster, &namespace).await
    };
    // Each has 250m.
    cluster
        .eventually(
            "more pods under load",
            async || all_use(0.25).await,
            |(_, ready, _)| *ready >= 2,
        )
        .await;
    cluster
        .eventually("one pod without", async || all_use(0.01).await, |(all, ..)| *all == 1)
        .await;
}

/// Nodes of one more agent.
const TWO: [(&str, u16); 2] = [("virtual-kubelet-two-a", 10_251), ("virtual-kubelet-two-b", 10_252)];

/// What a node's kubelet API says, by way of the API server.
async fn ask(node: &str, path: &str) -> String {
    kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/{path}")])
        .await
        .out
}

/// Names of pods in a PodList or a summary, joined.
fn names(list: &str, items: &str, name: &str) -> String {
    let list: Value = serde_json::from_str(list).unwrap_or_default();
    let pods = list[items].as_array().into_iter().flatten();
    let names: Vec<&str> = pods
        .filter_map(|pod| pod.pointer(name).and_then(Value::as_str))
        .collect();
    names.join(" ")
}

/// The value of a series without labels.
fn value_of(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[tokio::test]
async fn two_nodes_of_one_process_are_two_nodes() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "two-nodes").await;
    let nodes = TWO.map(|(name, port)| {
        let listen = format!("{AGENT_IP}:{port}");
        json!({ "name": name, "zone": "cn-hangzhou-h", "vswitch-ids": ["vsw-1"], "kubelet-listen": listen })
    });
    let agent = ManyNodes::start(
        &cluster,
        &namespace,
        &nodes,
        json!({ "metrics-listen": "127.0.0.1:10265" }),
    )
    .await;
    // Registered, renewed and kept by their own identities: NodeRestriction lets no node write another's Node or Lease.
    for (name, port) in TWO {
        let node = cluster
            .until("the node to be ready", &format!("/api/v1/nodes/{name}"), |node| {
                crate::cluster::condition(node, "Ready") == "True"
            })
            .await;
        assert_eq!(node["status"]["addresses"][0]["address"], AGENT_IP);
        assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], port);
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
        cluster
            .until("its lease", &lease, |lease| lease["spec"]["holderIdentity"] == name)
            .await;
    }
    let ready = async || {
        run("curl", &["--silent", "http://127.0.0.1:10265/readyz"], "")
            .await
            .out
    };
    cluster
        .eventually("readiness of both", ready, |text| {
            TWO.iter()
                .all(|(name, _)| text.contains(&format!("[+]groups of {name} listed ok")))
        })
        .await;

    let on = |node: &str, name: &str| {
        let mut pod = pod(name);
        pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
        pod["spec"]["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }]);
        pod
    };
    let [(a, _), (b, _)] = TWO;
    let (first, group_a) = namespace.running(on(a, "first")).await;
    let (second, group_b) = namespace.running(on(b, "second")).await;
    uses(&cluster, &group_a, 0.1, 200).await;
    uses(&cluster, &group_b, 0.2, 300).await;

    // Each node counts its own pods and no other.
    for (node, pod, memory) in [(a, "first", "200Mi"), (b, "second", "300Mi")] {
        let look = async || top(&["node", node]).await;
        cluster
            .eventually("top node", look, |line| line.get(3).is_some_and(|used| used == memory))
            .await;
        let of_pod = ["pod", pod, "--namespace", &namespace.name];
        let look = async || top(&of_pod).await;
        cluster
            .eventually("top pod", look, |line| line.get(2).is_some_and(|used| used == memory))
            .await;
        assert_eq!(names(&ask(node, "stats/summary").await, "pods", "/podRef/name"), pod);
        assert_eq!(names(&ask(node, "pods").await, "items", "/metadata/name"), pod);
        assert_eq!(names(&ask(node, "runningpods/").await, "items", "/metadata/name"), pod);
        let metrics = ask(node, "metrics/resource").await;
        let series = metrics
            .lines()
            .filter(|line| line.starts_with("pod_cpu_usage_seconds_total{"));
        assert_eq!(series.count(), 1, "{metrics}");
        let cadvisor = ask(node, "metrics/cadvisor").await;
        assert!(cadvisor.contains(&format!("container=\"{CONTAINER}\"")), "{cadvisor}");
        assert!(ask(node, "metrics").await.contains("virtual_node_build_info{"));
        namespace.kubectl(&["logs", pod]).await.ok();
    }
    let uids = ask(a, "pods").await + &ask(b, "pods").await;
    assert!(uids.contains(&first) && uids.contains(&second));
    let nothing = names(&ask(NODE, "runningpods/").await, "items", "/metadata/name");
    assert!(
        !nothing.split(' ').any(|name| name == "first" || name == "second"),
        "{nothing}"
    );

    // A pod that goes takes its figures along, and nothing of what its node has used.
    let before = value_of(&ask(a, "metrics/resource").await, "node_cpu_usage_seconds_total");
    assert!(before > 0.1, "{before}");
    namespace.delete("pods", "first", 0).await;
    namespace.gone("first").await;
    let look = async || ask(a, "metrics/resource").await;
    let after = cluster
        .eventually("figures without the pod", look, |text| {
            text.contains("node_cpu_usage_seconds_total ") && !text.contains("pod=\"first\"")
        })
        .await;
    assert!(value_of(&after, "node_cpu_usage_seconds_total") >= before, "{after}");
    namespace.delete("pods", "second", 0).await;
    namespace.gone("second").await;
    // Nobody else would delete them.
    namespace.no_groups().await;
    recorded(&cluster, &namespace).await;
    agent.end().await;
}
