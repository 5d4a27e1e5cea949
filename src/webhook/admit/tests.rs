use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};

use super::*;
use crate::burst::profile;

/// Pods as the API server sends them to a webhook: filled in, with the token of their service account, and without UID.
pub(in crate::webhook) fn pod(labels: Value, change: impl FnOnce(&mut Value)) -> Value {
    let not_ready = |key| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "pi-exec-1", "namespace": "spark", "creationTimestamp": null,
            "labels": { "spark-role": "executor", "spark-app-selector": "spark-1" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "pi-driver", "uid": "d", "controller": true }],
        },
        "spec": {
            "volumes": [
                { "name": "conf", "configMap": { "name": "spark-exec-conf", "defaultMode": 420 } },
                { "name": "kube-api-access", "projected": { "defaultMode": 420, "sources": [
                    { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                    { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                ] } },
            ],
            "containers": [{
                "name": "spark-kubernetes-executor", "image": "spark:4", "args": ["executor"],
                "env": [{ "name": "SPARK_EXECUTOR_ID", "value": "1" }],
                "resources": { "limits": { "memory": "1408Mi" }, "requests": { "cpu": "1", "memory": "1408Mi" } },
                "volumeMounts": [
                    { "name": "conf", "mountPath": "/opt/spark/conf" },
                    { "name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" },
                ],
            }],
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "spark", "securityContext": {}, "schedulerName": "default-scheduler", "priority": 0,
            "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [not_ready("node.kubernetes.io/not-ready"), not_ready("node.kubernetes.io/unreachable")],
        },
        "status": {},
    });
    for (key, value) in labels.as_object().expect("labels") {
        pod["metadata"]["labels"][key] = value.clone();
    }
    change(&mut pod);
    pod
}

pub(in crate::webhook) fn rules() -> Rules {
    let selectors = r#"[
        { "name": "batch", "objectSelector": { "matchLabels": { "tier": "batch" } }, "policy": "eci-only" },
        { "effect": { "annotations": { "k8s.aliyun.com/eci-auto-imc": "true" } } }
    ]"#;
    let data = BTreeMap::from([("selectors".to_owned(), selectors.to_owned())]);
    Rules {
        profile: profile::parse(&data).expect("a profile"),
        default: None,
        tolerations: Rules::tolerations_for(&[Taint {
            key: "virtual-kubelet.io/provider".to_owned(),
            value: Some("alibabacloud".to_owned()),
            effect: "NoSchedule".to_owned(),
            time_added: None,
        }]),
    }
}

pub(in crate::webhook) fn terms(impossible: Impossible) -> Terms {
    Terms {
        mapping: Arc::new(Settings {
            vswitch_ids: vec!["vsw-1".to_owned()],
            security_group_id: "sg-1".to_owned(),
            cluster_id: "test".to_owned(),
            ..Settings::default()
        }),
        outage_toleration: OutageToleration::Seconds(86_400),
        impossible,
    }
}

fn judged(pod: &Value, namespace: &NamespaceView, impossible: Impossible) -> Verdict {
    let pod: Pod = serde_json::from_value(pod.clone()).expect("a pod");
    judge(&pod, namespace, &rules(), &terms(impossible)).expect("JSON")
}

/// Compares with a file of `golden/`, or writes it with `UPDATE_GOLDEN=1`.
fn golden(name: &str, verdict: &Verdict) {
    let found = json!({ "outcome": verdict.outcome(), "patch": verdict.patch, "warnings": verdict.warnings, "refusal": verdict.refusal });
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/webhook/admit/golden/{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&found).expect("JSON");
        fs::write(&file, text + "\n").expect("a file of this repository");
    }
    let wanted =
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}; UPDATE_GOLDEN=1 writes it", file.display()));
    let wanted: Value = serde_json::from_str(&wanted).expect("JSON");
    assert_eq!(found, wanted, "{name}");
}

const ECI: &str = "alibabacloud.com/eci";
const RESOURCE: &str = "alibabacloud.com/burst-resource";
const POLICY: &str = "k8s.aliyun.com/eci-burst-policy";

#[test]
fn what_pods_become() {
    type Change = fn(&mut Value);
    let same: Change = |_| {};
    let host_path: Change = |pod| {
        let volumes = pod["spec"]["volumes"].as_array_mut().expect("a list");
        volumes.push(json!({ "name": "host", "hostPath": { "path": "/data" } }));
    };
    let cases: [(&str, Value, Change); 18] = [
        ("no-policy", json!({}), same),
        ("ecs-first", json!({ RESOURCE: "eci" }), same),
        ("eci-only", json!({ RESOURCE: "eci_only" }), same),
        ("ecs-only", json!({ POLICY: "ecs-only" }), same),
        ("eci-first", json!({ POLICY: "eci-first" }), same),
        ("by-the-profile", json!({ "tier": "batch" }), same),
        ("opted-out", json!({ ECI: "false", "tier": "batch" }), same),
        ("eci-beats-what-it-asks-of-nodes", json!({ ECI: "true" }), |pod| {
            pod["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
            pod["spec"]["affinity"] = json!({
                "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "pool", "operator": "Exists" }] }] } },
                "podAntiAffinity": {},
            });
        }),
        ("selects-the-pool-itself", json!({}), |pod| {
            pod["spec"]["nodeSelector"] = json!({ "type": "virtual-kubelet" });
        }),
        ("its-own-tolerations-stay", json!({ RESOURCE: "eci_only" }), |pod| {
            pod["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
            pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-auto-imc": "false" });
        }),
        ("gated", json!({ RESOURCE: "eci_only" }), |pod| {
            pod["spec"]["schedulingGates"] = json!([{ "name": "k8s.aliyun.com/eci-burst" }, { "name": "another" }]);
        }),
        ("gated-without-a-policy", json!({}), |pod| {
            pod["spec"]["schedulingGates"] = json!([{ "name": "k8s.aliyun.com/eci-burst" }]);
        }),
        ("a-value-that-means-nothing", json!({ POLICY: "anywhere" }), same),
        ("could-never-run", json!({ RESOURCE: "eci_only" }), host_path),
        ("could-never-run-but-has-workers", json!({ RESOURCE: "eci" }), host_path),
        ("of-a-daemon-set", json!({ RESOURCE: "eci_only" }), |pod| {
            pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
        }),
        ("of-the-system", json!({ RESOURCE: "eci_only" }), |pod| {
            pod["metadata"]["namespace"] = json!("kube-system");
        }),
        ("placed-already", json!({ RESOURCE: "eci_only" }), |pod| {
            pod["spec"]["nodeName"] = json!("worker");
        }),
    ];
    for (name, labels, change) in cases {
        let before = pod(labels, change);
        let verdict = judged(&before, &NamespaceView::default(), Impossible::Warn);
        golden(name, &verdict);
        // The API server applies it to what it sent, and may ask again after other webhooks.
        let mut after = before.clone();
        json_patch::patch(&mut after, &verdict.patch).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = judged(&after, &NamespaceView::default(), Impossible::Warn);
        assert!(again.patch.0.is_empty(), "{name}: {:?}", again.patch);
        assert_eq!(again.warnings, verdict.warnings, "{name}");
    }
}

#[test]
fn what_could_never_run_is_refused_where_it_is_to_be() {
    let before = pod(json!({ ECI: "true" }), |pod| pod["spec"]["hostNetwork"] = json!(true));
    golden(
        "refused",
        &judged(&before, &NamespaceView::default(), Impossible::Refuse),
    );
    // On workers it may run, and what it names may come yet.
    let workers = pod(json!({ RESOURCE: "eci" }), |pod| {
        pod["spec"]["hostNetwork"] = json!(true)
    });
    assert_eq!(
        judged(&workers, &NamespaceView::default(), Impossible::Refuse).refusal,
        None
    );
    let early = pod(json!({ ECI: "true" }), |_| {});
    assert_eq!(
        judged(&early, &NamespaceView::default(), Impossible::Refuse).refusal,
        None
    );
}

#[test]
fn a_namespace_speaks_for_its_pods_and_generated_names_do() {
    let namespace = NamespaceView {
        labels: BTreeMap::from([(ECI.to_owned(), "true".to_owned())]),
        ..NamespaceView::default()
    };
    let generated = pod(json!({}), |pod| {
        pod["metadata"]["name"] = Value::Null;
        pod["metadata"]["generateName"] = json!("pi-");
    });
    golden("by-its-namespace", &judged(&generated, &namespace, Impossible::Refuse));
}

#[test]
fn who_wants_no_tolerations_of_outages_gets_none() {
    let before = pod(json!({ ECI: "true" }), |_| {});
    let pod: Pod = serde_json::from_value(before).expect("a pod");
    let terms = Terms {
        outage_toleration: OutageToleration::Off,
        ..terms(Impossible::Warn)
    };
    let verdict = judge(&pod, &NamespaceView::default(), &rules(), &terms).expect("JSON");
    let patch = serde_json::to_string(&verdict.patch).expect("JSON");
    assert!(!patch.contains("tolerationSeconds"), "{patch}");
}

/// Webhook and gate shape by the same code; this holds that they say the same.
#[test]
fn a_gate_and_the_webhook_lead_to_the_same_pod() {
    for labels in [
        json!({ RESOURCE: "eci" }),
        json!({ RESOURCE: "eci_only" }),
        json!({ POLICY: "ecs-only" }),
        json!({ POLICY: "eci-first" }),
        json!({ "tier": "batch" }),
    ] {
        let before = pod(labels.clone(), |pod| {
            pod["spec"]["schedulingGates"] = json!([{ "name": "k8s.aliyun.com/eci-burst" }]);
        });
        let typed: Pod = serde_json::from_value(before.clone()).expect("a pod");
        let gated = rules()
            .while_gated(&typed, &NamespaceView::default())
            .expect("good values");
        let mut gated = gated.pod;
        if gated.spec.as_ref().is_some_and(can_only_go_to_the_pool) {
            // What the outage lane does to it later.
            outlast(&mut gated, OutageToleration::Seconds(86_400));
        }
        let mut admitted = before;
        let verdict = judged(&admitted, &NamespaceView::default(), Impossible::Warn);
        json_patch::patch(&mut admitted, &verdict.patch).expect("it applies");
        let admitted: Pod = serde_json::from_value(admitted).expect("a pod");
        assert_eq!(admitted, gated, "{labels}");
    }
}
