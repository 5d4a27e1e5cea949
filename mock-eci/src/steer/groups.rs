//! Steering of single groups.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Refusal, Reply, Route, bad, refuse};
use crate::{
    api::view,
    domain::{
        cloud::NoLog,
        container::{Container, State},
        group::Group,
    },
    runtime::{
        Exit, LogLine,
        simulated::{Simulated, Told},
    },
    spec::ContainerSpec,
};

pub(super) static AREA: Area = Area {
    title: "Groups",
    routes: &[
        Route::get("/mock/groups", "all groups in brief", list),
        Route::get(
            "/mock/groups/{id}",
            "one group in full: bill, statuses, containers, events; gone ones too",
            super::page::detail,
        ),
        Route::get(
            "/mock/groups/{id}/logs",
            "the newest lines of a container's log",
            |_| Ok(Value::Null),
        )
        .query("container=c&tail=200")
        .later(|call| Box::pin(read_log(call))),
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
        Route::post(
            "/mock/groups/{id}/usage",
            "what a simulated container uses from now on, in vCPU and MiB; without a figure it is its own again",
            usage,
        )
        .bodies(&[
            r#"{"container": "c", "cpu": 0.9, "memory-mib": 200}"#,
            r#"{"container": "c"}"#,
        ]),
        Route::post("/mock/groups/{id}/logs", "adds lines to a simulated log", logs)
            .bodies(&[r#"{"container": "c", "lines": ["one", "two"]}"#]),
        Route::post(
            "/mock/groups/{id}/reclaim",
            "takes a group's resources back, as ECI does with spot groups: announced so many seconds before, or at once",
            reclaim,
        )
        .bodies(&[r#"{"notice-seconds": 180}"#, "{}"]),
        Route::post(
            "/mock/groups/{id}/forget",
            "forgets a group that has ended, with its logs, as happens to it after an hour",
            forget,
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
    let group = |group: &Group| {
        let container = |(spec, record): (&ContainerSpec, &Container)| {
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

/// What is known of a group beside its bill.
pub(super) fn describe(group: &Group, detail: &mut Value) {
    let container = |(spec, record): (&ContainerSpec, &Container)| {
        let state = match &record.state {
            State::Waiting { reason, message } if message.is_empty() => format!("Waiting: {reason}"),
            State::Waiting { reason, message } => format!("Waiting: {reason}: {message}"),
            State::Running { started_at } => format!("Running since {started_at:.0}"),
            State::Terminated(ended) => {
                let (reason, code) = (ended.reason(), ended.exit.code);
                format!("Terminated: {reason}, exit code {code}, at {:.0}", ended.finished_at)
            }
        };
        json!({
            "Name": spec.name, "Image": spec.image, "State": state, "Ready": record.ready,
            "RestartCount": record.restart_count(),
        })
    };
    detail["Ip"] = json!(group.ip);
    detail["Containers"] = group.inits().chain(group.apps()).map(container).collect();
    detail["Events"] = group.events.iter().map(|e| view::event::brief(group, e)).collect();
    if let Some((reason, message)) = &group.failure {
        detail["Reason"] = json!(reason);
        detail["Message"] = json!(message);
    }
}

/// Lines of a log that one answer shows, unless told otherwise, and at most.
const LOG_LINES: (u64, u64) = (200, 2_000);

async fn read_log(call: &Call<'_>) -> Reply {
    let container = call
        .query("container")
        .ok_or_else(|| bad("the query must name a container"))?;
    let tail = call.number("tail")?.unwrap_or(LOG_LINES.0).min(LOG_LINES.1);
    let tail = usize::try_from(tail).unwrap_or_default();
    let cloud = call.app.cloud().clone();
    match cloud.logs(call.segment(0), &container, false, tail, None).await {
        Ok(lines) => {
            let text = |line: &LogLine| String::from_utf8_lossy(&line.text).trim_end_matches('\n').to_owned();
            Ok(lines.iter().map(text).collect())
        }
        Err(NoLog::Runtime(error)) => Err(refuse(StatusCode::BAD_GATEWAY, error.to_string())),
        Err(NoLog::Group | NoLog::Container) => Err(no_such_group()),
    }
}

pub(super) fn no_such_group() -> Refusal {
    refuse(
        StatusCode::NOT_FOUND,
        "there is no such group, or no such container in it",
    )
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

fn usage(call: &Call<'_>) -> Reply {
    let Usage {
        container,
        cpu,
        memory_mib,
    } = call.body()?;
    if cpu.is_some_and(|vcpu| !(0.0..=1_000.0).contains(&vcpu)) {
        return Err(bad("cpu must be vCPUs from 0 to 1000"));
    }
    let told = Told {
        nano_cores: cpu.map(|vcpu| (vcpu * 1e9) as u64),
        memory: memory_mib.map(|mib| mib.saturating_mul(1 << 20)),
    };
    done(simulated(call)?.tell_use(call.segment(0), &container, told))
}

fn reclaim(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        #[serde(default)]
        notice_seconds: u64,
    }
    let Body { notice_seconds } = call.body()?;
    let notice = Duration::from_secs(notice_seconds);
    done(call.app.cloud().reclaim(call.segment(0), notice))
}

fn forget(call: &Call<'_>) -> Reply {
    match call.app.cloud().forget(call.segment(0)) {
        true => Ok(json!({})),
        false => Err(refuse(
            StatusCode::NOT_FOUND,
            "there is no such group, or it has not ended",
        )),
    }
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
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Usage {
    container: String,
    #[serde(default)]
    cpu: Option<f64>,
    #[serde(default)]
    memory_mib: Option<u64>,
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
