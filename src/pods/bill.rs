//! When the record of cost of a pod's group is made, and what the group costs until then.

use jiff::{SignedDuration, Timestamp};
use provider::billing::{Charge, HourPrice, Rate, SpotTerms, Tariff, Usage};
use provider::mapping::Settings;
use provider::status::PodFacts;
use provider::units::NanoMoney;
use tokio::sync::mpsc;

use crate::budget::book::Spending;
use crate::cost::live::Running;
use crate::cost::meter::{End, GroupMeter, Kept, Meter, PATIENCE, Special};
use crate::cost::prices::{Prices, Product, Quote};
use crate::cost::record::{CostRecord, Doubt, PriceSource, VERSION};
use crate::cost::recorder::{Recorder, Told};
use crate::pods::input::Input;
use crate::pods::record::{GroupState, PodRecord, Uid};

/// Seconds of an hour.
pub(super) const HOUR: i64 = 3_600;
/// Hours of a spot group whose prices are looked up; ECI keeps none for so long.
const MOST_HOURS: i64 = 24 * 366;

/// The record of `group` is kept, or cannot be kept at present.
pub(super) fn kept(record: &mut PodRecord, group: &str) {
    let meter = record.meter.as_mut().and_then(|meter| meter.group.as_mut());
    if let Some(meter) = meter.filter(|meter| *meter.id == *group) {
        meter.kept = match meter.kept {
            Kept::Foreseeing(_) => Kept::Foreseen,
            Kept::Open | Kept::Foreseen | Kept::Asked(_) | Kept::Settled => Kept::Settled,
        };
    }
}

/// Brings the meter up to date with `record`, and hands the record of cost over once the end of the group is known; one that
/// foresees the end, where the group is to be deleted and nothing else will tell of it.
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
    let leaves_no_trace = record.leaves_no_trace();
    // What had ended before this agent began was counted by another.
    let counts = delete.is_some() || !record.desired.finished;
    let deadline = record.desired.deletion.map(|deletion| deletion.deadline);
    let facts = &record.facts;
    let Some(meter) = &mut record.meter else { return };
    if let Some(delete) = delete {
        meter.deleted(delete.at, confirmed);
    }
    watch(meter, recorder.prices());
    // Its full record may tell what the cheap one does not.
    let awaited = meter.needs_full_record();
    let Some(group) = meter.group.as_ref().filter(|group| !group.kept.is_told()) else {
        return;
    };
    let foreseen = group.kept.is_foreseen();
    let told = |group: &GroupMeter| -> Told {
        let (inputs, uid, id) = (inputs.clone(), uid.clone(), group.id.clone());
        Box::new(move |_| {
            let input = Input::CostKept(uid, id);
            if let Err(mpsc::error::TrySendError::Full(input)) = inputs.try_send(input) {
                tokio::spawn(async move { inputs.send(input).await });
            }
        })
    };
    let (kept, charge) = if group.end.is_some() && !awaited {
        // What was foreseen of a group that was never billed is taken back.
        let billed = match group.usage() {
            None if foreseen => Some((Usage::exact(group.known, group.known), Vec::new())),
            billed => billed,
        };
        let made = billed.map(|billed| make(meter, billed, recorder.prices(), settings));
        match made.filter(|made| foreseen || made.charge.most.0 > 0 || made.quote.is_none()) {
            None => (Kept::Settled, Some(Box::default())),
            Some(made) => {
                let charge = made.charge;
                let cost = cost_record(made, facts, meter, group, recorder, settings);
                if counts {
                    recorder.count(&cost);
                }
                recorder.keep(cost, told(group));
                (Kept::Asked(now + PATIENCE), Some(Box::new(charge)))
            }
        }
    } else if leaves_no_trace
        && !foreseen
        && let Some(billed) = group.foreseen(now, deadline)
    {
        let made = make(meter, billed, recorder.prices(), settings);
        recorder.keep(cost_record(made, facts, meter, group, recorder, settings), told(group));
        (Kept::Foreseeing(now + PATIENCE), None)
    } else {
        return;
    };
    if let Some(group) = &mut meter.group {
        (group.kept, group.charge) = (kept, charge);
    }
}

/// What is kept of `group`, billed as `made` says.
fn cost_record(
    made: Made,
    facts: &PodFacts,
    meter: &Meter,
    group: &GroupMeter,
    recorder: &Recorder,
    settings: &Settings,
) -> CostRecord {
    let special = meter.special.as_deref().cloned().unwrap_or_default();
    CostRecord {
        version: VERSION,
        group: group.id.to_string(),
        cluster: recorder.cluster().to_owned(),
        node: settings.node_name.clone(),
        region: recorder.region().to_owned(),
        zone: zone(&special, settings).to_owned(),
        namespace: facts.namespace.to_string(),
        pod: facts.name.to_string(),
        uid: facts.uid.to_string(),
        application: (*meter.application).clone(),
        role: meter.role,
        executor: meter.executor.as_deref().map(str::to_owned),
        attempt: group.attempt,
        asked: meter.asked.map(Into::into),
        bought: meter.bought.map(Into::into),
        instance_type: special.instance_type.into(),
        compute_category: special.compute_category.into(),
        image_cache: special.image_cache.into(),
        created: Timestamp::from_second(group.known.as_second()).unwrap_or(group.known),
        billed: made.usage,
        started: group.started,
        removed: match group.end {
            Some(End::Gone(at)) => Timestamp::from_second(at.as_second()).ok(),
            _ => None,
        },
        exit: group.exit.as_deref().cloned(),
        tariff: made.tariff,
        currency: made.quote.map_or(recorder.prices().currency(), |quote| quote.currency),
        prices: made.quote.map_or(PriceSource::List, |quote| quote.source),
        charge: made.charge,
        doubts: made.doubts,
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
    usage: Usage,
    tariff: Option<Tariff>,
    quote: Option<Quote>,
    charge: Charge,
    doubts: Vec<Doubt>,
}

fn make(meter: &Meter, (usage, mut doubts): (Usage, Vec<Doubt>), prices: &Prices, settings: &Settings) -> Made {
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
        usage,
        tariff,
        quote,
        charge,
        doubts,
    }
}

/// Prices of the group.
pub(super) fn quote(meter: &Meter, prices: &Prices) -> Option<Quote> {
    prices.quote(&product(meter)?)
}

/// What was bought; none = it is not known.
pub(super) fn product(meter: &Meter) -> Option<Product> {
    let special = meter.special.as_deref();
    Some(Product {
        size: meter.bought?,
        instance_type: special.map(|s| s.instance_type.clone()).unwrap_or_default(),
        economy: special.is_some_and(|s| s.compute_category.as_ref() == "economy"),
        spot: special.is_some_and(|s| s.spot.is_some()),
    })
}

/// The zone of what was bought.
pub(super) fn zone<'a>(special: &'a Special, settings: &'a Settings) -> &'a str {
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
        over: group.kept.is_told(),
    })
}
