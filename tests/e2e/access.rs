//! What the agent's identity may do, and who may speak to the agent.

use serde_json::json;

use crate::cluster::{AGENT_IP, Cluster};
use crate::kubectl::kubectl;
use crate::logs::refusal_of_logs;
use crate::namespace::{CONTAINER, Namespace, pod, with_secret};

#[tokio::test]
async fn it_reads_the_secrets_that_its_pods_name_and_no_other() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "access").await;
    for name in ["named", "another"] {
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "key": "v" } });
        namespace.create(secret).await;
    }
    namespace.running(with_secret(pod("reader"), "named")).await;

    let kubeconfig = cluster.file("kubeconfigs/agent").display().to_string();
    let as_agent = async |arguments: &[&str]| {
        let mut all = vec!["--kubeconfig", &kubeconfig, "--namespace", &namespace.name];
        all.extend(arguments);
        kubectl(&all).await
    };
    assert_eq!(
        as_agent(&["get", "secret", "named", "--output", "name"]).await.ok(),
        "secret/named\n"
    );
    for forbidden in [
        ["get", "secret", "another"].as_slice(),
        &["get", "secrets"],
        &["get", "secrets", "--all-namespaces"],
        &["delete", "secret", "named"],
        &["create", "token", "default"],
        &["patch", "serviceaccount", "default", "--patch", "{}"],
        &[
            "label",
            "node",
            "virtual-kubelet-cn-hangzhou-h",
            "node-restriction.kubernetes.io/trusted=yes",
        ],
        &["create", "configmap", "mine"],
    ] {
        let refusal = as_agent(forbidden).await.refusal();
        assert!(
            refusal.contains("Forbidden") || refusal.contains("forbidden"),
            "{forbidden:?}: {refusal}"
        );
    }
}

#[tokio::test]
async fn its_kubelet_api_lets_nobody_in_without_a_name() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "strangers").await;
    namespace.running(pod("quiet")).await;
    let url = format!(
        "https://{AGENT_IP}:10250/containerLogs/{}/quiet/{CONTAINER}",
        namespace.name
    );
    let authority = cluster.file("pki/ca.crt").display().to_string();
    let answer = cluster.curl(&["--cacert", &authority, &url]).await;
    assert!(answer.ends_with("\n401"), "{answer}");
    assert!(!answer.contains("started"), "{answer}");

    // Of the cluster, but not one who may read logs of nodes.
    let file = |name: &str| cluster.file(&format!("pki/{name}")).display().to_string();
    let (certificate, key) = (file("coredns.crt"), file("coredns.key"));
    let answer = cluster
        .curl(&["--cacert", &authority, "--cert", &certificate, "--key", &key, &url])
        .await;
    assert!(answer.ends_with("\n403"), "{answer}");

    let (certificate, key) = (
        file("kube-apiserver-kubelet-client.crt"),
        file("kube-apiserver-kubelet-client.key"),
    );
    let answer = cluster
        .curl(&["--cacert", &authority, "--cert", &certificate, "--key", &key, &url])
        .await;
    assert!(answer.contains("started") && answer.ends_with("\n200"), "{answer}");
}

#[tokio::test]
async fn a_certificate_for_another_address_is_refused() {
    /// On the bridge, but in no certificate.
    const ELSEWHERE: &str = "172.31.0.12";
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "certificate").await;
    namespace.running(pod("talks")).await;
    namespace.kubectl(&["logs", "talks"]).await.ok();

    cluster.add_address(ELSEWHERE).await;
    cluster.control(&["restart", "agent", ELSEWHERE]).await;
    let refusal = refusal_of_logs(&cluster, &namespace, "talks", "x509").await;
    assert!(
        refusal.contains("certificate is valid for") && refusal.contains(ELSEWHERE),
        "{refusal}"
    );

    cluster.control(&["restart", "agent", AGENT_IP]).await;
    let look = async || namespace.kubectl(&["logs", "talks"]).await;
    cluster
        .eventually("logs, with the right certificate", look, |said| said.success)
        .await;
}
