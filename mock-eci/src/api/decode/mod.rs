//! From parameters to what the domain takes, with all validation: a [`GroupSpec`](crate::spec::GroupSpec) by one file per
//! section of `CreateContainerGroup`, and one file per family of the account's other resources.

mod caches;
mod container;
mod group;
mod ops;
mod resource;
mod update;
mod virtual_node;
mod volume;

pub(super) use caches::{data_cache_change, data_cache_spec, image_cache_change, image_cache_spec, which_data_cache};
pub(super) use group::{Region, group_spec, tags};
pub(super) use ops::{ops_order, ops_type};
pub(super) use resource::{resource_filter, text};
pub(super) use update::updated_spec;
pub(super) use virtual_node::{virtual_node_change, virtual_node_spec};

/// Bounds of the gateway and of the product. The tighter limits the documents mention (environment values of 256
/// characters, 20 command items, 10 arguments) are not enforced: whether ECI does is not known, and Kubernetes pods
/// exceed them all the time.
mod bounds {
    /// Containers of each kind.
    pub(super) const CONTAINERS: usize = 20;
    /// Volumes.
    pub(super) const VOLUMES: usize = 20;
    /// Tags.
    pub(super) const TAGS: usize = 20;
    /// Items of `Command` and `Arg`.
    pub(super) const ARGUMENTS: usize = 100;
    /// Environment variables of a container.
    pub(super) const VARIABLES: usize = 240;
    /// Mounts of a container.
    pub(super) const MOUNTS: usize = 100;
    /// Ports of a container.
    pub(super) const PORTS: usize = 100;
    /// Host aliases, and names of one of them.
    pub(super) const HOST_ALIASES: usize = 100;
    /// Names of a host alias.
    pub(super) const HOST_NAMES: usize = 50;
    /// Entries of each list of `DnsConfig`.
    pub(super) const DNS: usize = 20;
    /// Logins of image registries.
    pub(super) const CREDENTIALS: usize = 10;
    /// Kernel parameters.
    pub(super) const SYSCTLS: usize = 100;
    /// Files of a volume.
    pub(super) const FILES: usize = 90;
    /// Bytes of one file.
    pub(super) const FILE_BYTES: usize = 32 * 1024;
    /// Bytes of all files of a volume.
    pub(super) const VOLUME_BYTES: usize = 60 * 1024;
}
