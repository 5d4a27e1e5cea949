//! Clients of the API server.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A connection that takes longer goes nowhere.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection settings, from a kubeconfig file or, without one, from the service account of the pod this runs in.
///
/// # Errors
/// The file cannot be read or understood, or this runs in no pod.
pub async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("cannot use the kubeconfig {}", path.display()))?
        }
        None => Config::incluster()
            .context("no --kubeconfig was given, and this does not run in a pod with a service account")?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(config)
}

/// A client, by impersonation of `user` if one is named.
///
/// # Errors
/// The certificates or tokens named by `config` cannot be used.
pub fn client_as(config: &Config, user: Option<&str>) -> anyhow::Result<Client> {
    let mut config = config.clone();
    config.auth_info.impersonate = user.map(str::to_owned);
    Client::try_from(config).context("cannot make a client of the API server")
}

/// A client. With `as_node`, it acts as `system:node:<as_node>` in `system:nodes` by impersonation, so that the Node
/// authorizer and NodeRestriction confine it to that node's own pods.
///
/// # Errors
/// The certificates or tokens named by `config` cannot be used.
pub fn client(config: &Config, as_node: Option<&str>) -> anyhow::Result<Client> {
    let mut config = config.clone();
    if let Some(node) = as_node {
        config.auth_info.impersonate = Some(format!("system:node:{node}"));
        config.auth_info.impersonate_groups = Some(vec!["system:nodes".to_owned()]);
    }
    Client::try_from(config).context("cannot make a client of the API server")
}
