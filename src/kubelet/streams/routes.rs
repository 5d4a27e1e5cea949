//! The routes of streams and what each answers before it becomes a connection.

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use provider::command::fit;

use eci::ExecQuery;

use super::ending::UntilShutdown;
use super::options::{NO_STREAMS, Refusal, RemoteCommand, StreamOptions, values};
use super::remote::spdy_session;
use super::session::Session;
use super::upgrade::{Spoken, Wanted, agree, connection, wanted};
use super::websocket::{PORT_FORWARD, REMOTE_COMMAND, websocket_session};
use super::{Streams, attach, exec, port_forward, run};
use crate::kubelet::logs::stream::Target as Run;
use crate::kubelet::lookup::{ContainerRun, PodEntry};

/// The routes of streams.
pub(in crate::kubelet) fn routes<S: Clone + Send + Sync + 'static>(streams: Streams) -> Router<S> {
    let run = post(run_route);
    let exec = get(exec_route).post(exec_route);
    let attach = get(attach_route).post(attach_route);
    let port_forward = get(port_forward_route).post(port_forward_route);
    Router::new()
        .route("/run/{namespace}/{pod}/{container}", run.clone())
        .route("/run/{namespace}/{pod}/{uid}/{container}", run)
        .route("/exec/{namespace}/{pod}/{container}", exec.clone())
        .route("/exec/{namespace}/{pod}/{uid}/{container}", exec)
        .route("/attach/{namespace}/{pod}/{container}", attach.clone())
        .route("/attach/{namespace}/{pod}/{uid}/{container}", attach)
        .route("/portForward/{namespace}/{pod}", port_forward.clone())
        .route("/portForward/{namespace}/{pod}/{uid}", port_forward)
        .with_state(streams)
}

/// What a path names: namespace, pod, its UID if given, container.
struct Target {
    namespace: String,
    pod: String,
    uid: Option<String>,
    container: String,
}

impl Target {
    /// From the parts of a path, with or without a UID.
    fn new(parts: Vec<(String, String)>) -> Self {
        let mut target = Self {
            namespace: String::new(),
            pod: String::new(),
            uid: None,
            container: String::new(),
        };
        for (name, value) in parts {
            match name.as_str() {
                "namespace" => target.namespace = value,
                "pod" => target.pod = value,
                "uid" => target.uid = Some(value),
                _ => target.container = value,
            }
        }
        target
    }

    fn find(&self, streams: &Streams) -> Result<PodEntry, Refusal> {
        streams
            .logs
            .pods
            .group_of(&self.namespace, &self.pod, None)
            .ok_or_else(|| Refusal::new(404, "pod does not exist"))
    }

    fn is(&self, entry: &PodEntry) -> bool {
        self.uid.as_ref().is_none_or(|uid| *uid == entry.uid)
    }

    /// The run of the container, which must not be over. Of one that does not run and of one that there is not, a kubelet
    /// says the same.
    fn running(self, entry: PodEntry) -> Option<Run> {
        let container = entry.container(&self.container)?;
        if !self.is(&entry) || container.state != ContainerRun::Running {
            return None;
        }
        let restart_count = container.restart_count;
        Some(Run {
            namespace: self.namespace,
            pod: self.pod,
            uid: entry.uid,
            group_id: entry.group_id?,
            container: self.container,
            restart_count,
        })
    }
}

async fn exec_route(
    State(streams): State<Streams>,
    Path(parts): Path<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let target = Target::new(parts);
    let query = query.unwrap_or_default();
    let options = StreamOptions::parse(&query).ok_or_else(|| Refusal::new(400, NO_STREAMS))?;
    let entry = target.find(&streams)?;
    let missing = format!("container not found ({:?})", target.container);
    let run = target.running(entry).ok_or_else(|| Refusal::new(500, missing))?;
    let command =
        fit(&values(&query, "command")).map_err(|error| Refusal::status(400, "BadRequest", &error.to_string()))?;
    let query = ExecQuery {
        group_id: run.group_id,
        container: run.container,
        command,
        tty: options.tty,
        stdin: options.stdin,
    };
    let commands = UntilShutdown {
        commands: streams.commands.clone(),
        shutdown: streams.shutdown.clone(),
    };
    remote_command(&streams, "exec", request, options, |session| async move {
        exec::serve(&commands, query, session).await;
    })
}

async fn run_route(
    State(streams): State<Streams>,
    Path(parts): Path<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let target = Target::new(parts);
    let entry = target.find(&streams)?;
    let missing = format!("container not found ({:?})", target.container);
    let run = target.running(entry).ok_or_else(|| Refusal::new(500, missing))?;
    let _place = streams.place("run").ok_or_else(full)?;
    let command = run::command(&query.unwrap_or_default());
    let answer = streams.shutdown.race(run::run(&*streams.commands, run, &command)).await;
    let output = answer.unwrap_or_else(|| Err("the agent is shutting down".to_owned()));
    let output = output.map_err(|error| Refusal::new(500, error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], output).into_response())
}

async fn attach_route(
    State(streams): State<Streams>,
    Path(parts): Path<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let target = Target::new(parts);
    let options = StreamOptions::parse(&query.unwrap_or_default()).ok_or_else(|| Refusal::new(400, NO_STREAMS))?;
    let entry = target.find(&streams)?;
    let missing = format!(
        "container {} not found in pod {}_{}",
        target.container, target.pod, target.namespace
    );
    let run = target.running(entry).ok_or_else(|| Refusal::new(500, missing))?;
    if options.stdin {
        return Err(Refusal::status(400, "BadRequest", attach::NO_INPUT));
    }
    let (logs, shutdown) = (streams.logs.clone(), streams.shutdown.clone());
    remote_command(&streams, "attach", request, options, |session| {
        attach::serve(logs, run, session, shutdown)
    })
}

async fn port_forward_route(
    State(streams): State<Streams>,
    Path(parts): Path<Vec<(String, String)>>,
    RawQuery(query): RawQuery,
    mut request: Request,
) -> Result<Response, Refusal> {
    let target = Target::new(parts);
    let ports = match wanted(request.headers()) {
        Some(Wanted::WebSocket) => {
            port_forward::ports(&query.unwrap_or_default()).map_err(|error| Refusal::new(400, error))?
        }
        _ => Vec::new(),
    };
    let entry = target.find(&streams)?;
    if !target.is(&entry) {
        return Err(Refusal::new(404, "pod not found"));
    }
    let runs = entry.containers.iter().any(|c| c.state == ContainerRun::Running);
    let ip = entry.ip.filter(|_| runs).ok_or_else(|| {
        let full_name = format!("{}_{}", target.pod, target.namespace);
        Refusal::new(500, format!("pod not found ({full_name:?})"))
    })?;
    let pod = port_forward::Pod {
        name: target.pod,
        uid: entry.uid,
        ip,
        places: streams.forwards.clone(),
    };
    let agreed = agree(&mut request, &port_forward::VERSIONS, &PORT_FORWARD)?;
    let place = streams.place("portForward").ok_or_else(full)?;
    let (upgrade, spoken) = (agreed.upgrade, agreed.spoken);
    let (shutdown, idle) = (streams.shutdown.clone(), streams.idle);
    streams.spawn(place, async move {
        let Some(io) = connection(upgrade).await else { return };
        let forwarding = async {
            match spoken {
                Spoken::Spdy(()) => port_forward::serve_spdy(io, pod, idle).await,
                Spoken::WebSocket(framing) => port_forward::serve_websocket(io, framing, ports, pod, idle).await,
            }
        };
        // There is no way to give a reason.
        shutdown.race(forwarding).await;
    });
    Ok(agreed.response)
}

fn full() -> Refusal {
    Refusal::status(503, "ServiceUnavailable", "too many streams are open on this node")
}

/// Agrees on a protocol and serves the session that comes of it.
fn remote_command<F>(
    streams: &Streams,
    route: &'static str,
    mut request: Request,
    options: StreamOptions,
    serve: impl FnOnce(Session) -> F + Send + 'static,
) -> Result<Response, Refusal>
where
    F: Future<Output = ()> + Send,
{
    let agreed = agree(&mut request, &RemoteCommand::NAMES, &REMOTE_COMMAND)?;
    let place = streams.place(route).ok_or_else(full)?;
    let (upgrade, spoken, idle) = (agreed.upgrade, agreed.spoken, streams.idle);
    streams.spawn(place, async move {
        let Some(io) = connection(upgrade).await else { return };
        let session = match spoken {
            Spoken::Spdy(version) => spdy_session(io, version, options, idle).await,
            Spoken::WebSocket(framing) => websocket_session(io, framing, options, idle).await,
        };
        if let Some(session) = session {
            serve(session).await;
        }
    });
    Ok(agreed.response)
}
