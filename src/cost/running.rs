//! (pure) What a pod that is not over has cost so far, by what is written on it: those who ask need no agent for it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use provider::annotations;
use provider::billing::{HourPrice, Rate, SpotTerms, Tariff, Usage};
use provider::mapping::quantity;
use provider::pricing::PriceList;
use provider::sizes::Size;
use provider::status::PreviousState;
use provider::units::NanoMoney;

use crate::cost::application::Whose;
use crate::cost::record::{CostRecord, PriceSource, VERSION};
use crate::pods::watch::NodePod;

/// The record that the group of `pod` would have if it ended at `now`; none where it has no group, is not billed yet, or where
/// what is written on it does not say what it costs.
pub fn so_far(pod: &NodePod, now: Timestamp) -> Option<CostRecord> {
    let text = |name| pod.annotation(name).filter(|text| !text.is_empty());
    let group = text(annotations::INSTANCE_ID)?;
    let start: Timestamp = text(annotations::BILLING_START)?.parse().ok()?;
    let prices = PriceList::by_currency(text(annotations::CURRENCY)?)?;
    let list = Rate::per_hour(NanoMoney::parse(text(annotations::PRICE_PER_HOUR)?)?);
    let spot = text(annotations::SPOT_PRICE_PER_HOUR)
        .and_then(NanoMoney::parse)
        .map(|price| SpotTerms {
            created: start,
            // What it was bought for is all that is written on it.
            protected_hours: u32::MAX,
            hours: vec![HourPrice {
                hour: 0,
                rate: Rate::per_hour(price),
            }],
        });
    let seconds = text(annotations::BILLED_SECONDS).and_then(|seconds| seconds.parse().ok());
    let end = seconds.map_or(now, |seconds| start + jiff::SignedDuration::from_secs(seconds));
    let tariff = Tariff { list, spot };
    let billed = Usage::exact(start, end);
    let Whose {
        application,
        role,
        executor,
    } = Whose::of(pod.name(), pod.labels(), pod.owners());
    let bought = (text(annotations::INSTANCE_CPU), text(annotations::INSTANCE_MEM));
    let owned = |name| text(name).unwrap_or_default().to_owned();
    Some(CostRecord {
        version: VERSION,
        group: group.to_owned(),
        cluster: String::new(),
        node: String::new(),
        region: String::new(),
        zone: owned(annotations::INSTANCE_ZONE),
        namespace: pod.namespace().to_owned(),
        pod: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        application,
        role,
        executor: executor.map(Into::into),
        attempt: text(annotations::CREATE_ATTEMPT)
            .and_then(|n| n.parse().ok())
            .unwrap_or_default(),
        asked: text(annotations::REQUESTED_SPEC)
            .and_then(|spec| spec.split_once('-'))
            .and_then(|(cpu, memory)| size(cpu, memory))
            .map(Into::into),
        bought: bought
            .0
            .zip(bought.1)
            .and_then(|(cpu, memory)| size(cpu, &format!("{memory}Gi")))
            .map(Into::into),
        instance_type: text(annotations::INSTANCE_SPEC)
            .filter(|spec| spec.starts_with("ecs."))
            .unwrap_or_default()
            .to_owned(),
        compute_category: owned(annotations::COMPUTE_CATEGORY_USED),
        image_cache: owned(annotations::MATCHED_IMAGE_CACHE),
        created: pod.created().unwrap_or(start),
        billed,
        started: started(pod),
        removed: None,
        exit: None,
        charge: billed.charge(&tariff),
        tariff: Some(tariff),
        currency: prices.currency,
        prices: PriceSource::List,
        doubts: Vec::new(),
    })
}

/// Whether `pod` is over.
pub fn is_over(pod: &NodePod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// When its first container started.
fn started(pod: &NodePod) -> Option<Timestamp> {
    let containers = pod.status.previous.containers.iter();
    let starts = containers.filter_map(|container| match &container.state {
        PreviousState::Running(at) => *at,
        PreviousState::Terminated(end) => end.started_at,
        PreviousState::Waiting => None,
    });
    starts.min()
}

fn size(cpu: &str, memory: &str) -> Option<Size> {
    Some(Size {
        cpu: quantity::milli_cpu(&Quantity(cpu.to_owned()))?,
        memory: quantity::mib(&Quantity(memory.to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> NodePod {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u",
                "labels": { "spark-app-selector": "spark-1", "spark-role": "executor", "spark-exec-id": "2" },
                "annotations": {
                    "k8s.aliyun.com/eci-instance-id": "eci-1",
                    "k8s.aliyun.com/eci-instance-cpu": "2.0", "k8s.aliyun.com/eci-instance-mem": "4.0",
                    "k8s.aliyun.com/eci-requested-spec": "1.5-3.0Gi",
                    "k8s.aliyun.com/eci-billing-start": "2026-01-01T00:00:00Z",
                    "k8s.aliyun.com/eci-price-per-hour": "0.441072000", "k8s.aliyun.com/eci-currency": "CNY",
                },
            },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        serde_json::from_str(&pod.to_string()).expect("a pod")
    }

    fn cost(pod: &NodePod) -> Option<i128> {
        let now = "2026-01-01T00:10:00Z".parse().expect("a time");
        so_far(pod, now).map(|record| record.charge.amount.0)
    }

    #[test]
    fn what_is_written_on_a_pod_says_what_it_has_cost() {
        assert_eq!(cost(&pod(|_| {})), Some(600 * 122_520));
        let spot = pod(|pod| pod["metadata"]["annotations"]["k8s.aliyun.com/eci-spot-price-per-hour"] = json!("0.036"));
        assert_eq!(cost(&spot), Some(6_000_000));
        let over = pod(|pod| pod["metadata"]["annotations"]["k8s.aliyun.com/eci-billed-seconds"] = json!("10"));
        assert_eq!(cost(&over), Some(1_225_200));
    }

    #[test]
    fn what_is_not_written_is_not_guessed() {
        for missing in [
            "eci-instance-id",
            "eci-billing-start",
            "eci-price-per-hour",
            "eci-currency",
        ] {
            let pod = pod(|pod| {
                let annotations = pod["metadata"]["annotations"].as_object_mut().expect("there");
                annotations.remove(&format!("k8s.aliyun.com/{missing}"));
            });
            assert_eq!(cost(&pod), None, "{missing}");
        }
    }
}
