//! Every annotation read from pods or written back to them. The names are ACK's: users bring their YAML.

/// Prefix of all ECI annotations.
pub const PREFIX: &str = "k8s.aliyun.com/";

// Read from the pod when its group is created; later edits have no effect.

/// Comma-separated vSwitch ids, in place of the node's.
pub const VSWITCH: &str = "k8s.aliyun.com/eci-vswitch";
/// Security group id, in place of the node's.
pub const SECURITY_GROUP: &str = "k8s.aliyun.com/eci-security-group";
/// Resource group id.
pub const RESOURCE_GROUP_ID: &str = "k8s.aliyun.com/eci-resource-group-id";
/// RAM role the group's processes can assume through the metadata service.
pub const RAM_ROLE_NAME: &str = "k8s.aliyun.com/eci-ram-role-name";
/// `NoSpot`, `SpotAsPriceGo` or `SpotWithPriceLimit`.
pub const SPOT_STRATEGY: &str = "k8s.aliyun.com/eci-spot-strategy";
/// Highest price per hour, at most three decimals; with `SpotWithPriceLimit`.
pub const SPOT_PRICE_LIMIT: &str = "k8s.aliyun.com/eci-spot-price-limit";
/// Disk above the 30 GiB that are free, such as `20Gi`.
pub const EXTRA_EPHEMERAL_STORAGE: &str = "k8s.aliyun.com/eci-extra-ephemeral-storage";
/// `key:value,key:value`, at most three tags of the user's own.
pub const CUSTOM_TAGS: &str = "k8s.aliyun.com/eci-custom-tags";
/// `VSwitchOrdered` (the default of this node, whose vSwitches are in order of preference) or `VSwitchRandom`.
pub const SCHEDULE_STRATEGY: &str = "k8s.aliyun.com/eci-schedule-strategy";
/// Up to five sizes, tried in order, in place of what the containers ask for: `2-4Gi,ecs.c6.xlarge`.
pub const USE_SPECS: &str = "k8s.aliyun.com/eci-use-specs";
/// Older name of the same.
pub const INSTANCE_TYPE: &str = "k8s.aliyun.com/eci-instance-type";
/// Whether pay-as-you-go will do when there is no spot stock.
pub const SPOT_FALLBACK: &str = "k8s.aliyun.com/eci-spot-fallback";
/// `api-evict`: on the notice that spot resources are taken back, the pod is evicted.
pub const SPOT_RELEASE_STRATEGY: &str = "k8s.aliyun.com/eci-spot-release-strategy";
/// `fail-back` (default), `fail-over` or `fail-fast`.
pub const FAIL_STRATEGY: &str = "k8s.aliyun.com/eci-fail-strategy";
/// Minutes, 10 to 1440, that a group may be Pending.
pub const MAX_PENDING_MINUTE: &str = "k8s.aliyun.com/eci-max-pending-minute";
/// Whether files of a running group may be renewed although that may restart its containers. Not one of ACK's.
pub const LIVE_UPDATE: &str = "k8s.aliyun.com/eci-live-update";

/// All annotations that change the request, or how the pod lives.
pub const READ: &[&str] = &[
    VSWITCH,
    SECURITY_GROUP,
    RESOURCE_GROUP_ID,
    RAM_ROLE_NAME,
    SPOT_STRATEGY,
    SPOT_PRICE_LIMIT,
    EXTRA_EPHEMERAL_STORAGE,
    CUSTOM_TAGS,
    SCHEDULE_STRATEGY,
    USE_SPECS,
    INSTANCE_TYPE,
    SPOT_FALLBACK,
    SPOT_RELEASE_STRATEGY,
    FAIL_STRATEGY,
    MAX_PENDING_MINUTE,
    LIVE_UPDATE,
];

// Written back to the pod by the agent.

/// `RequestId` of the create call.
pub const REQUEST_ID: &str = "k8s.aliyun.com/eci-request-id";
/// Id of the container group.
pub const INSTANCE_ID: &str = "k8s.aliyun.com/eci-instance-id";
/// The size that is billed, such as `2.0-4.0Gi`.
pub const INSTANCE_SPEC: &str = "k8s.aliyun.com/eci-instance-spec";
/// vCPU that are billed.
pub const INSTANCE_CPU: &str = "k8s.aliyun.com/eci-instance-cpu";
/// GiB that are billed.
pub const INSTANCE_MEM: &str = "k8s.aliyun.com/eci-instance-mem";
/// Zone the group runs in.
pub const INSTANCE_ZONE: &str = "k8s.aliyun.com/eci-instance-zone";
/// `ClientToken` of the create call in effect.
pub const CLIENT_TOKEN: &str = "k8s.aliyun.com/eci-client-token";
/// Number of the create attempt in effect; written before any attempt but the first is made.
pub const CREATE_ATTEMPT: &str = "k8s.aliyun.com/eci-create-attempt";

/// What the files of a group with `eci-live-update` are: a digest, and when their tokens are due to be renewed.
pub const LIVE_FILES: &str = "k8s.aliyun.com/eci-live-files";

/// All annotations the agent writes: found on a pod, they say nothing about what its user wants.
pub const WRITTEN: &[&str] = &[
    REQUEST_ID,
    INSTANCE_ID,
    INSTANCE_SPEC,
    INSTANCE_CPU,
    INSTANCE_MEM,
    INSTANCE_ZONE,
    CLIENT_TOKEN,
    CREATE_ATTEMPT,
    LIVE_FILES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prefixed_and_unique() {
        let mut names: Vec<_> = READ.iter().chain(WRITTEN).collect();
        assert!(names.iter().all(|name| name.starts_with(PREFIX)));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), READ.len() + WRITTEN.len());
    }
}
