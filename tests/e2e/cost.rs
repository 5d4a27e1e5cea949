//! What applications cost: records by the rights of `manifests/base`, held to mock-eci's ledger by a script that shares no code
//! with either, while the agent is killed and groups end in every way.

use serde_json::{Value, json};

use crate::agent_process::{AgentProcess, IMPATIENT};
use crate::bills::{cost, recorded, verdict};
use crate::cluster::Cluster;
use crate::kubectl::{kubectl, run};
use crate::namespace::{CONTAINER, Namespace, pod, slow_to_schedule};

pub const RBAC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/base/agent-rbac.yaml");
pub const IDENTITY: &str = "system:serviceaccount:virtual-node:virtual-node";
/// Longer than it takes to delete a pod.
const SLOW: std::time::Duration = std::time::Duration::from_secs(60);

/// A pod as Spark makes them.
fn spark(application: &str, role: &str, executor: &str) -> Value {
    let mut pod = pod(&format!("{application}-{role}{executor}"));
    pod["metadata"]["labels"] = json!({
        "spark-app-selector": application, "spark-app-name": "word-count", "spark-role": role, "spark-exec-id": executor,
    });
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

fn annotated(mut pod: Value, annotations: Value) -> Value {
    pod["metadata"]["annotations"] = annotations;
    pod
}

/// An agent that keeps records by the rights that the manifests give it.
pub async fn recording(cluster: &Cluster) -> AgentProcess {
    let home = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "virtual-node" } });
    run("kubectl", &["apply", "-f", "-"], &home.to_string()).await.ok();
    kubectl(&["apply", "--namespace", "virtual-node", "-f", RBAC])
        .await
        .ok();
    let kubeconfig = std::env::var("KUBECONFIG").expect("the testbed sets it");
    let mut flags = vec!["--cost-kubeconfig", &kubeconfig, "--cost-impersonate", IDENTITY];
    flags.extend(["--cost-namespace", "virtual-node"]);
    flags.extend(IMPATIENT);
    AgentProcess::take_over(cluster, &flags).await
}

/// Waits until each group that is billed has cost something: of those that live for less than a second nothing is told.
async fn all_cost_something(cluster: &Cluster, namespace: &Namespace<'_>) {
    let look = async || namespace.bills().await;
    let billed = |bill: &Value| !bill["BillingStart"].is_null() && bill["BillingEnd"].is_null();
    let all = |bills: &Vec<Value>| {
        bills
            .iter()
            .filter(|bill| billed(bill))
            .all(|bill| bill["BilledSeconds"].as_u64() >= Some(1))
    };
    cluster.eventually("all groups to cost something", look, all).await;
}

#[tokio::test]
async fn what_is_recorded_is_what_the_ledger_says() {
    let cluster = Cluster::alone().await;
    // Records outlive namespaces: those of an earlier run must not be this one's.
    let topic = format!("cost-{}", std::process::id());
    let namespace = Namespace::new(&cluster, &topic).await;
    let mut agent = recording(&cluster).await;
    agent.start();

    // By itself, by itself with an error, on spot resources, and in the second of its sizes: exact.
    let (_, driver) = namespace.running(spark("spark-a", "driver", "")).await;
    let (_, good) = namespace.running(spark("spark-a", "executor", "1")).await;
    let (_, bad) = namespace.running(spark("spark-a", "executor", "2")).await;
    let spot = json!({ "k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo" });
    let (_, spot) = namespace
        .running(annotated(spark("spark-spot", "driver", ""), spot))
        .await;
    let out_of_stock = json!({ "kind": "error", "code": "OperationDenied.NoStock", "status": 403, "times": 1 });
    cluster.cloud.fault("CreateContainerGroup", out_of_stock).await;
    let sizes = json!({ "k8s.aliyun.com/eci-use-specs": "4-8Gi,2-4Gi" });
    let (_, sized) = namespace
        .running(annotated(spark("spark-sized", "driver", ""), sizes))
        .await;
    // Never anything to pay: it can never run here; and deleted while it looks for resources.
    let never = json!({ "k8s.aliyun.com/eci-use-specs": "999-999Gi" });
    namespace
        .create(annotated(spark("spark-never", "driver", ""), never))
        .await;
    namespace
        .placed(slow_to_schedule(spark("spark-waits", "driver", ""), SLOW))
        .await;
    namespace.delete("pods", "spark-waits-driver", 0).await;
    // Deleted while it runs: ECI does not say when such a group ended.
    namespace.running(spark("spark-deleted", "executor", "1")).await;
    all_cost_something(&cluster, &namespace).await;
    namespace.delete("pods", "spark-deleted-executor1", 30).await;
    namespace.gone("spark-deleted-executor1").await;
    for (group, code) in [(&good, 0), (&bad, 3), (&spot, 0), (&sized, 0)] {
        cluster.cloud.exit(group, CONTAINER, code).await;
    }
    let ended = namespace.phase("spark-a-executor2", "Failed").await;
    let written = &ended["metadata"]["annotations"];
    assert_eq!(written["k8s.aliyun.com/eci-currency"], "CNY");
    assert!(written["k8s.aliyun.com/eci-billed-seconds"].is_string(), "{written}");

    // While no agent looks: one ends and can still be asked about; another ends, and ECI forgets it.
    let (_, unseen) = namespace.running(spark("spark-unseen", "driver", "")).await;
    let (_, forgotten) = namespace.running(spark("spark-forgotten", "driver", "")).await;
    all_cost_something(&cluster, &namespace).await;
    agent.kill();
    for group in [&unseen, &forgotten, &driver] {
        cluster.cloud.exit(group, CONTAINER, 0).await;
    }
    cluster.cloud.forget(&forgotten).await;
    agent.start();
    for pod in [
        "spark-a-driver",
        "spark-unseen-driver",
        "spark-spot-driver",
        "spark-sized-driver",
    ] {
        namespace.phase(pod, "Succeeded").await;
    }
    namespace.phase("spark-forgotten-driver", "Failed").await;

    let said = recorded(&cluster, &namespace).await;
    for application in ["spark-a", "spark-sized", "spark-unseen"] {
        assert_eq!(verdict(&said, application), "exact", "{application}: {said}");
    }
    for application in ["spark-deleted", "spark-forgotten"] {
        assert!(
            verdict(&said, application).starts_with("within"),
            "{application}: {said}"
        );
    }
    for application in ["spark-spot", "spark-waits"] {
        let verdict = verdict(&said, application);
        assert!(
            ["exact", "never billed"].contains(&&*verdict) || verdict.starts_with("within"),
            "{application}: {said}"
        );
    }
    assert_eq!(verdict(&said, "spark-never"), "missing", "it never had a group: {said}");

    // Records outlive pods and agents, and what is told twice counts once.
    let before = said;
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();
    agent.kill();
    agent.start();
    let said = recorded(&cluster, &namespace).await;
    assert_eq!(said, before);
    let shown = cost(&["show", "spark-a", "--namespace", &namespace.name, "--output", "json"])
        .await
        .ok();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let groups = shown["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 3, "{shown}");
    for group in groups {
        let (part, whole) = (&group["derived"], &group["charge"]["amount"]);
        let sum = part["pulling"]
            .as_i64()
            .zip(part["working"].as_i64())
            .map(|(a, b)| a + b);
        assert_eq!(sum, whole.as_i64(), "{group}");
    }
    let refused = cost(&["show", "no-such-application"]).await.refusal();
    assert!(
        refused.contains("no application is called \"no-such-application\"; there are spark-"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_spent_budget_ends_the_application_that_has_it_and_no_other() {
    let cluster = Cluster::alone().await;
    let topic = format!("budget-{}", std::process::id());
    let namespace = Namespace::new(&cluster, &topic).await;
    let mut agent = recording(&cluster).await;
    agent.start();
    namespace.running(spark("spark-cheap", "driver", "")).await;
    let stops = json!({ "k8s.aliyun.com/eci-budget": "100", "k8s.aliyun.com/eci-budget-action": "stop" });
    namespace
        .running(annotated(spark("spark-dear", "driver", ""), stops))
        .await;
    namespace.running(spark("spark-dear", "executor", "1")).await;
    let less = "k8s.aliyun.com/eci-budget=0.000001";
    namespace
        .kubectl(&["annotate", "--overwrite", "pod", "spark-dear-driver", less])
        .await
        .ok();
    namespace.gone("spark-dear-executor1").await;
    namespace.gone("spark-dear-driver").await;
    assert_eq!(namespace.pod("spark-cheap-driver").await["status"]["phase"], "Running");
    let told = namespace.events("spark-dear-driver", "BudgetReached").await;
    let told: Vec<&str> = told.iter().filter_map(|event| event["message"].as_str()).collect();
    assert!(
        told.iter().any(|note| note.contains("its budget of 0.000001")),
        "{told:?}"
    );
    let bills = namespace.bills().await;
    let goes_on = |of: &str| {
        let mut of_it = bills.iter().filter(|bill| {
            let name = bill["Tags"]["PodName"].as_str();
            name.is_some_and(|name| name.starts_with(of))
        });
        of_it.any(|bill| bill["BillingEnd"].is_null())
    };
    assert!(goes_on("spark-cheap") && !goes_on("spark-dear"), "{bills:?}");
    let shown = cost(&["show", "spark-dear", "--namespace", &namespace.name, "--output", "json"])
        .await
        .ok();
    assert!(shown.contains("spark-dear"), "{shown}");
}
