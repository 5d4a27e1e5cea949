//! The kubelet API: what `kubectl logs` reaches by way of the API server.
//!
//! ```text
//! TCP ──► server (TLS, connections) ──► auth (who, and may they) ──► routes ──► logs::stream ──► ECI
//! ```
//!
//! Status codes and error bodies are a real kubelet's, route by route: the API server and its clients read them.

pub mod auth;
pub mod logs;
pub mod lookup;
mod routes;
mod server;
pub mod tls;

use std::sync::Arc;

use anyhow::Context as _;

pub use logs::budget::LogBudget;
pub use lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup};
pub use routes::KubeletApi;
pub use server::serve;

use crate::config::{Config, NodeConfig};
use crate::metrics::Metrics;
use crate::net::listen;
use crate::shutdown::Shutdown;
use auth::Auth;
use logs::source::EciLogs;
use logs::stream::LogAccess;
use tls::TlsFiles;

/// Opens the kubelet API of `node` and returns what serves it until the shutdown.
///
/// # Errors
/// The certificate cannot be used or the address not listened on.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a different thing that only the wiring knows"
)]
pub async fn start(
    config: &Config,
    node: &NodeConfig,
    client: kube::Client,
    pods: Arc<dyn PodLookup>,
    eci: eci::Client,
    budget: LogBudget,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    let serving = config
        .tls
        .as_ref()
        .context("--tls-cert-file and --tls-private-key-file are needed")?;
    let files = TlsFiles {
        cert: serving.cert.clone(),
        key: serving.key.clone(),
        client_ca: config.client_ca_file.clone(),
    };
    if files.client_ca.is_none() {
        tracing::warn!(
            node = node.name,
            "without --client-ca-file the kubelet API accepts bearer tokens only: kubectl logs needs the CA that signs the \
             API server's client certificate"
        );
    }
    let tls = tls::follow_files(files)?;
    let listener = listen(node.kubelet_listen)
        .with_context(|| format!("cannot listen on {} for the kubelet API", node.kubelet_listen))?;
    let api = KubeletApi {
        auth: Arc::new(Auth::new(client, node.name.clone())),
        logs: LogAccess {
            source: Arc::new(EciLogs(eci)),
            pods,
            budget,
            metrics: metrics.clone(),
        },
        metrics: metrics.clone(),
    };
    tracing::info!(node = node.name, listen = %node.kubelet_listen, "kubelet API open");
    Ok(serve(listener, tls, api, shutdown.clone()))
}
