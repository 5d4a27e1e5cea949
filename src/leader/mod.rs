//! Which of several replicas works: a Lease in the cluster names it, the others stand by.
//!
//! ```text
//! Lease ──read──► election (pure: whose is it, and until when) ──► campaign ──► Leadership ──► the agent's lanes
//!   ▲                                                                 │
//!   └──────────────── take, renew, release (resourceVersion) ─────────┘
//! ```
//!
//! The rules are those of Kubernetes' own components (client-go): a Lease is taken only when it was seen unchanged for its
//! whole duration *by this process's own clock*, so that clocks which differ between machines do no harm; every write names the
//! `resourceVersion` that was read, so that of two takers one wins; and a holder that cannot renew gives up well before
//! others may take over.

mod campaign;
mod election;

use std::fs;
use std::time::Duration;

pub use campaign::{Leadership, campaign};

/// Names and times of an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSettings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease; replicas with the same name elect one among them.
    pub name: String,
    /// This replica, unlike any other, also unlike itself after a restart.
    pub identity: String,
    /// The times.
    pub times: Times,
}

/// Times of an election. The sum of `duration` and `look`, and the start of the lanes, is what a take-over takes after the
/// leader was killed; after an orderly end it is `look` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long others wait after the last renewal they saw; at least a second, in whole seconds.
    pub duration: Duration,
    /// How long the holder tries to renew before it gives up; shorter than `duration`.
    pub deadline: Duration,
    /// Between two renewals.
    pub renew: Duration,
    /// Between two looks of those who stand by.
    pub look: Duration,
}

impl Default for Times {
    /// A take-over within 15 s, for a write every two seconds.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(10),
            deadline: Duration::from_secs(7),
            renew: Duration::from_secs(2),
            look: Duration::from_secs(1),
        }
    }
}

/// Where the kubelet puts the namespace of the pod this runs in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const DEFAULT_NAMESPACE: &str = "kube-system";
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The namespace of the Lease: as set, else that of the pod this runs in, else `kube-system`.
pub fn namespace_of(set: Option<&str>) -> String {
    let own = || text_of(NAMESPACE_FILE).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    set.map_or_else(own, str::to_owned)
}

/// A name for this process: the host's (in a pod, the pod's), and what makes it unlike the one before it.
pub fn identity() -> String {
    let host = text_of(HOSTNAME_FILE).unwrap_or_else(|| "virtual-node".to_owned());
    format!("{host}_{:016x}", rand::random::<u64>())
}

fn text_of(file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
