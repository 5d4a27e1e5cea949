//! From parameters to what the domain takes, with all validation: a [`GroupSpec`](crate::spec::GroupSpec) by one file per
//! section of `CreateContainerGroup`, and one file per family of the account's other resources.

mod caches;
mod container;
mod group;
mod network;
mod ops;
mod purchase;
mod resource;
mod update;
mod virtual_node;
mod volume;

pub(super) use caches::{data_cache_change, data_cache_spec, image_cache_change, image_cache_spec, which_data_cache};
pub(super) use group::{Region, group_spec, tags};
pub(super) use ops::{ops_order, ops_type};
pub(super) use purchase::{known_type, spot};
pub(super) use resource::{resource_filter, text};
pub(super) use update::updated_spec;
pub(super) use virtual_node::{virtual_node_change, virtual_node_spec};
