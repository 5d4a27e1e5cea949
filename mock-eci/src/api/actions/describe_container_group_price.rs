//! `DescribeContainerGroupPrice`: the list price of a second, and what the spot market asks for an hour.
//!
//! The price of extra ephemeral storage is published for no region that we know of: it is free here, in prices and bills.

use serde_json::{Value, json};

use crate::{
    api::{Context, Work, decode, error::ApiError, params::Scope, response::answer},
    domain::{price::Tariff, size, spot},
    spec::{ComputeCategory, Size},
};

/// Seconds of an hour.
const HOUR: u64 = 3_600;

/// What a price is asked of.
struct Item {
    size: Size,
    tariff: Tariff,
    instance_type: Option<String>,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let (scope, currency) = (context.scope, context.offer.currency);
    let (strategy, limit) = decode::spot(scope)?;
    let is_spot = strategy != "NoSpot";
    scope.integer("SpotDuration", 0..=1_000_000)?;
    scope.integer("EphemeralStorage", 0..=5_000)?;
    let item = item(context, is_spot)?;
    let zones = zones(context)?;

    let price = |nano: u64| nano as f64 / 1e9;
    let amount = |size, seconds| item.tariff.amount_nano(currency, size, seconds);
    let detail = |resource: &str, size: Size| {
        let price = price(amount(size, 1));
        json!({
            "Resource": resource, "OriginalPrice": price, "DiscountPrice": 0.0, "TradePrice": price,
            "Rules": { "Rule": [] },
        })
    };
    let details = match item.instance_type {
        Some(_) => vec![detail("instance_type", item.size)],
        None => vec![
            detail(
                "cpu",
                Size {
                    memory_mib: 0,
                    ..item.size
                },
            ),
            detail(
                "mem",
                Size {
                    milli_cpu: 0,
                    ..item.size
                },
            ),
        ],
    };
    let spot_prices = match is_spot {
        true => spot_prices(
            context,
            &item,
            &zones,
            limit.filter(|_| strategy == "SpotWithPriceLimit"),
        )?,
        false => Vec::new(),
    };
    let total = price(amount(item.size, 1));
    answer(&json!({
        "RequestId": context.request_id,
        "PriceInfo": {
            "Price": {
                "OriginalPrice": total, "DiscountPrice": 0.0, "TradePrice": total, "Currency": currency.as_str(),
                "DetailInfos": { "DetailInfo": details },
            },
            "SpotPrices": { "SpotPrice": spot_prices },
            "Rules": { "Rule": [] },
        },
    }))
    .map(Work::Done)
}

fn item(context: Context<'_>, is_spot: bool) -> Result<Item, ApiError> {
    let scope = context.scope;
    let category = category(scope)?;
    if let Some(name) = scope.filled("InstanceType") {
        if category == ComputeCategory::Economy {
            return Err(ApiError::conflict("ComputeCategory economy", "InstanceType"));
        }
        let kind = decode::known_type(name)?;
        return Ok(Item {
            size: kind.size,
            tariff: Tariff::of_type(&kind),
            instance_type: Some(kind.name),
        });
    }
    let size = match (scope.decimal("Cpu", 1_000)?, scope.decimal("Memory", 1_024)?) {
        (Some(milli_cpu), Some(memory_mib)) => Size { milli_cpu, memory_mib },
        (None, None) => size::DEFAULT,
        (None, _) => return Err(ApiError::missing("Cpu")),
        (_, None) => return Err(ApiError::missing("Memory")),
    };
    let on_sale = |common_only| size::round_up(size, &context.offer.region, common_only) == Some(size);
    if !on_sale(false) {
        return Err(ApiError::price_size(
            "The specified Cpu and Memory are not a pair that is on sale.",
        ));
    }
    if is_spot && !on_sale(true) {
        return Err(ApiError::spot_size());
    }
    Ok(Item {
        size,
        tariff: match category {
            ComputeCategory::General => Tariff::General,
            ComputeCategory::Economy => Tariff::Economy,
        },
        instance_type: None,
    })
}

fn category(scope: Scope<'_>) -> Result<ComputeCategory, ApiError> {
    match scope.filled("ComputeCategory") {
        None => Ok(ComputeCategory::General),
        Some(word) => ComputeCategory::find(word)
            .ok_or_else(|| ApiError::invalid("ComputeCategory", "it must be economy or general")),
    }
}

/// The zone asked for, or all.
fn zones(context: Context<'_>) -> Result<Vec<&str>, ApiError> {
    let all = context.offer.zones.iter().map(String::as_str);
    match context.scope.filled("ZoneId") {
        None => Ok(all.collect()),
        Some(zone) => match all.into_iter().find(|z| *z == zone) {
            Some(zone) => Ok(vec![zone]),
            None => Err(ApiError::zone(zone)),
        },
    }
}

/// Prices of an hour by zone, of those zones that a limit allows.
fn spot_prices(context: Context<'_>, item: &Item, zones: &[&str], limit: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let limit = limit.and_then(spot::limit_nano);
    let origin = item.tariff.amount_nano(context.offer.currency, item.size, HOUR);
    let mut prices = Vec::with_capacity(zones.len());
    for zone in zones {
        let nano = context.cloud.spot_price(item.tariff, zone, item.size);
        if limit.is_none_or(|limit| nano <= limit) {
            prices.push(json!({
                "ZoneId": zone, "InstanceType": item.instance_type.as_deref().unwrap_or_default(),
                "SpotPrice": nano as f64 / 1e9, "OriginPrice": origin as f64 / 1e9,
            }));
        }
    }
    match prices.is_empty() {
        true => Err(ApiError::spot_not_matched()),
        false => Ok(prices),
    }
}
