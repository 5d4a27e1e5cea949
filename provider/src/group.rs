//! A container group as ECI reports it: decoded, normalised, and independent of which call it came from.
//!
//! Both `DescribeContainerGroups` (full) and `DescribeContainerGroupStatus` (cheap) end in [`ObservedGroup`]; what a call
//! does not carry is `None`, never an invented value.

use jiff::Timestamp;

use crate::written_back::Whereabouts;

/// `Status` of a group. Unknown words are kept, so that a new one is visible and never mistaken for a known one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupStatus {
    /// Being created, resources being found. Not billed.
    Scheduling,
    /// Creation failed; the record goes after 24 h. Not billed.
    ScheduleFailed,
    /// At least one container is starting, none runs yet. Billed.
    Pending,
    /// All containers created, at least one running or restarting. Billed.
    Running,
    /// After RestartContainerGroup. Billed.
    Restarting,
    /// After UpdateContainerGroup. Billed.
    Updating,
    /// Deleted while its containers still end. Billed.
    Terminating,
    /// All containers ended with 0 and will not restart.
    Succeeded,
    /// All containers ended, at least one with non-zero or killed.
    Failed,
    /// Spot resources reclaimed.
    Expired,
    /// A word this version does not know.
    Unknown(String),
}

impl GroupStatus {
    /// Reads the wire's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "Scheduling" => Self::Scheduling,
            "ScheduleFailed" => Self::ScheduleFailed,
            "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Restarting" => Self::Restarting,
            "Updating" => Self::Updating,
            "Terminating" => Self::Terminating,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Expired" => Self::Expired,
            other => Self::Unknown(other.to_owned()),
        }
    }

    /// Whether the group will never run again.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::ScheduleFailed | Self::Succeeded | Self::Failed | Self::Expired
        )
    }

    /// Whether a group that was seen like this cannot be in `earlier` any more: what ends has ended, and what runs does not
    /// look for resources again.
    pub fn has_passed(&self, earlier: &Self) -> bool {
        let waits = matches!(earlier, Self::Scheduling | Self::Pending);
        match self {
            Self::Running | Self::Terminating => waits,
            _ => self.is_terminal() && !earlier.is_terminal() && !matches!(earlier, Self::Unknown(_)),
        }
    }
}

/// One group, as last reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedGroup {
    /// `ContainerGroupId`.
    pub id: String,
    /// `ContainerGroupName` (or `Name` of the cheap call).
    pub name: String,
    /// Its state.
    pub status: GroupStatus,
    /// `IntranetIp` / `PodIp`; `None` until there is one.
    pub pod_ip: Option<String>,
    /// `ZoneId`; only the full call has it.
    pub zone_id: Option<String>,
    /// Where it is and what it is made of; only the full call has it.
    pub whereabouts: Option<Box<Whereabouts>>,
    /// vCPU and GiB bought; only the full call has them.
    pub size: Option<(f64, f64)>,
    /// Tags as key and value. The cheap call has none, but its `uuid`: see [`Self::uuid`].
    pub tags: Vec<(String, String)>,
    /// `uuid` of the cheap call (not proven to be our pod's UID for groups of third parties).
    pub uuid: Option<String>,
    /// `CreationTime`; only the full call has it.
    pub created: Option<Timestamp>,
    /// `StartTime` of the cheap call's pod status.
    pub start_time: Option<Timestamp>,
    /// When it ended (`SucceededTime`, `FailedTime`, `ExpiredTime`).
    pub finished: Option<Timestamp>,
    /// Containers, in the API's order.
    pub containers: Vec<ObservedContainer>,
    /// Init containers; `None` = the call does not report them.
    pub init_containers: Option<Vec<ObservedContainer>>,
    /// Conditions of the cheap call.
    pub conditions: Vec<ObservedCondition>,
}

impl ObservedGroup {
    /// The value of tag `key`.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// A container of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedContainer {
    /// `Name`.
    pub name: String,
    /// `Image`.
    pub image: String,
    /// `ImageID`, often empty.
    pub image_id: String,
    /// `Ready`.
    pub ready: bool,
    /// `Started` of the cheap call.
    pub started: Option<bool>,
    /// `RestartCount`.
    pub restart_count: i32,
    /// Where it is now.
    pub state: ContainerState,
    /// Its previous run.
    pub last_state: Option<ContainerState>,
}

/// State of a container.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    /// Not started yet, or between runs.
    Waiting {
        /// Such as `ContainerCreating`, `ImagePullBackOff`.
        reason: String,
        /// For people.
        message: String,
    },
    /// Running since.
    Running {
        /// Start.
        started_at: Option<Timestamp>,
    },
    /// Ended.
    Terminated {
        /// Exit code; -1 where ECI reports none.
        exit_code: i32,
        /// Signal, 0 = none.
        signal: i32,
        /// Such as `Completed`, `Error`, `OOMKilled`.
        reason: String,
        /// Termination message.
        message: String,
        /// Start.
        started_at: Option<Timestamp>,
        /// End.
        finished_at: Option<Timestamp>,
    },
}

/// A condition of the cheap call's pod status, such as `ContainerInstanceCreated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCondition {
    /// Type.
    pub type_: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
    /// Last transition.
    pub last_transition: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::GroupStatus as Status;

    #[test]
    fn a_group_does_not_go_back() {
        for (seen, later) in [
            (Status::Running, Status::Pending),
            (Status::Terminating, Status::Scheduling),
            (Status::Failed, Status::Running),
            (Status::ScheduleFailed, Status::Scheduling),
        ] {
            assert!(seen.has_passed(&later), "{seen:?} {later:?}");
            assert!(!later.has_passed(&seen), "{later:?} {seen:?}");
        }
        // What is updated may wait again, and what is not known proves nothing.
        assert!(!Status::Updating.has_passed(&Status::Pending));
        assert!(!Status::Running.has_passed(&Status::Updating));
        assert!(!Status::Failed.has_passed(&Status::Unknown("News".to_owned())));
    }
}
