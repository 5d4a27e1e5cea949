//! How long lists and texts may be. ECI has two sets: what its gateway checks, and what its documents say of the product.
//! Which of the two the live service enforces is not known (Kubernetes pods exceed the documented ones all the time), so
//! the gateway's are the default and either can be chosen.

use crate::config::ParameterBounds;

/// One set of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Containers of each kind. The gateway lets 41 pass; 20 is a quota of the product, and holds with either set.
    pub containers: usize,
    /// Volumes, likewise (gateway: 101).
    pub volumes: usize,
    /// Tags.
    pub tags: usize,
    /// Items of `Command`, of a hook and of a probe.
    pub command: usize,
    /// Characters of one of them.
    pub command_chars: usize,
    /// Items of `Arg`.
    pub arguments: usize,
    /// Environment variables of a container.
    pub variables: usize,
    /// Characters of a variable's value.
    pub variable_chars: usize,
    /// Mounts of a container.
    pub mounts: usize,
    /// Ports of a container.
    pub ports: usize,
    /// Host aliases.
    pub host_aliases: usize,
    /// Names of one of them.
    pub host_names: usize,
    /// Entries of each list of `DnsConfig`.
    pub dns: usize,
    /// Logins of image registries.
    pub credentials: usize,
    /// Time servers.
    pub ntp_servers: usize,
    /// Kernel parameters.
    pub sysctls: usize,
    /// Files of a volume.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files of a volume.
    pub volume_bytes: usize,
}

static GATEWAY: Bounds = Bounds {
    containers: 20,
    volumes: 20,
    tags: 20,
    command: 101,
    command_chars: usize::MAX,
    arguments: 101,
    variables: 241,
    variable_chars: usize::MAX,
    mounts: 101,
    ports: 101,
    host_aliases: 101,
    host_names: 51,
    dns: 20,
    credentials: 11,
    ntp_servers: 21,
    sysctls: 101,
    files: 90,
    file_bytes: 32 * 1024,
    volume_bytes: 60 * 1024,
};

static DOCUMENTED: Bounds = Bounds {
    command: 20,
    command_chars: 256,
    arguments: 10,
    variable_chars: 256,
    ..GATEWAY
};

static NONE: Bounds = Bounds {
    containers: usize::MAX,
    volumes: usize::MAX,
    tags: usize::MAX,
    command: usize::MAX,
    command_chars: usize::MAX,
    arguments: usize::MAX,
    variables: usize::MAX,
    variable_chars: usize::MAX,
    mounts: usize::MAX,
    ports: usize::MAX,
    host_aliases: usize::MAX,
    host_names: usize::MAX,
    dns: usize::MAX,
    credentials: usize::MAX,
    ntp_servers: usize::MAX,
    sysctls: usize::MAX,
    files: usize::MAX,
    file_bytes: usize::MAX,
    volume_bytes: usize::MAX,
};

impl Bounds {
    /// The set of this name.
    pub fn of(which: ParameterBounds) -> &'static Self {
        match which {
            ParameterBounds::Gateway => &GATEWAY,
            ParameterBounds::Documented => &DOCUMENTED,
            ParameterBounds::None => &NONE,
        }
    }
}
