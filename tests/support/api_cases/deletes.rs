//! Deletes, of one and of many, and what holds them back.

use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::bed::{Bed, pod, text, time, version};

pub async fn a_grace_period_only_becomes_shorter(bed: &Bed) {
    bed.pod("a").await;
    let asked = bed.delete("a", Value::Null).await;
    assert_eq!(asked.code, 200);
    let first = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(first["metadata"]["deletionGracePeriodSeconds"], 30, "the pod's own");
    assert_eq!(first["metadata"]["generation"], 2);
    let deadline = time(&first, "/metadata/deletionTimestamp");
    bed.delete("a", json!({ "gracePeriodSeconds": 60 })).await.ok();
    let longer = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(version(&longer), version(&first));
    bed.delete("a", json!({ "gracePeriodSeconds": 5 })).await.ok();
    let shorter = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(
        time(&shorter, "/metadata/deletionTimestamp"),
        deadline - SignedDuration::from_secs(25)
    );
    assert_eq!(shorter["metadata"]["generation"], 2);
    bed.delete("a", json!({ "gracePeriodSeconds": 0 })).await.ok();
    assert!(bed.is_gone("a").await);
    assert_eq!(bed.delete("a", Value::Null).await.code, 404);
}

pub async fn a_delete_for_another_uid_is_refused(bed: &Bed) {
    let made = bed.pod("a").await;
    let options = |uid: &Value| json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } });
    let refused = bed.delete("a", options(&json!("another"))).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (409, "Conflict"));
    let uid = text(&made, "/metadata/uid");
    let expected = format!(
        "the UID in the precondition (another) does not match the UID in record ({uid}). The object might have been deleted and \
         then recreated"
    );
    assert!(message.ends_with(&expected), "{message}");
    bed.delete("a", options(&made["metadata"]["uid"])).await.ok();
    assert!(bed.is_gone("a").await);
}

pub async fn what_never_ran_or_has_ended_goes_at_once(bed: &Bed) {
    bed.create("pods", pod("unbound")).await.ok();
    bed.delete("unbound", Value::Null).await.ok();
    assert!(bed.is_gone("unbound").await);
    bed.pod("ended").await;
    bed.patch_status("ended", json!({ "status": { "phase": "Succeeded" } }))
        .await
        .ok();
    bed.delete("ended", json!({ "gracePeriodSeconds": 30 })).await.ok();
    assert!(bed.is_gone("ended").await);
}

pub async fn finalizers_hold_a_pod_back(bed: &Bed) {
    for name in ["forced", "graceful"] {
        let mut held = pod(name);
        held["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
        held["spec"]["nodeName"] = json!(bed.node);
        bed.create("pods", held).await.ok();
    }
    let release = async |name: &str, finalizer: &str| {
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [finalizer] } });
        bed.patch(&bed.pod_path(name), patch).await
    };
    bed.delete("forced", json!({ "gracePeriodSeconds": 0 })).await.ok();
    let held = bed.get(&bed.pod_path("forced")).await.ok();
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    release("forced", "example.com/one").await.ok();
    assert!(!bed.is_gone("forced").await);
    release("forced", "example.com/two").await.ok();
    assert!(bed.is_gone("forced").await);
    // A kubelet is still to say that the containers have ended.
    bed.delete("graceful", Value::Null).await.ok();
    release("graceful", "example.com/one").await.ok();
    release("graceful", "example.com/two").await.ok();
    assert!(!bed.is_gone("graceful").await);
    bed.delete("graceful", json!({ "gracePeriodSeconds": 0 })).await.ok();
    assert!(bed.is_gone("graceful").await);
}

pub async fn a_forced_delete_is_seen_twice(bed: &Bed) {
    let made = bed.pod("a").await;
    let mut events = bed
        .watch(&format!(
            "{}?watch=true&resourceVersion={}",
            bed.path("pods"),
            version(&made)
        ))
        .await;
    bed.delete("a", json!({ "gracePeriodSeconds": 0 })).await.ok();
    let (type_, marked) = events.about("a").await;
    assert_eq!(type_, "MODIFIED");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let (type_, last) = events.about("a").await;
    assert_eq!(type_, "DELETED");
    assert_eq!(last["metadata"]["uid"], made["metadata"]["uid"]);
    assert!(version(&last) > version(&marked), "the removal is a version of its own");
}

pub async fn a_collection_is_deleted_by_label(bed: &Bed) {
    for name in ["a", "b", "c"] {
        bed.pod(name).await;
    }
    let path = format!("{}?labelSelector=app%20in%20(a,b)", bed.path("pods"));
    let deleted = bed
        .send(
            Method::DELETE,
            &path,
            "application/json",
            json!({ "gracePeriodSeconds": 7 }),
        )
        .await
        .ok();
    assert_eq!(
        (text(&deleted, "/kind"), deleted["items"].as_array().map(Vec::len)),
        ("PodList", Some(2))
    );
    for name in ["a", "b"] {
        let pod = bed.get(&bed.pod_path(name)).await.ok();
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
    }
    assert!(bed.get(&bed.pod_path("c")).await.ok()["metadata"]["deletionTimestamp"].is_null());
    for name in ["a", "b", "c"] {
        bed.delete(name, json!({ "gracePeriodSeconds": 0 })).await.ok();
    }
}
