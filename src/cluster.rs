//! What the agent asks the cluster once, at its start.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};

use crate::chain::chain;
use crate::shutdown::Shutdown;

/// The first minor version of Kubernetes whose API server streams lists by default.
const FIRST_TO_STREAM_LISTS: u32 = 34;
/// Pause between tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What the cluster said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Whether a watch can begin with a streamed list.
    pub streams_lists: bool,
    /// Address and port of the Service `default/kubernetes`, which every container finds in its environment.
    pub kubernetes_service: (String, u16),
}

/// Asks until the API server answers; a shutdown ends the waiting with what there is.
pub async fn ask(client: &Client, shutdown: &Shutdown) -> Cluster {
    loop {
        match try_ask(client).await {
            Ok(cluster) => return cluster,
            Err(error) => tracing::warn!(error = chain(&error), "the API server does not answer yet; will retry"),
        }
        if shutdown.race(tokio::time::sleep(PAUSE)).await.is_none() {
            return Cluster::default();
        }
    }
}

/// Asks for nothing but whether a watch can begin with a streamed list.
pub async fn streams_lists(client: &Client, shutdown: &Shutdown) -> bool {
    loop {
        match version(client).await {
            Ok(streams) => return streams,
            Err(error) => tracing::warn!(error = chain(&error), "the API server does not answer yet; will retry"),
        }
        if shutdown.race(tokio::time::sleep(PAUSE)).await.is_none() {
            return false;
        }
    }
}

async fn version(client: &Client) -> Result<bool, kube::Error> {
    let version = client.apiserver_version().await?;
    let minor: String = version.minor.chars().take_while(char::is_ascii_digit).collect();
    Ok(minor.parse::<u32>().is_ok_and(|minor| minor >= FIRST_TO_STREAM_LISTS))
}

async fn try_ask(client: &Client) -> Result<Cluster, kube::Error> {
    Ok(Cluster {
        streams_lists: version(client).await?,
        kubernetes_service: kubernetes_service(client).await?,
    })
}

/// Address and port of the Service `default/kubernetes`.
///
/// # Errors
/// The API server did not say.
pub async fn kubernetes_service(client: &Client) -> Result<(String, u16), kube::Error> {
    let api: Api<Service> = Api::namespaced(client.clone(), "default");
    let spec = api
        .get_opt("kubernetes")
        .await?
        .and_then(|service| service.spec)
        .unwrap_or_default();
    let port = spec.ports.iter().flatten().next().map_or(443, |port| port.port);
    Ok((spec.cluster_ip.unwrap_or_default(), u16::try_from(port).unwrap_or(443)))
}
