//! (pure) What a policy does to a pod: at its creation, while a gate keeps it from the scheduler, and when it overflows.
//!
//! | policy | at creation, or while gated | later |
//! |---|---|---|
//! | `ecs-first` | prefers workers | when no worker has room: toleration, effects of the profile |
//! | `eci-only` | node selector, toleration, effects | toleration and effects, as soon as it is seen |
//! | `ecs-only` | never on the pool, by node affinity | nothing: without a toleration it stays on workers |
//! | `eci-first` | prefers the pool, toleration, effects | toleration and effects, as soon as it is seen |
//!
//! Of a pod that lives, tolerations can be added but never taken back, and node selector and affinity cannot be changed unless a
//! scheduling gate still keeps it from the scheduler.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PreferredSchedulingTerm,
    Taint, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map as JsonMap, Value, json};

use super::names;
use super::policy::{self, BadValue, Choice, Levels, Map, Policy};
use super::profile::Profile;
use crate::node::object::TYPE_LABEL;

/// Weight of a preference for one side: as much as a preference can have.
const PREFERENCE: i32 = 100;
/// Kind whose pods belong to a node each.
const DAEMON_SET: &str = "DaemonSet";
/// Annotation of pods that a kubelet runs from its own files.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What all pods of the cluster are judged by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The eci-profile.
    pub profile: Profile,
    /// The policy of pods for which nobody else has one.
    pub default: Option<Policy>,
    /// What a pod needs to be let onto the pool.
    pub tolerations: Vec<Toleration>,
}

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceView {
    /// Its labels.
    pub labels: Map,
    /// Its annotations, ours and ACK's.
    pub annotations: Map,
}

/// A pod as far as its policy goes.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a Map,
    /// Its annotations.
    pub annotations: &'a Map,
    /// Whether a DaemonSet made it.
    pub of_daemon_set: bool,
}

impl<'a> PodView<'a> {
    /// Of a whole pod.
    pub fn of(pod: &'a Pod) -> Self {
        Self::of_meta(&pod.metadata)
    }

    /// Of its metadata.
    pub fn of_meta(meta: &'a ObjectMeta) -> Self {
        static NONE: Map = Map::new();
        let mut owners = meta.owner_references.iter().flatten();
        Self {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            labels: meta.labels.as_ref().unwrap_or(&NONE),
            annotations: meta.annotations.as_ref().unwrap_or(&NONE),
            of_daemon_set: owners.any(|owner| owner.kind == DAEMON_SET),
        }
    }

    /// Whether no policy is for it: what a cluster needs to work, and pods that belong to a node.
    pub fn is_left_alone(&self) -> bool {
        self.namespace == names::SYSTEM_NAMESPACE || self.of_daemon_set || self.annotations.contains_key(MIRROR)
    }
}

impl Rules {
    /// The tolerations for nodes with `taints`.
    pub fn tolerations_for(taints: &[Taint]) -> Vec<Toleration> {
        let tolerate = |taint: &Taint| Toleration {
            key: Some(taint.key.clone()),
            operator: Some(if taint.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
            value: taint.value.clone(),
            effect: Some(taint.effect.clone()),
            ..Toleration::default()
        };
        taints.iter().map(tolerate).collect()
    }

    /// The policy of a pod; none = it is left alone.
    ///
    /// # Errors
    /// Its labels or annotations, or its namespace's, say something that means nothing.
    pub fn choose(&self, pod: PodView<'_>, namespace: &NamespaceView) -> Result<Option<Choice>, BadValue> {
        if pod.is_left_alone() {
            return Ok(None);
        }
        Ok(policy::choose(Levels {
            pod: policy::said(pod.labels, pod.annotations)?,
            namespace: policy::said(&namespace.labels, &namespace.annotations)?,
            profile: self.profile.policy(pod.labels, &namespace.labels),
            default: self.default,
        }))
    }

    /// `pod` as its policy wants it at its creation; what cannot be had is in the warnings.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn at_admission(&self, pod: &Pod, namespace: &NamespaceView) -> Result<Mutation, BadValue> {
        let choice = self.choose(PodView::of(pod), namespace)?;
        Ok(self.shape(pod, namespace, choice, true))
    }

    /// The same for a pod that a scheduling gate of ours holds back, and without the gate. Of what it demands of nodes nothing can
    /// be taken back any more.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn while_gated(&self, pod: &Pod, namespace: &NamespaceView) -> Result<Mutation, BadValue> {
        let choice = self.choose(PodView::of(pod), namespace)?;
        Ok(self.shape(pod, namespace, choice, false))
    }

    /// `pod` as it may run on the pool, too: what can be added to one that lives.
    pub fn overflowing(&self, pod: &Pod, namespace: &NamespaceView) -> Pod {
        let mut new = pod.clone();
        self.let_in(&mut new, namespace);
        new
    }

    fn shape(&self, pod: &Pod, namespace: &NamespaceView, choice: Option<Choice>, creating: bool) -> Mutation {
        let mut new = pod.clone();
        let mut warnings = Vec::new();
        let spec = new.spec.get_or_insert_default();
        spec.scheduling_gates = spec.scheduling_gates.take().map(|mut gates| {
            gates.retain(|gate| gate.name != names::GATE);
            gates
        });
        spec.scheduling_gates.take_if(|gates| gates.is_empty());
        let selects_pool = selected(spec) == Some(TYPE_LABEL.1);
        match choice.map(|c| c.policy) {
            None if selects_pool && !PodView::of(pod).is_left_alone() => self.add_effects(&mut new, namespace),
            None => {}
            Some(Policy::EciOnly) => {
                if choice.is_some_and(|c| c.beats_selectors) && creating {
                    spec.node_selector = None;
                    spec.topology_spread_constraints = None;
                    if let Some(affinity) = &mut spec.affinity {
                        affinity.node_affinity = None;
                    }
                }
                let selector = spec.node_selector.get_or_insert_default();
                let there = selector
                    .entry(TYPE_LABEL.0.to_owned())
                    .or_insert_with(|| TYPE_LABEL.1.to_owned());
                if there != TYPE_LABEL.1 {
                    warnings.push(format!(
                        "policy eci-only, but spec.nodeSelector[{}] is `{there}`, which no virtual node has",
                        TYPE_LABEL.0
                    ));
                }
                self.let_in(&mut new, namespace);
            }
            Some(Policy::EcsOnly) => {
                if selects_pool {
                    warnings.push(format!(
                        "policy ecs-only, but spec.nodeSelector[{}] is `{}`: no node has room for that",
                        TYPE_LABEL.0, TYPE_LABEL.1
                    ));
                }
                forbid_pool(spec);
            }
            Some(Policy::EcsFirst) => prefer(spec, "NotIn"),
            Some(Policy::EciFirst) => {
                prefer(spec, "In");
                self.let_in(&mut new, namespace);
            }
        }
        Mutation {
            pod: new,
            choice,
            warnings,
        }
    }

    /// Adds the tolerations that are missing, and the profile's effects.
    fn let_in(&self, pod: &mut Pod, namespace: &NamespaceView) {
        let spec = pod.spec.get_or_insert_default();
        let has = spec.tolerations.get_or_insert_default();
        for wanted in &self.tolerations {
            if !has.iter().any(|one| covers(one, wanted)) {
                has.push(wanted.clone());
            }
        }
        spec.tolerations.take_if(|list| list.is_empty());
        self.add_effects(pod, namespace);
    }

    fn add_effects(&self, pod: &mut Pod, namespace: &NamespaceView) {
        let view = PodView::of(pod);
        let effects = self.profile.effects(view.labels, &namespace.labels);
        let effects = effects.missing_from(view.annotations, view.labels);
        let meta = &mut pod.metadata;
        for (to, new) in [
            (&mut meta.annotations, effects.annotations),
            (&mut meta.labels, effects.labels),
        ] {
            if !new.is_empty() {
                to.get_or_insert_default().extend(new);
            }
        }
    }
}

/// A pod and what its policy made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// The pod as it should be.
    pub pod: Pod,
    /// Its policy.
    pub choice: Option<Choice>,
    /// What its policy asks for and cannot have.
    pub warnings: Vec<String>,
}

/// Whether a pod with these tolerations is let onto a node that wants `wanted`.
pub fn tolerates(tolerations: &[Toleration], wanted: &[Toleration]) -> bool {
    wanted
        .iter()
        .all(|wanted| tolerations.iter().any(|one| covers(one, wanted)))
}

/// Whether `one` tolerates at least what `wanted` does.
fn covers(one: &Toleration, wanted: &Toleration) -> bool {
    let effect = one.effect.as_deref().unwrap_or_default();
    let same_effect = effect.is_empty() || one.effect == wanted.effect;
    let key = one.key.as_deref().unwrap_or_default();
    let exists = one.operator.as_deref() == Some("Exists");
    let same_key = key.is_empty() && exists || one.key == wanted.key;
    let text = |t: &Toleration| t.value.clone().unwrap_or_default();
    same_effect && same_key && (exists || text(one) == text(wanted))
}

/// The merge patch that turns `before` into `after`, if that pod is still as it was; none = nothing differs. Only what mutations
/// touch is compared, and only what can be added to a pod that lives.
pub fn merge_patch(before: &Pod, after: &Pod) -> Option<Value> {
    let mut metadata = JsonMap::new();
    for (field, old, new) in [
        ("labels", &before.metadata.labels, &after.metadata.labels),
        ("annotations", &before.metadata.annotations, &after.metadata.annotations),
    ] {
        let has = |key: &String| old.as_ref().and_then(|old| old.get(key));
        let added: BTreeMap<&String, &String> = new.iter().flatten().filter(|(k, v)| has(k) != Some(*v)).collect();
        if !added.is_empty() {
            metadata.insert(field.to_owned(), json!(added));
        }
    }
    let mut spec = JsonMap::new();
    if let (Some(old), Some(new)) = (&before.spec, &after.spec) {
        let mut set = |field: &str, differs: bool, value: Value| {
            if differs {
                spec.insert(field.to_owned(), value);
            }
        };
        set(
            "tolerations",
            old.tolerations != new.tolerations,
            json!(new.tolerations),
        );
        set(
            "nodeSelector",
            old.node_selector != new.node_selector,
            json!(new.node_selector),
        );
        set("affinity", old.affinity != new.affinity, json!(new.affinity));
        set(
            "schedulingGates",
            old.scheduling_gates != new.scheduling_gates,
            json!(new.scheduling_gates),
        );
    }
    if metadata.is_empty() && spec.is_empty() {
        return None;
    }
    metadata.insert("uid".to_owned(), json!(before.metadata.uid));
    metadata.insert("resourceVersion".to_owned(), json!(before.metadata.resource_version));
    let mut patch = json!({ "metadata": metadata });
    if !spec.is_empty() {
        patch["spec"] = Value::Object(spec);
    }
    Some(patch)
}

/// Whether a pod can go nowhere but to the pool, by what it demands of nodes.
pub fn can_only_go_to_the_pool(spec: &PodSpec) -> bool {
    let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map(|r| r.node_selector_terms.as_slice()).unwrap_or_default();
    let demands = |term: &NodeSelectorTerm| term.match_expressions.iter().flatten().any(|r| *r == requirement("In"));
    selected(spec) == Some(TYPE_LABEL.1) || (!terms.is_empty() && terms.iter().all(demands))
}

/// What the pod's node selector says of the kind of node.
fn selected(spec: &PodSpec) -> Option<&str> {
    spec.node_selector.as_ref()?.get(TYPE_LABEL.0).map(String::as_str)
}

fn requirement(operator: &str) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: TYPE_LABEL.0.to_owned(),
        operator: operator.to_owned(),
        values: Some(vec![TYPE_LABEL.1.to_owned()]),
    }
}

fn node_affinity(spec: &mut PodSpec) -> &mut NodeAffinity {
    let affinity = spec.affinity.get_or_insert_default();
    affinity.node_affinity.get_or_insert_default()
}

/// Terms are alternatives, so each of them gets it.
fn forbid_pool(spec: &mut PodSpec) {
    let required = &mut node_affinity(spec).required_during_scheduling_ignored_during_execution;
    let terms = &mut required.get_or_insert_with(NodeSelector::default).node_selector_terms;
    if terms.is_empty() {
        terms.push(NodeSelectorTerm::default());
    }
    for term in terms {
        let expressions = term.match_expressions.get_or_insert_default();
        if !expressions.contains(&requirement("NotIn")) {
            expressions.push(requirement("NotIn"));
        }
    }
}

fn prefer(spec: &mut PodSpec, operator: &str) {
    let preference = PreferredSchedulingTerm {
        weight: PREFERENCE,
        preference: NodeSelectorTerm {
            match_expressions: Some(vec![requirement(operator)]),
            ..NodeSelectorTerm::default()
        },
    };
    let preferred = &mut node_affinity(spec).preferred_during_scheduling_ignored_during_execution;
    let preferred = preferred.get_or_insert_default();
    if !preferred.contains(&preference) {
        preferred.push(preference);
    }
}

#[cfg(test)]
mod tests;
