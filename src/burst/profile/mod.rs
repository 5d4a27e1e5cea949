//! (pure) The eci-profile: selectors that opt pods in, and what is added to pods of the pool.
//!
//! Every selector that matches adds its annotations and labels, in their order; none overwrites what the pod has or an earlier one
//! added. A selector that names no labels matches every pod of the pool, and opts no pod in.

mod parse;

use std::collections::BTreeMap;

pub use parse::{MAX_VSWITCHES, Problem, parse};

use super::policy::{Map, Policy};

/// What the ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Selectors, in order.
    pub selectors: Vec<Selector>,
    /// Resource group of new groups.
    pub resource_group_id: Option<String>,
    /// Keys that have no effect here, and what to do instead.
    pub ignored: Vec<Problem>,
}

/// Which pods, and what for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// For people.
    pub name: String,
    /// Labels that the pod's namespace has.
    pub namespace_labels: Map,
    /// Labels that the pod has.
    pub pod_labels: Map,
    /// Annotations to add.
    pub annotations: Map,
    /// Labels to add.
    pub labels: Map,
    /// The policy of its pods; none = what [`Self::annotations`] and [`Self::labels`] say, else `ecs-first`. Not one of ACK's keys.
    pub policy: Option<Policy>,
}

impl Selector {
    /// Whether it chooses pods, or applies to whatever comes to the pool.
    pub fn is_empty(&self) -> bool {
        self.namespace_labels.is_empty() && self.pod_labels.is_empty()
    }

    fn matches(&self, pod_labels: &Map, namespace_labels: &Map) -> bool {
        let has = |labels: &Map, wanted: &Map| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        has(pod_labels, &self.pod_labels) && has(namespace_labels, &self.namespace_labels)
    }
}

/// What is added to a pod of the pool where it has no such key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Annotations.
    pub annotations: Map,
    /// Labels.
    pub labels: Map,
}

impl Effects {
    /// The part of it that `annotations` and `labels` do not have yet.
    pub fn missing_from(mut self, annotations: &Map, labels: &Map) -> Self {
        self.annotations.retain(|key, _| !annotations.contains_key(key));
        self.labels.retain(|key, _| !labels.contains_key(key));
        self
    }
}

impl Profile {
    /// The policy that a pod with these labels has by its first matching selector, if one chooses it.
    pub fn policy(&self, pod_labels: &Map, namespace_labels: &Map) -> Option<Policy> {
        let mut chosen = self.selectors.iter().filter(|s| !s.is_empty());
        let selector = chosen.find(|s| s.matches(pod_labels, namespace_labels))?;
        selector.policy
    }

    /// What a pod of the pool with these labels gets.
    pub fn effects(&self, pod_labels: &Map, namespace_labels: &Map) -> Effects {
        let mut effects = Effects::default();
        let add = |to: &mut BTreeMap<String, String>, from: &Map| {
            for (key, value) in from {
                to.entry(key.clone()).or_insert_with(|| value.clone());
            }
        };
        for selector in self
            .selectors
            .iter()
            .filter(|s| s.matches(pod_labels, namespace_labels))
        {
            add(&mut effects.annotations, &selector.annotations);
            add(&mut effects.labels, &selector.labels);
        }
        if let Some(id) = &self.resource_group_id {
            let key = provider::annotations::RESOURCE_GROUP_ID.to_owned();
            effects.annotations.entry(key).or_insert_with(|| id.clone());
        }
        effects
    }
}

#[cfg(test)]
mod tests;
