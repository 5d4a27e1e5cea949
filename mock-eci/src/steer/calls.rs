//! Calls: which ones fail, and which ones came.

use serde_json::json;

use super::{Area, Call, Reply, Route};
use crate::faults::Plan;

pub(super) static AREA: Area = Area {
    title: "Calls",
    routes: &[
        Route::get("/mock/faults", "planned faults", |call| {
            Ok(json!(call.app.faults().list()))
        }),
        Route::post("/mock/faults", "plans a fault", plan).bodies(&[
            r#"{"action": "CreateContainerGroup", "times": 3, "kind": "error", "code": "Throttling", "status": 400}"#,
            r#"{"action": "CreateContainerGroup", "kind": "timeout", "when": "after"}"#,
            r#"{"kind": "disconnect", "when": "before"}"#,
            r#"{"kind": "slow", "millis": 500}"#,
        ]),
        Route::delete("/mock/faults", "drops all planned faults", |call| {
            call.app.faults().clear();
            Ok(json!([]))
        }),
        Route::get(
            "/mock/journal",
            "the newest calls, oldest first; of one action, and behind a number",
            journal,
        )
        .query("action=CreateContainerGroup&since=7"),
        Route::delete("/mock/journal", "forgets all calls; counting starts anew", |call| {
            call.app.journal().clear();
            Ok(json!([]))
        }),
    ],
};

fn plan(call: &Call<'_>) -> Reply {
    let plan: Plan = call.body()?;
    call.app.faults().add(plan);
    Ok(json!(call.app.faults().list()))
}

fn journal(call: &Call<'_>) -> Reply {
    let (action, since) = (call.query("action"), call.number("since")?.unwrap_or(0));
    let mut entries = call.app.journal().entries(action.as_deref());
    entries.retain(|entry| entry.number > since);
    Ok(json!(entries))
}
