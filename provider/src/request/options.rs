//! Group-level parameters beyond what a pod's spec says: network, images, data caches, machine.

/// Everything of this kind; what is unset is left to ECI.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupOptions {
    /// Addresses and bandwidths.
    pub network: NetworkOptions,
    /// Where images come from.
    pub images: ImageOptions,
    /// A disk made of a data cache.
    pub data_cache: Option<DataCache>,
    /// The machine below.
    pub machine: MachineOptions,
}

/// Addresses and bandwidths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkOptions {
    /// A public address.
    pub eip: Option<Eip>,
    /// `PrivateIpAddress`.
    pub private_ip_address: Option<String>,
    /// `FixedIp`: the address is kept after the group is gone.
    pub fixed_ip: bool,
    /// `FixedIpRetainHour`.
    pub fixed_ip_retain_hours: Option<i64>,
    /// `Ipv6AddressCount=1`.
    pub ipv6: bool,
    /// `Ipv6GatewayBandwidthEnable`.
    pub ipv6_gateway_bandwidth_enable: bool,
    /// `Ipv6GatewayBandwidth`, Mbit/s.
    pub ipv6_gateway_bandwidth: Option<u64>,
    /// `IngressBandwidth`, bit/s.
    pub ingress_bandwidth: Option<u64>,
    /// `EgressBandwidth`, bit/s.
    pub egress_bandwidth: Option<u64>,
}

/// A public address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eip {
    /// `EipInstanceId`: one that exists.
    Bind(String),
    /// `AutoCreateEip`: one that is made, and released with the group.
    Create {
        /// `EipBandwidth`, Mbit/s.
        bandwidth: Option<i64>,
        /// `EipISP`.
        isp: Option<String>,
        /// `EipCommonBandwidthPackage`.
        common_bandwidth_package: Option<String>,
    },
}

/// Where images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// `AutoMatchImageCache`.
    pub auto_match_image_cache: Option<bool>,
    /// `ImageSnapshotId`: an image cache.
    pub image_snapshot_id: Option<String>,
    /// `ImageAccelerateMode`.
    pub accelerate_mode: Option<String>,
    /// `AcrRegistryInfo.N`.
    pub acr: Vec<AcrRegistry>,
    /// `PlainHttpRegistry`: hosts joined by `,`.
    pub plain_http_registry: Option<String>,
    /// `InsecureRegistry`: hosts joined by `,`.
    pub insecure_registry: Option<String>,
}

/// `AcrRegistryInfo.N`: an instance of Container Registry that is pulled from without a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcrRegistry {
    /// `InstanceId`.
    pub instance_id: String,
    /// `RegionId`, where it is another than the group's.
    pub region_id: Option<String>,
    /// `ArnService`.
    pub arn_service: Option<String>,
    /// `ArnUser`.
    pub arn_user: Option<String>,
}

/// A disk made of a data cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataCache {
    /// `DataCacheBucket`.
    pub bucket: String,
    /// `DataCachePL`.
    pub performance_level: Option<String>,
    /// `DataCacheProvisionedIops`.
    pub provisioned_iops: Option<i64>,
    /// `DataCacheBurstingEnabled`.
    pub bursting_enabled: Option<bool>,
}

/// The machine below a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineOptions {
    /// `ComputeCategory.N`, in order of preference.
    pub compute_categories: Vec<String>,
    /// `GpuDriverVersion`.
    pub gpu_driver_version: Option<String>,
    /// `CpuOptionsCore`.
    pub cpu_cores: Option<i64>,
    /// `CpuOptionsThreadsPerCore`.
    pub cpu_threads_per_core: Option<i64>,
    /// `NtpServer.N`.
    pub ntp_servers: Vec<String>,
    /// `CorePattern`.
    pub core_pattern: Option<String>,
    /// `HostSecurityContext.Sysctl.N`.
    pub host_sysctls: Vec<(String, String)>,
}
