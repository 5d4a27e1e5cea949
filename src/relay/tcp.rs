//! Streams: accepted, connected to an endpoint, and copied both ways until both ends are done.

use std::io;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::endpoints::Endpoints;
use crate::accept;
use crate::config::HostPort;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// For one endpoint; the next is tried then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// At the end, what is on its way may arrive; long-lived connections are cut, as any restart cuts them.
const DRAIN: Duration = Duration::from_secs(5);

/// Forwards until the shutdown. With `max_connections` open, further ones wait to be accepted.
pub(super) async fn forward(
    listener: TcpListener,
    endpoints: Endpoints,
    max_connections: usize,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let failed = |error| tracing::warn!(port = endpoints.port, %error, "a connection could not be accepted");
    let mut connections = accept::each(listener, max_connections, &shutdown, failed, |stream| {
        let (endpoints, metrics) = (endpoints.clone(), metrics.clone());
        Some(async move { connection(stream, &endpoints, &metrics).await })
    })
    .await;
    let _ = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(mut client: TcpStream, endpoints: &Endpoints, metrics: &Metrics) {
    let _active = Active::new(metrics.relay_active.with_label_values(&[endpoints.port]));
    let count = |outcome| {
        metrics
            .relay_forwards
            .with_label_values(&[endpoints.port, outcome])
            .inc()
    };
    let Some(mut server) = connect(endpoints).await else {
        count("unreachable");
        return;
    };
    // Small writes of either side are not to wait for more.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    match copy_bidirectional(&mut client, &mut server).await {
        Ok(_) => count("ok"),
        Err(error) => {
            count("broken");
            tracing::debug!(port = endpoints.port, %error, "connection broke");
        }
    }
}

/// A connection to the first endpoint that accepts one.
async fn connect(endpoints: &Endpoints) -> Option<TcpStream> {
    for endpoint in endpoints.in_turn() {
        let result = timeout(CONNECT_TIMEOUT, connect_to(&endpoint)).await;
        let error = match result {
            Ok(Ok(stream)) => {
                endpoints.note(&endpoint, true);
                return Some(stream);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {CONNECT_TIMEOUT:?}"),
        };
        endpoints.note(&endpoint, false);
        tracing::warn!(
            port = endpoints.port,
            host = endpoint.host,
            error,
            "endpoint does not accept connections"
        );
    }
    None
}

async fn connect_to(endpoint: &HostPort) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((endpoint.host.as_str(), endpoint.port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_keepalive(true)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Counts as one in a gauge for as long as it lives.
pub(super) struct Active(IntGauge);

impl Active {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
