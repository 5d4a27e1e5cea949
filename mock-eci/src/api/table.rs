//! Every action of ECI 2018-08-08: which are carried out here, how each may be called and how often.

use super::{Context, Work, actions, error::ApiError, rates::Rate};

/// One action.
#[derive(Debug)]
pub struct Action {
    /// Its name.
    pub name: &'static str,
    /// Whether GET is refused.
    pub post_only: bool,
    /// How often it may be called.
    pub rate: Rate,
    /// What carries it out; none = it exists in ECI and is not supported here.
    pub handler: Option<Handler>,
}

/// Carries out a call.
pub type Handler = fn(Context<'_>) -> Result<Work, ApiError>;

impl Action {
    const fn supported(name: &'static str, rate: Rate, handler: Handler) -> Self {
        Self {
            name,
            post_only: false,
            rate,
            handler: Some(handler),
        }
    }

    const fn post_only(self) -> Self {
        Self {
            post_only: true,
            ..self
        }
    }

    const fn missing(name: &'static str) -> Self {
        Self {
            name,
            post_only: false,
            rate: Rate::Free,
            handler: None,
        }
    }

    /// The one of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ACTIONS.iter().find(|a| a.name == name)
    }
}

/// All of them.
pub static ACTIONS: [Action; 40] = [
    Action::supported(
        "CreateContainerGroup",
        Rate::Bucket,
        actions::create_container_group::call,
    ),
    Action::supported(
        "DeleteContainerGroup",
        Rate::Bucket,
        actions::delete_container_group::call,
    ),
    Action::supported(
        "DescribeContainerGroups",
        Rate::PerMinute(2_000),
        actions::describe_container_groups::call,
    ),
    Action::supported(
        "DescribeContainerGroupStatus",
        Rate::PerMinute(10_000),
        actions::describe_container_group_status::call,
    )
    .post_only(),
    Action::supported(
        "DescribeContainerGroupEvents",
        Rate::PerMinute(10_000),
        actions::describe_container_group_events::call,
    )
    .post_only(),
    Action::supported(
        "DescribeContainerLog",
        Rate::PerMinute(500),
        actions::describe_container_log::call,
    ),
    Action::supported(
        "DescribeContainerGroupPrice",
        Rate::PerMinute(1_000),
        actions::describe_container_group_price::call,
    ),
    Action::supported(
        "DescribeRegions",
        Rate::PerMinute(10_000),
        actions::describe_regions::call,
    ),
    Action::supported("ListUsage", Rate::Free, actions::list_usage::call),
    Action::supported(
        "UpdateContainerGroup",
        Rate::PerMinute(1_000),
        actions::update_container_group::call,
    ),
    Action::supported(
        "RestartContainerGroup",
        Rate::PerMinute(1_000),
        actions::restart_container_group::call,
    ),
    Action::supported(
        "ResizeContainerGroupVolume",
        Rate::PerSecond(100),
        actions::resize_container_group::volume,
    ),
    Action::supported(
        "ExecContainerCommand",
        Rate::PerMinute(500),
        actions::exec_container_command::call,
    ),
    Action::supported("CommitContainer", Rate::PerSecond(100), actions::commits::create),
    Action::supported("DescribeCommitContainerTask", Rate::Free, actions::commits::describe),
    Action::supported(
        "DescribeContainerGroupMetric",
        Rate::PerMinute(2_000),
        actions::describe_container_group_metric::call,
    ),
    Action::supported(
        "DescribeMultiContainerGroupMetric",
        Rate::PerMinute(2_000),
        actions::describe_multi_container_group_metric::call,
    ),
    Action::supported(
        "DescribeAvailableResource",
        Rate::Free,
        actions::describe_available_resource::call,
    ),
    Action::supported("CreateImageCache", Rate::PerMinute(200), actions::image_caches::create),
    Action::supported("UpdateImageCache", Rate::Free, actions::image_caches::update),
    Action::supported("DeleteImageCache", Rate::Free, actions::image_caches::delete),
    Action::supported("DescribeImageCaches", Rate::Free, actions::image_caches::describe),
    Action::supported("CreateDataCache", Rate::Free, actions::data_caches::create),
    Action::supported("UpdateDataCache", Rate::Free, actions::data_caches::update),
    Action::supported("DeleteDataCache", Rate::Free, actions::data_caches::delete),
    Action::supported("CopyDataCache", Rate::Free, actions::data_caches::copy),
    Action::supported("DescribeDataCaches", Rate::Free, actions::data_caches::describe),
    Action::supported("CreateVirtualNode", Rate::Free, actions::virtual_nodes::create),
    Action::supported("UpdateVirtualNode", Rate::Free, actions::virtual_nodes::update),
    Action::supported("DeleteVirtualNode", Rate::Free, actions::virtual_nodes::delete),
    Action::supported("DescribeVirtualNodes", Rate::Free, actions::virtual_nodes::describe),
    Action::supported("CreateInstanceOpsTask", Rate::Free, actions::instance_ops::create),
    Action::supported(
        "DescribeInstanceOpsRecords",
        Rate::Free,
        actions::instance_ops::describe,
    ),
    Action::supported("TagResources", Rate::PerMinute(1_000), actions::tag_resources::tag),
    Action::supported("UntagResources", Rate::PerMinute(1_000), actions::tag_resources::untag),
    Action::supported("ListTagResources", Rate::PerMinute(1_000), actions::tag_resources::list),
    // Older or hidden ones that only old SDKs know.
    Action::supported(
        "DeleteContainerGroups",
        Rate::Bucket,
        actions::delete_container_groups::call,
    )
    .post_only(),
    Action::supported(
        "ResizeContainerGroupEphemeralStorage",
        Rate::PerSecond(100),
        actions::resize_container_group::ephemeral_storage,
    ),
    Action::missing("ExportContainerGroupTemplate"),
    Action::missing("CreateContainerGroupFromTemplate"),
];
