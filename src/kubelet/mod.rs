//! The kubelet API: what `kubectl logs`, `exec`, `attach` and `port-forward` reach by way of the API server.
//!
//! ```text
//! TCP ──► server (TLS, connections) ──► auth (who, and may they) ──► routes ─┬─► logs::stream ──► ECI
//!                                                                            └─► streams ───────► ECI, pods
//! ```
//!
//! Status codes and error bodies are a real kubelet's, route by route: the API server and its clients read them.

pub mod auth;
mod certificate;
pub mod logs;
pub mod lookup;
mod routes;
mod server;
pub mod streams;
pub mod tls;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

pub use logs::budget::LogBudget;
pub use lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup};
pub use routes::KubeletApi;
pub use server::serve;

use crate::config::{Config, NodeConfig, ServingFiles};
use crate::metrics::Metrics;
use crate::net::listen;
use crate::shutdown::Shutdown;
use auth::Auth;
use certificate::Subject;
use logs::source::EciLogs;
use logs::stream::LogAccess;
use streams::Streams;
use streams::exec::EciCommands;
use tls::{Tls, TlsFiles};

/// Where the serving certificate comes from.
enum Certificate {
    /// From files of the administrator.
    Given(watch::Receiver<Tls>),
    /// From the cluster, into these files.
    Requested(TlsFiles),
}

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
    let client_ca = config.client_ca_file.clone();
    if client_ca.is_none() {
        tracing::warn!(
            node = node.name,
            "without --client-ca-file the kubelet API accepts bearer tokens only: kubectl logs needs the CA that signs the \
             API server's client certificate"
        );
    }
    let listener = listen(node.kubelet_listen)
        .with_context(|| format!("cannot listen on {} for the kubelet API", node.kubelet_listen))?;
    let certificate = match &config.tls {
        Some(ServingFiles { cert, key }) => {
            let files = TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca,
            };
            Certificate::Given(tls::follow_files(files, metrics.clone())?)
        }
        None => {
            let file = |extension| config.cert_dir.join(format!("{}.{extension}", node.name));
            Certificate::Requested(TlsFiles {
                cert: file("crt"),
                key: file("key"),
                client_ca,
            })
        }
    };
    let subject = Subject {
        node: node.name.clone(),
        node_ip: node.node_ip,
    };
    let commands = Arc::new(EciCommands(eci.clone()));
    let logs = LogAccess {
        source: Arc::new(EciLogs(eci)),
        pods,
        budget,
        metrics: metrics.clone(),
    };
    let api = KubeletApi {
        auth: Arc::new(Auth::new(client.clone(), node.name.clone())),
        streams: Streams::new(commands, logs.clone(), metrics.clone(), shutdown.clone()),
        logs,
        configz: Arc::new(routes::configz(config, node)),
        metrics: metrics.clone(),
    };
    let (name, listen, shutdown) = (node.name.clone(), node.kubelet_listen, shutdown.clone());
    Ok(async move {
        match certificate {
            Certificate::Given(tls) => {
                tracing::info!(node = name, %listen, "kubelet API open");
                serve(listener, tls, api, shutdown).await;
            }
            Certificate::Requested(files) => {
                let keeping = certificate::keep(client, subject, files.clone());
                let serving = async {
                    if let Some(tls) = server::refuse_until_ready(&listener, &files, &api.metrics, &shutdown).await {
                        tracing::info!(node = name, %listen, "kubelet API open");
                        serve(listener, tls, api, shutdown.clone()).await;
                    }
                };
                // Requesting never ends by itself; serving ends with the shutdown.
                tokio::select! {
                    () = keeping => {}
                    () = serving => {}
                }
            }
        }
    })
}
