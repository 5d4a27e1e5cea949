//! In which zones a pod may run: its node's own, and others of the same process where nothing ties the pod to the first.
//!
//! The scheduler has chosen the node, and with it a zone. A group in another zone is as good unless something of the pod says
//! where it is to be: then moving it would break what the scheduler was told to keep.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSpec, TopologySpreadConstraint, Volume,
};

/// Labels by which a pod names a zone, or a node and so its zone.
const ZONE_LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const HOST_LABEL: &str = "kubernetes.io/hostname";
/// The field by which it names a node.
const NAME_FIELD: &str = "metadata.name";

/// Another zone in which the groups of a node's pods may be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherZone {
    /// Its id.
    pub zone_id: String,
    /// The node whose own zone it is.
    pub node_name: String,
    /// The vSwitches there, in order of preference.
    pub vswitch_ids: Vec<String>,
}

/// What of a pod may tie it to a zone. None of it changes once the pod has a node.
#[derive(Clone, Copy, Debug)]
pub struct Ties<'a> {
    /// `spec.nodeSelector`.
    pub node_selector: &'a BTreeMap<String, String>,
    /// `spec.affinity`.
    pub affinity: Option<&'a Affinity>,
    /// `spec.topologySpreadConstraints`.
    pub spread: &'a [TopologySpreadConstraint],
    /// Whether it mounts storage that may be in one zone only.
    pub has_storage: bool,
}

static NO_SELECTOR: BTreeMap<String, String> = BTreeMap::new();

impl Default for Ties<'_> {
    fn default() -> Self {
        Self {
            node_selector: &NO_SELECTOR,
            affinity: None,
            spread: &[],
            has_storage: false,
        }
    }
}

impl<'a> Ties<'a> {
    /// Of a pod.
    pub fn of(spec: &'a PodSpec) -> Self {
        Self {
            node_selector: spec.node_selector.as_ref().unwrap_or(&NO_SELECTOR),
            affinity: spec.affinity.as_ref(),
            spread: spec.topology_spread_constraints.as_deref().unwrap_or_default(),
            has_storage: spec.volumes.iter().flatten().any(is_storage),
        }
    }

    /// Whether the pod's group may be in `zone`, though its node is in another one.
    pub fn allow(&self, zone: &OtherZone) -> bool {
        if self.has_storage
            || self
                .spread
                .iter()
                .any(|s| is_zone(&s.topology_key) && s.when_unsatisfiable == "DoNotSchedule")
        {
            return false;
        }
        if self
            .node_selector
            .iter()
            .any(|(key, value)| zone.value_of(key).is_some_and(|own| own != value))
        {
            return false;
        }
        let Some(affinity) = self.affinity else { return true };
        let required = affinity.node_affinity.as_ref();
        let required = required.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        if required.is_some_and(|r| !r.node_selector_terms.iter().any(|term| zone.fits(term))) {
            return false;
        }
        let with = affinity.pod_affinity.as_ref();
        let with = with.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref());
        let apart = affinity.pod_anti_affinity.as_ref();
        let apart = apart.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref());
        let by_zone = |term: &PodAffinityTerm| is_zone(&term.topology_key);
        !with.into_iter().chain(apart).flatten().any(by_zone)
    }
}

impl OtherZone {
    /// The value of a label or field that tells zones and their nodes apart; none for others, which nodes of one process share.
    fn value_of(&self, key: &str) -> Option<&str> {
        if is_zone(key) {
            Some(&self.zone_id)
        } else {
            (key == HOST_LABEL || key == NAME_FIELD).then_some(self.node_name.as_str())
        }
    }

    fn fits(&self, term: &NodeSelectorTerm) -> bool {
        let expressions = term.match_expressions.iter().flatten();
        let mut all = expressions.chain(term.match_fields.iter().flatten());
        all.all(|r| {
            self.value_of(&r.key)
                .is_none_or(|value| requirement_fits(r, Some(value)))
        })
    }
}

fn is_zone(key: &str) -> bool {
    ZONE_LABELS.contains(&key)
}

/// Whether a volume may be storage that exists in one zone only.
fn is_storage(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some()
        || volume.ephemeral.is_some()
        || volume.csi.is_some()
        || volume.flex_volume.is_some()
}

/// Whether a node that has `value` (none = it has no such label) is one that `requirement` asks for.
pub fn requirement_fits(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let named = || value.is_some_and(|value| values.iter().any(|v| v == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = |fits: fn(i64, i64) -> bool| {
        let bound = values.first().and_then(|v| number(v));
        value
            .and_then(number)
            .zip(bound)
            .is_some_and(|(value, bound)| fits(value, bound))
    };
    match requirement.operator.as_str() {
        "In" => named(),
        "NotIn" => !named(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|value, bound| value > bound),
        "Lt" => compared(|value, bound| value < bound),
        // One of a later Kubernetes: the scheduler will know.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn may_move(spec: Value) -> bool {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
        Ties::of(&spec).allow(&OtherZone {
            zone_id: "z-b".to_owned(),
            node_name: "node-b".to_owned(),
            vswitch_ids: vec!["vsw-b".to_owned()],
        })
    }

    fn requires(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }],
        } } } })
    }

    #[test]
    fn a_pod_that_names_no_zone_may_run_in_any() {
        assert!(may_move(json!({})));
        assert!(may_move(json!({ "nodeSelector": { "type": "virtual-kubelet" } })));
        assert!(may_move(requires("type", "In", &["virtual-kubelet"])));
        assert!(may_move(
            json!({ "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "c", "configMap": {} }] })
        ));
        let preferred = json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
            { "weight": 1, "preference": { "matchExpressions": [{ "key": ZONE_LABELS[0], "operator": "In", "values": ["z-a"] }] } },
        ] } } });
        assert!(may_move(preferred));
    }

    #[test]
    fn one_that_names_a_zone_or_a_node_stays_there() {
        for (key, there, here) in [
            (ZONE_LABELS[0], "z-b", "z-a"),
            (ZONE_LABELS[1], "z-b", "z-a"),
            (HOST_LABEL, "node-b", "node-a"),
        ] {
            assert!(!may_move(json!({ "nodeSelector": { key: here } })), "{key}");
            assert!(may_move(json!({ "nodeSelector": { key: there } })), "{key}");
            assert!(!may_move(requires(key, "In", &[here])), "{key}");
            assert!(may_move(requires(key, "In", &[here, there])), "{key}");
            assert!(!may_move(requires(key, "NotIn", &[there])), "{key}");
            assert!(may_move(requires(key, "Exists", &[])), "{key}");
        }
        let field = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [{ "key": NAME_FIELD, "operator": "In", "values": ["node-a"] }] }],
        } } } });
        assert!(!may_move(field));
    }

    #[test]
    fn so_does_one_whose_zone_others_depend_on() {
        let spread = |when: &str, key: &str| json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when }] });
        assert!(!may_move(spread("DoNotSchedule", ZONE_LABELS[0])));
        assert!(may_move(spread("ScheduleAnyway", ZONE_LABELS[0])));
        assert!(may_move(spread("DoNotSchedule", HOST_LABEL)));
        for kind in ["podAffinity", "podAntiAffinity"] {
            let by = |key: &str| json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": [{ "topologyKey": key }] } } });
            assert!(!may_move(by(ZONE_LABELS[0])), "{kind}");
            assert!(may_move(by(HOST_LABEL)), "{kind}");
        }
        let claim = json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }] });
        assert!(!may_move(claim));
    }
}
