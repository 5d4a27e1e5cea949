//! The annotations about its cost that a pod has.

use provider::annotations;
use provider::mapping::Settings;
use provider::sizes::Size;
use provider::units::NanoMoney;
use serde_json::{Map, Value, json};

use crate::cost::meter::Meter;
use crate::cost::prices::Prices;
use crate::pods::bill::{HOUR, product, quote, zone};
use crate::pods::record::PodRecord;

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
