use serde_json::json;

use super::*;

const ECI: (&str, &str) = (names::ECI, "true");
const ECS_FIRST: (&str, &str) = (names::BURST_RESOURCE, "eci");
const ECI_ONLY: (&str, &str) = (names::BURST_RESOURCE, "eci_only");
const ECS_ONLY: (&str, &str) = (names::BURST_POLICY, "ecs-only");
const ECI_FIRST: (&str, &str) = (names::BURST_POLICY, "eci-first");

fn taint() -> Taint {
    Taint {
        key: "virtual-kubelet.io/provider".to_owned(),
        value: Some("alibabacloud".to_owned()),
        effect: "NoSchedule".to_owned(),
        time_added: None,
    }
}

fn rules() -> Rules {
    let selectors = r#"[
        { "effect": { "annotations": { "k8s.aliyun.com/eci-auto-imc": "true" }, "labels": { "on": "pool" } } }
    ]"#;
    let data = Map::from([("selectors".to_owned(), selectors.to_owned())]);
    Rules {
        profile: super::super::profile::parse(&data).expect("a profile"),
        default: None,
        tolerations: Rules::tolerations_for(&[taint()]),
    }
}

fn pod(label: Option<(&str, &str)>, spec: Value) -> Pod {
    let mut pod =
        json!({ "metadata": { "name": "p", "namespace": "a", "uid": "u", "resourceVersion": "7" }, "spec": spec });
    pod["spec"]["containers"] = json!([{ "name": "c", "image": "i" }]);
    if let Some((key, value)) = label {
        pod["metadata"]["labels"] = json!({ key: value });
    }
    serde_json::from_value(pod).expect("a pod")
}

fn namespace(label: Option<(&str, &str)>) -> NamespaceView {
    NamespaceView {
        labels: label.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        annotations: Map::new(),
    }
}

/// What became of the pod, less what it had before.
fn patch(mutation: &Mutation, before: &Pod) -> Value {
    let Some(mut patch) = merge_patch(before, &mutation.pod) else {
        return Value::Null;
    };
    let whole = patch.as_object_mut().expect("a map");
    let metadata = whole["metadata"].as_object_mut().expect("a map");
    metadata.retain(|key, _| key != "uid" && key != "resourceVersion");
    if metadata.is_empty() {
        whole.remove("metadata");
    }
    patch
}

fn toleration() -> Value {
    json!({ "key": "virtual-kubelet.io/provider", "operator": "Equal", "value": "alibabacloud", "effect": "NoSchedule" })
}

fn effects() -> Value {
    json!({ "annotations": { "k8s.aliyun.com/eci-auto-imc": "true" }, "labels": { "on": "pool" } })
}

fn prefers(operator: &str) -> Value {
    json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "preference": { "matchExpressions": [{ "key": "type", "operator": operator, "values": ["virtual-kubelet"] }] },
    }] } })
}

#[test]
fn what_each_policy_does_at_creation() {
    let selector = json!({ "type": "virtual-kubelet" });
    for (label, wanted) in [
        (None, Value::Null),
        (Some(ECS_FIRST), json!({ "spec": { "affinity": prefers("NotIn") } })),
        (
            Some(ECI_ONLY),
            json!({ "metadata": effects(), "spec": { "nodeSelector": selector, "tolerations": [toleration()] } }),
        ),
        (
            Some(ECI),
            json!({ "metadata": effects(), "spec": { "nodeSelector": selector, "tolerations": [toleration()] } }),
        ),
        (
            Some(ECS_ONLY),
            json!({ "spec": { "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "type", "operator": "NotIn", "values": ["virtual-kubelet"] }] }],
            } } } } }),
        ),
        (
            Some(ECI_FIRST),
            json!({ "metadata": effects(), "spec": { "affinity": prefers("In"), "tolerations": [toleration()] } }),
        ),
    ] {
        let before = pod(label, json!({}));
        let mutation = rules().at_admission(&before, &namespace(None)).expect("good values");
        assert_eq!(patch(&mutation, &before), wanted, "{label:?}");
        assert!(mutation.warnings.is_empty());
        // Once is enough.
        let again = rules()
            .at_admission(&mutation.pod, &namespace(None))
            .expect("good values");
        assert_eq!(again.pod, mutation.pod, "{label:?}");
    }
}

#[test]
fn a_pod_that_selects_the_pool_by_itself_gets_the_effects_alone() {
    let before = pod(None, json!({ "nodeSelector": { "type": "virtual-kubelet" } }));
    let mutation = rules().at_admission(&before, &namespace(None)).expect("good values");
    assert_eq!(patch(&mutation, &before), json!({ "metadata": effects() }));
}

#[test]
fn acks_label_beats_the_pods_own_wishes_and_the_other_names_do_not() {
    let wishes = json!({
        "nodeSelector": { "disk": "ssd", "type": "worker" },
        "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "disk", "operator": "Exists" }] },
        ] } } },
    });
    let mutation = rules()
        .at_admission(&pod(Some(ECI), wishes.clone()), &namespace(None))
        .expect("good values");
    let spec = mutation.pod.spec.expect("a spec");
    assert_eq!(json!(spec.node_selector), json!({ "type": "virtual-kubelet" }));
    assert_eq!(spec.topology_spread_constraints, None);
    assert_eq!(spec.affinity.and_then(|a| a.node_affinity), None);

    let mutation = rules()
        .at_admission(&pod(Some(ECI_ONLY), wishes), &namespace(None))
        .expect("good values");
    let spec = mutation.pod.spec.expect("a spec");
    assert_eq!(json!(spec.node_selector), json!({ "disk": "ssd", "type": "worker" }));
    assert!(spec.affinity.is_some() && spec.topology_spread_constraints.is_some());
    assert_eq!(
        mutation.warnings,
        ["policy eci-only, but spec.nodeSelector[type] is `worker`, which no virtual node has"]
    );
}

#[test]
fn workers_only_narrows_each_alternative() {
    let before = pod(
        Some(ECS_ONLY),
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a"] }] },
            { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["b"] }] },
        ] } } } }),
    );
    let mutation = rules().at_admission(&before, &namespace(None)).expect("good values");
    let affinity = mutation
        .pod
        .spec
        .and_then(|s| s.affinity)
        .and_then(|a| a.node_affinity)
        .expect("affinity");
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .expect("terms");
    assert!(required.node_selector_terms.iter().all(|term| {
        term.match_expressions
            .iter()
            .flatten()
            .any(|e| e.key == "type" && e.operator == "NotIn")
    }));
    assert_eq!(required.node_selector_terms.len(), 2);
}

#[test]
fn nothing_that_the_pod_has_is_overwritten_and_no_toleration_comes_twice() {
    let mut before = pod(Some(ECI_FIRST), json!({ "tolerations": [{ "operator": "Exists" }] }));
    before.metadata.annotations = Some(Map::from([(
        "k8s.aliyun.com/eci-auto-imc".to_owned(),
        "false".to_owned(),
    )]));
    let mutation = rules().at_admission(&before, &namespace(None)).expect("good values");
    assert_eq!(
        patch(&mutation, &before),
        json!({ "metadata": { "labels": { "on": "pool" } }, "spec": { "affinity": prefers("In") } })
    );
}

#[test]
fn what_a_cluster_needs_to_work_and_daemons_are_left_alone() {
    let mut system = pod(Some(ECI), json!({}));
    system.metadata.namespace = Some("kube-system".to_owned());
    let mut daemon = pod(Some(ECI), json!({}));
    daemon.metadata.owner_references = serde_json::from_value(json!([
        { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d-1", "controller": true },
    ]))
    .expect("owners");
    for before in [system, daemon] {
        let mutation = rules()
            .at_admission(&before, &namespace(Some(ECI)))
            .expect("good values");
        assert_eq!((mutation.pod, mutation.choice), (before, None));
    }
}

#[test]
fn a_namespace_opts_its_pods_in_and_a_pod_out() {
    let before = pod(None, json!({}));
    let mutation = rules()
        .at_admission(&before, &namespace(Some(ECI)))
        .expect("good values");
    assert_eq!(mutation.choice.map(|c| c.policy), Some(Policy::EciOnly));
    let before = pod(Some((names::ECI, "false")), json!({}));
    let mutation = rules()
        .at_admission(&before, &namespace(Some(ECI)))
        .expect("good values");
    assert_eq!((mutation.pod, mutation.choice), (before, None));
}

#[test]
fn a_gated_pod_gets_the_same_but_loses_nothing_but_the_gate() {
    let gates = json!([{ "name": names::GATE }, { "name": "another" }]);
    let before = pod(
        Some(ECI),
        json!({ "nodeSelector": { "disk": "ssd" }, "schedulingGates": gates }),
    );
    let mutation = rules().while_gated(&before, &namespace(None)).expect("good values");
    assert_eq!(
        patch(&mutation, &before),
        json!({ "metadata": effects(), "spec": {
            "nodeSelector": { "disk": "ssd", "type": "virtual-kubelet" },
            "tolerations": [toleration()],
            "schedulingGates": [{ "name": "another" }],
        } })
    );
    // Without a policy the gate still goes: nobody else would take it away.
    let before = pod(None, json!({ "schedulingGates": [{ "name": names::GATE }] }));
    let mutation = rules().while_gated(&before, &namespace(None)).expect("good values");
    assert_eq!(
        patch(&mutation, &before),
        json!({ "spec": { "schedulingGates": null } })
    );
}

#[test]
fn who_overflows_keeps_its_tolerations_and_the_patch_is_for_that_version_of_it_alone() {
    let usual = json!([{ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }]);
    let before = pod(Some(ECS_FIRST), json!({ "tolerations": usual }));
    let after = rules().overflowing(&before, &namespace(None));
    let patch = merge_patch(&before, &after).expect("it differs");
    let mut metadata = effects();
    metadata["uid"] = json!("u");
    metadata["resourceVersion"] = json!("7");
    assert_eq!(
        patch,
        json!({ "metadata": metadata, "spec": { "tolerations": [usual[0], toleration()] } })
    );
    assert_eq!(
        merge_patch(&after, &rules().overflowing(&after, &namespace(None))),
        None
    );
}

#[test]
fn tolerations_cover_as_kubernetes_has_it() {
    let wanted = Rules::tolerations_for(&[taint()]);
    let one = |value: Value| serde_json::from_value::<Toleration>(value).expect("a toleration");
    for (toleration, covers) in [
        (json!({ "operator": "Exists" }), true),
        (
            json!({ "key": "virtual-kubelet.io/provider", "operator": "Exists" }),
            true,
        ),
        (
            json!({ "key": "virtual-kubelet.io/provider", "value": "alibabacloud" }),
            true,
        ),
        (json!({ "key": "virtual-kubelet.io/provider", "value": "azure" }), false),
        (
            json!({ "key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoExecute" }),
            false,
        ),
        (json!({ "key": "another", "operator": "Exists" }), false),
    ] {
        assert_eq!(tolerates(&[one(toleration.clone())], &wanted), covers, "{toleration}");
    }
    assert!(tolerates(&[], &[]), "a node without taints lets everybody in");
}
