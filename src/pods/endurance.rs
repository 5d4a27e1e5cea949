//! (pure) How long a pod may stay when its node is not ready: by its tolerations, as the taint-eviction controller reads them.
//!
//! A virtual node that is not ready has lost its agent, not its pods: their groups run on. Pods therefore should outlast an
//! outage of the agent for longer than the five minutes that the API server gives every pod.

use k8s_openapi::api::core::v1::Toleration;

/// The taints that a node without an agent gets, both with the effect NoExecute.
const OUTAGE_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const NO_EXECUTE: &str = "NoExecute";

/// After how many seconds of an outage the pod is evicted; none = never.
pub fn evicted_after(tolerations: &[Toleration]) -> Option<u32> {
    let seconds = OUTAGE_TAINTS
        .iter()
        .filter_map(|taint| match tolerations.iter().find(|t| tolerates(t, taint)) {
            None => Some(0),
            // A negative number counts as zero, as it does for the controller.
            Some(toleration) => toleration
                .toleration_seconds
                .map(|s| u32::try_from(s.max(0)).unwrap_or(u32::MAX)),
        });
    seconds.min()
}

/// `tolerations` of a pod that stays for at least `seconds` (none = for ever); none where it does already. Nothing is taken away
/// and no other field changed, which is what the API server allows of a pod that lives.
pub fn enduring(tolerations: &[Toleration], seconds: Option<u32>) -> Option<Vec<Toleration>> {
    if !falls_short(evicted_after(tolerations), seconds) {
        return None;
    }
    let wanted = seconds.map(i64::from);
    let mut raised = tolerations.to_vec();
    for taint in OUTAGE_TAINTS {
        match raised.iter_mut().find(|t| tolerates(t, taint)) {
            Some(toleration) => {
                let enough = toleration
                    .toleration_seconds
                    .is_none_or(|has| wanted.is_some_and(|wanted| has >= wanted));
                if !enough {
                    toleration.toleration_seconds = wanted;
                }
            }
            None => raised.push(Toleration {
                key: Some(taint.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some(NO_EXECUTE.to_owned()),
                toleration_seconds: wanted,
                ..Toleration::default()
            }),
        }
    }
    Some(raised)
}

/// Whether a pod that is evicted after `has` seconds goes earlier than wanted.
pub fn falls_short(has: Option<u32>, wanted: Option<u32>) -> bool {
    has.is_some_and(|has| wanted.is_none_or(|wanted| has < wanted))
}

/// Whether the toleration covers that taint, whose value is empty.
fn tolerates(toleration: &Toleration, taint: &str) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (key, operator, effect) = (
        text(&toleration.key),
        text(&toleration.operator),
        text(&toleration.effect),
    );
    let exists = operator == "Exists";
    (effect.is_empty() || effect == NO_EXECUTE)
        && (key == taint || (key.is_empty() && exists))
        && (exists || (matches!(operator.as_str(), "" | "Equal") && text(&toleration.value).is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tolerations(items: Value) -> Vec<Toleration> {
        serde_json::from_value(items).expect("tolerations")
    }

    /// What the API server gives a pod that says nothing.
    fn usual(seconds: i64) -> Value {
        json!([
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds },
        ])
    }

    #[test]
    fn the_shorter_of_both_counts_and_what_is_not_tolerated_is_not_waited_for() {
        assert_eq!(evicted_after(&tolerations(usual(300))), Some(300));
        let mut uneven = usual(300);
        uneven[1]["tolerationSeconds"] = json!(20);
        assert_eq!(evicted_after(&tolerations(uneven)), Some(20));
        assert_eq!(evicted_after(&[]), Some(0));
        assert_eq!(evicted_after(&tolerations(usual(-5))), Some(0));
        // Everything, for ever: a DaemonSet's, or `operator: Exists` alone.
        assert_eq!(evicted_after(&tolerations(json!([{ "operator": "Exists" }]))), None);
        let other = json!([{ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule" }]);
        assert_eq!(evicted_after(&tolerations(other)), Some(0));
    }

    #[test]
    fn what_falls_short_is_raised_and_the_rest_stays() {
        let mut before = usual(300);
        before[1]["tolerationSeconds"] = json!(90_000);
        let taint = json!({ "key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoSchedule" });
        before.as_array_mut().expect("a list").insert(0, taint);
        let mut wanted = before.clone();
        wanted[1]["tolerationSeconds"] = json!(86_400);
        let before = tolerations(before);
        assert_eq!(enduring(&before, Some(86_400)), Some(tolerations(wanted)));
        assert_eq!(enduring(&tolerations(usual(86_400)), Some(86_400)), None);
        assert_eq!(enduring(&tolerations(usual(86_401)), Some(86_400)), None);
    }

    #[test]
    fn for_ever_is_a_toleration_without_seconds_and_a_missing_one_is_added() {
        let raised = enduring(&tolerations(usual(300)), None).expect("falls short");
        assert!(raised.iter().all(|t| t.toleration_seconds.is_none()), "{raised:?}");
        assert_eq!(evicted_after(&raised), None);
        assert_eq!(enduring(&raised, None), None);
        let added = enduring(&[], Some(60)).expect("falls short");
        assert_eq!(added, tolerations(usual(60)));
    }
}
