//! Connections of the kubelet API: accepting, TLS, and an orderly end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::auth::Peer;
use super::routes::KubeletApi;
use super::tls::{Tls, TlsFiles, follow_files};
use crate::clock;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// Connections held at the same time; a followed log is one.
const MAX_CONNECTIONS: usize = 2_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// At the end, what is being answered may be finished; followed logs are cut.
const DRAIN: Duration = Duration::from_secs(2);
/// Accepting fails when file descriptors run out; trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a certificate that was requested is looked for.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(1);

/// While there is no certificate, connections are closed at once, which tells more than letting them wait. `None` = shutdown.
pub(super) async fn refuse_until_ready(
    listener: &TcpListener,
    files: &TlsFiles,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Option<watch::Receiver<Tls>> {
    let mut looks = tokio::time::interval(CERTIFICATE_LOOK);
    loop {
        tokio::select! {
            () = shutdown.triggered() => return None,
            _ = listener.accept() => {}
            _ = looks.tick() => {
                if let Ok(tls) = follow_files(files.clone(), metrics.clone()) {
                    return Some(tls);
                }
            }
        }
    }
}

/// Serves until the shutdown, each connection with the certificate that is current when it begins.
pub async fn serve(listener: TcpListener, tls: watch::Receiver<Tls>, api: KubeletApi, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let streams = api.streams.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.triggered() => break,
            // Ended connections are taken from the set as they end, so that it does not grow.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (tls, api, shutdown) = (tls.clone(), api.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, tls, api, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the kubelet API could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
        // What began as a connection and became streams; the shutdown ends them.
        streams.ended().await;
    })
    .await;
    if drained.is_err() {
        tracing::debug!(connections = connections.len(), "cutting connections that did not end");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: TcpStream, tls: watch::Receiver<Tls>, api: KubeletApi, shutdown: Shutdown) {
    // Log lines are small and should not wait for more.
    let _ = stream.set_nodelay(true);
    let peer_address = stream
        .peer_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
    let acceptor = TlsAcceptor::from(tls.borrow().server.clone());
    let stream = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
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
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let service = TowerToHyperService::new(api.router(Peer::new(chain, tls)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
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

#[cfg(test)]
mod tests;
