//! Evictions and tokens.

use http::Method;
use serde_json::{Value, json};

use super::bed::{Bed, condition, text, time};

pub async fn an_eviction_asks_the_budget(bed: &Bed) {
    let made = bed.pod("a").await;
    let running = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    bed.patch_status("a", running).await.ok();
    let budgets = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", bed.namespace);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "budget" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } },
    });
    bed.send(Method::POST, &budgets, "application/json", budget).await.ok();
    let evict = async |uid: &Value| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "a" },
            "deleteOptions": { "gracePeriodSeconds": 9, "preconditions": { "uid": uid } },
        });
        bed.send(
            Method::POST,
            &format!("{}/eviction", bed.pod_path("a")),
            "application/json",
            eviction,
        )
        .await
    };
    let uid = &made["metadata"]["uid"];
    // A real server says so until its controller has looked at the budget, and so does the budget itself afterwards.
    let refused = evict(uid).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (429, "TooManyRequests"));
    assert_eq!(
        message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "DisruptionBudget");
    let path = format!("{budgets}/budget");
    bed.send(Method::DELETE, &path, "application/json", Value::Null)
        .await
        .ok();
    assert_eq!(evict(&json!("another")).await.code, 409);
    assert_eq!(evict(uid).await.code, 201);
    let pod = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 9);
    let disruption = condition(&pod, "DisruptionTarget");
    assert_eq!(
        (text(disruption, "/status"), text(disruption, "/reason")),
        ("True", "EvictionByEvictionAPI")
    );
}

pub async fn a_token_is_bound_to_its_pod(bed: &Bed) {
    let made = bed.pod("a").await;
    let ask = async |account: &str, seconds: i64, uid: &Value| {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": [], "expirationSeconds": seconds,
                "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid },
            },
        });
        let path = format!("{}/{account}/token", bed.path("serviceaccounts"));
        bed.send(Method::POST, &path, "application/json", request).await
    };
    let uid = &made["metadata"]["uid"];
    let token = ask("default", 900, uid).await;
    assert_eq!(token.code, 201);
    let token = token.ok();
    assert!(!text(&token, "/status/token").is_empty());
    assert!(time(&token, "/status/expirationTimestamp") > time(&made, "/metadata/creationTimestamp"));
    let another = ask("default", 900, uid).await.ok();
    assert_ne!(text(&token, "/status/token"), text(&another, "/status/token"));
    assert_eq!(ask("default", 60, uid).await.code, 422);
    assert_eq!(ask("nobody", 900, uid).await.code, 404);
    assert_eq!(ask("default", 900, &json!("another")).await.code, 409);
}
