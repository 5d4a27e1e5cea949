//! The server as a whole.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Reply, Route, bad, refuse};
use crate::scenario::Scenario;

pub(super) static AREA: Area = Area {
    title: "The server",
    routes: &[
        Route::get(
            "/mock/",
            "all routes; for browsers (`Accept: text/html`) the status page",
            list,
        ),
        Route::get("/mock/routes", "all routes", list),
        Route::get("/mock/health", "200 when it serves", |_| Ok(json!({ "status": "ok" }))),
        Route::post(
            "/mock/reset",
            "back to an empty account: no groups, tokens, bills, faults or journal, rights and credentials as at the start; scenario, clock, quota and limits stay",
            |_| Ok(Value::Null),
        )
        .later(|call| Box::pin(reset(call))),
        Route::post(
            "/mock/scenario",
            "how simulated groups behave that are created from now on; the name of a built-in scenario",
            set_scenario,
        )
        .bodies(&[r#"{"name": "realistic"}"#]),
    ],
};

fn list(_: &Call<'_>) -> Reply {
    let entry = |area: &Area, route: &Route| {
        let mut entry = json!({
            "area": area.title, "route": format!("{} {}", route.verb.as_str(), route.path), "does": route.does,
        });
        if !route.query.is_empty() {
            entry["query"] = json!(route.query);
        }
        if !route.bodies.is_empty() {
            entry["bodies"] = json!(route.bodies);
        }
        entry
    };
    let entries = super::AREAS
        .iter()
        .flat_map(|area| area.routes.iter().map(move |route| entry(area, route)));
    Ok(entries.collect())
}

async fn reset(call: &Call<'_>) -> Reply {
    match call.app.reset().await {
        Ok(()) => Ok(json!({})),
        Err(error) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn set_scenario(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        name: String,
    }
    let Body { name } = call.body()?;
    let simulated = call.app.simulated().ok_or_else(super::groups::not_simulated)?;
    // Names only: a path would let a caller probe files of this machine.
    if name.contains(['/', '\\', '.']) {
        return Err(bad("name must be that of a built-in scenario"));
    }
    let scenario = Scenario::load(&name).map_err(|e| bad(e.to_string()))?;
    simulated.set_scenario(scenario);
    Ok(json!({ "name": name }))
}
