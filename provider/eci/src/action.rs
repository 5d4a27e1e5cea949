//! The actions this client knows.

use std::fmt;

/// An action of the ECI OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Creates a group.
    CreateContainerGroup,
    /// Deletes a group.
    DeleteContainerGroup,
    /// Changes a group that runs.
    UpdateContainerGroup,
    /// Reads groups in full.
    DescribeContainerGroups,
    /// Reads the status of groups, cheaply.
    DescribeContainerGroupStatus,
    /// Reads events of groups.
    DescribeContainerGroupEvents,
    /// Reads what groups use.
    DescribeMultiContainerGroupMetric,
    /// Reads a container's log.
    DescribeContainerLog,
    /// Runs a command in a container.
    ExecContainerCommand,
    /// Asks for a price.
    DescribeContainerGroupPrice,
    /// Lists regions.
    DescribeRegions,
    /// Reads quotas and use.
    ListUsage,
}

impl Action {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::CreateContainerGroup,
        Self::DeleteContainerGroup,
        Self::UpdateContainerGroup,
        Self::DescribeContainerGroups,
        Self::DescribeContainerGroupStatus,
        Self::DescribeContainerGroupEvents,
        Self::DescribeMultiContainerGroupMetric,
        Self::DescribeContainerLog,
        Self::ExecContainerCommand,
        Self::DescribeContainerGroupPrice,
        Self::DescribeRegions,
        Self::ListUsage,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateContainerGroup => "CreateContainerGroup",
            Self::DeleteContainerGroup => "DeleteContainerGroup",
            Self::UpdateContainerGroup => "UpdateContainerGroup",
            Self::DescribeContainerGroups => "DescribeContainerGroups",
            Self::DescribeContainerGroupStatus => "DescribeContainerGroupStatus",
            Self::DescribeContainerGroupEvents => "DescribeContainerGroupEvents",
            Self::DescribeMultiContainerGroupMetric => "DescribeMultiContainerGroupMetric",
            Self::DescribeContainerLog => "DescribeContainerLog",
            Self::ExecContainerCommand => "ExecContainerCommand",
            Self::DescribeContainerGroupPrice => "DescribeContainerGroupPrice",
            Self::DescribeRegions => "DescribeRegions",
            Self::ListUsage => "ListUsage",
        }
    }

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether a request can have an effect. Of one that cannot, no outcome is unknown: it just failed. (A command is not run
    /// before somebody connects to it.)
    pub(crate) fn has_effect(self) -> bool {
        matches!(
            self,
            Self::CreateContainerGroup | Self::DeleteContainerGroup | Self::UpdateContainerGroup
        )
    }

    /// Whether a request names an existing group, so that "not found" can mean that group.
    pub(crate) fn names_a_group(self) -> bool {
        match self {
            Self::DeleteContainerGroup
            | Self::UpdateContainerGroup
            | Self::DescribeContainerLog
            | Self::ExecContainerCommand
            | Self::DescribeContainerGroups
            | Self::DescribeContainerGroupStatus
            | Self::DescribeContainerGroupEvents
            | Self::DescribeMultiContainerGroupMetric => true,
            Self::CreateContainerGroup
            | Self::DescribeContainerGroupPrice
            | Self::DescribeRegions
            | Self::ListUsage => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for (i, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, i, "tables are indexed by it");
            assert_eq!(Action::from_name(action.name()), Some(action));
        }
        assert_eq!(Action::from_name("createcontainergroup"), None);
    }
}
