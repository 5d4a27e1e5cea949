//! The routes of the kubelet API and what each answers.

mod admission;
mod configz;
mod node;
mod paths;

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use serde_json::Value;

use super::auth::{Auth, Peer};
use super::figures::{self, Figures};
use super::logs::open::open;
use super::logs::query::LogOptions;
use super::logs::stream::LogAccess;
use super::streams::{self, Streams};
use crate::metrics::Metrics;

pub(super) use configz::configz;

/// What the routes need.
#[derive(Clone)]
pub struct KubeletApi {
    /// Who may.
    pub auth: Arc<Auth>,
    /// Logs and pods.
    pub logs: LogAccess,
    /// Commands and other streams.
    pub streams: Streams,
    /// Figures, and the node's pods.
    pub figures: Figures,
    /// What `/configz` says.
    pub configz: Arc<Value>,
    /// Counts requests.
    pub metrics: Metrics,
}

impl KubeletApi {
    /// The routes for a connection of `peer`. Which paths and methods there are is in [`paths`]; here is who serves them.
    pub(super) fn router(self, peer: Peer) -> Router {
        let routes = Router::new()
            .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
            .merge(node::routes())
            .merge(streams::routes(self.streams.clone()))
            .merge(figures::routes(self.figures.clone()))
            .fallback(|| async { admission::NO_ROUTE })
            .with_state(self.clone());
        // Around everything: axum would look at a path before anybody is asked who they are.
        Router::new().fallback(move |request: Request| admission::admit(self, peer, routes, request))
    }
}

async fn container_logs(
    State(api): State<KubeletApi>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let options = match LogOptions::parse(query.as_deref().unwrap_or_default()) {
        Ok(options) => options,
        Err(error) => {
            let (code, text) = error.answer();
            return plain(code, text);
        }
    };
    let (follow, shutdown) = (options.follow, api.streams.shutdown().clone());
    match open(&api.logs, &namespace, &pod, &container, options).await {
        Ok(stream) => {
            let lines = stream.into_stream();
            let body = if follow {
                let (end, stopped) = (shutdown.clone(), shutdown);
                let end = async move { end.triggered().await };
                let notice = stream::once(async move { stopped.is_triggered().then(|| Ok(STOP_NOTICE)) });
                let notice = notice.filter_map(ready);
                Body::from_stream(lines.take_until(end).chain(notice).chain(end_apart()))
            } else {
                Body::from_stream(lines.chain(end_apart()))
            };
            let mut response = Response::new(body);
            let text = HeaderValue::from_static("text/plain");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
            response
        }
        Err((code, text)) => plain(code, text),
    }
}

/// The last line of a log that is followed when the agent is stopped.
const STOP_NOTICE: Bytes =
    Bytes::from_static(b"[virtual-node: the agent of this node is being stopped; the container goes on]\n");

/// Nothing, a moment later: the end of a body is then not sent together with its last piece. API servers that pass a log on
/// over a WebSocket lose a piece that they read together with the end.
fn end_apart<T>() -> impl Stream<Item = T> {
    stream::once(tokio::task::yield_now()).filter_map(|()| ready(None))
}

fn plain(code: u16, text: impl Into<String>) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, text.into()).into_response()
}
