//! `kubectl cordon` and `kubectl drain` of the virtual node, with a worker to go to.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ROOM_MIB, WORKER, names, spec};
use crate::burst::{bursting, deployment};
use crate::cloud::time;
use crate::cluster::{Cluster, NODE, say};
use crate::kubectl::kubectl;
use crate::namespace::{Namespace, uid};
use crate::recorder::Recorder;

const BURST: (&str, &str) = ("alibabacloud.com/burst-resource", "eci");
const GRACE_SECONDS: u32 = 4;
/// How long after its grace period a pod's group may be there.
const SLACK: SignedDuration = SignedDuration::from_secs(10);

#[tokio::test]
#[ignore = "needs a real worker: make mixed"]
async fn a_cordoned_node_takes_nobody_and_a_drained_one_lets_its_pods_go_as_their_budget_allows() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "leaving").await;
    let mut agent = bursting(&cluster).await;
    // The worker is full, so that all of the Deployment is on the pool. Its processes heed no SIGTERM.
    let filler = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "filler" }, "spec": spec(ROOM_MIB, 1, "exec sleep 100000") });
    namespace.create(filler).await;
    namespace.phase("filler", "Running").await;
    namespace
        .create(deployment(
            "web",
            3,
            BURST,
            &spec(512, GRACE_SECONDS, "exec sleep 100000"),
        ))
        .await;
    let look = async || namespace.pods("app=web").await;
    let run_on =
        |node: &'static str| move |pods: &Vec<Value>| pods.len() == 3 && names(pods, node, "Running").len() == 3;
    let before = cluster
        .eventually("three pods to run on the pool", look, run_on(NODE))
        .await;

    // Cordoned: neither what overflows nor what asks for the pool by itself goes there.
    kubectl(&["cordon", NODE]).await.ok();
    namespace
        .create(deployment("late", 2, BURST, &spec(512, 1, "exec sleep 100000")))
        .await;
    let mut by_itself = spec(512, 1, "exec sleep 100000");
    by_itself["nodeSelector"] = json!({ "type": "virtual-kubelet" });
    by_itself["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }]);
    let by_itself =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "by-itself" }, "spec": by_itself });
    namespace.create(by_itself).await;
    let told = async || {
        let told = namespace.events("", "BurstNotPossible").await;
        told.iter()
            .filter(|event| event["message"].to_string().contains("the virtual node is cordoned"))
            .count()
    };
    cluster
        .eventually("both that wait to be told why", told, |told| *told >= 2)
        .await;
    let refused = async || namespace.pod("by-itself").await["status"]["conditions"].to_string();
    cluster
        .eventually("the scheduler to refuse the other", refused, |conditions| {
            conditions.contains("Unschedulable")
        })
        .await;
    let waiting = namespace.pods("app=late").await;
    assert!(
        waiting.iter().all(|pod| pod["spec"]["nodeName"].is_null()
            && !pod["spec"]["tolerations"].to_string().contains("virtual-kubelet")),
        "not let in while it is cordoned: {waiting:?}"
    );
    assert_eq!(namespace.bills().await.len(), 3);

    // Uncordoned, they go: nobody has to touch them.
    kubectl(&["uncordon", NODE]).await.ok();
    let late = async || namespace.pods("app=late").await;
    cluster
        .eventually("both to run", late, |pods| names(pods, NODE, "Running").len() == 2)
        .await;
    namespace.phase("by-itself", "Running").await;
    namespace.kubectl(&["delete", "deployment", "late"]).await.ok();
    namespace.kubectl(&["delete", "pod", "by-itself", "filler"]).await.ok();

    // Drained: never fewer than two of three are there, and each group is gone soon after its pod's grace period.
    namespace
        .create(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
            "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "web" } } },
        }))
        .await;
    let budget = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets/web", namespace.name);
    let allows = |budget: &Value| budget["status"]["disruptionsAllowed"] == 1;
    cluster.until("the budget to be counted", &budget, allows).await;
    let available = Recorder::available(&cluster, &namespace.name).await;
    let ends = Recorder::ends(&cluster, &namespace.name).await;
    let options = [
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=100s",
    ];
    let arguments: Vec<&str> = ["drain", NODE].into_iter().chain(options).collect();
    let drained = kubectl(&arguments).await;
    assert!(drained.success, "{}{}", drained.out, drained.err);
    assert!(
        drained.err.contains("disruption budget"),
        "evictions waited: {}",
        drained.err
    );
    cluster
        .eventually("three pods to run on the worker", look, run_on(WORKER))
        .await;
    available.caught_up("web", "3").await;
    let seen = available.of("web");
    assert!(
        seen.iter().all(|count| count == "2" || count == "3"),
        "the budget was kept: {seen:?}"
    );

    namespace.no_groups().await;
    for pod in &before {
        let name = pod["metadata"]["name"].as_str().expect("named");
        ends.caught_up(name, "gone").await;
        // The time that the API server gave it: the eviction's, and the grace period after it.
        let end = ends.of(name).iter().find_map(|value| value.parse::<Timestamp>().ok());
        let end = end.unwrap_or_else(|| panic!("{name} was not evicted: {:?}", ends.of(name)));
        let bills = cluster.cloud.bills_of_pod(&uid(pod)).await;
        assert_eq!(bills.len(), 1, "{bills:?}");
        let removed = time(&bills[0]["RemovalTime"]).expect("it is gone");
        let after = removed.duration_since(end);
        say(&format!("{name}: its group was gone {after:#} after its grace period"));
        assert!(
            after <= SLACK,
            "{name}: its group was gone {after:#} after its grace period"
        );
    }
    assert_eq!(namespace.bills().await.len(), 6, "nobody came while it was drained");
    kubectl(&["uncordon", NODE]).await.ok();
    namespace.kubectl(&["delete", "deployment", "web"]).await.ok();
    agent.terminate().await;
}
