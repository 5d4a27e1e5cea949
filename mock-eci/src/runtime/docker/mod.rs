//! Groups as real containers of a Docker Engine API (Docker, Docker Desktop, podman).

use std::{net::IpAddr, sync::Arc};

use super::{Events, Runtime, RuntimeError};
use crate::clock::Clock;

/// Settings of the docker runtime. The engine's address comes from `DOCKER_HOST`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Network of the engine that groups join (`--network`).
    pub network: String,
    /// Routes added in each group (`--route CIDR=GATEWAY`).
    pub routes: Vec<Route>,
}

/// One route inside a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination, such as `172.31.0.0/24`.
    pub destination: String,
    /// Next hop.
    pub gateway: IpAddr,
}

/// Connects to the engine.
///
/// # Errors
/// When the engine does not answer.
pub async fn connect(_config: Config, _clock: Clock, _events: Events) -> Result<Arc<dyn Runtime>, RuntimeError> {
    Err(RuntimeError::Engine {
        action: "connect to the container engine",
        message: "not built in".to_owned(),
    })
}
