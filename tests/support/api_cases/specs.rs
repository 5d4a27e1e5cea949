//! What of a spec may change.

use serde_json::{Value, json};

use super::bed::{Bed, pod};

pub async fn a_spec_changes_only_where_it_may(bed: &Bed) {
    bed.pod("a").await;
    let path = bed.pod_path("a");
    let image = json!({ "spec": { "containers": [{ "name": "main", "image": "busybox:2" }] } });
    let seen = bed.patch(&path, image).await.ok();
    assert_eq!(seen["spec"]["containers"][0]["image"], "busybox:2");
    assert_eq!(seen["spec"]["containers"][0]["command"], json!(["sleep", "1"]));
    assert_eq!(seen["metadata"]["generation"], 2);
    let deadline = bed
        .patch(&path, json!({ "spec": { "activeDeadlineSeconds": 60 } }))
        .await
        .ok();
    assert_eq!(deadline["metadata"]["generation"], 3);
    let command = json!({ "spec": { "containers": [{ "name": "main", "command": ["true"] }] } });
    let refused = bed.patch(&path, command).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (422, "Invalid"));
    assert!(
        message.contains("pod updates may not change fields other than"),
        "{message}"
    );
}

pub async fn tolerations_are_added_and_never_taken_back(bed: &Bed) {
    let of = |key: &str, seconds: u32| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
    let mut tolerant = pod("a");
    tolerant["spec"]["tolerations"] = json!([of("a", 60), of("b", 60)]);
    let made = bed.create("pods", tolerant).await.ok();
    let path = bed.pod_path("a");
    // The real one has added some of its own, which must stay as well.
    let has = made["spec"]["tolerations"].as_array().cloned().expect("tolerations");
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut tolerations = has.clone();
        change(&mut tolerations);
        json!({ "spec": { "tolerations": tolerations } })
    };
    let longer = with(&|all| {
        all[0] = of("a", 90);
        all.push(of("c", 30));
    });
    let seen = bed.merge(&path, longer).await.ok();
    assert_eq!(seen["spec"]["tolerations"][0]["tolerationSeconds"], 90);
    assert_eq!(
        seen["spec"]["tolerations"].as_array().map(Vec::len),
        Some(has.len() + 1)
    );
    let message = "existing toleration can not be modified except its tolerationSeconds";
    for refused in [
        with(&|all| drop(all.remove(1))),
        with(&|all| all[1]["key"] = json!("d")),
        json!({ "spec": { "tolerations": null } }),
    ] {
        let answer = bed.merge(&path, refused.clone()).await;
        let (code, reason, text) = answer.refusal();
        assert_eq!((code, reason), (422, "Invalid"), "{refused}");
        assert!(
            text.contains(&format!("spec.tolerations: Forbidden: {message}")),
            "{text}"
        );
    }
}

pub async fn a_gated_pod_may_ask_more_of_nodes(bed: &Bed) {
    let mut gated = pod("a");
    gated["spec"]["schedulingGates"] = json!([{ "name": "example.com/a" }]);
    gated["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
    bed.create("pods", gated).await.ok();
    let path = bed.pod_path("a");
    let other = json!({ "spec": { "nodeSelector": { "disk": "hdd" } } });
    let refused = bed.merge(&path, other).await;
    assert_eq!(refused.refusal().0, 422);
    assert!(
        refused
            .refusal()
            .2
            .contains("only additions to spec.nodeSelector are allowed"),
        "{refused:?}"
    );
    let shaped = json!({ "spec": {
        "nodeSelector": { "type": "virtual-kubelet" },
        "tolerations": [{ "key": "a", "operator": "Exists", "effect": "NoSchedule" }],
        "schedulingGates": null,
    } });
    let seen = bed.merge(&path, shaped).await.ok();
    assert_eq!(
        seen["spec"]["nodeSelector"],
        json!({ "disk": "ssd", "type": "virtual-kubelet" })
    );
    assert!(seen["spec"]["schedulingGates"].is_null());
    // Without a gate it is as it is.
    let more = json!({ "spec": { "nodeSelector": { "zone": "a" } } });
    assert_eq!(bed.merge(&path, more).await.refusal().0, 422);
}
