//! Patches: JSON merge patch, and the strategic one with the keys by which Kubernetes merges lists.

use serde_json::{Map, Value, json};

/// By which field items of the list `name` are told apart; `None` = the list is replaced as a whole.
///
/// Container statuses are none of them: `containerStatuses` is atomic.
fn merge_key(name: &str) -> Option<&'static str> {
    Some(match name {
        "conditions" | "addresses" => "type",
        "podIPs" | "hostIPs" | "hostAliases" => "ip",
        "ownerReferences" => "uid",
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims"
        | "resourceClaimStatuses" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "secrets" => "name",
        _ => return None,
    })
}

/// Lists of texts that are merged as sets.
fn is_set(name: &str) -> bool {
    name == "finalizers"
}

/// RFC 7386.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    for (name, change) in changes {
        match change {
            Value::Null => drop(as_object(target).remove(name)),
            _ => merge(as_object(target).entry(name).or_insert(Value::Null), change),
        }
    }
}

/// A strategic merge patch.
pub fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    match patch["$patch"].as_str() {
        Some("replace") => {
            *target = without_directives(patch);
            return;
        }
        Some("delete") => {
            *target = json!({});
            return;
        }
        _ => {}
    }
    if let Some(keep) = patch["$retainKeys"].as_array() {
        as_object(target).retain(|name, _| keep.iter().any(|k| k == name));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().cloned().unwrap_or_default();
            if let Some(items) = as_object(target).get_mut(list).and_then(Value::as_array_mut) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if let Some(list) = name.strip_prefix("$setElementOrder/") {
            // The patch of the list itself comes after its order: a missing list is made by it.
            order(as_object(target).get_mut(list), list, change);
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        match change {
            Value::Null => drop(as_object(target).remove(name)),
            Value::Array(items) => list(as_object(target).entry(name).or_insert(Value::Null), name, items),
            _ => strategic(as_object(target).entry(name).or_insert(Value::Null), change),
        }
    }
}

fn list(target: &mut Value, name: &str, items: &[Value]) {
    let replaces = items.iter().any(|item| item["$patch"] == "replace");
    let old = match target.take() {
        Value::Array(old) if !replaces => old,
        _ => Vec::new(),
    };
    let mut merged = old;
    match merge_key(name) {
        Some(key) => merge_by(&mut merged, key, items),
        None if is_set(name) => merged.extend(
            items
                .iter()
                .filter(|i| !merged.contains(i))
                .cloned()
                .collect::<Vec<_>>(),
        ),
        None => merged = items.iter().filter(|i| i.get("$patch").is_none()).cloned().collect(),
    }
    *target = Value::Array(merged);
}

fn merge_by(list: &mut Vec<Value>, key: &str, changes: &[Value]) {
    for change in changes {
        match change["$patch"].as_str() {
            Some("replace") if change.get(key).is_none() => continue,
            Some("delete") => {
                list.retain(|item| item[key] != change[key]);
                continue;
            }
            _ => {}
        }
        match list.iter_mut().find(|item| item[key] == change[key]) {
            Some(item) => strategic(item, change),
            None => {
                let mut item = json!({});
                strategic(&mut item, change);
                list.push(item);
            }
        }
    }
}

fn order(list: Option<&mut Value>, name: &str, wanted: &Value) {
    let (Some(Value::Array(items)), Some(wanted)) = (list, wanted.as_array()) else {
        return;
    };
    let place = |item: &Value| {
        let at = match merge_key(name) {
            Some(key) => wanted.iter().position(|w| w[key] == item[key]),
            None => wanted.iter().position(|w| w == item),
        };
        at.unwrap_or(usize::MAX)
    };
    items.sort_by_key(place);
}

fn without_directives(patch: &Value) -> Value {
    let mut plain = patch.clone();
    as_object(&mut plain).retain(|name, _| !name.starts_with('$'));
    plain
}

/// `value` as an object, which it becomes if it is none.
fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made one above")
}
