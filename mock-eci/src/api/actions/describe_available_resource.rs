//! `DescribeAvailableResource`: which instance types and families there are where, and whether there is stock.
//!
//! Steering can take stock away, by zone and by type. A family has stock while one of its types has.

use serde_json::{Value, json};

use crate::{
    api::{Context, Work, error::ApiError, response::answer},
    domain::{
        instance_type::{self, InstanceType},
        state::State,
    },
};

/// What is asked for.
enum Wanted<'a> {
    Family(&'a str),
    Type(&'a str),
    Size { milli_cpu: u64, memory_mib: u64 },
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let wanted = wanted(context)?;
    let zone = match scope.filled("ZoneId") {
        Some(zone) if !context.offer.zones.iter().any(|z| z == zone) => return Err(ApiError::zone(zone)),
        zone => zone,
    };
    let category = scope.required("DestinationResource.Category")?;
    let types: Vec<InstanceType> = instance_type::all()
        .filter(|kind| match wanted {
            Wanted::Family(name) => kind.family == name,
            Wanted::Type(name) => kind.name == name,
            Wanted::Size { milli_cpu, memory_mib } => {
                kind.size.milli_cpu == milli_cpu && kind.size.memory_mib == memory_mib
            }
        })
        .collect();
    let zones: Vec<Value> = {
        let state = context.cloud.state();
        let zones = context.offer.zones.iter();
        zones
            .filter(|id| zone.is_none_or(|zone| zone == id.as_str()) && !types.is_empty())
            .map(|id| {
                json!({
                    "RegionId": context.offer.region, "ZoneId": id,
                    "AvailableResources": { "AvailableResource": [{
                        "Type": category,
                        "SupportedResources": { "SupportedResource": resources(&state, id, &types, &wanted) },
                    }] },
                })
            })
            .collect()
    };
    answer(&json!({ "RequestId": context.request_id, "AvailableZones": { "AvailableZone": zones } })).map(Work::Done)
}

fn wanted(context: Context<'_>) -> Result<Wanted<'_>, ApiError> {
    let destination = context.scope.sub("DestinationResource");
    let spot = context.scope.sub("SpotResource");
    let is_spot = match spot.filled("SpotStrategy") {
        None | Some("NoSpot") => false,
        Some("SpotAsPriceGo") => true,
        Some("SpotWithPriceLimit") => {
            spot.required("SpotPriceLimit")?;
            true
        }
        Some(_) => {
            return Err(ApiError::invalid(
                "SpotResource.SpotStrategy",
                "it must be NoSpot, SpotAsPriceGo or SpotWithPriceLimit",
            ));
        }
    };
    spot.decimal("SpotPriceLimit", 1_000)?;
    spot.integer("SpotDuration", 0..=24)?;
    // Read with its full name: nothing else may be there.
    let category = context.scope.required("DestinationResource.Category")?;
    let value = destination.filled("Value");
    let size = (
        destination.decimal("Cores", 1_000)?,
        destination.decimal("Memory", 1_024)?,
    );
    match (category, value, size) {
        ("InstanceTypeFamily", _, _) if is_spot => Err(ApiError::invalid(
            "DestinationResource.Category",
            "spot resources are asked for by InstanceType",
        )),
        ("InstanceTypeFamily", Some(family), _) => Ok(Wanted::Family(family)),
        ("InstanceType", Some(name), _) => Ok(Wanted::Type(name)),
        ("InstanceType", None, (Some(milli_cpu), Some(memory_mib))) => Ok(Wanted::Size { milli_cpu, memory_mib }),
        ("InstanceTypeFamily" | "InstanceType", None, _) => Err(ApiError::missing("DestinationResource.Value")),
        _ => Err(ApiError::invalid(
            "DestinationResource.Category",
            "it must be InstanceTypeFamily or InstanceType",
        )),
    }
}

fn resources(state: &State, zone: &str, types: &[InstanceType], wanted: &Wanted<'_>) -> Vec<Value> {
    let in_stock = |kind: &InstanceType| {
        let left = state.stock_left(zone, Some(&kind.name));
        left.is_none_or(|left| left >= kind.size.milli_cpu)
    };
    let show = |value: &str, in_stock: bool| {
        let status = if in_stock { "WithStock" } else { "WithoutStock" };
        json!({ "Value": value, "StatusCategory": status })
    };
    match wanted {
        Wanted::Family(family) => vec![show(family, types.iter().any(in_stock))],
        Wanted::Type(_) | Wanted::Size { .. } => types.iter().map(|kind| show(&kind.name, in_stock(kind))).collect(),
    }
}
