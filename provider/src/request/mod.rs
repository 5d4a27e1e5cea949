//! `CreateContainerGroup` as a value: what [`crate::mapping`] produces and [`crate::params`] flattens.
//!
//! Field names are those of the OpenAPI (2018-08-08) in snake case; only parameters the mapping can set are here.
//! Values that may hold secrets (environment, files) are kept out of `Debug` by [`Sensitive`].

mod options;

use std::collections::BTreeMap;
use std::fmt;

pub use self::options::{AcrRegistry, DataCache, Eip, GroupOptions, ImageOptions, MachineOptions, NetworkOptions};

use crate::units::{MiB, MilliCpu};

/// Text that must never reach a log or an error: `Debug` shows its length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sensitive(pub String);

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl From<String> for Sensitive {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Sensitive {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

/// Restart policy of a group, the same words as a pod's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Containers are restarted whatever their exit code.
    #[default]
    Always,
    /// Containers are restarted when they exit non-zero.
    OnFailure,
    /// Containers are never restarted.
    Never,
}

impl RestartPolicy {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::OnFailure => "OnFailure",
            Self::Never => "Never",
        }
    }
}

/// The order in which ECI tries several vSwitches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScheduleStrategy {
    /// As they are listed: ours are in order of preference.
    #[default]
    VSwitchOrdered,
    /// At random.
    VSwitchRandom,
}

impl ScheduleStrategy {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VSwitchOrdered => "VSwitchOrdered",
            Self::VSwitchRandom => "VSwitchRandom",
        }
    }
}

/// One container group to create. `RegionId`, `VSwitchId`, `SecurityGroupId`, `ZoneId` are placement and set by the caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateContainerGroup {
    /// `RegionId`.
    pub region_id: String,
    /// `ZoneId`, empty = the system picks.
    pub zone_id: String,
    /// `VSwitchId`: ids in order of preference, at most ten, joined by `,` on the wire.
    pub vswitch_ids: Vec<String>,
    /// `ScheduleStrategy`, sent with several vSwitches.
    pub schedule_strategy: ScheduleStrategy,
    /// `SecurityGroupId`.
    pub security_group_id: String,
    /// `ResourceGroupId`, empty = the default one.
    pub resource_group_id: String,
    /// `ContainerGroupName`: 2–128 of `[a-z0-9-]`.
    pub name: String,
    /// `ClientToken`: the idempotency key, at most 64 ASCII characters.
    pub client_token: String,
    /// `Cpu` of the group, already a supported size; not sent with an `InstanceType`.
    pub cpu: MilliCpu,
    /// `Memory` of the group, already a supported size; not sent with an `InstanceType`.
    pub memory: MiB,
    /// `InstanceType`: an ECS type in place of vCPU and memory.
    pub instance_type: Option<String>,
    /// `RestartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `ActiveDeadlineSeconds`.
    pub active_deadline_seconds: Option<i64>,
    /// `TerminationGracePeriodSeconds`.
    pub termination_grace_period_seconds: Option<i64>,
    /// `DnsPolicy` and `DnsConfig`.
    pub dns: Dns,
    /// `HostAliase.N`.
    pub host_aliases: Vec<HostAlias>,
    /// `HostName`.
    pub host_name: Option<String>,
    /// `ShareProcessNamespace`.
    pub share_process_namespace: bool,
    /// `SecurityContext.Sysctl.N`.
    pub sysctls: Vec<(String, String)>,
    /// `ImageRegistryCredential.N`.
    pub registry_credentials: Vec<RegistryCredential>,
    /// `EphemeralStorage`: GiB above the 30 free ones.
    pub extra_ephemeral_storage_gib: Option<u64>,
    /// `SpotStrategy`, when not `NoSpot`.
    pub spot_strategy: Option<String>,
    /// `SpotPriceLimit`, as the user wrote it (currency units per hour, at most 3 decimals).
    pub spot_price_limit: Option<String>,
    /// `SpotDuration`: protected hours.
    pub spot_duration: Option<i64>,
    /// `MaxPendingMinute`.
    pub max_pending_minutes: Option<u16>,
    /// `RamRoleName`.
    pub ram_role_name: Option<String>,
    /// What else can be said of a group.
    pub options: GroupOptions,
    /// `Tag.N`, at most 20.
    pub tags: Vec<(String, String)>,
    /// `InitContainer.N`, run in order.
    pub init_containers: Vec<Container>,
    /// `Container.N`.
    pub containers: Vec<Container>,
    /// `Volume.N`.
    pub volumes: Vec<Volume>,
}

/// `DnsPolicy` and its `DnsConfig`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Dns {
    /// `Default`: the resolver of ECI's host.
    #[default]
    Default,
    /// `None`: exactly this.
    None {
        /// `DnsConfig.NameServer.N`.
        name_servers: Vec<String>,
        /// `DnsConfig.Search.N`.
        searches: Vec<String>,
        /// `DnsConfig.Option.N` as name and value (an empty value is sent as such).
        options: Vec<(String, String)>,
    },
}

/// `HostAliase.N` (the spelling is the API's).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAlias {
    /// The address.
    pub ip: String,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// `ImageRegistryCredential.N`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryCredential {
    /// Registry host without scheme.
    pub server: String,
    /// User name.
    pub user_name: String,
    /// Password.
    pub password: Sensitive,
}

/// `Container.N` or `InitContainer.N`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// `Name`.
    pub name: String,
    /// `Image`.
    pub image: String,
    /// `ImagePullPolicy`.
    pub image_pull_policy: Option<String>,
    /// `Cpu` of the container; unset = it shares the group's.
    pub cpu: Option<MilliCpu>,
    /// `Memory` of the container; unset = it shares the group's.
    pub memory: Option<MiB>,
    /// `Gpu`: how many it has.
    pub gpu: Option<u64>,
    /// `Command.N`; empty = the image's entrypoint.
    pub command: Vec<String>,
    /// `Arg.N`; empty = the image's.
    pub args: Vec<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `EnvironmentVar.N`.
    pub env: Vec<EnvVar>,
    /// `Port.N`.
    pub ports: Vec<Port>,
    /// `VolumeMount.N`.
    pub volume_mounts: Vec<VolumeMount>,
    /// `LivenessProbe` (not for init containers).
    pub liveness_probe: Option<Probe>,
    /// `ReadinessProbe` (not for init containers).
    pub readiness_probe: Option<Probe>,
    /// `LifecyclePostStartHandler*`.
    pub post_start: Option<Handler>,
    /// `LifecyclePreStopHandler*`.
    pub pre_stop: Option<Handler>,
    /// `SecurityContext.*` and its undotted relatives.
    pub security: ContainerSecurity,
    /// `Stdin`.
    pub stdin: bool,
    /// `StdinOnce`.
    pub stdin_once: bool,
    /// `Tty`.
    pub tty: bool,
    /// `TerminationMessagePath`.
    pub termination_message_path: Option<String>,
    /// `TerminationMessagePolicy`.
    pub termination_message_policy: Option<String>,
}

/// `EnvironmentVar.N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// `Key`.
    pub key: String,
    /// Its value or where ECI takes it from.
    pub value: EnvValue,
}

/// Value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// `Value`.
    Literal(Sensitive),
    /// `FieldRef.FieldPath=status.podIP`, the only path ECI knows.
    PodIp,
}

/// `Port.N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// 1–65535.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: String,
}

/// `VolumeMount.N`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeMount {
    /// Name of the volume.
    pub name: String,
    /// Where it is mounted.
    pub mount_path: String,
    /// Path inside the volume, empty = its root.
    pub sub_path: String,
    /// Read only.
    pub read_only: bool,
    /// `None`, `HostToContainer` or `Bidirectional`; unset = `None`.
    pub mount_propagation: Option<String>,
}

/// A probe with its timing; unset timings are ECI's defaults, which are the kubelet's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub handler: Handler,
    /// `InitialDelaySeconds`.
    pub initial_delay_seconds: Option<i32>,
    /// `PeriodSeconds`.
    pub period_seconds: Option<i32>,
    /// `TimeoutSeconds`.
    pub timeout_seconds: Option<i32>,
    /// `SuccessThreshold` (ECI knows 1 only).
    pub success_threshold: Option<i32>,
    /// `FailureThreshold`.
    pub failure_threshold: Option<i32>,
}

/// An action of a probe or of a life cycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// A command in the container.
    Exec(Vec<String>),
    /// An HTTP GET.
    HttpGet {
        /// `Host` (hooks only).
        host: Option<String>,
        /// `Path`.
        path: String,
        /// `Port`.
        port: u16,
        /// `Scheme`: `HTTP` or `HTTPS`.
        scheme: String,
        /// `HttpHeader.N` (hooks only).
        headers: Vec<(String, String)>,
    },
    /// A TCP connect.
    TcpSocket {
        /// `Host` (hooks only).
        host: Option<String>,
        /// `Port`.
        port: u16,
    },
}

/// Security context of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSecurity {
    /// `SecurityContext.RunAsUser`.
    pub run_as_user: Option<i64>,
    /// `SecurityContextRunAsGroup`.
    pub run_as_group: Option<i64>,
    /// `SecurityContextRunAsNonRoot`.
    pub run_as_non_root: Option<bool>,
    /// `SecurityContext.ReadOnlyRootFilesystem` (only `true` may be sent).
    pub read_only_root_filesystem: bool,
    /// `SecurityContext.Capability.Add.N`.
    pub add_capabilities: Vec<String>,
}

/// `Volume.N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `Name`.
    pub name: String,
    /// `Type` and its members.
    pub source: VolumeSource,
}

/// Kind of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// `EmptyDirVolume`.
    EmptyDir {
        /// `memory`, or none = disk.
        medium: Option<String>,
        /// `SizeLimit` as a quantity with unit.
        size_limit: Option<String>,
    },
    /// `ConfigFileVolume`.
    ConfigFile {
        /// `ConfigFileToPath.N`.
        files: Vec<ConfigFile>,
        /// `DefaultMode`.
        default_mode: Option<i32>,
    },
    /// `NFSVolume`.
    Nfs {
        /// `Server`.
        server: String,
        /// `Path`.
        path: String,
        /// `ReadOnly`.
        read_only: bool,
    },
    /// `FlexVolume`: storage of Alibaba Cloud.
    Flex {
        /// `Driver`: `alicloud/disk`, `alicloud/nas` or `alicloud/oss`.
        driver: String,
        /// `FsType`.
        fs_type: Option<String>,
        /// `Options`, a JSON object of texts on the wire. An access key may be among them.
        options: BTreeMap<String, Sensitive>,
    },
}

/// One file of a `ConfigFileVolume`. `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Relative path.
    pub path: String,
    /// Raw bytes (base64 on the wire).
    pub content: Vec<u8>,
    /// `Mode`, unset = the volume's default.
    pub mode: Option<i32>,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .field("mode", &self.mode)
            .finish()
    }
}
