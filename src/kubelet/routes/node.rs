//! Routes about the node itself, and those that a kubelet has and a virtual node has nothing behind.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};

use super::admission::refused;
use super::{KubeletApi, plain};

pub(super) fn routes() -> Router<KubeletApi> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/healthz/ping", get(|| async { "ok" }))
        .route("/healthz/log", get(|| async { "ok" }))
        .route("/healthz/syncloop", get(|| async { "ok" }))
        .route("/metrics/probes", get(|| async { figures("") }))
        .route("/metrics/slis", get(|| async { figures(SLIS) }))
        .route("/configz", get(configz))
        .route("/checkpoint/{namespace}/{pod}/{container}", post(checkpoint))
        // As a kubelet answers whose configuration says so: there are no files of a machine, and no runtime of Go's.
        .route("/logs/", get(no_logs))
        .route("/logs/{*path}", get(no_logs))
        .route("/debug/pprof/", get(no_profiles))
        .route("/debug/pprof/{*name}", get(no_profiles))
        .route(
            "/debug/flags/v",
            get(|| async { refused(405, "flags endpoint is disabled.\n") }),
        )
}

/// The checks of `/healthz`, as Prometheus reads them.
const SLIS: &str = "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.
# TYPE kubernetes_healthcheck gauge
kubernetes_healthcheck{name=\"log\",type=\"healthz\"} 1
kubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1
kubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 1
";

/// Of probes there are none: ECI makes them and does not count.
fn figures(text: &'static str) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}

async fn no_logs() -> Response {
    refused(405, "logs endpoint is disabled.\n")
}

async fn no_profiles() -> Response {
    refused(405, "profiling endpoint is disabled.\n")
}

/// That it answers at all is what is asked.
async fn healthz(RawQuery(query): RawQuery) -> &'static str {
    let verbose = query.is_some_and(|query| form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "verbose"));
    if verbose {
        "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n"
    } else {
        "ok"
    }
}

async fn configz(State(api): State<KubeletApi>) -> Response {
    Json(&*api.configz).into_response()
}

async fn checkpoint(
    State(api): State<KubeletApi>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
) -> Response {
    let Some(entry) = api.logs.pods.group_of(&namespace, &pod, None) else {
        return plain(404, "pod does not exist");
    };
    if entry.container(&container).is_none() {
        return plain(404, format!("container {container} does not exist"));
    }
    plain(
        500,
        format!("checkpointing of {namespace}/{pod}/{container} failed (ECI has no way to checkpoint a container)"),
    )
}
