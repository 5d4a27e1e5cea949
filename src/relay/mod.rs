//! `virtual-node relay`: a stable address for container groups that cannot reach service addresses.
//!
//! ```text
//! group ──TCP 443──► relay ──► an endpoint of default/kubernetes          (TLS passes through untouched)
//! group ──53 UDP, TCP──► relay ──► an endpoint of kube-system/kube-dns    (datagrams and streams pass through untouched)
//!                          ▲
//!          EndpointSlices ─┘ watched, so that new API servers and DNS servers are followed without a restart
//! ```
//!
//! Host aliases and name servers cannot be changed in a running group, so groups are given this address and it is the relay
//! that follows what is behind it.
//!
//! # Guarantees
//! - A connection lives as long as both its ends, whatever happens to the endpoints meanwhile.
//! - While the API server cannot be watched, or names no endpoint, the last known endpoints stay in use.

mod dns;
mod endpoints;
mod tcp;

use anyhow::Context as _;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::config::RelayConfig;
use crate::kube_client;
use crate::metrics::{self, Health, Metrics};
use crate::net::listen;
use crate::shutdown::Shutdown;
use endpoints::{Endpoints, Service};

/// Runs the relay until the shutdown.
///
/// # Errors
/// Only what makes a start impossible: an address that cannot be listened on, a kubeconfig that cannot be used.
pub async fn run(config: RelayConfig, shutdown: Shutdown) -> anyhow::Result<()> {
    let RelayConfig {
        api_listen,
        dns_listen,
        kubeconfig,
        api_servers,
        dns_servers,
        max_connections,
        metrics_listen,
        log: _,
    } = config;
    let metrics = Metrics::new().context("registering metrics")?;
    let health = Health::new();
    let api = Endpoints::new("api", &metrics, &health);
    let dns_udp = Endpoints::new("dns-udp", &metrics, &health);
    let dns_tcp = Endpoints::new("dns-tcp", &metrics, &health);

    let api_listener =
        listen(api_listen).with_context(|| format!("cannot listen on {api_listen} for the API server"))?;
    let dns_listener = listen(dns_listen).with_context(|| format!("cannot listen on TCP {dns_listen} for DNS"))?;
    let dns_socket = UdpSocket::bind(dns_listen)
        .await
        .with_context(|| format!("cannot listen on UDP {dns_listen} for DNS"))?;

    let watch_api = api_servers.is_empty();
    let watch_dns = dns_servers.is_empty();
    if !watch_api {
        api.replace(api_servers);
    }
    if !watch_dns {
        let servers: Vec<_> = dns_servers.into_iter().map(Into::into).collect();
        dns_udp.replace(servers.clone());
        dns_tcp.replace(servers);
    }
    let mut tasks = JoinSet::new();
    if watch_api || watch_dns {
        let settings = kube_client::config(kubeconfig.as_deref()).await?;
        let client = kube_client::client(&settings, None)?;
        if watch_api {
            let service = Service::kubernetes(api.clone());
            tasks.spawn(endless(endpoints::watch(client.clone(), service, shutdown.clone())));
        }
        if watch_dns {
            let service = Service::dns(dns_udp.clone(), dns_tcp.clone());
            tasks.spawn(endless(endpoints::watch(client, service, shutdown.clone())));
        }
    }
    if let Some(listen) = metrics_listen {
        let serving = metrics::serve(listen, metrics.registry().clone(), health, shutdown.clone());
        tasks.spawn(async move { serving.await.context("serving metrics") });
    }
    tracing::info!(api = %api_listen, dns = %dns_listen, "relay open");
    let (limit, stop) = (max_connections, &shutdown);
    tasks.spawn(endless(tcp::forward(
        api_listener,
        api,
        limit,
        metrics.clone(),
        stop.clone(),
    )));
    tasks.spawn(endless(tcp::forward(
        dns_listener,
        dns_tcp,
        limit,
        metrics.clone(),
        stop.clone(),
    )));
    tasks.spawn(endless(dns::forward(dns_socket, dns_udp, limit, metrics, stop.clone())));
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task of the relay ended badly")??;
    }
    Ok(())
}

/// What ends with the shutdown and has no error to tell.
async fn endless(work: impl Future<Output = ()>) -> anyhow::Result<()> {
    work.await;
    Ok(())
}

#[cfg(test)]
mod tests;
