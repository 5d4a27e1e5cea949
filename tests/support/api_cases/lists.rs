//! Lists and watches.

use http::Method;
use serde_json::{Value, json};

use super::bed::{Bed, condition, pod, text, version};

pub async fn a_bound_pod_appears_to_its_node(bed: &Bed) {
    let made = bed.create("pods", pod("a")).await.ok();
    let query = format!(
        "watch=true&fieldSelector=spec.nodeName%3D{}&resourceVersion={}",
        bed.node,
        version(&made)
    );
    let mut events = bed.watch(&format!("/api/v1/pods?{query}")).await;
    let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "a" }, "target": { "kind": "Node", "name": bed.node } });
    let bind = format!("{}/binding", bed.pod_path("a"));
    let bound = bed.send(Method::POST, &bind, "application/json", binding.clone()).await;
    assert_eq!((bound.code, &bound.body["status"]), (201, &json!("Success")));
    let (type_, seen) = events.about("a").await;
    assert_eq!(type_, "ADDED");
    assert_eq!(seen["spec"]["nodeName"], *bed.node);
    assert_eq!(condition(&seen, "PodScheduled")["status"], "True");
    assert_eq!(
        bed.send(Method::POST, &bind, "application/json", binding).await.code,
        409
    );
    let unsupported = bed.get("/api/v1/pods?fieldSelector=spec.hostname%3Da").await;
    assert_eq!(unsupported.code, 400);
}

pub async fn a_list_in_pages_is_of_one_moment(bed: &Bed) {
    for name in ["a", "b", "c", "d", "e"] {
        bed.pod(name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items.map(|pod| text(pod, "/metadata/name").to_owned()).collect()
    };
    let first = bed.get(&format!("{}?limit=2", bed.path("pods"))).await.ok();
    assert_eq!(
        (names(&first), text(&first, "/kind")),
        (vec!["a".to_owned(), "b".to_owned()], "PodList")
    );
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    bed.pod("f").await;
    bed.delete("d", json!({ "gracePeriodSeconds": 0 })).await.ok();
    let token = text(&first, "/metadata/continue");
    let second = bed
        .get(&format!("{}?limit=2&continue={token}", bed.path("pods")))
        .await
        .ok();
    assert_eq!(names(&second), ["c", "d"], "as it was");
    assert_eq!(version(&second), version(&first));
    let token = text(&second, "/metadata/continue");
    let third = bed
        .get(&format!("{}?limit=2&continue={token}", bed.path("pods")))
        .await
        .ok();
    assert_eq!(names(&third), ["e"]);
    assert_eq!(text(&third, "/metadata/continue"), "");
    let selected = bed
        .get(&format!("{}?limit=1&labelSelector=app%20in%20(b,c)", bed.path("pods")))
        .await
        .ok();
    assert_eq!(names(&selected), ["b"]);
    assert!(
        selected["metadata"]["remainingItemCount"].is_null(),
        "nobody counts what a selector leaves"
    );
}

pub async fn a_streamed_list_ends_in_a_bookmark(bed: &Bed) {
    for name in ["a", "b"] {
        bed.pod(name).await;
    }
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = bed.watch(&format!("{}?{query}", bed.path("pods"))).await;
    for name in ["a", "b"] {
        let event = events.next().await;
        assert_eq!(
            (text(&event, "/type"), text(&event, "/object/metadata/name")),
            ("ADDED", name)
        );
    }
    let end = events.next().await;
    assert_eq!(text(&end, "/type"), "BOOKMARK");
    assert_eq!(text(&end, "/object/kind"), "Pod");
    assert_eq!(
        end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let made = bed.pod("c").await;
    assert!(version(&made) > version(&end["object"]));
    assert_eq!(events.about("c").await.0, "ADDED");
    let incomplete = bed
        .get(&format!("{}?watch=true&sendInitialEvents=true", bed.path("pods")))
        .await;
    assert_eq!(incomplete.code, 422);
}

pub async fn a_watch_goes_on_where_it_was(bed: &Bed) {
    let a = bed.pod("a").await;
    bed.patch_status("a", json!({ "status": { "phase": "Running" } }))
        .await
        .ok();
    bed.pod("b").await;
    let mut events = bed
        .watch(&format!(
            "{}?watch=true&resourceVersion={}",
            bed.path("pods"),
            version(&a)
        ))
        .await;
    let (type_, seen) = events.about("a").await;
    assert_eq!((type_.as_str(), text(&seen, "/status/phase")), ("MODIFIED", "Running"));
    assert_eq!(events.about("b").await.0, "ADDED");
}

/// The server has forgotten its first version by now: a restart does that.
pub async fn a_forgotten_version_is_expired(bed: &Bed) {
    bed.pod("a").await;
    let mut events = bed
        .watch(&format!("{}?watch=true&resourceVersion=1", bed.path("pods")))
        .await;
    let event = events.next().await;
    assert_eq!(text(&event, "/type"), "ERROR");
    let status = &event["object"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
    assert!(
        text(status, "/message").starts_with("too old resource version: 1 ("),
        "{status}"
    );
}
