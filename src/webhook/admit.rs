//! (pure) What becomes of a pod at its creation: it is shaped as its policy says, and a pod that could never run is told so.
//!
//! Shaping is [`Rules::at_admission`], and the dry run is [`feasible::dry_run`]: the same code that works on pods with a scheduling
//! gate, so that the two ways cannot disagree.

use std::sync::Arc;

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use provider::mapping::Settings;

use crate::burst::feasible;
use crate::burst::mutate::{NamespaceView, PodView, Rules, can_only_go_to_the_pool};
use crate::burst::outages::OutageToleration;
use crate::pods::endurance::enduring;

/// Stands for the UID that a pod does not have yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";
/// Stands for what the API server will append to a `generateName`.
const SUFFIX: &str = "xxxxx";

/// What becomes of a pod that can go nowhere but to the pool and could never run there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Impossible {
    /// It is created, and who creates it is warned.
    #[default]
    Warn,
    /// It is not created.
    Refuse,
}

/// What pods are judged by, beside their policies.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How pods are mapped.
    pub mapping: Arc<Settings>,
    /// How long pods of the pool stay when their node is not ready.
    pub outage_toleration: OutageToleration,
    /// What becomes of those that could never run.
    pub impossible: Impossible,
}

/// What becomes of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What is changed of it.
    pub patch: Patch,
    /// What its creator is told.
    pub warnings: Vec<String>,
    /// Why it is not created.
    pub refusal: Option<String>,
}

impl Verdict {
    /// The most that happened, as metrics call it.
    pub fn outcome(&self) -> &'static str {
        if self.refusal.is_some() {
            "refused"
        } else if !self.warnings.is_empty() {
            "warned"
        } else if !self.patch.0.is_empty() {
            "shaped"
        } else {
            "untouched"
        }
    }
}

/// Judges a pod that is about to be created; its metadata must name its namespace.
///
/// # Errors
/// The pod cannot be written as JSON.
pub fn judge(pod: &Pod, namespace: &NamespaceView, rules: &Rules, terms: &Terms) -> Result<Verdict, serde_json::Error> {
    let spec = pod.spec.as_ref();
    // Who has a node already was placed by somebody else; the scheduler will not look at what is demanded of nodes.
    let placed = spec.and_then(|spec| spec.node_name.as_ref()).is_some();
    if placed || PodView::of(pod).is_left_alone() {
        return Ok(Verdict::default());
    }
    let mutation = match rules.at_admission(pod, namespace) {
        Ok(mutation) => mutation,
        Err(bad) => {
            return Ok(Verdict {
                warnings: vec![format!("{bad}; the pod has no burst policy")],
                ..Verdict::default()
            });
        }
    };
    let (mut after, mut warnings, mut refusal) = (mutation.pod, mutation.warnings, None);
    if after.spec.as_ref().is_some_and(can_only_go_to_the_pool) {
        outlast(&mut after, terms.outage_toleration);
        if let Err(refusals) = feasible::dry_run(&identified(&after), &terms.mapping) {
            match terms.impossible {
                Impossible::Warn => {
                    warnings.extend(
                        refusals
                            .into_iter()
                            .map(|r| format!("a virtual node cannot run this pod: {r}")),
                    );
                }
                Impossible::Refuse => {
                    refusal = Some(format!("a virtual node cannot run this pod: {}", refusals.join("; ")));
                }
            }
        }
    }
    let patch = match refusal {
        Some(_) => Patch::default(),
        None => json_patch::diff(&serde_json::to_value(pod)?, &serde_json::to_value(&after)?),
    };
    Ok(Verdict {
        patch,
        warnings,
        refusal,
    })
}

fn outlast(pod: &mut Pod, toleration: OutageToleration) {
    let (Some(seconds), Some(spec)) = (toleration.seconds(), &mut pod.spec) else {
        return;
    };
    let has = spec.tolerations.as_deref().unwrap_or_default();
    if let Some(raised) = enduring(has, seconds) {
        spec.tolerations = Some(raised);
    }
}

/// `pod` with the identity that it will be given.
fn identified(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    let meta = &mut pod.metadata;
    meta.uid.get_or_insert_with(|| NO_UID.to_owned());
    if meta.name.as_ref().is_none_or(String::is_empty) {
        let prefix = meta.generate_name.as_deref().unwrap_or_default();
        meta.name = Some(format!("{prefix}{SUFFIX}"));
    }
    pod
}

#[cfg(test)]
pub(super) mod tests;
