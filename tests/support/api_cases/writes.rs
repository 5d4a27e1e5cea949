//! Creates and writes: what is filled in, merged, and refused as outdated.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::bed::{Bed, condition, config_map, pod, text, time, version};

pub async fn a_new_pod_is_filled_in(bed: &Bed) {
    let made = bed.create("pods", pod("a")).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    assert!(!text(&made, "/metadata/uid").is_empty());
    assert_eq!(made["metadata"]["namespace"], *bed.namespace);
    assert_eq!(made["metadata"]["generation"], 1);
    assert!(time(&made, "/metadata/creationTimestamp") <= Timestamp::MAX);
    assert_eq!(
        (&made["status"]["phase"], &made["status"]["qosClass"]),
        (&json!("Pending"), &json!("BestEffort"))
    );
    let spec = &made["spec"];
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    assert_eq!(spec["dnsPolicy"], "ClusterFirst");
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["enableServiceLinks"], true);
    let mut generated = pod("");
    generated["metadata"] = json!({ "generateName": "b-" });
    let generated = bed.create("pods", generated).await.ok();
    let name = text(&generated, "/metadata/name");
    assert!(name.starts_with("b-") && name.len() == 7, "{name}");
}

pub async fn names_that_are_taken_or_missing_are_refused(bed: &Bed) {
    bed.create("configmaps", config_map("a")).await.ok();
    let again = bed.create("configmaps", config_map("a")).await;
    assert_eq!(
        again.refusal(),
        (409, "AlreadyExists", "configmaps \"a\" already exists")
    );
    let missing = bed.get(&bed.pod_path("b")).await;
    assert_eq!(missing.refusal(), (404, "NotFound", "pods \"b\" not found"));
    assert_eq!(missing.body["details"], json!({ "name": "b", "kind": "pods" }));
    let patched = bed.patch_status("b", json!({ "status": { "phase": "Running" } })).await;
    assert_eq!(patched.refusal(), (404, "NotFound", "pods \"b\" not found"));
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/c", bed.namespace);
    let missing = bed.get(&lease).await;
    assert_eq!(
        missing.refusal(),
        (404, "NotFound", "leases.coordination.k8s.io \"c\" not found")
    );
    let elsewhere = bed
        .send(
            Method::POST,
            "/api/v1/namespaces/no-such/configmaps",
            "application/json",
            config_map("a"),
        )
        .await;
    assert_eq!(
        elsewhere.refusal(),
        (404, "NotFound", "namespaces \"no-such\" not found")
    );
}

pub async fn an_outdated_write_is_refused(bed: &Bed) {
    let mut first = bed.create("configmaps", config_map("a")).await.ok();
    let path = format!("{}/a", bed.path("configmaps"));
    let mut second = first.clone();
    second["data"]["a"] = json!("2");
    let second = bed.send(Method::PUT, &path, "application/json", second).await.ok();
    assert!(version(&second) > version(&first));
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    first["data"]["a"] = json!("3");
    let outdated = bed.send(Method::PUT, &path, "application/json", first.clone()).await;
    let message = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
                   to the latest version and try again";
    assert_eq!(outdated.refusal(), (409, "Conflict", message));
    let patch =
        json!({ "metadata": { "resourceVersion": first["metadata"]["resourceVersion"] }, "data": { "a": "4" } });
    assert_eq!(bed.patch(&path, patch).await.refusal(), (409, "Conflict", message));
    let merged = bed
        .send(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            json!({ "data": { "a": null, "b": "5" } }),
        )
        .await;
    assert_eq!(merged.ok()["data"], json!({ "b": "5" }));
}

pub async fn a_status_patch_merges_lists_by_their_keys(bed: &Bed) {
    bed.pod("a").await;
    let status = |phase: &str, ready: &str, ips: Value, containers: Value| {
        json!({ "status": {
            "phase": phase, "podIPs": ips, "containerStatuses": containers,
            "conditions": [{ "type": "Ready", "status": ready }, { "type": "Initialized", "status": "True" }],
        }})
    };
    let container =
        |name: &str| json!({ "name": name, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0 });
    bed.patch_status(
        "a",
        status(
            "Running",
            "True",
            json!([{ "ip": "10.0.0.1" }]),
            json!([container("main")]),
        ),
    )
    .await
    .ok();
    let own = json!({ "status": { "conditions": [{ "type": "example.com/gate", "status": "True" }] } });
    bed.patch_status("a", own).await.ok();
    let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False", "reason": "Because" }] } });
    let seen = bed.patch_status("a", patch).await.ok();
    assert_eq!(condition(&seen, "Ready")["status"], "False");
    assert_eq!(condition(&seen, "Ready")["reason"], "Because");
    assert_eq!(condition(&seen, "Initialized")["status"], "True", "others stay");
    assert_eq!(condition(&seen, "example.com/gate")["status"], "True", "others' stay");
    assert_eq!(seen["status"]["phase"], "Running", "what is not named stays");
    // An address is merged by itself, so one that was replaced stays beside the new one, unless the list is replaced.
    let patch = json!({ "status": { "podIPs": [{ "$patch": "replace" }, { "ip": "10.0.0.2" }], "podIP": "10.0.0.2" } });
    let seen = bed.patch_status("a", patch).await.ok();
    assert_eq!(seen["status"]["podIPs"], json!([{ "ip": "10.0.0.2" }]));
    // Container statuses are one value.
    let patch = json!({ "status": { "containerStatuses": [container("other")] } });
    let seen = bed.patch_status("a", patch).await.ok();
    let names: Vec<&Value> = seen["status"]["containerStatuses"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["other"]);
    let patch = json!({ "status": { "conditions": [{ "type": "Initialized", "$patch": "delete" }], "podIP": null } });
    let seen = bed.patch_status("a", patch).await.ok();
    assert!(condition(&seen, "Initialized").is_null());
    assert_eq!(condition(&seen, "Ready")["status"], "False");
}

pub async fn a_status_patch_changes_no_spec_and_no_owner(bed: &Bed) {
    let made = bed.pod("a").await;
    let patch = json!({
        "metadata": {
            "uid": made["metadata"]["uid"],
            "annotations": { "example.com/note": "x" }, "labels": { "more": "y" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u" }],
        },
        "spec": { "activeDeadlineSeconds": 5 },
        "status": { "phase": "Running" },
    });
    let seen = bed.patch_status("a", patch).await.ok();
    assert_eq!(seen["status"]["phase"], "Running");
    assert_eq!(seen["metadata"]["annotations"]["example.com/note"], "x");
    assert_eq!(seen["metadata"]["labels"], json!({ "app": "a", "more": "y" }));
    assert!(seen["metadata"]["ownerReferences"].is_null());
    assert!(seen["spec"]["activeDeadlineSeconds"].is_null());
    assert_eq!(seen["metadata"]["generation"], 1);
    assert_eq!(seen["status"]["qosClass"], "BestEffort", "it cannot be taken away");
    let main = bed
        .patch(&bed.pod_path("a"), json!({ "status": { "phase": "Failed" } }))
        .await
        .ok();
    assert_eq!(
        main["status"]["phase"], "Running",
        "nor is the status changed with the rest"
    );
}

pub async fn a_patch_without_effect_makes_no_version(bed: &Bed) {
    bed.pod("a").await;
    let patch = || json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    let first = bed.patch_status("a", patch()).await.ok();
    let second = bed.patch_status("a", patch()).await.ok();
    assert_eq!(version(&first), version(&second));
}

pub async fn a_status_patch_for_another_uid_is_refused(bed: &Bed) {
    bed.pod("squid").await;
    let patch =
        json!({ "metadata": { "uid": "00000000-0000-0000-0000-000000000000" }, "status": { "phase": "Running" } });
    let refused = bed.patch_status("squid", patch).await;
    let message = "Pod \"squid\" is invalid: metadata.uid: Invalid value: \"00000000-0000-0000-0000-000000000000\": field is \
                   immutable";
    assert_eq!(refused.refusal(), (422, "Invalid", message));
    assert_eq!(refused.body["details"]["causes"][0]["field"], "metadata.uid");
    assert_eq!(bed.get(&bed.pod_path("squid")).await.ok()["status"]["phase"], "Pending");
}

pub async fn a_nodes_conditions_are_merged(bed: &Bed) {
    let path = format!("/api/v1/nodes/{}/status", bed.node);
    let one = json!({ "status": { "conditions": [{ "type": "Example", "status": "True" }], "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }] } });
    bed.patch(&path, one).await.ok();
    let two = json!({ "status": { "conditions": [{ "type": "Other", "status": "False" }] } });
    let seen = bed.patch(&path, two).await.ok();
    assert_eq!(
        (
            text(condition(&seen, "Example"), "/status"),
            text(condition(&seen, "Other"), "/status")
        ),
        ("True", "False")
    );
    assert_eq!(seen["status"]["addresses"][0]["address"], "10.0.0.1");
}
