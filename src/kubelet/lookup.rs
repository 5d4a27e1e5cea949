//! What the kubelet API needs to know of the node's pods; the pods' side implements it.

use std::net::IpAddr;

/// Finds the pods of one node.
pub trait PodLookup: Send + Sync {
    /// The pod of that namespace and name, and of that UID if one is given. `None` = no such pod on this node.
    fn group_of(&self, namespace: &str, pod: &str, uid: Option<&str>) -> Option<PodEntry>;

    /// Where the pod of that UID is in its life.
    fn stage(&self, uid: &str) -> Stage {
        let _ = uid;
        Stage::Going
    }
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing ends it.
    Going,
    /// Its deletion was asked for.
    Ending,
    /// Nothing of it runs any more.
    Over,
}

/// A pod, as far as the kubelet API is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEntry {
    /// UID.
    pub uid: String,
    /// Its container group; `None` = not created yet.
    pub group_id: Option<String>,
    /// Its address; `None` = it has none yet.
    pub ip: Option<IpAddr>,
    /// Containers and init containers, in the spec's order.
    pub containers: Vec<ContainerEntry>,
}

impl PodEntry {
    /// The container (or init container) of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerEntry> {
        self.containers.iter().find(|container| container.name == name)
    }
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEntry {
    /// Name.
    pub name: String,
    /// Where it is now.
    pub state: ContainerRun,
    /// How often it was started again; changes when a new run begins.
    pub restart_count: i32,
    /// Whether a previous run ended, so that `--previous` has something to show.
    pub has_previous: bool,
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerRun {
    /// Not started yet, or between two runs, for that reason (`ContainerCreating`, `ImagePullBackOff` …).
    Waiting {
        /// Reason of the waiting state; empty where unknown.
        reason: String,
    },
    /// Running.
    Running,
    /// Ended.
    Terminated,
}
