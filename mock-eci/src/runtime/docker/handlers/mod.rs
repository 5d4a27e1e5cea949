//! Carries out what probes and life cycle hooks ask for.
//!
//! HTTP and TCP are asked from inside the group's network, through the pause container's busybox: this process may have no
//! way there (Docker Desktop, a remote engine), and the address in use is the one the kubelet would use. A command that
//! outlives its timeout runs on in its container: the engines' API cannot end it.

use std::{net::IpAddr, time::Duration};

mod http;
mod tunnel;

use super::group::Group;
use crate::spec::Handler;

/// Why a probe did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked answered, and not well, or not in time: in the kubelet's words.
    Failed(String),
    /// It could not even be asked. As with the kubelet this says nothing about the container.
    Errored(String),
}

/// Asks a container (its engine name is `container`) how it is.
pub(super) async fn probe(
    group: &Group,
    ip: IpAddr,
    container: &str,
    handler: &Handler,
    timeout: Duration,
) -> Result<(), Failure> {
    match handler {
        Handler::Exec(command) => {
            let executed = tokio::time::timeout(timeout, group.engine().exec(container, command.clone()));
            match executed.await {
                Ok(Ok((0, _))) => Ok(()),
                Ok(Ok((_, output))) => Err(Failure::Failed(output)),
                Ok(Err(error)) => Err(Failure::Errored(error.to_string())),
                Err(_) => Err(Failure::Failed(format!("command {:?} timed out", command.join(" ")))),
            }
        }
        Handler::HttpGet {
            host,
            path,
            port,
            scheme,
            headers,
        } => {
            let target = Target::new(scheme, host, *port, ip);
            match http::get(group, &target, path, headers, timeout).await? {
                status if (200..400).contains(&status) => Ok(()),
                status => Err(Failure::Failed(format!("HTTP probe failed with statuscode: {status}"))),
            }
        }
        Handler::TcpSocket { host, port } => tunnel::knock(group, &host_or(host, ip), *port, timeout).await,
    }
}

/// Runs a life cycle hook.
///
/// The kubelet does not look at the status of an HTTP hook's answer, and neither does this. It does not know TCP hooks,
/// which ECI has; here one succeeds when the port takes the connection.
///
/// # Errors
/// What went wrong, for logs: the kubelet keeps it out of its events.
pub(super) async fn hook(
    group: &Group,
    ip: IpAddr,
    container: &str,
    handler: &Handler,
    timeout: Duration,
) -> Result<(), String> {
    let done = match handler {
        Handler::HttpGet {
            host,
            path,
            port,
            scheme,
            headers,
        } => {
            let target = Target::new(scheme, host, *port, ip);
            http::get(group, &target, path, headers, timeout).await.map(|_| ())
        }
        _ => probe(group, ip, container, handler, timeout).await,
    };
    done.map_err(|failure| match failure {
        Failure::Failed(why) | Failure::Errored(why) => why,
    })
}

/// Whom an HTTP request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    https: bool,
    host: String,
    port: u16,
}

impl Target {
    /// Of a handler in the group with this address.
    fn new(scheme: &str, host: &str, port: u16, ip: IpAddr) -> Self {
        Self {
            https: scheme.eq_ignore_ascii_case("https"),
            host: host_or(host, ip),
            port,
        }
    }
}

fn host_or(host: &str, ip: IpAddr) -> String {
    if host.is_empty() {
        ip.to_string()
    } else {
        host.to_owned()
    }
}
