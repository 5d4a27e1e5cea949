//! The account: its quota, its rights and its bills.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Reply, Route, bad};
use crate::app::App;

pub(super) static AREA: Area = Area {
    title: "The account",
    routes: &[
        Route::get("/mock/usage", "quota and use", |call| Ok(usage(call.app))),
        Route::post("/mock/usage", "sets the vCPU quota", set_usage).bodies(&[r#"{"max-cpu": 100}"#]),
        Route::post(
            "/mock/rights",
            "takes the right to list away, or gives it back: without it lists are empty, and no error",
            set_rights,
        )
        .bodies(&[r#"{"list": false}"#, r#"{"list": true}"#]),
        Route::get("/mock/ledger", "what each group is billed", |call| {
            Ok(json!(call.app.ledger()))
        }),
    ],
};

fn usage(app: &App) -> Value {
    let state = app.cloud().state();
    json!({
        "used-cpu": state.used_milli_cpu() as f64 / 1000.0, "max-cpu": state.max_milli_cpu as f64 / 1000.0,
        "groups": state.len(),
    })
}

fn set_usage(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        max_cpu: f64,
    }
    let Body { max_cpu } = call.body()?;
    if !(0.0..=1e9).contains(&max_cpu) {
        return Err(bad("max-cpu must be a number of vCPU that is not negative"));
    }
    call.app.set_max_milli_cpu((max_cpu * 1000.0).round() as u64);
    Ok(usage(call.app))
}

fn set_rights(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        list: bool,
    }
    let Body { list } = call.body()?;
    call.app.set_may_list(list);
    Ok(json!({ "list": list }))
}
