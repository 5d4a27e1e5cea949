//! The kubelet API's connections.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::auth::Peer;
use super::routes::KubeletApi;
use super::tls::{Tls, TlsFiles, follow_files};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::tls_server::{self, TlsService};

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
    tls_server::serve(listener, Serving { tls, api }, shutdown).await;
}

/// The kubelet API and its certificate.
#[derive(Clone)]
struct Serving {
    tls: watch::Receiver<Tls>,
    api: KubeletApi,
}

impl TlsService for Serving {
    const NAME: &'static str = "the kubelet API";

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        Some(self.tls.borrow().server.clone())
    }

    fn router(&self, shown: Vec<CertificateDer<'static>>) -> Router {
        self.api.clone().router(Peer::new(shown, self.tls.clone()))
    }

    async fn ended(&self) {
        // What began as a connection and became streams; the shutdown ends them.
        self.api.streams.ended().await;
    }
}

#[cfg(test)]
mod tests;
