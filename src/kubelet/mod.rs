//! The kubelet API: what `kubectl logs` reaches by way of the API server.

pub mod lookup;

pub use lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup};
