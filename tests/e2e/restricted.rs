//! A namespace that enforces the Pod Security level `restricted`.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{Namespace, pod, template_spec};

#[tokio::test]
async fn pods_of_a_restricted_namespace_run_and_what_is_weaker_is_said_once() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "restricted").await;
    let level = "pod-security.kubernetes.io/enforce=restricted";
    namespace
        .kubectl(&["label", "namespace", &namespace.name, level])
        .await
        .ok();
    // The level is in force: a pod that says nothing of its security is not admitted.
    let refusal = namespace.try_create(pod("careless")).await.refusal();
    assert!(refusal.contains("violates PodSecurity"), "{refusal}");

    let mut spec = template_spec();
    spec["securityContext"] =
        json!({ "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } });
    spec["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
    });
    let labels = json!({ "app": "careful" });
    namespace
        .create(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "careful" },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": spec },
            },
        }))
        .await;
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/careful", namespace.name);
    cluster
        .until("three ready pods", &path, |d| d["status"]["readyReplicas"] == 3)
        .await;

    let told = async || namespace.events("", "FieldNotEnforced").await;
    let first = cluster
        .eventually("what is not enforced", told, |events| !events.is_empty())
        .await;
    let message = crate::cloud::text(&first[0]["message"]);
    for field in ["seccompProfile", "allowPrivilegeEscalation", "capabilities"] {
        assert!(message.contains(field), "{field} is not in: {message}");
    }
    // Another pod of the same owner has the same fields, and they were announced already.
    namespace
        .kubectl(&["delete", "pods", "--selector", "app=careful", "--wait=false"])
        .await
        .ok();
    let old: Vec<Value> = first
        .iter()
        .map(|event| event["involvedObject"]["uid"].clone())
        .collect();
    let replaced = async || namespace.pods("app=careful").await;
    let ready =
        |pod: &Value| crate::cluster::condition(pod, "Ready") == "True" && !old.contains(&pod["metadata"]["uid"]);
    cluster
        .eventually("three new pods", replaced, |pods| {
            pods.len() == 3
                && pods
                    .iter()
                    .all(|pod| ready(pod) && pod["metadata"]["deletionTimestamp"].is_null())
        })
        .await;
    let told = told().await;
    assert_eq!(told.len(), 1, "once for all pods of an owner: {told:?}");
    assert!(told[0]["count"].is_null() || told[0]["count"] == 1, "{}", told[0]);
    assert!(told[0]["series"].is_null(), "{}", told[0]);
}
