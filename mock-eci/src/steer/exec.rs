//! Commands in containers.

use serde::Deserialize;
use serde_json::json;

use super::{Area, Call, Reply, Route};

pub(super) static AREA: Area = Area {
    title: "Commands in containers",
    routes: &[
        Route::get("/mock/exec", "how many sessions there are, and what is set", |call| Ok(show(call))),
        Route::post(
            "/mock/exec",
            "says whether an empty message on channel 0 ends a command's standard input, for sessions that begin from now on",
            set,
        )
        .bodies(&[r#"{"stdin-end": false}"#, r#"{"stdin-end": true}"#]),
    ],
};

fn show(call: &Call<'_>) -> serde_json::Value {
    let exec = call.app.exec();
    json!({ "sessions": exec.running(), "stdin-end": exec.stdin_end() })
}

fn set(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        stdin_end: bool,
    }
    let Body { stdin_end } = call.body()?;
    call.app.exec().set_stdin_end(stdin_end);
    Ok(show(call))
}
