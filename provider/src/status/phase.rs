//! The phase of a pod.

/// `status.phase`, in the order in which a pod goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Accepted, not all containers have started.
    Pending,
    /// At least one container runs or is being restarted.
    Running,
    /// All containers ended with 0 and will not be restarted.
    Succeeded,
    /// All containers ended, at least one of them badly.
    Failed,
}

impl Phase {
    /// The word in `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Reads `status.phase`; `None` for `Unknown` and anything new.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|phase| phase.as_str() == word)
    }

    /// Whether the pod is over. A terminal phase never changes.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}
