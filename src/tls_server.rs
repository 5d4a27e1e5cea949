//! Connections of the servers here that speak TLS: accepting, the handshake, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::accept;
use crate::clock;
use crate::shutdown::Shutdown;

/// Connections held at the same time; a followed log is one.
const MAX_CONNECTIONS: usize = 2_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// At the end, what is being answered may be finished; followed logs are cut.
const DRAIN: Duration = Duration::from_secs(2);

/// What is served.
pub(crate) trait TlsService: Clone + Send + Sync + 'static {
    /// Its name in logs.
    const NAME: &'static str;

    /// How a connection begins that begins now; none = it is closed, which tells more than letting it wait.
    fn tls(&self) -> Option<Arc<ServerConfig>>;

    /// What answers on a connection whose client showed these certificates.
    fn router(&self, shown: Vec<CertificateDer<'static>>) -> Router;

    /// Completes when what outlives its connection has ended, after the shutdown.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Serves until the shutdown, each connection with the certificate that is current when it begins.
pub(crate) async fn serve<S: TlsService>(listener: TcpListener, service: S, shutdown: Shutdown) {
    let failed = |error| tracing::warn!(%error, "a connection to {} could not be accepted", S::NAME);
    let mut connections = accept::each(listener, MAX_CONNECTIONS, &shutdown, failed, |stream| {
        let tls = service.tls()?;
        Some(connection(stream, tls, service.clone(), shutdown.clone()))
    })
    .await;
    let drained = timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
        service.ended().await;
    })
    .await;
    if drained.is_err() {
        tracing::debug!(connections = connections.len(), "cutting connections that did not end");
    }
}

async fn connection<S: TlsService>(stream: TcpStream, tls: Arc<ServerConfig>, service: S, shutdown: Shutdown) {
    // What is sent is small and should not wait for more.
    let _ = stream.set_nodelay(true);
    let peer_address = stream
        .peer_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
    let stream = match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer = peer_address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(peer = peer_address, "TLS handshake took too long");
            return;
        }
    };
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let answering = TowerToHyperService::new(service.router(shown));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answering)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let started = clock::monotonic();
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = result {
        // Usually a client that went away in the middle of a followed log.
        tracing::debug!(peer = peer_address, %error, after = ?started.elapsed(), "connection ended early");
    }
}
