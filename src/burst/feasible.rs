//! (pure) Whether a pod could run on the pool, before it is let there: a toleration cannot be taken back.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use provider::mapping::zones::requirement_fits;
use provider::mapping::{self, Refs, RejectionKind, Settings, quantity};
use provider::units::MilliCpu;

use super::policy::Map;

/// A virtual node as far as pods ask for one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolNode {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Map,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it was cordoned.
    pub cordoned: bool,
}

impl PoolNode {
    /// Of a Node.
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|s| s.taints.clone()).unwrap_or_default(),
            cordoned: spec.is_some_and(|s| s.unschedulable == Some(true)),
        }
    }
}

/// Whether one of `nodes` is of the kind that `pod` asks for and lets it in.
///
/// # Errors
/// Why none is, for people.
pub fn some_node_fits(pod: &Pod, nodes: &[PoolNode]) -> Result<(), String> {
    if nodes.is_empty() {
        return Err("there is no virtual node".to_owned());
    }
    let mut reasons: Vec<String> = Vec::new();
    for node in nodes {
        match why_not(pod, node) {
            None => return Ok(()),
            Some(reason) if !reasons.contains(&reason) => reasons.push(reason),
            Some(_) => {}
        }
    }
    Err(reasons.join("; "))
}

fn why_not(pod: &Pod, node: &PoolNode) -> Option<String> {
    if node.cordoned {
        return Some("the virtual node is cordoned".to_owned());
    }
    let spec = pod.spec.as_ref()?;
    for (key, value) in spec.node_selector.iter().flatten() {
        if node.labels.get(key) != Some(value) {
            return Some(format!(
                "spec.nodeSelector[{key}] is `{value}`, which no virtual node has"
            ));
        }
    }
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    if let Some(required) = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
        && !required.node_selector_terms.iter().any(|term| term_fits(term, node))
    {
        return Some("spec.affinity.nodeAffinity requires what no virtual node has".to_owned());
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let kept_out = node.taints.iter().find(|taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") && !tolerations.iter().any(|t| covers(t, taint))
    });
    kept_out.map(|taint| {
        format!(
            "the virtual node has the taint {}:{}, which the pod does not tolerate",
            taint.key, taint.effect
        )
    })
}

fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let value = |text: &Option<String>| text.clone().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() && exists || key == taint.key)
        && (exists || value(&toleration.value) == value(&taint.value))
}

fn term_fits(term: &NodeSelectorTerm, node: &PoolNode) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // An empty term matches nothing.
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let by_label = |r: &NodeSelectorRequirement| requirement_fits(r, node.labels.get(&r.key).map(String::as_str));
    let by_field = |r: &NodeSelectorRequirement| r.key == "metadata.name" && requirement_fits(r, Some(&node.name));
    expressions.iter().all(by_label) && fields.iter().all(by_field)
}

/// vCPU of the group that `pod` would get.
///
/// # Errors
/// What ECI cannot do for it, for people. What the pod names and is not there yet is no reason: it may come.
pub fn group_cpu(pod: &Pod, settings: &Settings) -> Result<MilliCpu, String> {
    dry_run(pod, settings).map_err(|refusals| refusals.join("; "))
}

/// The same, with what ECI cannot do one by one.
///
/// # Errors
/// As [`group_cpu`].
pub fn dry_run(pod: &Pod, settings: &Settings) -> Result<MilliCpu, Vec<String>> {
    let rejections = match mapping::map(pod, &Refs::default(), settings, 0) {
        Ok(mapped) => return Ok(mapped.size.cpu),
        Err(rejections) => rejections,
    };
    let permanent = rejections
        .0
        .iter()
        .filter(|r| r.kind != RejectionKind::MissingReference);
    let permanent: Vec<String> = permanent.map(ToString::to_string).collect();
    if permanent.is_empty() {
        Ok(requested_cpu(pod))
    } else {
        Err(permanent)
    }
}

/// CPU that the containers of `pod` request, where no better figure is to be had.
fn requested_cpu(pod: &Pod) -> MilliCpu {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let cpu = containers.filter_map(|container| {
        let resources = container.resources.as_ref()?;
        let of = |map: &Option<std::collections::BTreeMap<String, _>>| {
            map.as_ref()?.get("cpu").and_then(quantity::milli_cpu)
        };
        of(&resources.limits).or_else(|| of(&resources.requests))
    });
    MilliCpu(cpu.map(|cpu| cpu.0).sum())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node() -> PoolNode {
        PoolNode {
            name: "virtual-kubelet-z".to_owned(),
            labels: [("type", "virtual-kubelet"), ("zone", "z"), ("generation", "7")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            taints: vec![Taint {
                key: "virtual-kubelet.io/provider".to_owned(),
                value: Some("alibabacloud".to_owned()),
                effect: "NoSchedule".to_owned(),
                time_added: None,
            }],
            cordoned: false,
        }
    }

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        spec["containers"] =
            json!([{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "300m", "memory": "512Mi" } } }]);
        if spec["tolerations"].is_null() {
            spec["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }]);
        }
        serde_json::from_value(json!({ "metadata": { "name": "p", "namespace": "a", "uid": "u" }, "spec": spec }))
            .expect("a pod")
    }

    fn requires(expressions: Value) -> Value {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": expressions }],
        } } } })
    }

    #[test]
    fn nodes_are_judged_as_the_scheduler_does() {
        for (spec, fits) in [
            (json!({}), true),
            (json!({ "nodeSelector": { "zone": "z" } }), true),
            (json!({ "nodeSelector": { "disk": "ssd" } }), false),
            (
                requires(json!([{ "key": "zone", "operator": "In", "values": ["y", "z"] }])),
                true,
            ),
            (
                requires(json!([{ "key": "zone", "operator": "NotIn", "values": ["z"] }])),
                false,
            ),
            (
                requires(json!([{ "key": "disk", "operator": "NotIn", "values": ["ssd"] }])),
                true,
            ),
            (requires(json!([{ "key": "type", "operator": "Exists" }])), true),
            (requires(json!([{ "key": "type", "operator": "DoesNotExist" }])), false),
            (
                requires(json!([{ "key": "generation", "operator": "Gt", "values": ["6"] }])),
                true,
            ),
            (
                requires(json!([{ "key": "generation", "operator": "Lt", "values": ["6"] }])),
                false,
            ),
            (requires(json!([])), false),
            (json!({ "tolerations": [] }), false),
            (json!({ "tolerations": [{ "operator": "Exists" }] }), true),
            (
                json!({ "tolerations": [{ "key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule" }] }),
                false,
            ),
        ] {
            let result = some_node_fits(&pod(spec.clone()), &[node()]);
            assert_eq!(result.is_ok(), fits, "{spec} {result:?}");
        }
    }

    #[test]
    fn one_node_is_enough_and_reasons_are_told_once() {
        let cordoned = PoolNode {
            cordoned: true,
            ..node()
        };
        let any = pod(json!({}));
        assert_eq!(some_node_fits(&any, &[cordoned.clone(), node()]), Ok(()));
        assert_eq!(
            some_node_fits(&any, &[cordoned.clone(), cordoned]),
            Err("the virtual node is cordoned".to_owned())
        );
        assert_eq!(some_node_fits(&any, &[]), Err("there is no virtual node".to_owned()));
        assert_eq!(
            some_node_fits(&pod(json!({ "nodeSelector": { "disk": "ssd" } })), &[node()]),
            Err("spec.nodeSelector[disk] is `ssd`, which no virtual node has".to_owned())
        );
    }

    #[test]
    fn the_mapping_is_run_dry_and_what_may_come_yet_is_no_reason() {
        let settings = Settings {
            vswitch_ids: vec!["vsw-1".to_owned()],
            ..Settings::default()
        };
        assert_eq!(group_cpu(&pod(json!({})), &settings), Ok(MilliCpu(500)));
        let config = json!({ "volumes": [{ "name": "v", "configMap": { "name": "comes-later" } }] });
        assert_eq!(group_cpu(&pod(config), &settings), Ok(MilliCpu(300)));
        let host = json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/etc" } }] });
        let refused = group_cpu(&pod(host), &settings).expect_err("ECI has no host");
        assert!(refused.contains("spec.volumes[0].hostPath"), "{refused}");
    }
}
