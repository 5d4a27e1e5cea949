//! A serving certificate that the agent looks after itself, for agents that were given none: requested from the cluster, or
//! signed by itself where it was told so; kept in a file, and renewed before it expires.
//!
//! A request is a CertificateSigningRequest for `kubernetes.io/kubelet-serving`. Nobody but an administrator (or a controller
//! they installed) approves these: whoever can approve their own can be any node. Until then the kubelet API is closed, and a
//! log line, an Event on the Node and `virtual-node check` say what to run.

mod pair;
mod request;
mod self_signed;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::chain::chain;
use crate::clock;
use request::RequestError;
use self_signed::SigningError;

pub(crate) use pair::Serving;
pub(super) use pair::files;
pub(crate) use request::{SIGNER, approve_command};

/// After a failure, and between looks at a certificate that is still good.
const PAUSE: Duration = Duration::from_secs(30);
/// After a denial: someone decided, so asking again soon would be begging.
const AFTER_DENIAL: Duration = Duration::from_secs(60 * 60);

/// For whom a certificate is.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The node.
    pub(super) node: String,
    /// Its InternalIP, at which the API server dials.
    pub(super) node_ip: IpAddr,
}

/// Who signs it.
#[derive(Clone)]
pub(super) enum Issuer {
    /// The cluster, once an administrator has approved.
    Cluster(kube::Client),
    /// Nobody but itself.
    Itself,
}

/// Why there is no new certificate.
#[derive(Debug, Error)]
enum KeepError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// Keeps a good certificate and its key in `file` for ever: there is a new one at once when there is none, or none for the
/// address in use, and when the time of the old one comes.
pub(super) async fn keep(issuer: Issuer, subject: Subject, file: PathBuf) {
    loop {
        if pair::good_until(&file, &subject).is_some_and(|until| clock::now() < until) {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let renewed = match &issuer {
            Issuer::Cluster(client) => request::request(client, &subject, &file).await.map_err(KeepError::from),
            Issuer::Itself => self_signed::make(&subject, &file).map_err(KeepError::from),
        };
        let pause = match renewed {
            Ok(()) => {
                tracing::info!(node = subject.node, "there is a new serving certificate");
                continue;
            }
            Err(error) => {
                tracing::warn!(node = subject.node, error = chain(&error), "no new serving certificate");
                match error {
                    KeepError::Request(RequestError::Denied(_)) => AFTER_DENIAL,
                    _ => PAUSE,
                }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
