//! As much of a pod as a create needs.

use bench::follow::Versioned;
use provider::request::{
    ConfigFile, Container, CreateContainerGroup, EnvValue, EnvVar, RestartPolicy, Sensitive, Volume, VolumeMount,
    VolumeSource,
};
use provider::units::{MiB, MilliCpu};
use serde::Deserialize;

/// Bytes of the files the floor sends in place of each ConfigMap and of each projected volume: what Spark's hold. It does
/// not read them, but it pays for their way.
const CONFIG_MAP_BYTES: usize = 250;
const TOKEN_BYTES: usize = 1_000;

/// A pod as the watch decodes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BoundPod {
    /// Who it is.
    pub(crate) metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

/// Who a pod is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its UID.
    pub(crate) uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

impl Versioned for BoundPod {
    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    containers: Vec<PodContainer>,
    #[serde(default)]
    volumes: Vec<PodVolume>,
    restart_policy: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodContainer {
    name: String,
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<PodEnv>,
    #[serde(default)]
    volume_mounts: Vec<PodMount>,
}

#[derive(Clone, Debug, Deserialize)]
struct PodEnv {
    name: String,
    value: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMount {
    name: String,
    mount_path: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodVolume {
    name: String,
    config_map: Option<Present>,
    projected: Option<Present>,
}

/// Something that is there; what is in it does not matter.
#[derive(Clone, Debug, Deserialize)]
struct Present {}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    phase: Option<String>,
}

impl BoundPod {
    /// Whether it has yet to be started.
    pub(crate) fn must_start(&self) -> bool {
        self.metadata.deletion_timestamp.is_none()
            && self.status.phase.as_deref().is_none_or(|phase| phase == "Pending")
    }

    /// Name and image of each container.
    pub(crate) fn into_parts(self) -> (Metadata, Vec<(String, String)>) {
        let containers = self.spec.containers.into_iter().map(|c| (c.name, c.image)).collect();
        (self.metadata, containers)
    }

    /// The create. The size is always the same: nothing here depends on it.
    pub(crate) fn to_request(&self, region: &str) -> CreateContainerGroup {
        CreateContainerGroup {
            region_id: region.to_owned(),
            vswitch_ids: vec!["vsw-1".to_owned()],
            security_group_id: "sg-1".to_owned(),
            name: self.metadata.name.clone(),
            client_token: self.metadata.uid.clone(),
            cpu: MilliCpu(1_000),
            memory: MiB(2_048),
            restart_policy: match self.spec.restart_policy.as_str() {
                "Never" => RestartPolicy::Never,
                "OnFailure" => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            containers: self.spec.containers.iter().map(PodContainer::to_request).collect(),
            volumes: self.spec.volumes.iter().map(PodVolume::to_request).collect(),
            ..CreateContainerGroup::default()
        }
    }
}

impl PodContainer {
    fn to_request(&self) -> Container {
        Container {
            name: self.name.clone(),
            image: self.image.clone(),
            command: self.command.clone(),
            args: self.args.clone(),
            env: self.env.iter().map(PodEnv::to_request).collect(),
            volume_mounts: self.volume_mounts.iter().map(PodMount::to_request).collect(),
            ..Container::default()
        }
    }
}

impl PodEnv {
    fn to_request(&self) -> EnvVar {
        EnvVar {
            key: self.name.clone(),
            value: match &self.value {
                Some(value) => EnvValue::Literal(Sensitive::from(value.as_str())),
                None => EnvValue::PodIp,
            },
        }
    }
}

impl PodMount {
    fn to_request(&self) -> VolumeMount {
        VolumeMount {
            name: self.name.clone(),
            mount_path: self.mount_path.clone(),
            ..VolumeMount::default()
        }
    }
}

impl PodVolume {
    fn to_request(&self) -> Volume {
        let file = |path: &str, bytes| ConfigFile {
            path: path.to_owned(),
            content: vec![b'x'; bytes],
            mode: None,
        };
        let files = match self {
            Self {
                config_map: Some(Present {}),
                ..
            } => vec![file("spark.properties", CONFIG_MAP_BYTES)],
            Self {
                projected: Some(Present {}),
                ..
            } => vec![file("token", TOKEN_BYTES), file("ca.crt", TOKEN_BYTES)],
            _ => Vec::new(),
        };
        Volume {
            name: self.name.clone(),
            source: if files.is_empty() {
                VolumeSource::EmptyDir {
                    medium: None,
                    size_limit: None,
                }
            } else {
                VolumeSource::ConfigFile {
                    files,
                    default_mode: None,
                }
            },
        }
    }
}
