//! What creates and updates may do: what is filled in, what cannot be changed, and what belongs to the status alone.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::refusal::Refusal;
use super::time::text;

/// Part of an object that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Main,
    Status,
}

/// A new object, as it is stored.
pub fn created(kind: &Kind, mut object: Value, namespace: &str, uid: String, now: Timestamp) -> Result<Value, Refusal> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let meta = &mut object["metadata"];
    if let (None, Some(prefix)) = (meta["name"].as_str(), meta["generateName"].as_str()) {
        let suffix: String = uid.chars().rev().take(5).collect();
        meta["name"] = json!(format!("{prefix}{suffix}"));
    }
    if meta["name"].as_str().is_none_or(str::is_empty) {
        let message = "Required value: name or generateName is required";
        return Err(Refusal::invalid(
            kind,
            "",
            "FieldValueRequired",
            "metadata.name",
            message,
        ));
    }
    if kind.namespaced {
        meta["namespace"] = json!(namespace);
    }
    meta["uid"] = json!(uid);
    meta["creationTimestamp"] = json!(text(now));
    if kind.generation {
        meta["generation"] = json!(1);
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
        meta.as_object_mut().map(|m| m.remove(field));
    }
    if kind.is_pod() {
        fill_in_pod(&mut object);
    }
    Ok(object)
}

fn fill_in_pod(pod: &mut Value) {
    let spec = &mut pod["spec"];
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("serviceAccountName", json!("default")),
        ("enableServiceLinks", json!(true)),
    ] {
        if spec[field].is_null() {
            spec[field] = value;
        }
    }
    pod["status"] = json!({ "phase": "Pending", "qosClass": qos_class(pod) });
}

fn qos_class(pod: &Value) -> &'static str {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let containers: Vec<&Value> = containers.collect();
    let bounded = |c: &&Value| {
        ["cpu", "memory"].iter().all(|r| {
            let (limit, request) = (&c["resources"]["limits"][r], &c["resources"]["requests"][r]);
            limit.is_string() && (request.is_null() || request == limit)
        })
    };
    let named = |c: &&Value| {
        ["limits", "requests"]
            .iter()
            .any(|of| c["resources"][of].as_object().is_some_and(|m| !m.is_empty()))
    };
    if containers.iter().all(bounded) {
        "Guaranteed"
    } else if containers.iter().any(named) {
        "Burstable"
    } else {
        "BestEffort"
    }
}

/// What becomes of `old` when a request makes `new` of it; `old` again where nothing changes.
pub fn updated(kind: &Kind, old: &Value, mut new: Value, part: Part) -> Result<Value, Refusal> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    let asked_version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !asked_version.is_empty() && old["metadata"]["resourceVersion"] != asked_version {
        return Err(Refusal::modified(kind, name));
    }
    if let Some(uid) = new["metadata"]["uid"]
        .as_str()
        .filter(|uid| old["metadata"]["uid"] != *uid)
    {
        let message = format!("Invalid value: {uid:?}: field is immutable");
        return Err(Refusal::invalid(
            kind,
            name,
            "FieldValueInvalid",
            "metadata.uid",
            &message,
        ));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        keep(&mut new["metadata"], &old["metadata"], field);
    }
    if part == Part::Status {
        let status = new["status"].take();
        let metadata = new["metadata"].take();
        new = old.clone();
        new["metadata"] = metadata;
        new["status"] = status;
        // Kubelets of old times spoiled them.
        keep(&mut new["metadata"], &old["metadata"], "ownerReferences");
        if kind.is_pod() && new["status"]["qosClass"].is_null() {
            new["status"]["qosClass"] = old["status"]["qosClass"].clone();
        }
    } else {
        if kind.status {
            keep(&mut new, old, "status");
        }
        if kind.is_pod() {
            check_pod_spec(kind, name, &old["spec"], &new["spec"])?;
        }
        if kind.generation && new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = json!(generation + 1);
        }
    }
    drop_empty(&mut new["metadata"]);
    Ok(kind.typed(new))
}

/// Of a pod's spec only this can change: images, the deadline, and tolerations may be added; while a gate keeps it from the
/// scheduler, also what it asks of nodes, by additions.
fn check_pod_spec(kind: &Kind, name: &str, old: &Value, new: &Value) -> Result<(), Refusal> {
    let gated = old["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    let selectors = old["nodeSelector"].as_object().into_iter().flatten();
    if gated
        && selectors
            .into_iter()
            .any(|(key, value)| new["nodeSelector"][key] != *value)
    {
        let message = "Invalid value: only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let field = "spec.nodeSelector";
        return Err(Refusal::invalid(kind, name, "FieldValueInvalid", field, message));
    }
    if !tolerations_are_only_added(&old["tolerations"], &new["tolerations"]) {
        let message = "Forbidden: existing toleration can not be modified except its tolerationSeconds";
        let field = "spec.tolerations";
        return Err(Refusal::invalid(kind, name, "FieldValueForbidden", field, message));
    }
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            spec.as_object_mut().map(|s| s.remove(field));
        }
        for field in ["nodeSelector", "affinity"].iter().filter(|_| gated) {
            spec.as_object_mut().map(|s| s.remove(*field));
        }
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
            }
            if spec[list].is_null() {
                spec.as_object_mut().map(|s| s.remove(list));
            }
        }
        spec
    };
    if fixed(old) == fixed(new) {
        return Ok(());
    }
    let message = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
                   tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    Err(Refusal::invalid(kind, name, "FieldValueForbidden", "spec", message))
}

/// Whether each toleration is still there, but for its seconds.
fn tolerations_are_only_added(old: &Value, new: &Value) -> bool {
    let without_seconds = |tolerations: &Value| -> Vec<Value> {
        let mut all = tolerations.as_array().cloned().unwrap_or_default();
        for toleration in all.iter_mut().filter_map(Value::as_object_mut) {
            toleration.remove("tolerationSeconds");
        }
        all
    };
    let there = without_seconds(new);
    without_seconds(old).iter().all(|toleration| there.contains(toleration))
}

fn keep(new: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => new[field] = value.clone(),
        None => drop(new.as_object_mut().and_then(|n| n.remove(field))),
    }
}

/// Empty maps and lists are not stored.
fn drop_empty(metadata: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        other => other.is_null(),
    };
    if let Some(meta) = metadata.as_object_mut() {
        meta.retain(|_, value| !is_empty(value));
    }
}

/// `pod` on `node`, as the scheduler's binding leaves it.
pub fn bound(pod: &Value, node: &str, now: Timestamp) -> Value {
    let mut pod = pod.clone();
    pod["spec"]["nodeName"] = json!(node);
    set_condition(
        &mut pod,
        json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": text(now) }),
    );
    pod
}

/// `pod` with one more condition, or with that one changed.
pub fn set_condition(pod: &mut Value, condition: Value) {
    if !pod["status"].is_object() {
        pod["status"] = Value::Object(Map::new());
    }
    super::merge::strategic(&mut pod["status"], &json!({ "conditions": [condition] }));
}
