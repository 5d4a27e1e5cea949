//! ECI's bounds, checked on the finished request. Beyond a *documented* limit the value is sent and its owner warned, for
//! nobody knows how strictly the service keeps to its documentation; beyond the *gateway's* bound the call cannot succeed.

use k8s_openapi::api::core::v1::{self as core, PodSpec};

use super::rejection::Findings;
use crate::request::{Container, CreateContainerGroup, EnvValue, VolumeSource};

/// One bound: documented and gateway's.
struct Bound {
    documented: usize,
    gateway: usize,
}

const CONTAINERS: Bound = Bound {
    documented: 20,
    gateway: 41,
};
const VOLUMES: Bound = Bound {
    documented: 20,
    gateway: 101,
};
const MOUNTS: Bound = Bound {
    documented: 101,
    gateway: 101,
};
/// Environment variables of a container.
pub(super) const MAX_ENV: usize = 241;
const ENV: Bound = Bound {
    documented: MAX_ENV,
    gateway: MAX_ENV,
};
const ARGS: Bound = Bound {
    documented: 10,
    gateway: 101,
};
/// The gateway's bound is not known; taken as that of arguments.
const COMMAND: Bound = Bound {
    documented: 20,
    gateway: 101,
};
const FILES: Bound = Bound {
    documented: 90,
    gateway: 90,
};
const HOST_ALIASES: Bound = Bound {
    documented: 101,
    gateway: 101,
};
const HOST_NAMES: Bound = Bound {
    documented: 51,
    gateway: 51,
};
const CREDENTIALS: Bound = Bound {
    documented: 11,
    gateway: 11,
};
const TAGS: Bound = Bound {
    documented: 20,
    gateway: 20,
};
const DNS: Bound = Bound {
    documented: 20,
    gateway: 20,
};

/// Characters of a command item or an environment variable's value.
const TEXT: usize = 256;
/// Characters of an environment variable's name.
const ENV_KEY: usize = 128;
/// Bytes of one file, and of all files of a group together.
const FILE_BYTES: usize = 32 << 10;
const ALL_FILES_BYTES: usize = 60 << 10;

/// Checks `request`; lists by count, texts by length.
pub(super) fn check(request: &CreateContainerGroup, spec: &PodSpec, findings: &mut Findings) {
    count(
        request.containers.len(),
        CONTAINERS,
        "spec.containers",
        "containers",
        findings,
    );
    count(
        request.init_containers.len(),
        CONTAINERS,
        "spec.initContainers",
        "init containers",
        findings,
    );
    count(request.volumes.len(), VOLUMES, "spec.volumes", "volumes", findings);
    count(
        request.host_aliases.len(),
        HOST_ALIASES,
        "spec.hostAliases",
        "host aliases",
        findings,
    );
    count(
        request.registry_credentials.len(),
        CREDENTIALS,
        "spec.imagePullSecrets",
        "credentials",
        findings,
    );
    count(request.tags.len(), TAGS, "metadata.labels", "tags", findings);
    for (index, alias) in request.host_aliases.iter().enumerate() {
        count(
            alias.hostnames.len(),
            HOST_NAMES,
            &format!("spec.hostAliases[{index}].hostnames"),
            "names",
            findings,
        );
    }
    if let crate::request::Dns::None {
        name_servers: _,
        searches,
        options,
    } = &request.dns
    {
        count(
            searches.len(),
            DNS,
            "spec.dnsConfig.searches",
            "search domains",
            findings,
        );
        count(
            options.len(),
            DNS,
            "spec.dnsConfig.options",
            "resolver options",
            findings,
        );
    }
    for container in request.init_containers.iter().chain(&request.containers) {
        check_container(container, &path_of(&container.name, spec), findings);
    }
    check_files(request, findings);
}

/// Where the pod has the container of this name: sidecars stand among its init containers.
fn path_of(name: &str, spec: &PodSpec) -> String {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let at = |list: &[core::Container]| list.iter().position(|container| container.name == name);
    match (at(&spec.containers), at(init)) {
        (Some(index), _) => format!("spec.containers[{index}]"),
        (None, Some(index)) => format!("spec.initContainers[{index}]"),
        (None, None) => format!("spec.containers[{name}]"),
    }
}

fn check_container(container: &Container, path: &str, findings: &mut Findings) {
    count(
        container.env.len(),
        ENV,
        &format!("{path}.env"),
        "environment variables",
        findings,
    );
    count(
        container.command.len(),
        COMMAND,
        &format!("{path}.command"),
        "items of a command",
        findings,
    );
    count(
        container.args.len(),
        ARGS,
        &format!("{path}.args"),
        "arguments",
        findings,
    );
    count(
        container.volume_mounts.len(),
        MOUNTS,
        &format!("{path}.volumeMounts"),
        "mounts",
        findings,
    );
    for (index, item) in container.command.iter().enumerate() {
        let length = item.chars().count();
        if length > TEXT {
            findings.warn(
                format!("{path}.command[{index}]"),
                format!("it has {length} characters; ECI documents at most {TEXT}"),
            );
        }
    }
    for var in &container.env {
        let field = format!("{path}.env[{}]", var.key);
        if let EnvValue::Literal(value) = &var.value {
            let length = value.0.chars().count();
            if length > TEXT {
                findings.warn(
                    &field,
                    format!("its value has {length} characters; ECI documents at most {TEXT}"),
                );
            }
        }
        let plain = var.key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || var.key.len() > ENV_KEY || var.key.starts_with(|c: char| c.is_ascii_digit()) {
            findings.warn(
                field,
                format!("ECI documents names of at most {ENV_KEY} letters, digits and _, not beginning with a digit"),
            );
        }
    }
}

fn check_files(request: &CreateContainerGroup, findings: &mut Findings) {
    let mut total = 0;
    for (index, volume) in request.volumes.iter().enumerate() {
        let VolumeSource::ConfigFile { files, .. } = &volume.source else {
            continue;
        };
        let path = format!("spec.volumes[{index}]");
        count(files.len(), FILES, &path, "files of a volume", findings);
        for file in files {
            let bytes = file.content.len();
            total += bytes;
            if bytes > FILE_BYTES {
                findings.warn(
                    &path,
                    format!(
                        "file {} has {bytes} bytes; ECI documents at most {FILE_BYTES} for one file",
                        file.path
                    ),
                );
            }
        }
    }
    if total > ALL_FILES_BYTES {
        findings.warn(
            "spec.volumes",
            format!("all files together have {total} bytes; ECI documents at most {ALL_FILES_BYTES}"),
        );
    }
}

fn count(found: usize, bound: Bound, field: &str, what: &str, findings: &mut Findings) {
    let Bound { documented, gateway } = bound;
    if found > gateway {
        findings.refuse(
            field,
            format!("{found} {what} are more than the {gateway} that ECI's gateway takes"),
        );
    } else if found > documented {
        findings.warn(
            field,
            format!("{found} {what} are more than the {documented} that ECI documents"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{ConfigFile, EnvVar, Volume};

    fn findings_of(request: &CreateContainerGroup) -> (Vec<String>, Vec<String>) {
        let mut findings = Findings::default();
        let named = |list: &[Container]| {
            list.iter()
                .map(|one| core::Container {
                    name: one.name.clone(),
                    ..core::Container::default()
                })
                .collect()
        };
        let spec = PodSpec {
            containers: named(&request.containers),
            init_containers: Some(named(&request.init_containers)),
            ..PodSpec::default()
        };
        check(request, &spec, &mut findings);
        (
            findings
                .rejections
                .into_iter()
                .map(|rejection| rejection.field)
                .collect(),
            findings.warnings.into_iter().map(|warning| warning.field).collect(),
        )
    }

    fn var(key: &str, length: usize) -> EnvVar {
        EnvVar {
            key: key.to_owned(),
            value: EnvValue::Literal("x".repeat(length).into()),
        }
    }

    fn with_container(container: Container) -> CreateContainerGroup {
        CreateContainerGroup {
            containers: vec![container],
            ..CreateContainerGroup::default()
        }
    }

    #[test]
    fn documented_limits_warn() {
        let request = with_container(Container {
            command: vec!["x".repeat(256), "x".repeat(257)],
            args: vec![String::new(); 11],
            env: vec![var("A", 256), var("B", 257), var("with.dot", 1), var("1st", 1)],
            ..Container::default()
        });
        let (rejected, warned) = findings_of(&request);
        assert_eq!(rejected, Vec::<String>::new());
        let path = "spec.containers[0]";
        assert_eq!(
            warned,
            ["args", "command[1]", "env[B]", "env[with.dot]", "env[1st]"].map(|field| format!("{path}.{field}"))
        );
    }

    #[test]
    fn gateway_bounds_refuse() {
        let fits = with_container(Container {
            env: vec![var("A", 1); 241],
            ..Container::default()
        });
        assert_eq!(findings_of(&fits), (vec![], vec![]));
        let request = with_container(Container {
            args: vec![String::new(); 102],
            env: vec![var("A", 1); 242],
            ..Container::default()
        });
        assert_eq!(
            findings_of(&request).0,
            ["spec.containers[0].env", "spec.containers[0].args"]
        );
    }

    #[test]
    fn files_are_counted_each_and_together() {
        let files = |sizes: &[usize]| {
            let files = sizes.iter().map(|size| ConfigFile {
                path: "f".into(),
                content: vec![0; *size],
                mode: None,
            });
            let source = VolumeSource::ConfigFile {
                files: files.collect(),
                default_mode: None,
            };
            Volume {
                name: "v".to_owned(),
                source,
            }
        };
        let request = |volumes| CreateContainerGroup {
            volumes,
            ..CreateContainerGroup::default()
        };
        assert_eq!(
            findings_of(&request(vec![files(&[32 << 10, 28 << 10])])),
            (vec![], vec![])
        );
        let (_, warned) = findings_of(&request(vec![files(&[20 << 10]), files(&[(32 << 10) + 1, 20 << 10])]));
        assert_eq!(warned, ["spec.volumes[1]", "spec.volumes"]);
        let (rejected, _) = findings_of(&request(vec![files(&[0; 91])]));
        assert_eq!(rejected, ["spec.volumes[0]"]);
    }
}
