//! A Kubernetes virtual node that runs its pods as container groups of Alibaba Cloud ECI.
//!
//! ```text
//!             desired: one watch per node          pure                     signed, paced, idempotent
//! API server ──► pods::watch ──► pods::refs ──► provider::mapping ──► eci::Client ──► ECI | mock-eci
//! API server ◄── pods::act ◄──── pods::publish ◄── provider::status ◄── pods::poll ◄─── ECI | mock-eci
//! kubectl ──► API server ──► kubelet (TLS 10250) ──► eci::Client
//! ```
//!
//! [`agent`] wires it together; [`pods`] is the heart; [`node`] keeps the Node and its Lease; [`kubelet`] answers kubectl;
//! [`cost`] keeps what it costs; [`object_store`] is where logs are kept and event logs read; [`burst`] says which pods may come, [`caps`] bounds what a namespace may have here
//! and [`budget`] what it may cost; [`leader`] chooses one of several
//! replicas; [`webhook`] shapes pods as they are created; [`relay`] is a program of its own for networks without service addresses.

mod accept;
pub mod agent;
pub mod args;
pub mod budget;
pub mod burst;
pub mod caps;
pub mod chain;
pub mod check;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod cost;
pub mod kube_client;
pub mod kubelet;
pub mod leader;
pub mod metrics;
pub mod net;
pub mod node;
pub mod object_store;
pub mod pods;
pub mod relay;
#[cfg(test)]
mod scripted_api;
pub mod shutdown;
pub mod telemetry;
mod tls_server;
pub mod webhook;
