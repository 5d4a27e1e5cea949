//! The market: spot prices, stock, vSwitches. And what an update of config files does, for it is unconfirmed at ECI.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Reply, Route, bad};
use crate::{
    config::ConfigUpdate,
    domain::stock::{Supply, Told, VSwitch},
};

pub(super) static AREA: Area = Area {
    title: "The market",
    routes: &[
        Route::get("/mock/spot", "by what the spot prices of zones are multiplied", |call| {
            Ok(json!(call.app.cloud().state().ledger.market.factors()))
        }),
        Route::post(
            "/mock/spot",
            "multiplies the spot prices of a zone from now on, up to the list price; spot groups whose limit they exceed are \
             announced at their next check and taken back three minutes later",
            set_spot,
        )
        .bodies(&[r#"{"zone": "cn-hangzhou-h", "price-factor": 2.5}"#]),
        Route::get("/mock/stock", "what zones have left, where it is limited", |call| Ok(stock(call))),
        Route::post(
            "/mock/stock",
            "limits what a zone has left, of one instance type or of everything: a number of thousandths of a vCPU, \"none\" (then spot \
             groups are taken back, too) or \"enough\". \
             Callers are told in the call (OperationDenied.NoStock) or later (the group is ScheduleFailed)",
            set_stock,
        )
        .bodies(&[
            r#"{"zone": "cn-hangzhou-h", "milli-cpu": 4000}"#,
            r#"{"zone": "cn-hangzhou-h", "milli-cpu": 0, "told": "later"}"#,
            r#"{"zone": "cn-hangzhou-h", "instance-type": "ecs.c6.large", "milli-cpu": 0}"#,
            r#"{"zone": "cn-hangzhou-h", "milli-cpu": "none"}"#,
            r#"{"zone": "cn-hangzhou-h", "milli-cpu": "enough"}"#,
        ]),
        Route::get("/mock/vswitches", "vSwitches that were described", |call| Ok(vswitches(call))),
        Route::post(
            "/mock/vswitches",
            "says in which zone a vSwitch is and how many groups it has addresses for; others are in any zone that is asked for, \
             otherwise in the first, and have enough",
            set_vswitch,
        )
        .bodies(&[r#"{"id": "vsw-1", "zone": "cn-hangzhou-i", "addresses": 2}"#, r#"{"id": "vsw-1"}"#]),
        Route::post(
            "/mock/config-update",
            "what an update of the files of a ConfigFile volume does: restart who mounts it, or refresh the files in place",
            set_config_update,
        )
        .bodies(&[r#"{"config-update": "refresh"}"#, r#"{"config-update": "restart"}"#]),
    ],
};

fn set_spot(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        zone: String,
        price_factor: f64,
    }
    let Body { zone, price_factor } = call.body()?;
    if !(0.0..=1e6).contains(&price_factor) {
        return Err(bad("price-factor must be a number from 0 to 1000000"));
    }
    zone_exists(call, &zone)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let per_mille = (price_factor * 1_000.0).round() as u32;
    let now = call.app.clock().now();
    let mut state = call.app.cloud().state();
    state.ledger.market.set_factor(&zone, per_mille, now);
    Ok(json!(state.ledger.market.factors()))
}

fn set_stock(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        zone: String,
        instance_type: Option<String>,
        milli_cpu: Supply,
        #[serde(default)]
        told: Told,
    }
    let Body {
        zone,
        instance_type,
        milli_cpu,
        told,
    } = call.body()?;
    zone_exists(call, &zone)?;
    let mut state = call.app.cloud().state();
    if !state.set_stock(&zone, instance_type.as_deref(), milli_cpu, told) {
        return Err(bad("too many zones and instance types are limited already"));
    }
    drop(state);
    Ok(stock(call))
}

fn stock(call: &Call<'_>) -> Value {
    let state = call.app.cloud().state();
    let levels = state.stock.all_levels();
    levels
        .map(|(zone, kind, level)| {
            json!({
                "zone": zone, "instance-type": kind, "told": level.told,
                "milli-cpu": state.stock_left(zone, kind),
            })
        })
        .collect()
}

fn set_vswitch(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        id: String,
        zone: Option<String>,
        addresses: Option<u64>,
    }
    let Body { id, zone, addresses } = call.body()?;
    if let Some(zone) = &zone {
        zone_exists(call, zone)?;
    }
    let vswitch = VSwitch { zone, addresses };
    if !call.app.cloud().state().stock.set_vswitch(&id, vswitch) {
        return Err(bad("too many vSwitches are described already"));
    }
    Ok(vswitches(call))
}

fn vswitches(call: &Call<'_>) -> Value {
    let state = call.app.cloud().state();
    let all = state.stock.vswitches();
    all.map(|(id, VSwitch { zone, addresses })| json!({"id": id, "zone": zone, "addresses": addresses}))
        .collect()
}

fn set_config_update(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        config_update: ConfigUpdate,
    }
    let Body { config_update } = call.body()?;
    call.app.cloud().state().config_files_restart = config_update == ConfigUpdate::Restart;
    Ok(json!({ "config-update": config_update }))
}

/// A misspelt zone would be steered in vain.
fn zone_exists(call: &Call<'_>, zone: &str) -> Result<(), super::Refusal> {
    let zones = call.app.zones();
    match zones.iter().any(|z| z == zone) {
        true => Ok(()),
        false => Err(bad(format!(
            "there is no zone {zone:?}; there are {}",
            zones.join(", ")
        ))),
    }
}
