//! Figures of real containers, beside those of a real kubelet (`make figures`): these need a container engine behind
//! mock-eci and a worker in the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, NODE};
use crate::figures::{autoscaled, scale};
use crate::kubectl::kubectl;
use crate::namespace::Namespace;

/// The testbed's real worker.
const WORKER: &str = "ecs-worker-1";
/// Busy, until a file says that it is enough.
const WORK: &str = "until [ -e /tmp/enough ]; do :; done; exec sleep 100000";
/// Machines are busy, and each change takes two samples, two scrapes and an autoscaler's look to be seen.
const PATIENCE: Duration = Duration::from_secs(300);

/// A container that works on the node of that name.
fn spec(node: &str, command: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": { "kubernetes.io/hostname": node },
        "tolerations": [{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }],
        "containers": [{
            "name": "main",
            "image": "localhost/virtual-node/busybox:1",
            "command": ["sh", "-c", command],
            "resources": { "requests": { "cpu": "250m", "memory": "512Mi" }, "limits": { "cpu": "250m", "memory": "512Mi" } },
        }],
    })
}

#[tokio::test]
#[ignore = "needs real containers: make figures"]
async fn an_autoscaler_follows_real_load() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "real-load").await;
    autoscaled(&namespace, spec(NODE, WORK)).await;
    let look = async || scale(&cluster, &namespace).await;
    cluster
        .within(PATIENCE, "more pods under load", look, |(_, ready, _)| *ready >= 2)
        .await;
    let rest = async || {
        for pod in namespace.pods("app=web").await {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            // One that starts or ends just now is told in the next round.
            let _ = namespace.kubectl(&["exec", &name, "--", "touch", "/tmp/enough"]).await;
        }
        scale(&cluster, &namespace).await
    };
    cluster
        .within(PATIENCE, "one pod without", rest, |(all, ..)| *all == 1)
        .await;
}

/// What a node says at `path`.
async fn ask(node: &str, path: &str) -> String {
    kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/{path}")])
        .await
        .out
}

/// Names, types and texts of families, and each name with the labels of its series.
fn names(metrics: &str) -> BTreeSet<String> {
    let series = |line: &str| {
        let (series, _) = line
            .rsplit_once("} ")
            .unwrap_or((line.split(' ').next().unwrap_or(line), ""));
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0));
        format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(","))
    };
    let lines = metrics.lines();
    lines
        .map(|line| {
            if line.starts_with('#') {
                line.to_owned()
            } else {
                series(line)
            }
        })
        .collect()
}

/// Paths of all members.
fn members(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| members(value, &format!("{path}.{key}"), all)),
        Value::Array(list) => list.iter().for_each(|value| members(value, &format!("{path}[]"), all)),
        _ => drop(all.insert(path.to_owned())),
    }
}

#[tokio::test]
#[ignore = "needs a real kubelet: make figures"]
async fn figures_have_the_names_of_a_real_kubelets() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "beside-a-kubelet").await;
    for (name, node) in [("ours", NODE), ("theirs", WORKER)] {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec(node, "exec sleep 100000") });
        namespace.create(pod).await;
    }
    for (name, node) in [("ours", NODE), ("theirs", WORKER)] {
        let series = format!(
            "pod_cpu_usage_seconds_total{{namespace=\"{}\",pod=\"{name}\"}}",
            namespace.name
        );
        let look = async || ask(node, "metrics/resource").await;
        cluster.eventually("figures", look, |text| text.contains(&series)).await;
    }
    let (ours, theirs) = (
        ask(NODE, "metrics/resource").await,
        ask(WORKER, "metrics/resource").await,
    );
    assert_eq!(names(&ours), names(&theirs));

    for path in ["stats/summary", "stats/summary?only_cpu_and_memory=true"] {
        let [ours, theirs] = [NODE, WORKER].map(|node| ask(node, path));
        let of = |text: &str| {
            let mut all = BTreeSet::new();
            members(&serde_json::from_str(text).expect("JSON"), "", &mut all);
            all
        };
        let (ours, theirs) = (of(&ours.await), of(&theirs.await));
        // What a kubelet leaves out where its runtime does not tell; the API has these.
        let optional =
            |path: &&String| path.contains(".network.") || path.contains(".swap.") || path.ends_with(".availableBytes");
        let unknown: Vec<&String> = ours.difference(&theirs).filter(|path| !optional(path)).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }

    // Answers to what is asked in a wrong way.
    for path in ["stats/x", "pods/x", "metrics/x", "metrics/resource/"] {
        for node in [NODE, WORKER] {
            let said = kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/{path}")]).await;
            assert!(said.refusal().contains("NotFound"), "{node} {path}");
        }
    }
}
