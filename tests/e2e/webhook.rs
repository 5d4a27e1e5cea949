//! The admission webhook, asked by the real API server: while it is there, while it is away, and while its CA is rotated.
//!
//! The webhook configuration is that of `manifests/webhook`, with the address of the testbed's agent instead of a Service (nothing
//! there forwards Services), and for the test's namespace alone.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Deserializer, Value, json};
use tokio::time::Instant;

use crate::agent_process::AgentProcess;
use crate::burst::{IDENTITY, Tainted, bursting_with, home, ready};
use crate::check::{check, found};
use crate::cloud::text;
use crate::cluster::{AGENT_IP, Cluster, NODE, say};
use crate::fake_worker::{FakeWorker, WORKER};
use crate::kubectl::{kubectl, run};
use crate::namespace::{Namespace, pod};
use crate::replicas::{HOME, service_account};

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/webhook");
const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/virtual-node";
const RESOURCE: &str = "alibabacloud.com/burst-resource";
const POLICY: &str = "k8s.aliyun.com/eci-burst-policy";

/// The webhook configuration; it goes when this is dropped.
struct Configured;

impl Configured {
    /// The objects of the manifests, for the pods of `namespace`, and for those of `kube-system` where the manifests let it.
    async fn new(cluster: &Cluster, namespace: &Namespace<'_>, strict: bool) -> Self {
        // What an earlier run may have left: a certificate in the Secret would be used.
        drop(Self);
        home().await;
        Self::apply(cluster, namespace, strict).await;
        Self
    }

    async fn apply(cluster: &Cluster, namespace: &Namespace<'_>, strict: bool) {
        let file = |name: &str| format!("{MANIFESTS}/{name}");
        kubectl(&["apply", "-f", &file("webhook-rbac.yaml")]).await.ok();
        let all = file("webhook.yaml");
        let all = kubectl(&["create", "--dry-run=client", "--output", "json", "-f", &all])
            .await
            .ok();
        for object in Deserializer::from_str(&all).into_iter::<Value>() {
            let object = object.expect("JSON");
            let objects = match object["items"].as_array() {
                Some(items) => items.clone(),
                None => vec![object],
            };
            for mut object in objects {
                if object["kind"] == "MutatingWebhookConfiguration" {
                    if strict {
                        object = strictly(cluster, &object).await;
                    }
                    narrow(&mut object, &namespace.name);
                }
                run("kubectl", &["apply", "-f", "-"], &object.to_string()).await.ok();
            }
        }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        let arguments = [
            "delete",
            "mutatingwebhookconfiguration",
            "virtual-node",
            "--ignore-not-found",
        ];
        let _ = std::process::Command::new("kubectl").args(arguments).output();
        let arguments = [
            "delete",
            "secret",
            "virtual-node-webhook",
            "--namespace",
            "virtual-node",
            "--ignore-not-found",
        ];
        let _ = std::process::Command::new("kubectl").args(arguments).output();
    }
}

/// With the webhooks that `manifests/webhook/strict` adds.
async fn strictly(cluster: &Cluster, configuration: &Value) -> Value {
    let file = cluster.file("webhook.json");
    std::fs::write(&file, configuration.to_string()).expect("a file of the testbed");
    let (file, patch) = (file.display().to_string(), format!("{MANIFESTS}/strict/strict.yaml"));
    let patched = kubectl(&[
        "patch",
        "--local",
        "--type",
        "json",
        "--patch-file",
        &patch,
        "-f",
        &file,
        "--output",
        "json",
    ])
    .await
    .ok();
    serde_json::from_str(&patched).expect("JSON")
}

fn narrow(configuration: &mut Value, namespace: &str) {
    for webhook in configuration["webhooks"].as_array_mut().expect("webhooks") {
        webhook["clientConfig"] = json!({ "url": format!("https://{AGENT_IP}:9443/mutate") });
        let only =
            json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace, "kube-system"] });
        let expressions = &mut webhook["namespaceSelector"]["matchExpressions"];
        expressions
            .as_array_mut()
            .expect("the manifests exclude namespaces")
            .push(only);
    }
}

/// An agent with burst and webhook whose CA is in the configuration.
async fn serving(cluster: &Cluster, more: &[&str]) -> AgentProcess {
    let listen = format!("{AGENT_IP}:9443");
    let mut flags = vec![
        "--webhook-listen",
        &listen,
        "--webhook-secret",
        "virtual-node/virtual-node-webhook",
    ];
    flags.extend(more);
    let agent = bursting_with(cluster, &flags).await;
    trusted(cluster).await;
    agent
}

async fn trusted(cluster: &Cluster) {
    let everywhere = |configuration: &Value| {
        let webhooks = configuration["webhooks"].as_array().expect("webhooks");
        webhooks
            .iter()
            .all(|webhook| webhook["clientConfig"]["caBundle"].is_string())
    };
    cluster
        .until("the webhook's CA to be trusted", CONFIGURATION, everywhere)
        .await;
}

fn labelled(name: &str, label: (&str, &str)) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["labels"] = json!({ label.0: label.1 });
    pod
}

/// One that no scheduler cares for.
fn unscheduled(mut pod: Value) -> Value {
    pod["spec"]["schedulerName"] = json!("nobody");
    pod
}

fn is_shaped(pod: &Value) -> bool {
    pod["spec"]["nodeSelector"]["type"] == "virtual-kubelet"
}

#[tokio::test]
async fn pods_are_shaped_while_it_is_there_and_created_while_it_is_away() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "webhook").await;
    let _configured = Configured::new(&cluster, &namespace, true).await;
    let mut agent = serving(&cluster, &[]).await;
    let _tainted = Tainted::new().await;
    let _worker = FakeWorker::with_room(&cluster, 6).await;

    // The pool only, with room on the worker and without a gate; workers only, though the pod tolerates the pool.
    namespace.create(labelled("pool", (RESOURCE, "eci_only"))).await;
    let mut loose = labelled("worker", (POLICY, "ecs-only"));
    loose["spec"]["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }]);
    namespace.create(loose).await;
    let pool = namespace.phase("pool", "Running").await;
    assert_eq!(
        (pool["spec"]["nodeName"].as_str(), is_shaped(&pool)),
        (Some(NODE), true)
    );
    let seconds = pool["spec"]["tolerations"].as_array().expect("tolerations").iter();
    let seconds: Vec<&Value> = seconds
        .map(|t| &t["tolerationSeconds"])
        .filter(|s| !s.is_null())
        .collect();
    assert_eq!(
        seconds,
        [86_400, 86_400],
        "it outlasts an outage of the agent from its first moment on"
    );
    let worker = namespace.phase("worker", "Running").await;
    assert_eq!(worker["spec"]["nodeName"], WORKER);

    // What could never run is told to who asks, before anything is created.
    let mut host = labelled("host", (RESOURCE, "eci_only"));
    host["spec"]["volumes"] = json!([{ "name": "v", "hostPath": { "path": "/data" } }]);
    let arguments = ["--namespace", &namespace.name, "create", "--dry-run=server", "-f", "-"];
    let said = run("kubectl", &arguments, &host.to_string()).await;
    let wanted = "Warning: a virtual node cannot run this pod: spec.volumes[0].hostPath: ";
    assert!(said.success && said.err.contains(wanted), "{said:?}");

    // What the cluster needs is left alone.
    let path = "/api/v1/namespaces/kube-system/pods?dryRun=All";
    let system = unscheduled(labelled("system", (RESOURCE, "eci_only")));
    let system = cluster.send(http::Method::POST, path, &system).await;
    assert!(!is_shaped(&system), "{system}");

    let metrics = run("curl", &["--silent", "http://127.0.0.1:10255/metrics"], "")
        .await
        .out;
    assert!(
        metrics.contains(r#"virtual_node_webhook_admissions_total{outcome="warned"}"#),
        "{metrics}"
    );
    let kubeconfig = std::env::var("KUBECONFIG").expect("the testbed sets it");
    let settings = [
        "--burst",
        "true",
        "--burst-kubeconfig",
        &kubeconfig,
        "--burst-impersonate",
        IDENTITY,
        "--webhook-listen",
        "0.0.0.0:9443",
    ];
    let (_, report) = check(&cluster, AGENT_IP, &settings).await;
    for name in ["webhook-configuration", "webhook-certificate", "webhook-service"] {
        assert_eq!(found(&report, name)["result"], "ok", "{report}");
    }

    // Away. Labelled pods are refused, as this configuration is strict; one that says it otherwise is created, and goes to the worker.
    agent.kill();
    let (_, report) = check(&cluster, AGENT_IP, &settings).await;
    assert_eq!(found(&report, "webhook-service")["result"], "fail", "{report}");
    let why = namespace
        .try_create(labelled("refused", (RESOURCE, "eci_only")))
        .await
        .refusal();
    assert!(
        why.contains("failed calling webhook") && why.contains("strict.burst.virtual-node"),
        "{why}"
    );
    namespace.create(pod("plain")).await;
    assert_eq!(namespace.phase("plain", "Running").await["spec"]["nodeName"], WORKER);
    Configured::apply(&cluster, &namespace, false).await;
    // The API server takes over the configuration a moment after it was written.
    let missed = labelled("missed", (RESOURCE, "eci_only"));
    let create = async || namespace.try_create(missed.clone()).await;
    cluster
        .eventually("a labelled pod to be created", create, |said| said.success)
        .await;
    let missed = namespace.phase("missed", "Running").await;
    assert_eq!(
        (missed["spec"]["nodeName"].as_str(), is_shaped(&missed)),
        (Some(WORKER), false)
    );

    // Back. Who was missed is told, nobody else, and the next one is shaped.
    agent.start();
    let look = async || namespace.events("", "BurstPolicyMissed").await;
    let events = cluster.eventually("an Event", look, |events| !events.is_empty()).await;
    let told: BTreeSet<String> = events
        .iter()
        .map(|event| text(&event["involvedObject"]["name"]))
        .collect();
    assert_eq!(told, BTreeSet::from(["missed".to_owned()]));
    assert!(text(&events[0]["message"]).contains("Delete it"), "{events:?}");
    ready(&cluster).await;
    trusted(&cluster).await;
    let shaped = async || {
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", namespace.name);
        let again = unscheduled(labelled("again", (RESOURCE, "eci_only")));
        cluster.send(http::Method::POST, &path, &again).await
    };
    cluster.eventually("pods to be shaped again", shaped, is_shaped).await;
    namespace
        .kubectl(&["delete", "pods", "--all", "--wait=false"])
        .await
        .ok();
    namespace.no_groups().await;
    agent.terminate().await;
}

/// Somebody else leads; it goes when this is dropped.
struct Led;

impl Led {
    async fn by_another() -> Self {
        home().await;
        let now = jiff::Timestamp::now();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "virtual-node", "namespace": HOME },
            "spec": { "holderIdentity": "another", "leaseDurationSeconds": 3600, "acquireTime": format!("{now:.6}"), "renewTime": format!("{now:.6}") },
        });
        drop(Self);
        run("kubectl", &["apply", "-f", "-"], &lease.to_string()).await.ok();
        Self
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        let arguments = [
            "delete",
            "lease",
            "virtual-node",
            "--namespace",
            HOME,
            "--ignore-not-found",
        ];
        let _ = std::process::Command::new("kubectl").args(arguments).output();
    }
}

#[tokio::test]
async fn its_ca_is_rotated_by_a_replica_that_stands_by_and_no_creation_misses_it() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "rotation").await;
    let _configured = Configured::new(&cluster, &namespace, false).await;
    let _led = Led::by_another().await;
    let kubeconfig = service_account(&cluster).await;
    let flags = [
        "--webhook-certificate-life",
        "15s",
        "--webhook-ca-overlap",
        "1s",
        "--kubeconfig",
        kubeconfig.to_str().expect("a path of the testbed"),
        "--impersonate-node",
        "true",
        "--leader-elect",
        "true",
        "--leader-elect-resource-namespace",
        HOME,
    ];
    let mut agent = serving(&cluster, &flags).await;
    let metrics = run("curl", &["--silent", "http://127.0.0.1:10255/metrics"], "")
        .await
        .out;
    assert!(metrics.contains("virtual_node_leader 0"), "it stands by");
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", namespace.name);
    let create = async |pod: &Value| {
        let began = Instant::now();
        let pod = cluster.send(http::Method::POST, &path, pod).await;
        (pod, began.elapsed())
    };
    let (wanting, placed) = (unscheduled(labelled("p", (RESOURCE, "eci_only"))), {
        // The webhook is not asked about this one.
        let mut pod = pod("p");
        pod["spec"]["nodeName"] = json!("nowhere");
        pod
    });
    // The API server takes over the configuration a moment after it was written.
    cluster
        .eventually("pods to be shaped", async || create(&wanting).await.0, is_shaped)
        .await;
    let mut bundles = BTreeSet::new();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let began = Instant::now();
    // A first one, one beside it, the second alone, a third beside it, the third alone.
    while bundles.len() < 5 {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "only {} bundles",
            bundles.len()
        );
        for _ in 0..20 {
            let (pod, took) = create(&wanting).await;
            assert!(
                is_shaped(&pod),
                "after {:?}, with bundle {}: {pod}",
                began.elapsed(),
                bundles.len()
            );
            with.push(took);
            without.push(create(&placed).await.1);
        }
        let configuration = cluster.get(CONFIGURATION).await;
        bundles.insert(text(&configuration["webhooks"][0]["clientConfig"]["caBundle"]));
    }
    for (what, times) in [("with", &mut with), ("without", &mut without)] {
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1_000.0;
        say(&format!(
            "{} creations {what} the webhook: {:.1} ms at p50, {:.1} ms at p99",
            times.len(),
            at(50),
            at(99)
        ));
    }
    agent.terminate().await;
}
