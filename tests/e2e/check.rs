//! `virtual-node check`, and the serving certificate that it watches over.

use serde_json::{Value, json};

use crate::cluster::{AGENT_IP, Cluster, NODE};
use crate::kubectl::{kubectl, run};
use crate::logs::refusal_of_logs;
use crate::namespace::{Namespace, pod};

/// Settings as the testbed gives them to its agent, as far as `check` looks at them.
pub async fn check(cluster: &Cluster, ip: &str, more: &[&str]) -> (Option<i32>, Value) {
    let file = |name: &str| cluster.file(name).display().to_string();
    let (kubeconfig, client_ca) = (file("kubeconfigs/agent"), file("pki/ca.crt"));
    let listen = format!("{ip}:10250");
    let mut all = vec![
        "check",
        "--output",
        "json",
        "--node-name",
        NODE,
        "--kubeconfig",
        &kubeconfig,
    ];
    all.extend([
        "--cluster-id",
        "testbed",
        "--region",
        "cn-hangzhou",
        "--vswitch-ids",
        "vsw-1",
    ]);
    all.extend(["--security-group-id", "sg-1", "--service-vips", "relay"]);
    all.extend(["--api-server", "172.31.0.1:6443"]);
    if !more.contains(&"--relay-ip") {
        all.extend(["--relay-ip", "172.31.0.20"]);
    }
    if !more.contains(&"--eci-endpoint") {
        all.extend(["--eci-endpoint", "http://127.0.0.1:8090"]);
    }
    all.extend([
        "--node-ip",
        ip,
        "--kubelet-listen",
        &listen,
        "--client-ca-file",
        &client_ca,
    ]);
    let admin = std::env::var("KUBECONFIG").expect("the testbed sets it");
    if !more.contains(&"--cost-impersonate") {
        all.extend(["--cost-impersonate", crate::cost::IDENTITY]);
    }
    all.extend(["--cost-kubeconfig", &admin, "--cost-namespace", "virtual-node"]);
    all.extend(more);
    let said = run(env!("CARGO_BIN_EXE_virtual-node"), &all, "").await;
    let report = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
    (said.code, report)
}

/// The worst finding of a check.
pub fn found<'a>(report: &'a Value, check: &str) -> &'a Value {
    let rank = |finding: &Value| match finding["result"].as_str() {
        Some("fail") => 2,
        Some("warn") => 1,
        _ => 0,
    };
    let checks = report["checks"].as_array().into_iter().flatten();
    let of_it = checks.filter(|finding| finding["check"] == check);
    of_it.max_by_key(|finding| rank(finding)).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn it_finds_nothing_where_all_is_well_and_what_is_wrong_where_it_is_not() {
    let cluster = Cluster::shared().await;
    let (cert, key) = ("pki/agent-serving.crt", "pki/agent-serving.key");
    let file = |name: &str| cluster.file(name).display().to_string();
    let serving = ["--tls-cert-file", &file(cert), "--tls-private-key-file", &file(key)];
    let look = async || check(&cluster, AGENT_IP, &serving).await;
    // The vCPU quota may be spent by the other tests.
    let well = |(_, report): &(Option<i32>, Value)| {
        let checks = report["checks"].as_array().expect("checks");
        checks
            .iter()
            .all(|finding| finding["result"] == "ok" || finding["check"] == "eci-quota")
    };
    let (code, report) = cluster.eventually("nothing to be found", look, well).await;
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
    for name in [
        "settings",
        "eci",
        "eci-limits",
        "eci-rights",
        "eci-create",
        "api-server",
        "clock",
        "identity",
        "rights",
        "node",
        "kubelet-port",
        "kubelet-proxy",
        "dns",
        "api-endpoint",
        "budget-rights",
    ] {
        assert_eq!(found(&report, name)["result"], "ok", "{name}: {report}");
    }

    let (code, report) = check(&cluster, "172.31.0.99", &serving).await;
    assert_eq!(code, Some(1));
    assert_eq!(
        found(&report, "node")["result"],
        "warn",
        "its kubelet API is elsewhere: {report}"
    );
    let nowhere = ["--eci-endpoint", "http://127.0.0.1:1"];
    let (code, report) = check(&cluster, AGENT_IP, &nowhere).await;
    assert_eq!(
        (code, &found(&report, "eci")["result"]),
        (Some(2), &"fail".into()),
        "{report}"
    );

    let (code, report) = check(&cluster, AGENT_IP, &["--eci-limits", "/no/such/file"]).await;
    assert_eq!((code, &found(&report, "settings")["result"]), (Some(2), &"fail".into()));
    assert!(!report.to_string().contains("testbed-secret"), "{report}");
}

#[tokio::test]
async fn it_finds_what_is_wrong_with_the_set_up_before_a_pod_does() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "check").await;
    let (cert, key) = ("pki/agent-serving.crt", "pki/agent-serving.key");
    let file = |name: &str| cluster.file(name).display().to_string();
    let serving = ["--tls-cert-file", &file(cert), "--tls-private-key-file", &file(key)];
    let look = async |more: &[&str]| {
        let all: Vec<&str> = serving.iter().chain(more).copied().collect();
        check(&cluster, AGENT_IP, &all).await.1
    };
    let says = |report: &Value, name: &str, result: &str, word: &str| {
        let finding = found(report, name);
        assert_eq!(finding["result"], result, "{name}: {report}");
        let text = format!("{} {}", finding["what"], finding["do"]);
        assert!(text.contains(word), "{name} says {text}, and not {word}");
    };

    // The account: rights one by one, a vSwitch, the quota.
    let rights = |deny: &[&str]| json!({ "deny": deny });
    cluster.cloud.post("rights", rights(&["DeleteContainerGroup"])).await;
    says(&look(&[]).await, "eci-rights", "fail", "eci:DeleteContainerGroup");
    cluster.cloud.post("rights", json!({ "allow": ["*"] })).await;
    cluster.cloud.post("rights", rights(&["DescribeContainerLog"])).await;
    says(&look(&[]).await, "eci-rights", "warn", "eci:DescribeContainerLog");
    cluster.cloud.post("rights", json!({ "allow": ["*"] })).await;
    namespace.running(pod("seen")).await;
    says(&look(&[]).await, "eci-list", "ok", "shown");
    cluster.cloud.post("rights", json!({ "list": false })).await;
    says(&look(&[]).await, "eci-list", "fail", "empty lists");
    cluster.cloud.post("rights", json!({ "list": true })).await;

    // The network: DNS and the API server's stable address.
    says(
        &look(&["--cluster-domain", "other.domain"]).await,
        "dns",
        "fail",
        "--cluster-domain",
    );
    let nowhere = look(&["--relay-ip", "172.31.0.99"]).await;
    says(&nowhere, "dns", "warn", "172.31.0.99");
    says(&nowhere, "api-endpoint", "warn", "172.31.0.99");

    // Who is allowed what: burst by its manifests and without, the election.
    let home = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "virtual-node" } });
    run("kubectl", &["apply", "-f", "-"], &home.to_string()).await.ok();
    kubectl(&["apply", "-f", crate::burst::RBAC]).await.ok();
    let admin = std::env::var("KUBECONFIG").expect("the testbed sets it");
    let burst = [
        "--burst",
        "true",
        "--burst-kubeconfig",
        &admin,
        "--burst-impersonate",
        crate::burst::IDENTITY,
    ];
    let report = look(&burst).await;
    says(&report, "burst-rights", "ok", "allowed");
    says(&report, "burst-policy", "ok", "kept from");
    says(&report, "eci-profile", "ok", "none");
    let profile = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "eci-profile", "namespace": "kube-system" },
        "data": { "selectors": "[{" },
    });
    run("kubectl", &["apply", "-f", "-"], &profile.to_string()).await.ok();
    says(&look(&burst).await, "eci-profile", "fail", "data.selectors");
    kubectl(&["delete", "configmap", "eci-profile", "--namespace", "kube-system"])
        .await
        .ok();
    // Budgets of namespaces: by the manifests of the agent itself, and without.
    kubectl(&["apply", "--namespace", "virtual-node", "-f", crate::cost::RBAC])
        .await
        .ok();
    says(&look(&[]).await, "budget-rights", "ok", "can be read");
    let nobody = look(&["--cost-impersonate", "nobody"]).await;
    says(&nobody, "budget-rights", "warn", "virtual-node-cost");
    // Records of cost, by the same identity, and prices.
    says(&look(&[]).await, "cost-rights", "ok", "virtual-node");
    says(&nobody, "cost-rights", "warn", "Role virtual-node-cost");
    let no_prices = rights(&["DescribeContainerGroupPrice"]);
    cluster.cloud.post("rights", no_prices).await;
    says(
        &look(&[]).await,
        "eci-rights",
        "warn",
        "eci:DescribeContainerGroupPrice",
    );
    let without = look(&["--cost-records", "false"]).await;
    says(&without, "eci-rights", "ok", "8 actions");
    cluster.cloud.post("rights", json!({ "allow": ["*"] })).await;
    let nobody = [
        "--burst",
        "true",
        "--burst-kubeconfig",
        &admin,
        "--burst-impersonate",
        "nobody",
    ];
    says(&look(&nobody).await, "burst-rights", "fail", "manifests/burst");
    // The node's own identity may not elect: a node writes no Lease but its own.
    says(
        &look(&["--leader-elect", "true"]).await,
        "election",
        "fail",
        "virtual-node-election",
    );
    namespace.kubectl(&["delete", "pod", "seen"]).await.ok();
    namespace.no_groups().await;
}

#[tokio::test]
async fn a_certificate_is_requested_and_serves_once_somebody_approves() {
    /// On the bridge, but in no certificate of the testbed.
    const ELSEWHERE: &str = "172.31.0.13";
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "requested").await;
    namespace.running(pod("talks")).await;
    cluster.add_address(ELSEWHERE).await;
    for ip in [AGENT_IP, ELSEWHERE] {
        cluster
            .control_with("VN_SERVING_CERTIFICATE", "request", &["restart", "agent", ip])
            .await;
        let look = async || check(&cluster, ip, &[]).await.1;
        let waits = |report: &Value| {
            let todo = found(report, "serving-certificate")["do"].as_str().unwrap_or_default();
            todo.starts_with("kubectl certificate approve csr-")
        };
        let report = cluster.eventually("a request that waits", look, waits).await;
        let todo = found(&report, "serving-certificate")["do"].as_str().expect("text");
        let arguments: Vec<&str> = todo.split(' ').skip(1).collect();
        let told = async || kubectl(&["get", "events", "--field-selector", "reason=ServingCertificatePending"]).await;
        cluster
            .eventually("an Event that says so", told, |said| said.out.contains(todo))
            .await;
        kubectl(&arguments).await.ok();
        let logs = async || namespace.kubectl(&["logs", "talks"]).await;
        cluster.eventually("logs", logs, |said| said.success).await;
        let (code, report) = check(&cluster, ip, &[]).await;
        assert_eq!(found(&report, "serving-certificate")["result"], "ok", "{report}");
        assert!(matches!(code, Some(0 | 1)), "{report}");
    }

    // Nobody believes what signs itself, in a cluster that looks.
    cluster
        .control_with("VN_SERVING_CERTIFICATE", "self-signed", &["restart", "agent", AGENT_IP])
        .await;
    let refusal = refusal_of_logs(&cluster, &namespace, "talks", "x509").await;
    assert!(refusal.contains("x509"), "{refusal}");
    let (_, report) = check(&cluster, AGENT_IP, &["--serving-certificate", "self-signed"]).await;
    assert_eq!(found(&report, "serving-certificate")["result"], "ok", "{report}");
    cluster.control(&["restart", "agent", AGENT_IP]).await;
}
