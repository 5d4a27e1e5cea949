//! The routes of figures. Which spellings and methods lead here is decided before (`routes::paths`).

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt as _, stream};
use prometheus::TextEncoder;

use super::exposition::{self, Family};
use super::pods::running_pods;
use super::summary::{self, Scope};
use super::{Figures, cadvisor, resource};
use crate::chain::chain;

/// As kubelets have it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// The routes, to be merged with the others.
pub(in crate::kubelet) fn routes<S: Clone + Send + Sync + 'static>(figures: Figures) -> Router<S> {
    Router::new()
        .route("/stats/summary", get(summary).post(summary))
        .route("/metrics", get(own_metrics))
        .route("/metrics/resource", get(|figures| metrics(figures, resource::FAMILIES)))
        .route("/metrics/cadvisor", get(|figures| metrics(figures, cadvisor::FAMILIES)))
        .route("/pods", get(bound_pods))
        .route("/runningpods/", get(running))
        .with_state(figures)
}

async fn summary(State(figures): State<Figures>, RawQuery(query): RawQuery) -> Response {
    let snapshot = Arc::new(figures.snapshot().await);
    let scope = scope(query.as_deref().unwrap_or_default());
    text(JSON, summary::pieces(snapshot, scope))
}

/// A kubelet wants the parameter once, and to be `true`; everything else asks for all.
fn scope(query: &str) -> Scope {
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter_map(|(name, value)| (name == "only_cpu_and_memory").then_some(value));
    match (values.next().as_deref(), values.next()) {
        (Some("true"), None) => Scope::CpuAndMemory,
        _ => Scope::All,
    }
}

async fn metrics(State(figures): State<Figures>, families: &'static [Family]) -> Response {
    let snapshot = Arc::new(figures.snapshot().await);
    text(TEXT, exposition::pieces(snapshot, families))
}

async fn own_metrics(State(figures): State<Figures>) -> Response {
    match TextEncoder::new().encode_to_string(&figures.0.registry.gather()) {
        Ok(metrics) => text(TEXT, [metrics].into_iter()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn bound_pods(State(figures): State<Figures>) -> Response {
    match figures.0.bound.list().await {
        Ok(pieces) => with_type(JSON, Body::from_stream(pieces)),
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "the pods of the node could not be listed");
            (StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
        }
    }
}

async fn running(State(figures): State<Figures>) -> Response {
    let mut running = figures.0.running.running();
    running.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    text(JSON, [running_pods(&running)].into_iter())
}

/// A body that is made piece by piece, as the client takes it.
fn text(content_type: &'static str, pieces: impl Iterator<Item = String> + Send + 'static) -> Response {
    let pieces = stream::iter(pieces).map(Ok::<_, Infallible>);
    with_type(content_type, Body::from_stream(pieces))
}

fn with_type(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cpu_and_memory_is_asked_for_in_one_way() {
        assert_eq!(scope("only_cpu_and_memory=true"), Scope::CpuAndMemory);
        for all in [
            "",
            "only_cpu_and_memory=false",
            "only_cpu_and_memory=true&only_cpu_and_memory=true",
            "only_cpu_and_memory",
        ] {
            assert_eq!(scope(all), Scope::All, "{all}");
        }
    }
}
