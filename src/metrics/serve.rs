//! The plain HTTP listener for `/metrics`, `/healthz` and `/readyz`.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;

use super::Health;
use crate::shutdown::Shutdown;

/// Serves on `listen` until the shutdown.
///
/// # Errors
/// The address cannot be listened on, or the listener broke.
pub async fn serve(listen: SocketAddr, registry: Registry, health: Health, shutdown: Shutdown) -> io::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {listen} for metrics: {e}")))?;
    let app = Router::new()
        .route("/metrics", get(metrics))
        .with_state(registry)
        // Alive as long as it answers: being restarted helps against nothing that `/readyz` reports.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(health));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { shutdown.triggered().await })
        .await
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let code = if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, health.report()).into_response()
}
