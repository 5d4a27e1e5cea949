//! What figures need to know of the node's pods; the pods' side implements it.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells which pods of one node run, according to the cloud.
pub trait RunningPods: Send + Sync {
    /// Pods of which at least one container runs.
    fn running(&self) -> Vec<RunningPod>;
}

/// A pod that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningPod {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// UID.
    pub uid: Box<str>,
    /// Its container group.
    pub group_id: Arc<str>,
    /// When its group began.
    pub started: Option<Timestamp>,
    /// Its containers that run, init containers among them.
    pub containers: Vec<RunningContainer>,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningContainer {
    /// Name.
    pub name: Box<str>,
    /// Image, as the pod names it.
    pub image: Box<str>,
    /// When this run began.
    pub started: Option<Timestamp>,
    /// How often it was started again.
    pub restart_count: i32,
}
