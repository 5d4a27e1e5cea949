//! Steering of single groups.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Reply, body, not_simulated, refuse};
use crate::{app::App, runtime::Exit};

pub(super) fn list(app: &App) -> Value {
    let state = app.cloud().state();
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
    state.groups().map(group).collect()
}

pub(super) fn act(app: &App, id: &str, verb: &str, request: &Request<Bytes>) -> Reply {
    let done = match verb {
        "exit" => {
            let ExitBody {
                container,
                code,
                signal,
                oom,
                message,
            } = body(request)?;
            let exit = Exit {
                code,
                signal,
                oom,
                message,
            };
            app.simulated().ok_or_else(not_simulated)?.exit(id, &container, exit)
        }
        "ready" => {
            let Ready { container, ready } = body(request)?;
            app.simulated()
                .ok_or_else(not_simulated)?
                .set_ready(id, &container, ready)
        }
        "logs" => {
            let Logs { container, lines } = body(request)?;
            app.simulated().ok_or_else(not_simulated)?.log(id, &container, &lines)
        }
        "reclaim" => app.simulated().ok_or_else(not_simulated)?.reclaim(id),
        "stop-container" => {
            let Stop {
                container,
                grace_seconds,
            } = body(request)?;
            let known = {
                let state = app.cloud().state();
                state
                    .group(id)
                    .filter(|g| g.index_of(&container).is_some())
                    .map(|g| g.id.clone())
            };
            if let Some(id) = &known {
                app.cloud()
                    .runtime()
                    .stop_container(id, &container, Duration::from_secs(grace_seconds));
            }
            known.is_some()
        }
        _ => {
            return Err(refuse(
                StatusCode::NOT_FOUND,
                "there is no such route; GET /mock/ lists them",
            ));
        }
    };
    match done {
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
