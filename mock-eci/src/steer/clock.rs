//! Time.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Reply, Route, bad};
use crate::{
    app::App,
    clock::{Mode, SPEEDS},
};

pub(super) static AREA: Area = Area {
    title: "Time",
    routes: &[
        Route::get("/mock/clock", "the clock: time, mode and speed", |call| {
            Ok(show(call.app))
        }),
        Route::post(
            "/mock/clock",
            "lets the clock run by itself or only by steps, faster or slower than outside, or jumps to a time; it never goes back",
            set,
        )
        .bodies(&[
            r#"{"mode": "stepped"}"#,
            r#"{"mode": "running", "speed": 60}"#,
            r#"{"to": "2100-01-01T00:00:00Z"}"#,
        ]),
        Route::post("/mock/advance", "jumps forward in time", advance)
            .bodies(&[r#"{"seconds": 60}"#, r#"{"millis": 500}"#]),
        Route::get("/mock/time", "the time alone", |call| {
            Ok(json!({ "now": call.app.clock().now() }))
        }),
    ],
};

pub(super) fn show(app: &App) -> Value {
    let clock = app.clock();
    json!({ "now": clock.now(), "mode": clock.mode(), "speed": clock.speed() })
}

fn set(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        mode: Option<Mode>,
        speed: Option<f64>,
        to: Option<Timestamp>,
    }
    let Body { mode, speed, to } = call.body()?;
    if speed.is_some_and(|speed| !SPEEDS.contains(&speed)) {
        let (slowest, fastest) = (SPEEDS.start(), SPEEDS.end());
        return Err(bad(format!("speed must be a number from {slowest} to {fastest}")));
    }
    let clock = call.app.clock();
    if let Some(to) = to
        && !clock.jump_to(to)
    {
        return Err(bad(format!("to must not be in the past: it is {} now", clock.now())));
    }
    if let Some(speed) = speed {
        clock.set_speed(speed);
    }
    if let Some(mode) = mode {
        clock.set_mode(mode);
    }
    Ok(show(call.app))
}

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
