//! One file per action, or per family of the account's other resources: parse, call the domain, format.

pub(super) mod commits;
pub(super) mod create_container_group;
pub(super) mod data_caches;
pub(super) mod delete_container_group;
pub(super) mod delete_container_groups;
pub(super) mod describe_available_resource;
pub(super) mod describe_container_group_events;
pub(super) mod describe_container_group_metric;
pub(super) mod describe_container_group_price;
pub(super) mod describe_container_group_status;
pub(super) mod describe_container_groups;
pub(super) mod describe_container_log;
pub(super) mod describe_multi_container_group_metric;
pub(super) mod describe_regions;
pub(super) mod exec_container_command;
pub(super) mod image_caches;
pub(super) mod instance_ops;
pub(super) mod list_usage;
mod listing;
pub(super) mod resize_container_group;
pub(super) mod restart_container_group;
pub(super) mod tag_resources;
pub(super) mod update_container_group;
pub(super) mod virtual_nodes;
