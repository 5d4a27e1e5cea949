//! Every annotation read from pods or written back to them. The names are ACK's: users bring their YAML.

/// Prefix of all ECI annotations.
pub const PREFIX: &str = "k8s.aliyun.com/";

// Read from the pod when its group is created; later edits have no effect.

/// What the pod's application may cost on virtual nodes, such as `12.50` or `100/day`. Read whenever it changes.
pub const BUDGET: &str = "k8s.aliyun.com/eci-budget";
/// What follows when that is spent: `warn`, `hold` or `stop`. Read whenever it changes.
pub const BUDGET_ACTION: &str = "k8s.aliyun.com/eci-budget-action";
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
/// Hours, 0 or 1, for which a spot group is protected.
pub const SPOT_DURATION: &str = "k8s.aliyun.com/eci-spot-duration";
/// `economy` and `general`, in order of preference.
pub const COMPUTE_CATEGORY: &str = "k8s.aliyun.com/eci-compute-category";
/// Driver of GPUs, such as `tesla=525.85.12`.
pub const GPU_DRIVER_VERSION: &str = "k8s.aliyun.com/eci-gpu-driver-version";
/// Physical cores of the machine.
pub const CPU_OPTION_CORE: &str = "k8s.aliyun.com/eci-cpu-option-core";
/// Threads per core: 1 = no hyper-threading.
pub const CPU_OPTION_HT: &str = "k8s.aliyun.com/eci-cpu-option-ht";
/// NTP servers, comma-separated.
pub const NTP_SERVER: &str = "k8s.aliyun.com/eci-ntp-server";
/// Directory of core dumps.
pub const CORE_PATTERN: &str = "k8s.aliyun.com/eci-core-pattern";
/// Kernel parameters of the machine, as JSON.
pub const HOST_SYSCTLS: &str = "k8s.aliyun.com/eci-host-sysctls";
/// More entries of the hosts file, as JSON.
pub const CUSTOM_HOSTS: &str = "k8s.aliyun.com/eci-custom-hosts";
/// The resolver in place of ECI's own, as JSON; for pods with dnsPolicy Default.
pub const CUSTOM_DNS_CONFIG: &str = "k8s.aliyun.com/eci-custom-dnsconfig";
/// Whether image caches are looked for.
pub const AUTO_IMAGE_CACHE: &str = "k8s.aliyun.com/eci-auto-imc";
/// Older name of the same.
pub const IMAGE_CACHE: &str = "k8s.aliyun.com/eci-image-cache";
/// Id of an image cache.
pub const IMAGE_CACHE_ID: &str = "k8s.aliyun.com/eci-imc-id";
/// Older name of the same.
pub const IMAGE_SNAPSHOT_ID: &str = "k8s.aliyun.com/eci-image-snapshot-id";
/// `nydus`, `dadi`, `p2p` or `imc`.
pub const IMAGE_ACCELERATE_MODE: &str = "k8s.aliyun.com/image-accelerate-mode";
/// Instances of Container Registry that are pulled from without a Secret, comma-separated, each perhaps as `region:id`.
pub const ACR_INSTANCE_IDS: &str = "k8s.aliyun.com/acr-instance-ids";
/// Older name of the same.
pub const ACR_INSTANCE_ID: &str = "k8s.aliyun.com/acr-instance-id";
/// Roles of the account the group belongs to.
pub const ACR_SERVICE_ARNS: &str = "k8s.aliyun.com/acr-service-arns";
/// Roles of the account the registries belong to.
pub const ACR_USER_ARNS: &str = "k8s.aliyun.com/acr-user-arns";
/// Registries that speak HTTP, comma-separated.
pub const PLAIN_HTTP_REGISTRY: &str = "k8s.aliyun.com/plain-http-registry";
/// Registries whose certificate is not checked, comma-separated.
pub const INSECURE_REGISTRY: &str = "k8s.aliyun.com/insecure-registry";
/// Bucket of a data cache.
pub const DATA_CACHE_BUCKET: &str = "k8s.aliyun.com/eci-data-cache-bucket";
/// Performance level of its disk.
pub const DATA_CACHE_PL: &str = "k8s.aliyun.com/eci-data-cache-pl";
/// IOPS of its disk.
pub const DATA_CACHE_PROVISIONED_IOPS: &str = "k8s.aliyun.com/eci-data-cache-provisionedIops";
/// Whether its disk may burst.
pub const DATA_CACHE_BURSTING_ENABLED: &str = "k8s.aliyun.com/eci-data-cache-burstingEnabled";
/// Whether the group gets a public address of its own.
pub const WITH_EIP: &str = "k8s.aliyun.com/eci-with-eip";
/// Older name of the same.
pub const POD_WITH_EIP: &str = "k8s.aliyun.com/pod-with-eip";
/// Id of a public address that exists.
pub const EIP_INSTANCE_ID: &str = "k8s.aliyun.com/eci-eip-instanceid";
/// Older name of the same.
pub const POD_EIP_INSTANCE_ID: &str = "k8s.aliyun.com/pod-eip-instanceid";
/// Mbit/s of the public address.
pub const EIP_BANDWIDTH: &str = "k8s.aliyun.com/eip-bandwidth";
/// Shared bandwidth package of the public address.
pub const EIP_COMMON_BANDWIDTH_PACKAGE_ID: &str = "k8s.aliyun.com/eip-common-bandwidth-package-id";
/// `BGP` or `BGP_PRO`.
pub const EIP_ISP: &str = "k8s.aliyun.com/eip-isp";
/// Whether the group gets an IPv6 address.
pub const ENABLE_IPV6: &str = "k8s.aliyun.com/eci-enable-ipv6";
/// Older name of the same: 1.
pub const IPV6_COUNT: &str = "k8s.aliyun.com/eci-ipv6-count";
/// Whether the IPv6 address reaches the internet.
pub const IPV6_BANDWIDTH_ENABLE: &str = "k8s.aliyun.com/eci-ipv6-bandwidth-enable";
/// Its bandwidth, such as `100M`.
pub const IPV6_BANDWIDTH: &str = "k8s.aliyun.com/eci-ipv6-bandwidth";
/// The group's address.
pub const PRIVATE_IP_ADDRESS: &str = "k8s.aliyun.com/eci-private-ip-address";
/// Whether the address is kept after the group is gone.
pub const FIXED_IP: &str = "k8s.aliyun.com/eci-fixed-ip";
/// For how many hours.
pub const FIXED_IP_RETAIN_HOUR: &str = "k8s.aliyun.com/eci-fixed-ip-retain-hour";
/// Bits per second into the pod, as a quantity. Kubernetes' own.
pub const INGRESS_BANDWIDTH: &str = "kubernetes.io/ingress-bandwidth";
/// Bits per second out of the pod, as a quantity. Kubernetes' own.
pub const EGRESS_BANDWIDTH: &str = "kubernetes.io/egress-bandwidth";
/// Whether files of a running group may be renewed although that may restart its containers. Not one of ACK's.
pub const LIVE_UPDATE: &str = "k8s.aliyun.com/eci-live-update";

/// All annotations that change the request, or how the pod lives.
pub const READ: &[&str] = &[
    BUDGET,
    BUDGET_ACTION,
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
    SPOT_DURATION,
    COMPUTE_CATEGORY,
    GPU_DRIVER_VERSION,
    CPU_OPTION_CORE,
    CPU_OPTION_HT,
    NTP_SERVER,
    CORE_PATTERN,
    HOST_SYSCTLS,
    CUSTOM_HOSTS,
    CUSTOM_DNS_CONFIG,
    AUTO_IMAGE_CACHE,
    IMAGE_CACHE,
    IMAGE_CACHE_ID,
    IMAGE_SNAPSHOT_ID,
    IMAGE_ACCELERATE_MODE,
    ACR_INSTANCE_IDS,
    ACR_INSTANCE_ID,
    ACR_SERVICE_ARNS,
    ACR_USER_ARNS,
    PLAIN_HTTP_REGISTRY,
    INSECURE_REGISTRY,
    DATA_CACHE_BUCKET,
    DATA_CACHE_PL,
    DATA_CACHE_PROVISIONED_IOPS,
    DATA_CACHE_BURSTING_ENABLED,
    WITH_EIP,
    POD_WITH_EIP,
    EIP_INSTANCE_ID,
    POD_EIP_INSTANCE_ID,
    EIP_BANDWIDTH,
    EIP_COMMON_BANDWIDTH_PACKAGE_ID,
    EIP_ISP,
    ENABLE_IPV6,
    IPV6_COUNT,
    IPV6_BANDWIDTH_ENABLE,
    IPV6_BANDWIDTH,
    PRIVATE_IP_ADDRESS,
    FIXED_IP,
    FIXED_IP_RETAIN_HOUR,
    INGRESS_BANDWIDTH,
    EGRESS_BANDWIDTH,
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
/// `economy` or `general`, by which it is billed.
pub const COMPUTE_CATEGORY_USED: &str = "k8s.aliyun.com/eci-instance-compute-category";
/// VPC the group is in.
pub const VPC: &str = "k8s.aliyun.com/eci-vpc";
/// Network interface of the group.
pub const ENI_INSTANCE_ID: &str = "k8s.aliyun.com/eni-instance-id";
/// Id of its public address.
pub const ALLOCATED_EIP_INSTANCE_ID: &str = "k8s.aliyun.com/allocated-eipInstanceId";
/// Its public address.
pub const ALLOCATED_EIP_ADDRESS: &str = "k8s.aliyun.com/allocated-eipAddress";
/// Its IPv6 address.
pub const ALLOCATED_IPV6_ADDRESS: &str = "k8s.aliyun.com/allocated-ipv6Address";
/// The image cache it was made from.
pub const MATCHED_IMAGE_CACHE: &str = "k8s.aliyun.com/eci-matched-image-cache";
/// The size that the pod asks for, before it is rounded up to one that is sold, such as `1.5-3.0Gi`.
pub const REQUESTED_SPEC: &str = "k8s.aliyun.com/eci-requested-spec";
/// When ECI began to bill the group.
pub const BILLING_START: &str = "k8s.aliyun.com/eci-billing-start";
/// What an hour of it costs by the list price, without spot.
pub const PRICE_PER_HOUR: &str = "k8s.aliyun.com/eci-price-per-hour";
/// What an hour of a spot group cost when it was made.
pub const SPOT_PRICE_PER_HOUR: &str = "k8s.aliyun.com/eci-spot-price-per-hour";
/// What it has cost, once it is over.
pub const COST: &str = "k8s.aliyun.com/eci-cost";
/// Between which amounts that lies, where it is not exact, such as `0.001000000-0.002000000`.
pub const COST_BOUNDS: &str = "k8s.aliyun.com/eci-cost-bounds";
/// Seconds it was billed for.
pub const BILLED_SECONDS: &str = "k8s.aliyun.com/eci-billed-seconds";
/// Currency of price and cost: `CNY` or `USD`.
pub const CURRENCY: &str = "k8s.aliyun.com/eci-currency";
/// `ClientToken` of the create call in effect.
pub const CLIENT_TOKEN: &str = "k8s.aliyun.com/eci-client-token";
/// Number of the create attempt in effect; written before any attempt but the first is made.
pub const CREATE_ATTEMPT: &str = "k8s.aliyun.com/eci-create-attempt";

/// Kubernetes' own: of a ReplicaSet's pods those with the lowest go first when it is made smaller.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

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
    COMPUTE_CATEGORY_USED,
    VPC,
    ENI_INSTANCE_ID,
    ALLOCATED_EIP_INSTANCE_ID,
    ALLOCATED_EIP_ADDRESS,
    ALLOCATED_IPV6_ADDRESS,
    MATCHED_IMAGE_CACHE,
    REQUESTED_SPEC,
    BILLING_START,
    PRICE_PER_HOUR,
    SPOT_PRICE_PER_HOUR,
    COST,
    COST_BOUNDS,
    BILLED_SECONDS,
    CURRENCY,
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
        assert!(
            names
                .iter()
                .all(|name| name.starts_with(PREFIX) || [INGRESS_BANDWIDTH, EGRESS_BANDWIDTH].contains(*name))
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), READ.len() + WRITTEN.len());
    }
}
