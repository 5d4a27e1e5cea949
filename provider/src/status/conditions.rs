//! The pod conditions a kubelet owns.

/// Type of a condition this node owns. `PodScheduled` is the scheduler's, and all others are somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The sandbox has its network.
    PodReadyToStartContainers,
    /// All init containers have ended well.
    Initialized,
    /// All containers are ready.
    ContainersReady,
    /// The pod serves: containers and readiness gates.
    Ready,
}

impl Kind {
    /// The word in `conditions[].type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PodReadyToStartContainers => "PodReadyToStartContainers",
            Self::Initialized => "Initialized",
            Self::ContainersReady => "ContainersReady",
            Self::Ready => "Ready",
        }
    }

    /// Reads `conditions[].type`; `None` = not ours.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::PodReadyToStartContainers,
            Self::Initialized,
            Self::ContainersReady,
            Self::Ready,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}
