//! A cluster without a worker: its DNS is a Deployment on the virtual node, from `manifests/coredns`.

use std::process::Command;

use serde_json::{Value, json};

use super::idle;
use crate::cluster::{Cluster, NODE};
use crate::kubectl::{kubectl, run};
use crate::namespace::Namespace;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const IMAGE: &str = "registry.k8s.io/coredns/coredns:v1.13.1";
const BUILT: &str = "localhost/virtual-node/coredns:1";
/// Nothing leads out of the testbed.
const UPSTREAM: &str = "      forward . /etc/resolv.conf\n";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
const PODS: &str = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns";

/// The testbed's own DNS, a process, is away until this is dropped.
struct WithoutProcess;

impl WithoutProcess {
    async fn new(cluster: &Cluster) -> Self {
        cluster.control(&["stop", "coredns"]).await;
        let left = [
            "delete",
            "endpointslice/kube-dns",
            "service/kube-dns",
            "--namespace",
            "kube-system",
        ];
        kubectl(&left).await.ok();
        Self
    }
}

impl Drop for WithoutProcess {
    fn drop(&mut self) {
        let of_ours = [
            "deployment/coredns",
            "poddisruptionbudget/coredns",
            "configmap/coredns",
            "serviceaccount/coredns",
            "service/kube-dns",
        ];
        let mut delete = Command::new("kubectl");
        delete
            .args(["delete", "--ignore-not-found", "--namespace", "kube-system"])
            .args(of_ours);
        let _ = delete.output();
        let _ = Command::new(format!("{ROOT}/tests/testbed/cluster.sh"))
            .args(["start", "coredns"])
            .output();
    }
}

#[tokio::test]
async fn dns_of_a_cluster_without_workers_runs_on_the_virtual_node() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "c-serverless").await;
    let nodes = cluster.get("/api/v1/nodes").await;
    assert_eq!(
        nodes["items"].as_array().map(Vec::len),
        Some(1),
        "the virtual node alone"
    );
    let archive = run(&format!("{ROOT}/tests/testbed/image/coredns/build.sh"), &[], "")
        .await
        .ok();
    cluster.control(&["load", archive.trim()]).await;

    let process = WithoutProcess::new(&cluster).await;
    let objects = kubectl(&["kustomize", &format!("{ROOT}/manifests/coredns")]).await.ok();
    assert!(
        objects.contains(IMAGE) && objects.contains(UPSTREAM.trim()),
        "{objects}"
    );
    let objects = objects.replace(IMAGE, BUILT).replace(UPSTREAM, "");
    run("kubectl", &["apply", "-f", "-"], &objects).await.ok();
    cluster
        .until("CoreDNS to be ready", DEPLOYMENT, |deployment| {
            deployment["status"]["readyReplicas"] == 2 && deployment["status"]["updatedReplicas"] == 2
        })
        .await;
    let pods = cluster.get(PODS).await;
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    assert!(pods.iter().all(|pod| pod["spec"]["nodeName"] == NODE), "{pods:?}");

    // Another pod asks for a Service of its namespace and for the API server, by the resolver that it was given.
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
        "spec": { "clusterIP": "10.96.12.34", "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    namespace.create(service).await;
    namespace.running(idle("asks")).await;
    let asked = async || {
        let script = "nslookup web.c-serverless.svc.cluster.local; nslookup kubernetes.default.svc.cluster.local";
        let script = script.replace("c-serverless", &namespace.name);
        namespace
            .kubectl(&["exec", "asks", "--", "sh", "-c", &script])
            .await
            .out
    };
    cluster
        .eventually("names to be found", asked, |out| {
            out.contains("10.96.12.34") && out.contains("10.96.0.1")
        })
        .await;

    // One of its pods is replaced: nobody is without an answer afterwards.
    let name = pods[0]["metadata"]["name"].as_str().expect("named");
    kubectl(&["delete", "pod", name, "--namespace", "kube-system"])
        .await
        .ok();
    cluster
        .until("CoreDNS to be whole again", DEPLOYMENT, |deployment| {
            deployment["status"]["readyReplicas"] == 2
        })
        .await;
    cluster
        .eventually("names to be found", asked, |out| out.contains("10.96.12.34"))
        .await;
    drop(process);
    let none = |pods: &Value| pods["items"].as_array().is_some_and(Vec::is_empty);
    cluster.until("its pods to be gone", PODS, none).await;
}
