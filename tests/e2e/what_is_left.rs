//! What the suite leaves behind; the last to run.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{Namespace, pod, with_secret};

/// The value of a Secret; no encoding of a form or of JSON changes it.
const SECRET: &str = "Xk3vQ9mT7pL2wZ8nR4bY6cJ1";

#[tokio::test]
async fn no_secret_is_in_any_log() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "secrets").await;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" }, "stringData": { "key": SECRET } });
    namespace.create(secret).await;
    // Also what a person turns on to find a fault.
    cluster
        .control_with("VN_AGENT_ARGS", "--log-level debug", &["restart", "agent"])
        .await;
    for fault in [
        json!({ "kind": "error", "code": "SignatureDoesNotMatch", "status": 400 }),
        json!({ "kind": "error", "code": "InternalError", "status": 500 }),
        json!({ "kind": "disconnect", "when": "after" }),
    ] {
        cluster.cloud.fault("CreateContainerGroup", fault).await;
    }
    for name in ["a", "b", "c", "refused"] {
        let mut reader = with_secret(pod(name), "keys");
        let spec = &mut reader["spec"];
        spec["volumes"] = json!([{ "name": "keys", "secret": { "secretName": "keys" } }]);
        spec["containers"][0]["volumeMounts"] = json!([{ "name": "keys", "mountPath": "/keys" }]);
        if name == "refused" {
            spec["hostNetwork"] = json!(true);
        }
        namespace.create(reader).await;
    }
    for name in ["a", "b", "c"] {
        namespace.phase(name, "Running").await;
    }
    let told = async || namespace.events("refused", "Failed").await;
    cluster
        .eventually("the refusal", told, |events| !events.is_empty())
        .await;
    namespace.kubectl(&["delete", "pods", "--all"]).await.ok();

    let access_key = std::env::var("ALIBABA_CLOUD_ACCESS_KEY_SECRET").expect("the testbed sets it");
    let mut texts: Vec<(&str, String)> = ["agent", "mock-eci", "relay"]
        .map(|name| (name, cluster.log(name)))
        .into();
    assert!(
        texts[0].1.contains("DEBUG"),
        "the log is not as talkative as it should be"
    );
    texts.push(("mock-eci's journal", cluster.cloud.get("journal").await.to_string()));
    let events = cluster.get("/api/v1/events").await;
    texts.push(("events", events.to_string()));
    let encoded = |value: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(value);
    // Of the keys that agents make for themselves, as they are written and as Secrets hold them.
    let key = "-----BEGIN PRIVATE KEY";
    for (place, text) in &texts {
        for value in [
            SECRET,
            &access_key,
            key,
            &encoded(SECRET),
            &encoded(&access_key),
            &encoded(&key[..21]),
        ] {
            let line = text.lines().find(|line| line.contains(value));
            assert!(line.is_none(), "a secret is in {place}: {}", line.unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn nothing_else_is_left() {
    let cluster = Cluster::alone().await;
    let look = async || {
        let all = cluster.get("/api/v1/namespaces").await;
        let names = all["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|n| n["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        names.filter(|name| name.starts_with("e2e-")).collect::<Vec<_>>()
    };
    cluster
        .eventually("the suite's namespaces to go", look, Vec::is_empty)
        .await;
    let look = async || cluster.cloud.get("groups").await;
    let none = |groups: &Value| groups.as_array().is_some_and(Vec::is_empty);
    cluster.eventually("the groups to go", look, none).await;
}
