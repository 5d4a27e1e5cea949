//! Pod to container group. A pure function of the pod, the objects it names and the node's settings.
//!
//! Every field of the pod is *mapped* (ECI has a parameter), *resolved* (the agent computes a value and ECI never sees the
//! field), *weakened* (it only tightens security or only advises, and ECI has no parameter), *refused* (with its path and
//! advice), or the business of scheduler and API server. `docs/mapping.md` lists them. Kubernetes' structs are taken
//! apart without `..`, so that a field a new Kubernetes version adds does not compile until someone has decided.

mod annotated;
mod candidates;
mod containers;
mod downward;
mod env;
mod expand;
mod files;
mod group_options;
mod limits;
mod live;
mod names;
mod network;
mod options;
mod placement;
mod pod;
mod probes;
pub mod quantity;
mod references;
mod registry;
mod rejection;
mod resources;
mod security;
mod services;
mod sidecars;
mod storage;
mod volumes;
pub mod zones;

use k8s_openapi::api::core::v1::Pod;

pub use self::candidates::{Candidate, Candidates, Spec, candidates};
pub use self::live::{LiveFiles, live_files};
pub use self::options::{FailStrategy, LIFE_ANNOTATIONS, LifeOptions, SpotRelease};
use self::pod::Context;
pub use self::references::{Ref, References, Refs, TokenRef, references};
pub use self::rejection::{Rejection, RejectionKind, Rejections, Warning, Weakened};
pub use self::services::{ServiceLink, ServicePort};
pub use self::zones::{OtherZone, Ties};
use crate::annotations;
use crate::pricing::PriceList;
use crate::request::{CreateContainerGroup, ScheduleStrategy};
use crate::sizes::Size;
use crate::units::{MiB, MilliCpu};

/// What the mapping needs to know of the node; one value per virtual node, the same for all its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Name of the node; also in the ownership tags.
    pub node_name: String,
    /// The node's InternalIP: `status.hostIP` of its pods.
    pub node_ip: String,
    /// Region id, such as `cn-hangzhou`.
    pub region_id: String,
    /// vSwitches in order of preference; an annotation can replace them.
    pub vswitch_ids: Vec<String>,
    /// In which order they are tried; an annotation can replace it.
    pub schedule_strategy: ScheduleStrategy,
    /// Other zones, in which pods that nothing ties to the node's own are tried when it has no stock.
    pub other_zones: Vec<OtherZone>,
    /// Security group; an annotation can replace it.
    pub security_group_id: String,
    /// Resource group, empty = the account's default; an annotation can replace it.
    pub resource_group_id: String,
    /// Zone, empty = the system picks.
    pub zone_id: String,
    /// Id of the cluster: in the ownership tags and in every ClientToken.
    pub cluster_id: String,
    /// DNS domain of the cluster, usually `cluster.local`.
    pub cluster_domain: String,
    /// Addresses of the cluster's DNS, at most three; not used in relay mode.
    pub cluster_dns: Vec<String>,
    /// Whether service VIPs route inside a group.
    pub service_vips: ServiceVips,
    /// VIP and port of the Service `kubernetes`; not used in relay mode.
    pub kubernetes_service: (String, u16),
    /// What becomes of wishes ECI cannot enforce.
    pub unenforceable: Unenforceable,
    /// Prices by which the cheapest size is chosen.
    pub prices: PriceList,
}

/// Whether service VIPs route inside a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServiceVips {
    /// They do, as in ACK.
    #[default]
    Routed,
    /// They do not: the API server is reached at its real endpoint, `kubernetes.default.svc` and DNS at the relay.
    Relay {
        /// Stable address of the relay, which answers on 443 and 53.
        ip: String,
        /// Host of the API server's real endpoint, an address or a name.
        api_server_host: String,
        /// Its port.
        api_server_port: u16,
    },
}

/// What becomes of a wish that ECI has no parameter for and that only tightens security or advises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unenforceable {
    /// Accept the pod and say so.
    #[default]
    Warn,
    /// Refuse the pod.
    Refuse,
}

/// A pod as a create request, and what its owner should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// The request, placement included.
    pub request: CreateContainerGroup,
    /// Wishes that are not enforced; empty with [`Unenforceable::Refuse`].
    pub weakened: Vec<Weakened>,
    /// Values beyond ECI's documented limits, and parts of the pod without effect.
    pub warnings: Vec<Warning>,
    /// The size that will be bought.
    pub size: Size,
    /// What the pod asked for; below `size` = it was rounded up.
    pub asked: (MilliCpu, MiB),
    /// The way in which the group is bought.
    pub candidate: Candidate,
}

/// What a create of a pod asks for, without what the pod refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// As [`Mapped::asked`].
    pub asked: Size,
    /// Instance type, where it is bought by that.
    pub instance_type: Option<String>,
    /// Whether it is bought on the spot market.
    pub is_spot: bool,
}

/// What [`map_candidate`] asks for; none of a pod without a spec.
pub fn purchase(pod: &Pod, settings: &Settings, candidate: usize) -> Option<Purchase> {
    pod::purchase(pod, settings, candidate)
}

/// Maps `pod` for its create attempt number `attempt` (0 = the first), bought in the first of its [`candidates`].
///
/// # Errors
/// All [`Rejection`]s at once. [`Rejections::is_retryable`] tells waiting from giving up.
pub fn map(pod: &Pod, refs: &Refs, settings: &Settings, attempt: u32) -> Result<Mapped, Rejections> {
    map_candidate(pod, refs, settings, attempt, 0)
}

/// As [`map`], bought in the candidate number `candidate`; an index beyond the last begins anew, so that a caller may count
/// on without knowing how many there are.
///
/// How a caller uses it: a pod whose create is refused for want of stock is sent again as the next candidate that is more than
/// another turn of the same ([`Candidates::turns`]); when all of them were refused, once more from the first after a pause ([`FailStrategy::FailBack`]) or not at all
/// ([`FailStrategy::FailFast`]). Two candidates are two requests, and ECI refuses another request under a token it has
/// seen: once a create of an attempt may have taken effect (its outcome is unknown, or its group was there and got no
/// resources) the next candidate needs the next attempt. After a refusal the token is free.
///
/// # Errors
/// As [`map`]. A pod is refused for the same reasons whichever candidate is asked for.
pub fn map_candidate(
    pod: &Pod,
    refs: &Refs,
    settings: &Settings,
    attempt: u32,
    candidate: usize,
) -> Result<Mapped, Rejections> {
    pod::map(pod, refs, settings, attempt, candidate)
}
