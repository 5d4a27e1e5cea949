//! What a pod's annotations say about place, money and tags. Unlike fields, an annotation of ours that has no effect is
//! a warning and no refusal: users bring their YAML.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity::Exact;
use super::rejection::Findings;
use super::resources::{Demand, FREE_STORAGE_GIB};
use super::{Context, annotations as ours};
use crate::request::CreateContainerGroup;
use crate::tags;

/// The most disk that can be added to the free one, GiB.
const MAX_EXTRA_STORAGE_GIB: u64 = 5000;
/// Tags users may add.
const MAX_CUSTOM_TAGS: usize = 3;

/// Whether the pod asks for a spot group.
pub(super) fn is_spot(annotations: &BTreeMap<String, String>) -> bool {
    annotations
        .get(ours::SPOT_STRATEGY)
        .is_some_and(|strategy| strategy != "NoSpot")
}

/// GiB of disk above the free ones: the larger of the annotation and what the containers request beyond them.
pub(super) fn extra_storage(
    annotations: &BTreeMap<String, String>,
    demand: &Demand,
    findings: &mut Findings,
) -> Option<u64> {
    let beyond_free = demand.storage_gib.saturating_sub(FREE_STORAGE_GIB);
    let annotated = annotations.get(ours::EXTRA_EPHEMERAL_STORAGE).map_or(0, |text| {
        match Exact::parse(&Quantity(text.clone())).map(|exact| exact.ceil_times(1)) {
            Ok(Some(bytes)) => bytes.div_ceil(1 << 30),
            Ok(None) => {
                findings.invalid(
                    field(ours::EXTRA_EPHEMERAL_STORAGE),
                    format!("`{text}` is out of range"),
                );
                0
            }
            Err(why) => {
                findings.invalid(field(ours::EXTRA_EPHEMERAL_STORAGE), why);
                0
            }
        }
    });
    let extra = annotated.max(beyond_free);
    if extra > MAX_EXTRA_STORAGE_GIB {
        findings.refuse(
            "spec.containers[*].resources.requests[ephemeral-storage]",
            format!(
                "{extra} GiB above the free {FREE_STORAGE_GIB} are asked for; ECI adds at most {MAX_EXTRA_STORAGE_GIB}"
            ),
        );
    }
    Some(extra).filter(|extra| *extra > 0)
}

/// Fills the members of `request` that settings and annotations decide.
pub(super) fn place(cx: &Context<'_>, request: &mut CreateContainerGroup, findings: &mut Findings) {
    let settings = cx.settings;
    let annotations = cx.annotations();
    let get = |name: &str| {
        annotations
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    let or = |name: &str, default: &String| get(name).map_or_else(|| default.clone(), str::to_owned);

    request.region_id = settings.region_id.clone();
    request.zone_id = settings.zone_id.clone();
    request.vswitch_ids = settings.vswitch_ids.clone();
    if let Some(ids) = get(ours::VSWITCH) {
        request.vswitch_ids = ids
            .split(',')
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect();
        // The node's zone need not be the zone of the pod's own vSwitches; they imply theirs.
        request.zone_id = String::new();
    }
    request.security_group_id = or(ours::SECURITY_GROUP, &settings.security_group_id);
    request.resource_group_id = or(ours::RESOURCE_GROUP_ID, &settings.resource_group_id);
    request.ram_role_name = get(ours::RAM_ROLE_NAME).map(str::to_owned);
    spot(get(ours::SPOT_STRATEGY), get(ours::SPOT_PRICE_LIMIT), request, findings);
    if let Some(tags) = get(ours::CUSTOM_TAGS) {
        custom_tags(tags, request, findings);
    }
    for name in annotations.keys() {
        let known = ours::READ.contains(&name.as_str()) || ours::WRITTEN.contains(&name.as_str());
        let bandwidth = matches!(
            name.as_str(),
            "kubernetes.io/ingress-bandwidth" | "kubernetes.io/egress-bandwidth"
        );
        if bandwidth || name.starts_with(ours::PREFIX) && !known {
            findings.warn(field(name), "it has no effect on this node");
        }
    }
}

fn spot(strategy: Option<&str>, limit: Option<&str>, request: &mut CreateContainerGroup, findings: &mut Findings) {
    match strategy {
        None | Some("NoSpot") => return,
        Some("SpotAsPriceGo") => {}
        Some("SpotWithPriceLimit") => match limit {
            Some(limit) if is_price(limit) => request.spot_price_limit = Some(limit.to_owned()),
            Some(limit) => findings.invalid(
                field(ours::SPOT_PRICE_LIMIT),
                format!("`{limit}` is not a price per hour with at most three decimals"),
            ),
            None => findings.invalid(
                field(ours::SPOT_PRICE_LIMIT),
                "SpotWithPriceLimit needs a price per hour",
            ),
        },
        Some(other) => {
            findings.invalid(
                field(ours::SPOT_STRATEGY),
                format!("`{other}` is none of NoSpot, SpotAsPriceGo and SpotWithPriceLimit"),
            );
            return;
        }
    }
    request.spot_strategy = strategy.map(str::to_owned);
}

fn is_price(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    !whole.is_empty()
        && whole.len() <= 9
        && decimals.len() <= 3
        && whole.chars().chain(decimals.chars()).all(|c| c.is_ascii_digit())
        && text.chars().any(|c| ('1'..='9').contains(&c))
}

fn custom_tags(text: &str, request: &mut CreateContainerGroup, findings: &mut Findings) {
    let field = field(ours::CUSTOM_TAGS);
    let mut added = 0;
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (key, value) = pair.split_once(':').unwrap_or((pair, ""));
        let (key, value) = (key.trim(), value.trim());
        let taken = request.tags.iter().any(|(known, _)| known == key);
        let bad_key = key.is_empty() || key.chars().count() > 64 || key.starts_with("aliyun") || key.contains("://");
        let reserved = key.starts_with("acs:") || value.starts_with("acs:");
        if taken || bad_key || reserved || value.chars().count() > tags::MAX_VALUE {
            findings.invalid(
                &field,
                format!("`{key}` cannot be a tag: used already, too long, or a reserved name"),
            );
        } else if added == MAX_CUSTOM_TAGS {
            findings.invalid(&field, format!("at most {MAX_CUSTOM_TAGS} tags can be added"));
            return;
        } else {
            request.tags.push((key.to_owned(), value.to_owned()));
            added += 1;
        }
    }
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}
