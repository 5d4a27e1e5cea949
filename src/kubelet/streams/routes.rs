//! The routes of streams and what each answers before it becomes a connection.

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use axum::routing::get;
use provider::command::fit;

use eci::ExecQuery;

use super::options::{NO_STREAMS, Refusal, RemoteCommand, StreamOptions, values};
use super::remote::spdy_session;
use super::session::Session;
use super::upgrade::{Spoken, agree, connection};
use super::websocket::{REMOTE_COMMAND, websocket_session};
use super::{Streams, exec};
use crate::kubelet::lookup::{ContainerRun, PodEntry};

/// The routes of streams.
pub(in crate::kubelet) fn routes<S: Clone + Send + Sync + 'static>(streams: Streams) -> Router<S> {
    let exec = get(exec_route).post(exec_route);
    Router::new()
        .route("/exec/{namespace}/{pod}/{container}", exec.clone())
        .route("/exec/{namespace}/{pod}/{uid}/{container}", exec)
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
            .pods
            .group_of(&self.namespace, &self.pod, None)
            .ok_or_else(|| Refusal::new(404, "pod does not exist"))
    }

    /// The group of the container, which must run. A kubelet tells a container that does not run and one that there is not
    /// with the same words.
    fn running(&self, entry: PodEntry) -> Option<String> {
        let same_pod = self.uid.as_ref().is_none_or(|uid| *uid == entry.uid);
        let runs = entry
            .container(&self.container)
            .is_some_and(|container| container.state == ContainerRun::Running);
        entry.group_id.filter(|_| same_pod && runs)
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
    let group_id = target
        .running(entry)
        .ok_or_else(|| Refusal::new(500, format!("container not found ({:?})", target.container)))?;
    let command = fit(&values(&query, "command")).map_err(|error| Refusal::new(400, error.to_string()))?;
    let query = ExecQuery {
        group_id,
        container: target.container,
        command,
        tty: options.tty,
        stdin: options.stdin,
    };
    let commands = streams.commands.clone();
    remote_command(&streams, "exec", request, options, |session| async move {
        exec::serve(&*commands, query, session).await;
    })
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
    let place = streams
        .place(route)
        .ok_or_else(|| Refusal::new(503, "too many streams are open on this node\n"))?;
    let (upgrade, spoken) = (agreed.upgrade, agreed.spoken);
    streams.spawn(place, async move {
        let Some(io) = connection(upgrade).await else { return };
        let session = match spoken {
            Spoken::Spdy(version) => spdy_session(io, version, options).await,
            Spoken::WebSocket(framing) => websocket_session(io, framing, options).await,
        };
        if let Some(session) = session {
            serve(session).await;
        }
    });
    Ok(agreed.response)
}
