//! Steering of single groups.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{Area, Call, Refusal, Reply, Route, refuse};
use crate::runtime::{Exit, simulated::Simulated};

pub(super) static AREA: Area = Area {
    title: "Groups",
    routes: &[
        Route::get("/mock/groups", "all groups in brief", list),
        Route::post("/mock/groups/{id}/exit", "ends a simulated container", exit).bodies(&[
            r#"{"container": "c", "code": 1, "message": "why"}"#,
            r#"{"container": "c", "code": 137, "oom": true}"#,
            r#"{"container": "c", "code": 143, "signal": 15}"#,
        ]),
        Route::post(
            "/mock/groups/{id}/ready",
            "outcome of a simulated readiness probe",
            ready,
        )
        .bodies(&[r#"{"container": "c", "ready": false}"#]),
        Route::post("/mock/groups/{id}/logs", "adds lines to a simulated log", logs)
            .bodies(&[r#"{"container": "c", "lines": ["one", "two"]}"#]),
        Route::post(
            "/mock/groups/{id}/reclaim",
            "takes a simulated group's resources back, as ECI does with spot groups",
            reclaim,
        ),
        Route::post(
            "/mock/groups/{id}/stop-container",
            "ends one container, simulated or real, with SIGTERM and after the grace with SIGKILL",
            stop_container,
        )
        .bodies(&[r#"{"container": "c", "grace-seconds": 5}"#]),
    ],
};

fn list(call: &Call<'_>) -> Reply {
    let state = call.app.cloud().state();
    let group = |group: &crate::domain::group::Group| {
        let container = |(spec, record): (&crate::spec::ContainerSpec, &crate::domain::container::Container)| {
            json!({
                "Name": spec.name, "Running": record.is_running(), "Ready": record.ready,
                "RestartCount": record.restart_count(),
            })
        };
        json!({
            "ContainerGroupId": group.id, "ContainerGroupName": group.spec.name, "Status": group.status,
            "Ip": group.ip, "Cpu": group.spec.size.milli_cpu as f64 / 1000.0,
            "Memory": group.spec.size.memory_mib as f64 / 1024.0, "CreationTime": group.created_at,
            "Tags": group.spec.tags.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<serde_json::Map<_, _>>(),
            "InitContainers": group.inits().map(container).collect::<Vec<_>>(),
            "Containers": group.apps().map(container).collect::<Vec<_>>(),
        })
    };
    Ok(state.groups().map(group).collect())
}

fn exit(call: &Call<'_>) -> Reply {
    let ExitBody {
        container,
        code,
        signal,
        oom,
        message,
    } = call.body()?;
    let exit = Exit {
        code,
        signal,
        oom,
        message,
    };
    done(simulated(call)?.exit(call.segment(0), &container, exit))
}

fn ready(call: &Call<'_>) -> Reply {
    let Ready { container, ready } = call.body()?;
    done(simulated(call)?.set_ready(call.segment(0), &container, ready))
}

fn logs(call: &Call<'_>) -> Reply {
    let Logs { container, lines } = call.body()?;
    done(simulated(call)?.log(call.segment(0), &container, &lines))
}

fn reclaim(call: &Call<'_>) -> Reply {
    done(simulated(call)?.reclaim(call.segment(0)))
}

fn stop_container(call: &Call<'_>) -> Reply {
    let Stop {
        container,
        grace_seconds,
    } = call.body()?;
    let cloud = call.app.cloud();
    let known = {
        let state = cloud.state();
        state
            .group(call.segment(0))
            .filter(|g| g.index_of(&container).is_some())
            .map(|g| g.id.clone())
    };
    if let Some(id) = &known {
        cloud
            .runtime()
            .stop_container(id, &container, Duration::from_secs(grace_seconds));
    }
    done(known.is_some())
}

/// The simulated runtime, which alone does what it is told.
fn simulated<'a>(call: &Call<'a>) -> Result<&'a Simulated, Refusal> {
    call.app.simulated().ok_or_else(not_simulated)
}

pub(super) fn not_simulated() -> Refusal {
    refuse(StatusCode::CONFLICT, "only simulated groups can be steered like this")
}

fn done(found: bool) -> Reply {
    match found {
        true => Ok(json!({})),
        false => Err(refuse(
            StatusCode::NOT_FOUND,
            "no such group, or no such container runs in it",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExitBody {
    container: String,
    #[serde(default)]
    code: i32,
    #[serde(default)]
    signal: i32,
    #[serde(default)]
    oom: bool,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    container: String,
    ready: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Logs {
    container: String,
    lines: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Stop {
    container: String,
    #[serde(default)]
    grace_seconds: u64,
}
