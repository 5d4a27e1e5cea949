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
    serve_on(listener, registry, health, shutdown).await
}

async fn serve_on(listener: TcpListener, registry: Registry, health: Health, shutdown: Shutdown) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn readiness_follows_the_gates_and_metrics_are_text() {
        // reqwest looks for it even for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = Metrics::new().expect("registers");
        let health = Health::new();
        let gate = health.require("pods listed", "starting");
        let shutdown = Shutdown::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(serve_on(listener, metrics.registry().clone(), health, shutdown.clone()));
        let get = async |path: &str| {
            let response = reqwest::get(format!("{url}{path}")).await.expect("answers");
            (response.status().as_u16(), response.text().await.expect("text"))
        };
        assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(
            get("/readyz").await,
            (503, "[-]pods listed: starting\nnot ready\n".to_owned())
        );
        gate.open();
        assert_eq!(get("/readyz").await.0, 200);
        let (code, text) = get("/metrics").await;
        assert!(
            code == 200 && text.contains("# TYPE virtual_node_build_info gauge"),
            "{text}"
        );
        shutdown.trigger();
        serving.await.expect("no panic").expect("ends in order");
    }

    #[tokio::test]
    async fn a_taken_address_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = taken.local_addr().expect("bound");
        let metrics = Metrics::new().expect("registers");
        let result = serve(address, metrics.registry().clone(), Health::new(), Shutdown::new()).await;
        assert!(result.expect_err("taken").to_string().contains(&address.to_string()));
    }
}
