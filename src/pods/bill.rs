//! What a pod's record means for the records of cost: what its meter takes in, and when its group's record is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use provider::annotations;
use provider::billing::{Charge, HourPrice, Rate, SpotTerms, Tariff, Usage};
use provider::group::ObservedGroup;
use provider::mapping::{self, Purchase, Settings, quantity};
use provider::request::CreateContainerGroup;
use provider::sizes::Size;
use provider::status::{PodFacts, Previous, PreviousState, reasons};
use provider::units::NanoMoney;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::budget::book::Spending;
use crate::cost::application::Whose;
use crate::cost::live::Running;
use crate::cost::meter::{End, Kept, Meter, PATIENCE, Special, Spot};
use crate::cost::prices::{Prices, Product, Quote};
use crate::cost::record::{CostRecord, Doubt, PriceSource, VERSION};
use crate::cost::recorder::Recorder;
use crate::pods::input::Input;
use crate::pods::record::{GroupState, Placed, PodRecord, Uid, size_of};
use crate::pods::watch::NodePod;

/// Hours for which ECI protects a spot group that says nothing about it.
const USUAL_PROTECTION: u32 = 1;
/// Seconds of an hour.
const HOUR: i64 = 3_600;
/// Hours of a spot group whose prices are looked up; ECI keeps none for so long.
const MOST_HOURS: i64 = 24 * 366;

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
            zone: text(annotations::INSTANCE_ZONE).unwrap_or_default().into(),
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
pub(super) fn adopted(record: &mut PodRecord, group: &ObservedGroup) {
    let Some(meter) = &mut record.meter else { return };
    found(meter, group, &record.facts);
}

/// Takes in the full record of a group that was found: all but what was asked for, which only its pod knows.
fn found(meter: &mut Meter, group: &ObservedGroup, facts: &PodFacts) {
    meter.bought = group.size.map(size_of);
    if let Some(created) = group.created
        && let Some(group) = &mut meter.group
    {
        group.known = group.known.min(created);
    }
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
    if let Some(created) = group.created {
        meter.see(group, facts, created);
    }
}

/// Kept only where there is something special.
fn special(meter: &mut Meter, special: Special) {
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

/// The record of `group` is kept, or cannot be kept at present.
pub(super) fn kept(record: &mut PodRecord, group: &str) {
    let meter = record.meter.as_mut().and_then(|meter| meter.group.as_mut());
    if let Some(meter) = meter.filter(|meter| *meter.id == *group) {
        meter.kept = Kept::Settled;
    }
}

/// Brings the meter up to date with `record`, and hands the record of cost over once the end of the group is known.
/// `confirmed` is the newest moment of which it is known what had changed until then.
pub(super) fn settle(
    record: &mut PodRecord,
    uid: &Uid,
    confirmed: Timestamp,
    now: Timestamp,
    recorder: &Recorder,
    settings: &Settings,
    inputs: &mpsc::Sender<Input>,
) {
    let delete = match &record.group {
        GroupState::Present { delete, .. } => *delete,
        _ => None,
    };
    let facts = &record.facts;
    let Some(meter) = &mut record.meter else { return };
    if let Some(delete) = delete {
        meter.deleted(delete.at, confirmed);
    }
    watch(meter, recorder.prices());
    // Its full record may tell what the cheap one does not.
    let awaited = meter.needs_full_record();
    let Some(group) = meter
        .group
        .as_ref()
        .filter(|group| group.kept == Kept::Open && !awaited)
    else {
        return;
    };
    if group.end.is_none() {
        return;
    }
    let made = group
        .usage()
        .map(|(usage, doubts)| make(meter, usage, doubts, recorder.prices(), settings));
    let Some(Made {
        tariff,
        quote,
        charge,
        doubts,
    }) = made.filter(|made| made.charge.most.0 > 0 || made.quote.is_none())
    else {
        if let Some(group) = &mut meter.group {
            (group.kept, group.charge) = (Kept::Settled, Some(Box::default()));
        }
        return;
    };
    let Some((usage, _)) = group.usage() else { return };
    let special = meter.special.as_deref().cloned().unwrap_or_default();
    let cost = CostRecord {
        version: VERSION,
        group: group.id.to_string(),
        cluster: recorder.cluster().to_owned(),
        node: settings.node_name.clone(),
        region: recorder.region().to_owned(),
        zone: zone(&special, settings).to_owned(),
        namespace: facts.namespace.to_string(),
        pod: facts.name.to_string(),
        uid: uid.to_string(),
        application: (*meter.application).clone(),
        role: meter.role,
        executor: meter.executor.as_deref().map(str::to_owned),
        attempt: group.attempt,
        asked: meter.asked.map(Into::into),
        bought: meter.bought.map(Into::into),
        instance_type: special.instance_type.into(),
        compute_category: if special.compute_category.as_ref() == "general" {
            String::new()
        } else {
            special.compute_category.into()
        },
        image_cache: special.image_cache.into(),
        created: Timestamp::from_second(group.known.as_second()).unwrap_or(group.known),
        billed: usage,
        started: group.started,
        removed: match group.end {
            Some(End::Gone(at)) => Timestamp::from_second(at.as_second()).ok(),
            _ => None,
        },
        exit: group.exit.as_deref().cloned(),
        tariff,
        currency: quote.map_or(recorder.prices().currency(), |quote| quote.currency),
        prices: quote.map_or(PriceSource::List, |quote| quote.source),
        charge,
        doubts,
    };
    if delete.is_some() || !record.desired.finished {
        // What had ended before this agent began was counted by another.
        recorder.count(&cost);
    }
    if let Some(group) = &mut meter.group {
        (group.kept, group.charge) = (Kept::Asked(now + PATIENCE), Some(Box::new(charge)));
        let (inputs, uid, id) = (inputs.clone(), uid.clone(), group.id.clone());
        recorder.keep(
            cost,
            Box::new(move |_| {
                let input = Input::CostKept(uid, id);
                if let Err(mpsc::error::TrySendError::Full(input)) = inputs.try_send(input) {
                    tokio::spawn(async move { inputs.send(input).await });
                }
            }),
        );
    }
}

/// Has the prices asked for that the group's bill will need.
fn watch(meter: &mut Meter, prices: &Prices) {
    if meter.group.is_none() {
        return;
    }
    if let Some(product) = product(meter).filter(|product| meter.watched.as_deref() != Some(product)) {
        meter.watched = Some(prices.watch(product));
    }
}

/// A group's bill.
struct Made {
    tariff: Option<Tariff>,
    quote: Option<Quote>,
    charge: Charge,
    doubts: Vec<Doubt>,
}

fn make(meter: &Meter, usage: Usage, mut doubts: Vec<Doubt>, prices: &Prices, settings: &Settings) -> Made {
    let quote = quote(meter, prices);
    let tariff = quote.map(|quote| tariff(meter, usage, quote, prices, settings));
    let charge = match &tariff {
        Some(tariff) => {
            let (from, to) = (usage.start.earliest(), usage.end.latest());
            if !tariff.is_known(from, to) {
                doubts.push(Doubt::SpotPriceNotAsked);
            }
            usage.charge(tariff)
        }
        None => {
            doubts.push(Doubt::PriceNotKnown);
            let (start, end) = usage.likely();
            Charge {
                seconds: end.as_second() - start.as_second(),
                ..Charge::default()
            }
        }
    };
    Made {
        tariff,
        quote,
        charge,
        doubts,
    }
}

fn quote(meter: &Meter, prices: &Prices) -> Option<Quote> {
    prices.quote(&product(meter)?)
}

fn product(meter: &Meter) -> Option<Product> {
    let special = meter.special.as_deref();
    Some(Product {
        size: meter.bought?,
        instance_type: special.map(|s| s.instance_type.clone()).unwrap_or_default(),
        economy: special.is_some_and(|s| s.compute_category.as_ref() == "economy"),
        spot: special.is_some_and(|s| s.spot.is_some()),
    })
}

fn zone<'a>(special: &'a Special, settings: &'a Settings) -> &'a str {
    if special.zone.is_empty() {
        &settings.zone_id
    } else {
        &special.zone
    }
}

fn tariff(meter: &Meter, usage: Usage, quote: Quote, prices: &Prices, settings: &Settings) -> Tariff {
    let spot = meter.special.as_ref().and_then(|special| special.spot);
    let Some(spot) = spot else {
        return Tariff::pay_as_you_go(quote.list);
    };
    // Without the time of its creation, its hours are taken to count from where its billing starts.
    let created = spot.created.unwrap_or_else(|| usage.start.earliest());
    let zone = meter.special.as_deref().map_or("", |special| zone(special, settings));
    let asked = |hour: u32| {
        let begins = created + SignedDuration::from_hours(hour.into());
        let price = prices.spot_at(&product(meter)?, zone, begins);
        price.or(spot.bought_for.filter(|_| hour == 0))
    };
    let last = usage
        .end
        .latest()
        .duration_since(created)
        .as_hours()
        .clamp(0, MOST_HOURS);
    // Hours within the protection time cost what the first did.
    let hours = std::iter::once(0).chain(spot.protected_hours.max(1)..=u32::try_from(last).unwrap_or(0));
    let known = hours.filter_map(|hour| {
        let rate = Rate::per_hour(asked(hour)?);
        Some(HourPrice { hour, rate })
    });
    let hours = known.collect();
    Tariff {
        list: quote.list,
        spot: Some(SpotTerms {
            created,
            protected_hours: spot.protected_hours,
            hours,
        }),
    }
}

/// The annotations about its cost that ride along when a status is written: what it costs an hour while it runs, and what it
/// has cost once that is known.
pub(super) fn annotate(
    record: &PodRecord,
    prices: Option<(&Prices, &Settings)>,
    running: bool,
    map: &mut Map<String, Value>,
) {
    let (Some(meter), Some((prices, settings))) = (&record.meter, prices) else {
        return;
    };
    let Some(group) = &meter.group else { return };
    let mut set = |name: &str, value: String| {
        map.insert(name.to_owned(), json!(value));
    };
    let quote = quote(meter, prices);
    if running {
        if let Some(Size { cpu, memory }) = meter.asked {
            set(
                annotations::REQUESTED_SPEC,
                format!("{:?}-{:?}Gi", cpu.as_vcpu(), memory.as_gib()),
            );
        }
        if let Some(start) = group.billed_from {
            set(annotations::BILLING_START, start.to_string());
        }
        if let Some(quote) = quote {
            set(annotations::PRICE_PER_HOUR, quote.list.cost(HOUR).to_string());
            if let Some(price) = bought_for(meter, prices, settings) {
                set(annotations::SPOT_PRICE_PER_HOUR, price.to_string());
            }
            set(annotations::CURRENCY, quote.currency.as_str().to_owned());
        }
    }
    if let Some(charge) = group.charge.as_deref() {
        set(annotations::COST, charge.amount.to_string());
        set(annotations::BILLED_SECONDS, charge.seconds.to_string());
        if !charge.is_exact() {
            set(annotations::COST_BOUNDS, format!("{}-{}", charge.least, charge.most));
        }
        set(
            annotations::CURRENCY,
            quote
                .map_or(prices.currency(), |quote| quote.currency)
                .as_str()
                .to_owned(),
        );
    }
}

/// What an hour of a spot group cost when it was made.
fn bought_for(meter: &Meter, prices: &Prices, settings: &Settings) -> Option<NanoMoney> {
    let special = meter.special.as_deref()?;
    let (spot, group) = (special.spot?, meter.group.as_ref()?);
    let created = spot.created.or(group.billed_from).unwrap_or(group.known);
    let asked = prices.spot_at(&product(meter)?, zone(special, settings), created);
    asked.or(spot.bought_for)
}

/// What the group of `record` costs now, for the figures.
pub(super) fn running(record: &PodRecord, prices: &Prices, settings: &Settings, now: Timestamp) -> Option<Running> {
    let meter = record.meter.as_ref()?;
    let group = meter.group.as_ref().filter(|group| group.end.is_none())?;
    let start = group.billed_from?;
    let quote = quote(meter, prices)?;
    let usage = Usage::exact(start, now.max(start));
    let tariff = tariff(meter, usage, quote, prices, settings);
    let units = |amount: NanoMoney| amount.0 as f64 / 1e9;
    let last_hour = now.max(start) - SignedDuration::from_hours(1);
    let hour = Usage::exact(last_hour, now.max(start)).charge(&tariff).amount;
    Some(Running {
        per_second: units(hour) / HOUR as f64,
        so_far: units(usage.charge(&tariff).amount),
        currency: quote.currency.as_str(),
    })
}

/// What the group of `record` is billed to its end or to `now`, for budgets; none = nothing, or nobody knows how much.
pub fn spending(record: &PodRecord, prices: &Prices, settings: &Settings, now: Timestamp) -> Option<Spending> {
    let meter = record.meter.as_ref()?;
    let group = meter.group.as_ref()?;
    let usage = match group.end {
        Some(_) => group.usage()?.0,
        None => Usage::exact(group.billed_from?, now.max(group.billed_from?)),
    };
    Some(Spending {
        group: group.id.clone(),
        from: usage.start.earliest(),
        to: usage.end.latest(),
        tariff: tariff(meter, usage, quote(meter, prices)?, prices, settings),
        over: group.kept != Kept::Open,
    })
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
    found(&mut meter, group, facts);
    Box::new(meter)
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
