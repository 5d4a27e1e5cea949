//! What a pod's annotations say about place, money and tags. Unlike fields, an annotation of ours that has no effect is
//! a warning and no refusal: users bring their YAML.

use super::annotated::{Annotated, field};
use super::candidates::Candidate;
use super::group_options;
use super::options::LifeOptions;
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
pub(super) fn is_spot(annotated: Annotated<'_>) -> bool {
    annotated
        .text(ours::SPOT_STRATEGY)
        .is_some_and(|strategy| strategy != "NoSpot")
}

/// GiB of disk above the free ones: the larger of the annotation and what the containers request beyond them.
pub(super) fn extra_storage(annotated: Annotated<'_>, demand: &Demand, findings: &mut Findings) -> Option<u64> {
    let beyond_free = demand.storage_gib.saturating_sub(FREE_STORAGE_GIB);
    let annotated = annotated.bytes(ours::EXTRA_EPHEMERAL_STORAGE, findings);
    let extra = annotated.map_or(0, |bytes| bytes.div_ceil(1 << 30)).max(beyond_free);
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
pub(super) fn place(
    cx: &Context<'_>,
    candidate: &Candidate,
    request: &mut CreateContainerGroup,
    findings: &mut Findings,
) {
    let settings = cx.settings;
    let annotated = cx.annotated();
    let get = |name: &str| annotated.text(name);
    let or = |name: &str, default: &String| get(name).map_or_else(|| default.clone(), str::to_owned);

    request.region_id = settings.region_id.clone();
    request.vswitch_ids = candidate.vswitch_ids.clone();
    // A vSwitch implies its zone. To name it as well shows a mistake in the settings at once; of several vSwitches, some may be in
    // other zones, and stock is looked for in all of them.
    if candidate.vswitch_ids.len() < 2 {
        request.zone_id = candidate.zone_id.clone();
    }
    let options = LifeOptions::read(annotated, findings);
    request.schedule_strategy = candidate.schedule_strategy;
    request.max_pending_minutes = options.max_pending_minutes;
    request.security_group_id = or(ours::SECURITY_GROUP, &settings.security_group_id);
    request.resource_group_id = or(ours::RESOURCE_GROUP_ID, &settings.resource_group_id);
    request.ram_role_name = get(ours::RAM_ROLE_NAME).map(str::to_owned);
    spot(get(ours::SPOT_STRATEGY), get(ours::SPOT_PRICE_LIMIT), request, findings);
    request.spot_duration = annotated.number(ours::SPOT_DURATION, 0..=1, findings);
    if !candidate.spot {
        (request.spot_strategy, request.spot_price_limit, request.spot_duration) = (None, None, None);
    }
    request.options = group_options::read(annotated, findings);
    if let Some(tags) = get(ours::CUSTOM_TAGS) {
        custom_tags(tags, request, findings);
    }
    for name in annotated.0.keys() {
        let known = ours::READ.contains(&name.as_str()) || ours::WRITTEN.contains(&name.as_str());
        if name.starts_with(ours::PREFIX) && !known {
            findings.warn(
                field(name),
                "it has no effect on this node: ECI has no parameter for it",
            );
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
