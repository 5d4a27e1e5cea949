//! Pods without a node, decoded into as little as it takes to know what becomes of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PodCondition, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::NamespaceResourceScope;
use serde::Deserialize;

use super::mutate::{NamespaceView, PodView, Rules, tolerates};
use super::names;
use super::policy::{BadValue, Map, Policy};

/// Pods without a node that are not over.
pub const FIELDS: &str = "spec.nodeName=,status.phase!=Succeeded,status.phase!=Failed";

/// A pod as the watch decodes it.
#[derive(Clone, Debug, Deserialize)]
pub struct UnscheduledPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SpecView,
    #[serde(default)]
    status: StatusView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecView {
    tolerations: Vec<Toleration>,
    scheduling_gates: Vec<GateView>,
}

#[derive(Clone, Debug, Deserialize)]
struct GateView {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusView {
    conditions: Vec<PodCondition>,
    nominated_node_name: String,
}

/// What is kept of it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Box<str>,
    /// When it was made.
    pub created: Timestamp,
    labels: Map,
    /// Ours and ACK's.
    annotations: Map,
    left_alone: bool,
    tolerations: Vec<Toleration>,
    gates: Gates,
    deleting: bool,
    /// Since when the scheduler finds no room for it, and has no plan to make some.
    unschedulable: Option<Timestamp>,
}

/// What keeps the scheduler from looking at a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gates {
    None,
    Ours,
    Others,
}

/// What is to be done for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, or nothing yet.
    Nothing,
    /// Nothing: it may run on the pool already, and it is on its way there or to a worker.
    LetIn,
    /// Shape it as its policy says, and take our gate away.
    Shape,
    /// Let it onto the pool, from then on.
    LetInAt(Timestamp, Policy),
    /// It should stay on workers, and nothing holds it there.
    Loose,
}

impl UnscheduledPod {
    /// Identity.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// What is kept of it.
    pub fn into_waiting(self) -> Waiting {
        let meta = self.metadata;
        let owners: Vec<&str> = meta
            .owner_references
            .iter()
            .flatten()
            .map(|o| o.kind.as_str())
            .collect();
        let labels = meta.labels.unwrap_or_default();
        let annotations = meta.annotations.unwrap_or_default();
        let view = PodView {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            labels: &labels,
            annotations: &annotations,
            of_daemon_set: owners.contains(&"DaemonSet"),
        };
        let left_alone = view.is_left_alone();
        let scheduled = self.status.conditions.iter().find(|c| c.type_ == "PodScheduled");
        let unschedulable = scheduled
            .filter(|c| c.status == "False" && c.reason.as_deref() == Some("Unschedulable"))
            .filter(|_| self.status.nominated_node_name.is_empty())
            .map(|c| time(c.last_transition_time.as_ref()));
        let gates = &self.spec.scheduling_gates;
        let gates = match gates.iter().any(|gate| gate.name == names::GATE) {
            true => Gates::Ours,
            false if gates.is_empty() => Gates::None,
            false => Gates::Others,
        };
        Waiting {
            namespace: Arc::from(meta.namespace.unwrap_or_default()),
            name: meta.name.unwrap_or_default().into(),
            created: time(meta.creation_timestamp.as_ref()),
            annotations: of_ours(annotations),
            labels,
            left_alone,
            tolerations: self.spec.tolerations,
            gates,
            deleting: meta.deletion_timestamp.is_some(),
            unschedulable,
        }
    }
}

fn time(at: Option<&Time>) -> Timestamp {
    at.map_or(Timestamp::UNIX_EPOCH, |Time(at)| *at)
}

/// Those annotations that say where a pod runs.
pub fn of_ours(mut annotations: BTreeMap<String, String>) -> Map {
    annotations.retain(|key, _| {
        let known = [
            names::BURST_RESOURCE,
            names::BURST_POLICY,
            names::BURST_WAIT,
            names::MAX_PODS,
            names::MAX_VCPU,
        ];
        known.contains(&key.as_str())
    });
    annotations
}

impl Waiting {
    fn view(&self) -> PodView<'_> {
        PodView {
            namespace: &self.namespace,
            labels: &self.labels,
            annotations: &self.annotations,
            of_daemon_set: false,
        }
    }

    /// What is to be done for it; `wait` is how long the scheduler is left to find room on workers, unless the pod or its
    /// namespace says otherwise.
    ///
    /// # Errors
    /// Labels or annotations of the pod or its namespace that mean nothing.
    pub fn step(&self, rules: &Rules, namespace: &NamespaceView, wait: SignedDuration) -> Result<Step, BadValue> {
        if self.deleting || self.left_alone {
            return Ok(Step::Nothing);
        }
        if self.gates == Gates::Ours {
            return Ok(Step::Shape);
        }
        let Some(choice) = rules.choose(self.view(), namespace)? else {
            return Ok(Step::Nothing);
        };
        let let_in = tolerates(&self.tolerations, &rules.tolerations);
        Ok(match choice.policy {
            // Nodes without a taint let everybody in; nothing can be done about that from here.
            Policy::EcsOnly if let_in && !rules.tolerations.is_empty() => Step::Loose,
            Policy::EcsOnly => Step::Nothing,
            _ if let_in => Step::LetIn,
            _ if self.gates == Gates::Others => Step::Nothing,
            Policy::EcsFirst => match self.unschedulable {
                None => Step::Nothing,
                Some(since) => {
                    let wait = wait_of(&self.annotations, namespace)?.unwrap_or(wait);
                    Step::LetInAt(since.saturating_add(wait).unwrap_or(since), choice.policy)
                }
            },
            Policy::EciOnly | Policy::EciFirst => Step::LetInAt(self.created, choice.policy),
        })
    }
}

fn wait_of(annotations: &Map, namespace: &NamespaceView) -> Result<Option<SignedDuration>, BadValue> {
    let said = annotations
        .get(names::BURST_WAIT)
        .or_else(|| namespace.annotations.get(names::BURST_WAIT));
    let Some(text) = said else { return Ok(None) };
    match text.parse::<SignedDuration>() {
        Ok(wait) if !wait.is_negative() => Ok(Some(wait)),
        _ => Err(BadValue {
            key: names::BURST_WAIT,
            value: text.clone(),
            wanted: "a duration with its unit, such as 30s",
        }),
    }
}

impl kube::Resource for UnscheduledPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Taint;
    use serde_json::{Value, json};

    use super::*;

    fn rules() -> Rules {
        Rules {
            tolerations: Rules::tolerations_for(&[Taint {
                key: "virtual-kubelet.io/provider".to_owned(),
                value: Some("alibabacloud".to_owned()),
                effect: "NoSchedule".to_owned(),
                time_added: None,
            }]),
            ..Rules::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    /// A pod of policy `policy` that the scheduler found no room for at second 100.
    fn unschedulable(policy: &str) -> Value {
        json!({
            "metadata": {
                "name": "p", "namespace": "a", "uid": "u", "creationTimestamp": at(90).to_string(),
                "annotations": { names::BURST_POLICY: policy },
            },
            "spec": { "containers": [{ "name": "c" }] },
            "status": { "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": at(100).to_string(),
            }] },
        })
    }

    fn step(pod: &Value) -> Step {
        let pod: UnscheduledPod = serde_json::from_value(pod.clone()).expect("a pod");
        let wait = SignedDuration::from_secs(5);
        pod.into_waiting()
            .step(&rules(), &NamespaceView::default(), wait)
            .expect("good values")
    }

    fn changed(policy: &str, change: impl FnOnce(&mut Value)) -> Step {
        let mut pod = unschedulable(policy);
        change(&mut pod);
        step(&pod)
    }

    #[test]
    fn workers_first_waits_for_the_scheduler_to_say_that_there_is_no_room_and_no_plan() {
        assert_eq!(
            step(&unschedulable("ecs-first")),
            Step::LetInAt(at(105), Policy::EcsFirst)
        );
        assert_eq!(changed("ecs-first", |p| p["status"] = json!({})), Step::Nothing);
        let nominated = |p: &mut Value| p["status"]["nominatedNodeName"] = json!("worker");
        assert_eq!(changed("ecs-first", nominated), Step::Nothing);
        let gated = |p: &mut Value| p["status"]["conditions"][0]["reason"] = json!("SchedulingGated");
        assert_eq!(changed("ecs-first", gated), Step::Nothing);
        let deleted = |p: &mut Value| p["metadata"]["deletionTimestamp"] = json!(at(101).to_string());
        assert_eq!(changed("ecs-first", deleted), Step::Nothing);
        let patient = |p: &mut Value| p["metadata"]["annotations"][names::BURST_WAIT] = json!("1m");
        assert_eq!(changed("ecs-first", patient), Step::LetInAt(at(160), Policy::EcsFirst));
        let eager = |p: &mut Value| p["metadata"]["annotations"][names::BURST_WAIT] = json!("0s");
        assert_eq!(changed("ecs-first", eager), Step::LetInAt(at(100), Policy::EcsFirst));
    }

    #[test]
    fn who_wants_the_pool_need_not_wait_for_the_scheduler() {
        for policy in ["eci-only", "eci-first"] {
            let wanted = Policy::parse(policy).expect("one");
            assert_eq!(step(&unschedulable(policy)), Step::LetInAt(at(90), wanted));
            assert_eq!(
                changed(policy, |p| p["status"] = json!({})),
                Step::LetInAt(at(90), wanted)
            );
        }
    }

    #[test]
    fn who_is_let_in_already_is_left_to_the_scheduler() {
        let tolerant = |p: &mut Value| p["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
        for policy in ["ecs-first", "eci-only", "eci-first"] {
            assert_eq!(changed(policy, tolerant), Step::LetIn);
        }
        assert_eq!(changed("ecs-only", tolerant), Step::Loose);
        assert_eq!(step(&unschedulable("ecs-only")), Step::Nothing);
    }

    #[test]
    fn our_gate_is_ours_to_take_away_and_others_are_waited_for() {
        let ours = |p: &mut Value| p["spec"]["schedulingGates"] = json!([{ "name": "x" }, { "name": names::GATE }]);
        let others = |p: &mut Value| p["spec"]["schedulingGates"] = json!([{ "name": "x" }]);
        assert_eq!(changed("eci-only", ours), Step::Shape);
        assert_eq!(changed("eci-only", others), Step::Nothing);
    }

    #[test]
    fn what_a_cluster_needs_and_daemons_are_left_alone() {
        assert_eq!(
            changed("eci-only", |p| p["metadata"]["namespace"] = json!("kube-system")),
            Step::Nothing
        );
        let daemon = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d-1" }]);
        assert_eq!(
            changed("eci-only", |p| p["metadata"]["ownerReferences"] = daemon),
            Step::Nothing
        );
    }

    #[test]
    fn a_wait_that_is_none_is_said() {
        let mut pod = unschedulable("ecs-first");
        pod["metadata"]["annotations"][names::BURST_WAIT] = json!("soon");
        let pod: UnscheduledPod = serde_json::from_value(pod).expect("a pod");
        let step = pod
            .into_waiting()
            .step(&rules(), &NamespaceView::default(), SignedDuration::ZERO);
        assert_eq!(
            step.expect_err("no duration").to_string(),
            "k8s.aliyun.com/eci-burst-wait is `soon`: it must be a duration with its unit, such as 30s"
        );
    }
}
