//! What the meter of a pod's group takes in: from its pod, from what was bought, and from what ECI shows of a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use provider::annotations;
use provider::group::ObservedGroup;
use provider::mapping::{self, Purchase, Settings, quantity};
use provider::request::CreateContainerGroup;
use provider::sizes::Size;
use provider::status::{PodFacts, Previous, PreviousState, reasons};
use provider::units::NanoMoney;

use crate::cost::application::Whose;
use crate::cost::meter::{Meter, Special, Spot};
use crate::cost::recorder::Recorder;
use crate::pods::record::{GroupState, Placed, PodRecord, size_of};
use crate::pods::watch::NodePod;

/// Hours for which ECI protects a spot group that says nothing about it.
const USUAL_PROTECTION: u32 = 1;

/// The meter of a pod just seen, with what an earlier agent has written to it. `sought` is what an earlier agent may have asked
/// ECI for without living to hear the answer.
pub(super) fn meter(
    recorder: &Recorder,
    pod: &NodePod,
    record: &PodRecord,
    sought: Option<Purchase>,
    settings: &Settings,
) -> Box<Meter> {
    let Whose {
        application,
        role,
        executor,
    } = Whose::of(pod.name(), pod.labels(), pod.owners());
    let mut meter = Meter::new(recorder.share(application), role, executor);
    let text = |name| pod.annotation(name).filter(|text| !text.is_empty());
    let protected_hours = text(annotations::SPOT_DURATION)
        .and_then(|hours| hours.parse().ok())
        .unwrap_or(USUAL_PROTECTION);
    let GroupState::Present { id, attempt, since, .. } = &record.group else {
        if let Some(sought) = sought {
            meter.asked = Some(sought.asked);
            special(
                &mut meter,
                Special {
                    instance_type: sought.instance_type.unwrap_or_default().into(),
                    spot: sought.is_spot.then(|| Spot {
                        protected_hours,
                        ..Spot::default()
                    }),
                    ..Special::default()
                },
            );
        }
        return Box::new(meter);
    };
    meter.begins(id.clone(), *attempt, *since);
    meter.asked = text(annotations::REQUESTED_SPEC).and_then(size_of_spec);
    meter.bought = match (text(annotations::INSTANCE_CPU), text(annotations::INSTANCE_MEM)) {
        (Some(cpu), Some(memory)) => size(cpu, &format!("{memory}Gi")),
        _ => None,
    };
    let candidates = mapping::candidates(pod.annotations(), pod.spec.ties(), settings).list;
    let candidate = candidates.get(*attempt as usize % candidates.len().max(1));
    let spot = candidate.is_some_and(|candidate| candidate.spot).then(|| Spot {
        protected_hours,
        created: None,
        bought_for: text(annotations::SPOT_PRICE_PER_HOUR).and_then(NanoMoney::parse),
    });
    special(
        &mut meter,
        Special {
            zone: text(annotations::INSTANCE_ZONE)
                .filter(|zone| *zone != settings.zone_id)
                .unwrap_or_default()
                .into(),
            instance_type: text(annotations::INSTANCE_SPEC)
                .filter(|spec| spec.starts_with("ecs."))
                .unwrap_or_default()
                .into(),
            compute_category: text(annotations::COMPUTE_CATEGORY_USED).unwrap_or_default().into(),
            image_cache: text(annotations::MATCHED_IMAGE_CACHE).unwrap_or_default().into(),
            spot,
        },
    );
    if let Some(group) = &mut meter.group {
        group.billed_from = text(annotations::BILLING_START).and_then(|at| at.parse().ok());
        let seconds = text(annotations::BILLED_SECONDS).and_then(|seconds| seconds.parse().ok());
        let told = match (group.billed_from, seconds) {
            (Some(start), Some(seconds)) if text(annotations::COST_BOUNDS).is_none() => {
                start.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
            }
            _ => None,
        };
        // Should ECI have forgotten the group, the pod itself says when it ended.
        let previous = &record.facts.previous;
        let last = ended(previous).filter(|_| record.desired.finished && previous.reason.is_empty());
        group.end_written = told.or(last);
        group.started = started(previous);
        // Nothing of the pod was seen by this agent; its status is from when it ran, if it did.
        group.alive = group.started.map_or(*since, |started| started.max(*since));
    }
    Box::new(meter)
}

/// A group was bought, or may have been: the answer to its create is not known.
pub(super) fn bought(record: &mut PodRecord, placed: &Placed, asked: Size) {
    let Some(meter) = &mut record.meter else { return };
    (meter.asked, meter.bought) = (Some(asked), Some(placed.size));
    let at = &placed.at;
    meter.special = None;
    special(
        meter,
        Special {
            zone: at.zone_id.as_str().into(),
            instance_type: at.instance_type.as_str().into(),
            compute_category: at.compute_category.as_str().into(),
            image_cache: at.image_cache_id.as_str().into(),
            spot: placed.spot,
        },
    );
}

/// A group was found by its tags.
pub(super) fn adopted(record: &mut PodRecord, group: &ObservedGroup, now: Timestamp) {
    let Some(meter) = &mut record.meter else { return };
    found(meter, group, &record.facts, now);
}

/// Takes in the full record of a group that was found, asked for at `now` or later: all but what was asked for of ECI, which only its
/// pod knows.
fn found(meter: &mut Meter, group: &ObservedGroup, facts: &PodFacts, now: Timestamp) {
    meter.bought = group.size.map(size_of);
    if let Some(at) = group.whereabouts.as_deref() {
        let known = meter.special.take().map(|known| *known).unwrap_or_default();
        let usual = Spot {
            protected_hours: USUAL_PROTECTION,
            ..Spot::default()
        };
        special(
            meter,
            Special {
                zone: at.zone_id.as_str().into(),
                compute_category: at.compute_category.as_str().into(),
                spot: at.is_spot.then(|| known.spot.unwrap_or(usual)),
                ..known
            },
        );
    }
    meter.see(group, facts, group.created.map_or(now, |created| created.max(now)));
}

/// Kept only where there is something special: most groups are general ones in their node's zone.
fn special(meter: &mut Meter, mut special: Special) {
    if *special.compute_category == *"general" {
        special.compute_category = Box::default();
    }
    if special != Special::default() {
        meter.special = Some(Box::new(special));
    }
}

/// Terms of the spot group that `request` asks for.
pub(super) fn spot_of(request: &CreateContainerGroup) -> Option<Spot> {
    request.spot_strategy.as_ref()?;
    let hours = request.spot_duration.and_then(|hours| u32::try_from(hours).ok());
    Some(Spot {
        protected_hours: hours.unwrap_or(USUAL_PROTECTION),
        created: None,
        bought_for: None,
    })
}

/// An answer that is not older than `at` shows the group, and that it is not over.
pub(super) fn alive(meter: &mut Option<Box<Meter>>, at: Timestamp) {
    if let Some(group) = meter.as_mut().and_then(|meter| meter.group.as_mut()) {
        group.alive_at(at);
    }
}

/// Labels and owner of a pod that is gone, as its group's tags have them.
pub(super) fn whose_group(tags: &[(String, String)], pod: &str) -> Whose {
    let tags: BTreeMap<&str, &str> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let owner = tags
        .get(provider::tags::OWNER_KIND)
        .zip(tags.get(provider::tags::OWNER_NAME))
        .map(|(kind, name)| (*kind, *name));
    Whose::read(|name| tags.get(name).copied(), owner, pod)
}

/// The meter of the group of a pod that is gone.
pub(super) fn meter_of_remains(
    recorder: &Recorder,
    group: &ObservedGroup,
    facts: &PodFacts,
    now: Timestamp,
) -> Box<Meter> {
    let Whose {
        application,
        role,
        executor,
    } = whose_group(&group.tags, &facts.name);
    let mut meter = Meter::new(recorder.share(application), role, executor);
    meter.begins(Arc::from(group.id.as_str()), 0, group.created.unwrap_or(now));
    found(&mut meter, group, facts, now);
    Box::new(meter)
}

/// Reads `2.0-4.0Gi`.
fn size_of_spec(text: &str) -> Option<Size> {
    let (cpu, memory) = text.split_once('-')?;
    size(cpu, memory)
}

fn size(cpu: &str, memory: &str) -> Option<Size> {
    Some(Size {
        cpu: quantity::milli_cpu(&Quantity(cpu.to_owned()))?,
        memory: quantity::mib(&Quantity(memory.to_owned()))?,
    })
}

/// When the pod's last container ended, if all have and it was told when: of an end that nobody saw, the status says when an agent
/// learned of it.
fn ended(previous: &Previous) -> Option<Timestamp> {
    let ends = previous.containers.iter().map(|container| match &container.state {
        PreviousState::Terminated(end) if &*end.reason == reasons::CONTAINER_STATUS_UNKNOWN => None,
        PreviousState::Terminated(end) => end.finished_at,
        PreviousState::Waiting | PreviousState::Running(_) => None,
    });
    ends.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// When the pod's first container started.
fn started(previous: &Previous) -> Option<Timestamp> {
    let starts = previous
        .containers
        .iter()
        .filter_map(|container| match &container.state {
            PreviousState::Terminated(end) => end.started_at,
            PreviousState::Running(at) => *at,
            PreviousState::Waiting => None,
        });
    starts.min()
}

#[cfg(test)]
mod tests {
    use provider::status::{ContainerFacts, terminal_status};

    use super::*;

    #[test]
    fn when_a_group_was_missed_is_not_when_it_ended() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let container = ContainerFacts {
            name: "main".into(),
            image: "".into(),
            readiness_probe: false,
            sidecar: false,
        };
        let facts = PodFacts {
            containers: vec![container],
            ..PodFacts::default()
        };
        let missed = Previous::of(&terminal_status(&facts, "", "", at("2026-01-01T00:00:30Z")));
        assert_eq!(ended(&missed), None);
        let mut told = missed;
        if let PreviousState::Terminated(end) = &mut told.containers[0].state {
            end.reason = reasons::COMPLETED.into();
        }
        assert_eq!(ended(&told), Some(at("2026-01-01T00:00:30Z")));
    }
}
