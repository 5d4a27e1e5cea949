//! Time.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Area, Call, Reply, Route};

pub(super) static AREA: Area = Area {
    title: "Time",
    routes: &[
        Route::get("/mock/time", "the server's time", |call| {
            Ok(json!({ "now": call.app.clock().now() }))
        }),
        Route::post("/mock/advance", "jumps forward in time", advance)
            .bodies(&[r#"{"seconds": 60}"#, r#"{"millis": 500}"#]),
    ],
};

fn advance(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default)]
        seconds: u64,
        #[serde(default)]
        millis: u64,
    }
    let Body { seconds, millis } = call.body()?;
    let by = Duration::from_secs(seconds).saturating_add(Duration::from_millis(millis));
    call.app.advance(by);
    Ok(json!({ "now": call.app.clock().now() }))
}
