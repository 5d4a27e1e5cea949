//! The status as a patch.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// The body of a strategic-merge patch of `pods/status` of the pod with `uid`, which turns whatever is there into `status`.
///
/// It names the UID, so that a successor of the same name is never touched (422), and it spells out as `null` what a
/// merge would leave behind: a pod's or a condition's old reason and message. Conditions of others are kept.
pub fn patch(uid: &str, status: &PodStatus) -> Value {
    let mut body = match serde_json::to_value(status) {
        Ok(Value::Object(body)) => body,
        // A PodStatus is an object and holds nothing JSON cannot say.
        Ok(_) | Err(_) => Map::new(),
    };
    clear(&mut body);
    for condition in body
        .get_mut("conditions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(condition) = condition.as_object_mut() {
            clear(condition);
        }
    }
    // These lists are merged by address; without the directive an old address would stay beside the new one.
    for list in ["podIPs", "hostIPs"] {
        if let Some(addresses) = body.get_mut(list).and_then(Value::as_array_mut) {
            addresses.insert(0, json!({ "$patch": "replace" }));
        }
    }
    json!({ "metadata": { "uid": uid }, "status": body })
}

fn clear(object: &mut Map<String, Value>) {
    for key in ["reason", "message"] {
        object.entry(key).or_insert(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodCondition, PodIP};

    use super::*;

    #[test]
    fn old_reasons_are_cleared_and_others_left_alone() {
        let status = PodStatus {
            phase: Some("Running".to_owned()),
            conditions: Some(vec![PodCondition {
                type_: "Ready".to_owned(),
                status: "True".to_owned(),
                ..PodCondition::default()
            }]),
            pod_ips: Some(vec![PodIP {
                ip: "10.0.0.1".to_owned(),
            }]),
            ..PodStatus::default()
        };
        assert_eq!(
            patch("u-1", &status),
            json!({
                "metadata": { "uid": "u-1" },
                "status": {
                    "phase": "Running", "reason": null, "message": null,
                    "conditions": [{ "type": "Ready", "status": "True", "reason": null, "message": null }],
                    "podIPs": [{ "$patch": "replace" }, { "ip": "10.0.0.1" }],
                },
            })
        );
    }
}
