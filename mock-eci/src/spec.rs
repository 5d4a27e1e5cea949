//! What a caller asked for, decoded: the part of `CreateContainerGroup` that lasts as long as the group does.
//!
//! The API decodes it, the domain keeps and echoes it, a runtime carries it out. Values that may be secrets are
//! [`Secret`], so that `Debug` (and with it every log line) shows their length only.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use crate::domain::stock::Wishes;

/// Id of a container group: `eci-` and 20 lower-case alphanumerics. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for GroupId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for GroupId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<GroupId> for String {
    fn from(id: GroupId) -> Self {
        id.as_str().to_owned()
    }
}

impl std::borrow::Borrow<str> for GroupId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that may be a secret (an environment value, a registry password): `Debug` shows its length.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// vCPU in thousandths and memory in MiB: what a group is given and billed for, or what a container asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size {
    /// vCPU × 1000.
    pub milli_cpu: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// When containers that ended are started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Whatever their exit code.
    #[default]
    Always,
    /// When they exit non-zero.
    OnFailure,
    /// Never.
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

/// One container group as it was asked for, after validation and rounding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// `ContainerGroupName`; not unique.
    pub name: String,
    /// `HostName`, or the group's name where none was given.
    pub host_name: String,
    /// `ZoneId`, the one asked for or the one picked.
    pub zone_id: String,
    /// `VSwitchId`, the first of those asked for.
    pub vswitch_id: String,
    /// `SecurityGroupId`.
    pub security_group_id: String,
    /// `ResourceGroupId`.
    pub resource_group_id: String,
    /// The rounded size of the whole group: what it may use and what is billed.
    pub size: Size,
    /// The size that was asked for, before it was rounded up; zero = none was.
    #[serde(default)]
    pub asked: Size,
    /// `InstanceType`, where the group was bought by it.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// `ComputeCategory`, the first of those asked for.
    #[serde(default)]
    pub compute_category: ComputeCategory,
    /// Addresses beside the one every group has.
    #[serde(default)]
    pub network: Network,
    /// Where the group may go; `zone_id` and `vswitch_id` say where it went.
    #[serde(default)]
    pub wishes: Wishes,
    /// `EphemeralStorage`: GiB above the 30 free ones.
    pub extra_ephemeral_storage_gib: u64,
    /// `RestartPolicy`. The domain carries it out; a runtime never restarts anything by itself.
    pub restart_policy: RestartPolicy,
    /// `ActiveDeadlineSeconds`. The domain carries it out.
    pub active_deadline: Option<Duration>,
    /// `TerminationGracePeriodSeconds`: from SIGTERM to SIGKILL when the group is deleted.
    pub termination_grace: Duration,
    /// `SpotStrategy`: `NoSpot`, `SpotAsPriceGo` or `SpotWithPriceLimit`.
    pub spot_strategy: String,
    /// `SpotPriceLimit`, as the caller wrote it.
    pub spot_price_limit: Option<String>,
    /// `SpotDuration`: hours for which a spot group is left alone; none = ECI's default of one.
    #[serde(default)]
    pub spot_duration: Option<u64>,
    /// `MaxPendingMinute`. The domain carries it out.
    #[serde(default)]
    pub max_pending: Option<Duration>,
    /// `RamRoleName`.
    pub ram_role_name: String,
    /// `ShareProcessNamespace`.
    pub share_process_namespace: bool,
    /// `DnsPolicy` and `DnsConfig`.
    pub dns: Dns,
    /// `HostAliase.N`: lines of /etc/hosts.
    pub host_aliases: Vec<HostAlias>,
    /// `SecurityContext.Sysctl.N` and `HostSecurityContext.Sysctl.N`, name and value.
    pub sysctls: Vec<(String, String)>,
    /// `ImageRegistryCredential.N`.
    pub registry_credentials: Vec<RegistryCredential>,
    /// `PlainHttpRegistry` and `InsecureRegistry`: registries (`host[:port]`) without TLS or without a trusted certificate.
    pub insecure_registries: Vec<String>,
    /// `ImageSnapshotId`: the image cache it is made from; empty = none is named.
    #[serde(default)]
    pub image_snapshot_id: String,
    /// `AutoMatchImageCache`: it takes the best one there is.
    #[serde(default)]
    pub auto_match_image_cache: bool,
    /// `Tag.N`, in the order given; keys are unique.
    pub tags: Vec<(String, String)>,
    /// `InitContainer.N`: run one after the other, each to its end, before any of `containers`.
    pub init_containers: Vec<ContainerSpec>,
    /// `Container.N`: at least one. Names are unique over both lists.
    pub containers: Vec<ContainerSpec>,
    /// `Volume.N`.
    pub volumes: Vec<VolumeSpec>,
}

impl GroupSpec {
    /// The container of this name, init containers included.
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.init_containers
            .iter()
            .chain(&self.containers)
            .find(|c| c.name == name)
    }

    /// Value of the tag with this key.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// A class of groups with a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComputeCategory {
    /// The usual one.
    #[default]
    General,
    /// Cheaper.
    Economy,
}

impl ComputeCategory {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Economy => "economy",
        }
    }

    /// The one of this word.
    pub fn find(word: &str) -> Option<Self> {
        [Self::General, Self::Economy].into_iter().find(|c| c.as_str() == word)
    }
}

/// Addresses that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// `PrivateIpAddress`.
    pub private_ip: Option<Ipv4Addr>,
    /// Whether it has a public address (`EipInstanceId`, `AutoCreateEip`).
    pub public: bool,
    /// Whether it has an IPv6 address (`Ipv6AddressCount`).
    pub ipv6: bool,
}

/// The resolver inside a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dns {
    /// `DnsPolicy=Default`: whatever the host of the group uses.
    #[default]
    Default,
    /// `DnsPolicy=None`: exactly this.
    None {
        /// `DnsConfig.NameServer.N`.
        name_servers: Vec<String>,
        /// `DnsConfig.Search.N`.
        searches: Vec<String>,
        /// `DnsConfig.Option.N`, name and value; a value may be empty.
        options: Vec<(String, String)>,
    },
}

/// One line of /etc/hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    /// The address.
    pub ip: IpAddr,
    /// Its names.
    pub host_names: Vec<String>,
}

/// Login for one image registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// Registry host without scheme.
    pub server: String,
    /// User name.
    pub user_name: String,
    /// Password.
    pub password: Secret,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// When the engine does not hold it.
    #[default]
    IfNotPresent,
    /// Never: it is an error when the engine does not hold it.
    Never,
}

impl PullPolicy {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// `Container.N` or `InitContainer.N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name, unique in the group.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// `Cpu` in milli-vCPU and `Memory` in MiB of this container; 0 = not given, it shares the group's.
    pub size: Size,
    /// `Gpu`.
    #[serde(default)]
    pub gpus: u32,
    /// `Command.M`; empty = the image's entrypoint.
    pub command: Vec<String>,
    /// `Arg.M`; empty = the image's (or none, where `command` is given, as in Kubernetes).
    pub args: Vec<String>,
    /// `WorkingDir`; empty = the image's.
    pub working_dir: String,
    /// `EnvironmentVar.M`, in order.
    pub env: Vec<EnvVar>,
    /// `EnvironmentVarHide`: leave the environment out of descriptions.
    pub hide_env: bool,
    /// `Port.M`; informational.
    pub ports: Vec<(u16, String)>,
    /// `VolumeMount.M`.
    pub mounts: Vec<Mount>,
    /// `SecurityContext.*`.
    pub security: Security,
    /// Keep standard input open.
    pub stdin: bool,
    /// Close standard input after the first client.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// `TerminationMessagePath`; empty = `/dev/termination-log`.
    pub termination_message_path: String,
    /// `TerminationMessagePolicy=FallbackToLogsOnError`.
    pub termination_message_from_logs: bool,
    /// `LivenessProbe`.
    pub liveness_probe: Option<Probe>,
    /// `ReadinessProbe`.
    pub readiness_probe: Option<Probe>,
    /// `LifecyclePostStartHandler*`.
    pub post_start: Option<Handler>,
    /// `LifecyclePreStopHandler*`.
    pub pre_stop: Option<Handler>,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, or where that comes from.
    pub value: EnvValue,
}

/// Value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvValue {
    /// As given.
    Literal(Secret),
    /// `FieldRef.FieldPath=status.podIP`: the group's own address, known once its network exists.
    PodIp,
}

/// Mount of a volume in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `Name` of a volume of the group.
    pub volume: String,
    /// Absolute path in the container.
    pub path: String,
    /// Path inside the volume; empty = its root.
    pub sub_path: String,
    /// Read only.
    pub read_only: bool,
    /// `None`, `HostToContainer` or `Bidirectional`.
    pub propagation: String,
}

/// Security context of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// User id.
    pub run_as_user: Option<i64>,
    /// Group id.
    pub run_as_group: Option<i64>,
    /// Refuse to start as user 0.
    pub run_as_non_root: bool,
    /// Root file system is read only.
    pub read_only_root: bool,
    /// Full privileges (a preview at ECI).
    pub privileged: bool,
    /// Added capabilities, without `CAP_`.
    pub add_capabilities: Vec<String>,
}

/// A probe with its timing, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub handler: Handler,
    /// From the container's start to the first probe.
    pub initial_delay: Duration,
    /// Between probes.
    pub period: Duration,
    /// Of one probe.
    pub timeout: Duration,
    /// Successes in a row that make it good (always 1 at ECI).
    pub success_threshold: u32,
    /// Failures in a row that make it bad.
    pub failure_threshold: u32,
}

/// What a probe or a life cycle hook does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handler {
    /// Runs a command in the container.
    Exec(Vec<String>),
    /// HTTP GET.
    HttpGet {
        /// Host; empty = the group's address.
        host: String,
        /// Path.
        path: String,
        /// Port.
        port: u16,
        /// `HTTP` or `HTTPS`.
        scheme: String,
        /// Headers, name and value.
        headers: Vec<(String, String)>,
    },
    /// TCP connect.
    TcpSocket {
        /// Host; empty = the group's address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// `Volume.N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Name, unique in the group.
    pub name: String,
    /// What it is.
    pub source: VolumeSource,
}

/// Kinds of volume that are supported here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// `EmptyDirVolume`: scratch space that containers of the group share and that outlives their restarts.
    EmptyDir {
        /// `Medium=Memory`.
        memory: bool,
        /// `SizeLimit` as the caller wrote it; empty = none.
        size_limit: String,
    },
    /// `ConfigFileVolume`: read-only files.
    ConfigFile {
        /// The files.
        files: Vec<ConfigFile>,
    },
    /// Storage outside of the group. No runtime here has any; see [`Runtime::lacks`](crate::runtime::Runtime::lacks).
    External(ExternalVolume),
}

/// Storage outside of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalVolume {
    /// `NFSVolume`.
    Nfs {
        /// `Server`.
        server: String,
        /// `Path`.
        path: String,
        /// `ReadOnly`.
        read_only: bool,
    },
    /// `FlexVolume`.
    Flex {
        /// `Driver`: `alicloud/disk`, `alicloud/nas` or `alicloud/oss`.
        driver: String,
        /// `FsType`.
        fs_type: String,
        /// `Options`: a JSON object, as the caller wrote it. It may hold keys of a bucket.
        options: Secret,
    },
    /// `DiskVolume`.
    Disk {
        /// `DiskId`; empty = a new one.
        disk_id: String,
        /// `DiskSize` in GiB.
        size_gib: u64,
        /// `FsType`.
        fs_type: String,
    },
    /// `HostPathVolume`.
    HostPath {
        /// `Path`.
        path: String,
        /// `Type`: `Directory`, `File` or empty.
        kind: String,
    },
}

impl ExternalVolume {
    /// `Type` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nfs { .. } => "NFSVolume",
            Self::Flex { .. } => "FlexVolume",
            Self::Disk { .. } => "DiskVolume",
            Self::HostPath { .. } => "HostPathVolume",
        }
    }
}

/// One file of a [`VolumeSource::ConfigFile`]. `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Path relative to the volume's root; never absolute, never with `..`.
    pub path: String,
    /// Its bytes.
    #[serde(with = "base64_bytes")]
    pub content: Bytes,
    /// Mode bits, the volume's default filled in.
    pub mode: u32,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .field("mode", &format_args!("{:o}", self.mode))
            .finish()
    }
}

/// File contents in a record are base64, so that records stay text.
mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}
