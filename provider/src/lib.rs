//! Pure translation between Kubernetes pods and ECI container groups.
//!
//! ```text
//! Pod, Refs, Settings ──► mapping::map ──► CreateContainerGroup ──► params ──► sign ──► (the wire)
//! PodStatus ◄── status::to_pod_status ◄── ObservedGroup ◄── response ◄────────────────── (the wire)
//! ```
//!
//! Nothing here is async, reads a clock or does IO: every function is a table of inputs and outputs, and CI checks with
//! `cargo tree` that it stays so. The crate knows Kubernetes *types* (k8s-openapi), never an API client.

pub mod annotations;
pub mod billing;
pub mod command;
pub mod error;
pub mod group;
pub mod mapping;
pub mod params;
pub mod pricing;
pub mod request;
pub mod response;
pub mod sign;
pub mod sizes;
pub mod status;
pub mod tags;
pub mod token;
pub mod units;
pub mod written_back;
