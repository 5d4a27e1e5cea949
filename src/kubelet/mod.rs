//! The kubelet API: what `kubectl logs`, `exec`, `attach` and `port-forward` reach by way of the API server.
//!
//! ```text
//! TCP ──► server (TLS, connections) ──► paths ──► auth (who, may they) ──► routes ─┬─► logs::stream ──► ECI
//!                                                                                  ├─► streams ───────► ECI, pods
//!                                                                                  └─► figures ───────► ECI, API server
//! ```
//!
//! Status codes and error bodies are a real kubelet's, route by route: the API server and its clients read them.

pub mod auth;
mod certificate;
pub mod figures;
pub mod logs;
pub mod lookup;
pub(crate) mod probe;
mod routes;
mod server;
pub mod streams;
pub mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

pub(crate) use certificate::{SIGNER, Serving, approve_command};
pub use figures::Figures;
pub use logs::archive;
pub use logs::budget::LogBudget;
pub use logs::source::EciLogs;
pub use logs::stream::LogAccess;
pub use lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup, Stage};
pub use routes::KubeletApi;
pub use server::serve;

use crate::config::{Config, NodeConfig, ServingCertificate, ServingFiles};
use crate::metrics::Metrics;
use crate::net::listen;
use crate::shutdown::Shutdown;
use auth::Auth;
use certificate::{Issuer, Subject};
use streams::Streams;
use streams::exec::EciCommands;
use tls::TlsFiles;

/// Looks after the serving certificate of `node`, if the agent is to; without end. A replica that waits for its turn does so
/// too: it has an address of its own, and whoever approves its request need not be awake when its turn comes.
pub async fn keep_certificate(config: &Config, node: &NodeConfig, client: kube::Client) {
    let issuer = match &config.serving {
        ServingCertificate::Files(_) => return,
        ServingCertificate::Request => Issuer::Cluster(client),
        ServingCertificate::SelfSigned => Issuer::Itself,
    };
    let subject = Subject {
        node: node.name.clone(),
        node_ip: node.node_ip,
    };
    certificate::keep(issuer, subject, certificate_file(config, node)).await;
}

fn certificate_file(config: &Config, node: &NodeConfig) -> PathBuf {
    config.cert_dir.join(format!("{}.pem", node.name))
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
    logs: LogAccess,
    eci: eci::Client,
    figures: Figures,
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
    let (files, given) = match &config.serving {
        ServingCertificate::Files(ServingFiles { cert, key }) => {
            let files = TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca,
            };
            let given = tls::follow_files(files.clone(), metrics.clone())?;
            (files, Some(given))
        }
        ServingCertificate::Request | ServingCertificate::SelfSigned => {
            let file = certificate_file(config, node);
            (certificate::files(&file, client_ca.as_deref()), None)
        }
    };
    let commands = Arc::new(EciCommands(eci));
    let api = KubeletApi {
        auth: Arc::new(Auth::new(client.clone(), node.name.clone())),
        streams: Streams::new(commands, logs.clone(), metrics.clone(), shutdown.clone())
            .with_idle_timeout(config.streaming_idle_timeout),
        logs,
        figures,
        configz: Arc::new(routes::configz(config, node)),
        metrics: metrics.clone(),
    };
    let (name, listen, shutdown) = (node.name.clone(), node.kubelet_listen, shutdown.clone());
    Ok(async move {
        let tls = match given {
            Some(tls) => Some(tls),
            // One that is being kept comes when it comes.
            None => server::refuse_until_ready(&listener, &files, &api.metrics, &shutdown).await,
        };
        if let Some(tls) = tls {
            tracing::info!(node = name, %listen, "kubelet API open");
            serve(listener, tls, api, shutdown).await;
        }
    })
}
