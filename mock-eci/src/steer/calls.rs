//! Calls: which ones fail, how often they may come, and which ones came.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Refusal, Reply, Route, bad, refuse};
use crate::{
    api::{
        rates::Rate,
        table::{ACTIONS, Action},
    },
    app::App,
    config::{Limits, ParameterBounds},
    faults::{Fault, MAX_PLANS, Plan},
};

/// Most calls one answer shows, unless told otherwise.
const SHOWN: u64 = 1_000;

pub(super) static AREA: Area = Area {
    title: "Calls",
    routes: &[
        Route::get("/mock/faults", "planned faults, with their ids and how many calls met each", |call| {
            Ok(json!(call.app.faults().planned()))
        }),
        Route::post("/mock/faults", "plans a fault", plan).bodies(&[
            r#"{"action": "CreateContainerGroup", "times": 3, "kind": "error", "code": "OperationDenied.NoStock"}"#,
            r#"{"action": "CreateContainerGroup", "kind": "timeout", "when": "after"}"#,
            r#"{"kind": "disconnect", "when": "before"}"#,
            r#"{"kind": "slow", "millis": 500, "times": "always", "per-mille": 50, "seed": 7}"#,
            r#"{"action": "CreateContainerGroup", "where": {"ContainerGroupName": "web-*"}, "tags": {"app": "web"}, "kind": "error", "code": "InternalError"}"#,
        ]),
        Route::delete("/mock/faults", "drops all planned faults", |call| {
            call.app.faults().clear();
            Ok(json!([]))
        }),
        Route::delete("/mock/faults/{id}", "drops one planned fault", drop_plan),
        Route::get("/mock/limits", "which limits are in force, and how often each action may be called", |call| {
            Ok(limits(call.app))
        }),
        Route::post(
            "/mock/limits",
            "puts limits in force or not: all of them, or call rates, the vCPU quota, the quotas of caches and the end of finished groups' records; `bounds` says how long lists and texts in parameters may be: `gateway`, `documented` or `none`",
            set_limits,
        )
        .bodies(&[
            r#"{"limits": "none"}"#,
            r#"{"limits": "documented"}"#,
            r#"{"bounds": "documented"}"#,
            r#"{"rates": false, "vcpu": true, "caches": true, "retention": true}"#,
        ]),
        Route::post(
            "/mock/rates",
            "sets how often an action may be called: so many in each 60 s, or a bucket of `burst` calls that is refilled; `null` = as documented",
            set_rate,
        )
        .bodies(&[
            r#"{"action": "DescribeContainerLog", "per-minute": 10}"#,
            r#"{"action": "CreateContainerGroup", "per-minute": 60, "burst": 5}"#,
            r#"{"action": "CreateContainerGroup", "per-minute": null}"#,
        ]),
        Route::get(
            "/mock/journal",
            "the newest calls, oldest first; of one action, answered with a code or any error, behind a number; at most `limit`, the newest ones",
            journal,
        )
        .query("action=CreateContainerGroup&errors=true&code=Throttling&since=7&limit=100"),
        Route::delete("/mock/journal", "forgets all calls; counting starts anew", |call| {
            call.app.journal().clear();
            Ok(json!([]))
        }),
    ],
};

fn plan(call: &Call<'_>) -> Reply {
    let plan: Plan = call.body()?;
    if let Some(name) = &plan.action {
        action(name)?;
    }
    if plan.per_mille > 1_000 {
        return Err(bad("per-mille must be a number from 0 to 1000"));
    }
    if let Fault::Error { code, status, .. } = &plan.fault {
        if code.is_empty() {
            return Err(bad("code must not be empty"));
        }
        if status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Err(bad("status must be that of an error, 400 to 599"));
        }
    }
    let faults = call.app.faults();
    if faults.planned().len() >= MAX_PLANS {
        return Err(refuse(
            StatusCode::CONFLICT,
            format!("there are {MAX_PLANS} plans already; DELETE /mock/faults drops them"),
        ));
    }
    faults.add(plan);
    Ok(json!(faults.planned()))
}

fn drop_plan(call: &Call<'_>) -> Reply {
    let id = call.segment(0).parse().ok();
    match id.is_some_and(|id| call.app.faults().remove(id)) {
        true => Ok(json!(call.app.faults().planned())),
        false => Err(refuse(StatusCode::NOT_FOUND, "there is no planned fault of this id")),
    }
}

/// The action of a name.
pub(super) fn action(name: &str) -> Result<&'static Action, Refusal> {
    Action::find(name).ok_or_else(|| bad(format!("action {name:?} does not exist in ECI 2018-08-08")))
}

fn rate(rate: Rate) -> Value {
    match rate {
        Rate::PerMinute(calls) => json!({ "per-minute": calls }),
        Rate::PerSecond(calls) => json!({ "per-second": calls }),
        Rate::Bucket => json!({ "per-minute": 1_200, "burst": 100 }),
        Rate::Tokens { burst, per_minute } => json!({ "per-minute": per_minute, "burst": burst }),
        Rate::Free => Value::Null,
    }
}

pub(super) fn limits(app: &App) -> Value {
    let rules = app.gate().rules();
    let mut limits = json!(app.enforced());
    limits["bounds"] = json!(app.bounds());
    limits["per-action"] = ACTIONS
        .iter()
        .map(|action| (action.name.to_owned(), rules.rate(action).map_or(Value::Null, rate)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    limits
}

fn set_limits(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        limits: Option<Limits>,
        bounds: Option<ParameterBounds>,
        rates: Option<bool>,
        vcpu: Option<bool>,
        caches: Option<bool>,
        retention: Option<bool>,
    }
    let body: Body = call.body()?;
    let mut enforced = body.limits.map_or_else(|| call.app.enforced(), Limits::enforced);
    let set = |limit: &mut bool, to: Option<bool>| *limit = to.unwrap_or(*limit);
    set(&mut enforced.rates, body.rates);
    set(&mut enforced.vcpu, body.vcpu);
    set(&mut enforced.caches, body.caches);
    set(&mut enforced.retention, body.retention);
    call.app.set_limits(Limits::Only(enforced));
    if let Some(bounds) = body.bounds {
        call.app.set_bounds(bounds);
    }
    Ok(limits(call.app))
}

fn set_rate(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        action: String,
        per_minute: Option<u32>,
        burst: Option<u32>,
    }
    let body: Body = call.body()?;
    let action = action(&body.action)?;
    let rate = match (body.per_minute, body.burst) {
        (None, None) => None,
        (Some(calls), None) => Some(Rate::PerMinute(calls)),
        (Some(per_minute), Some(burst)) => Some(Rate::Tokens { burst, per_minute }),
        (None, Some(_)) => return Err(bad("burst needs per-minute, the rate of refilling")),
    };
    call.app.gate().set_rate(action, rate);
    Ok(limits(call.app))
}

fn journal(call: &Call<'_>) -> Reply {
    let (action, code) = (call.query("action"), call.query("code"));
    let since = call.number("since")?.unwrap_or(0);
    let limit = usize::try_from(call.number("limit")?.unwrap_or(SHOWN)).unwrap_or(usize::MAX);
    let errors = call.query("errors").is_some_and(|v| v == "true");
    let mut entries = call.app.journal().entries(action.as_deref());
    entries.retain(|entry| {
        entry.number > since && (code.is_none() || code == entry.code) && !(errors && entry.status == 200)
    });
    let surplus = entries.len().saturating_sub(limit);
    Ok(json!(entries.split_off(surplus)))
}
