//! What the engine is asked to make: pure, from the group's spec.

use std::net::IpAddr;

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};

use super::{
    files::{self, Volumes},
    names,
};
use crate::spec::{ContainerSpec, Dns, EnvValue, EnvVar, GroupId, GroupSpec, Size};

/// What the pause container runs. The kernel drops signals that PID 1 has no handler for, hence the trap; `wait` also
/// reaps the orphans of a group that shares its process namespace.
const PAUSE: &str = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done";
/// The kernel takes no longer one; the kubelet cuts it as well.
const MAX_HOST_NAME: usize = 63;
/// Length of a CPU quota's period, in microseconds.
const CPU_PERIOD: i64 = 100_000;
/// The least quota the kernel takes, in microseconds.
const MIN_CPU_QUOTA: i64 = 1_000;
/// The least memory Docker takes, in bytes.
const MIN_MEMORY: i64 = 6 << 20;
/// Where a container writes its last words unless it says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// What all bodies of one group share.
pub(super) struct Frame<'a> {
    /// Which mock-eci.
    pub(super) owner: &'a str,
    /// The group.
    pub(super) id: &'a GroupId,
    /// What it was asked to be.
    pub(super) spec: &'a GroupSpec,
    /// Whether the engine is podman.
    pub(super) podman: bool,
}

impl Frame<'_> {
    /// The container that owns the group's network, in the engine's network `network`.
    pub(super) fn pause(&self, image: &str, network: &str, net_admin: bool) -> ContainerCreateBody {
        let spec = self.spec;
        let mut host = HostConfig {
            network_mode: Some(network.to_owned()),
            mounts: Some(files::pause_mounts(self.id, spec)),
            sysctls: Some(spec.sysctls.iter().cloned().collect()),
            ipc_mode: Some("shareable".to_owned()),
            cap_add: net_admin.then(|| vec!["NET_ADMIN".to_owned()]),
            restart_policy: Some(never()),
            ..Default::default()
        };
        if let Dns::None {
            name_servers,
            searches,
            options,
        } = &spec.dns
        {
            host.dns = Some(name_servers.clone());
            host.dns_search = Some(searches.clone());
            let option = |(name, value): &(String, String)| match value.as_str() {
                "" => name.clone(),
                value => format!("{name}:{value}"),
            };
            host.dns_options = Some(options.iter().map(option).collect());
        }
        ContainerCreateBody {
            image: Some(image.to_owned()),
            hostname: Some(self.host_name().to_owned()),
            user: Some("0".to_owned()),
            entrypoint: Some(["/bin/busybox", "sh", "-c", PAUSE].map(str::to_owned).to_vec()),
            cmd: Some(Vec::new()),
            labels: Some(names::group_labels(self.owner, self.id)),
            stop_timeout: Some(0),
            host_config: Some(host),
            ..Default::default()
        }
    }

    /// One container in the network of the pause container.
    ///
    /// # Errors
    /// A message when a mount is impossible.
    pub(super) fn container(
        &self,
        container: &ContainerSpec,
        ip: IpAddr,
        image_user: &str,
        volumes: &Volumes,
    ) -> Result<ContainerCreateBody, String> {
        let pause = format!("container:{}", names::pause(self.id));
        let mut mounts = container
            .mounts
            .iter()
            .map(|mount| volumes.mount(self.id, self.spec, mount))
            .collect::<Result<Vec<_>, _>>()?;
        let message_path = match container.termination_message_path.as_str() {
            "" => TERMINATION_LOG,
            path => path,
        };
        mounts.push(volumes.termination(self.id, &container.name, message_path));
        mounts.extend(volumes.hosts(self.id, &container.mounts));
        let size = effective_size(self.spec.size, container.size);
        let memory = at_least(MIN_MEMORY, size.memory_mib << 20);
        let cpu_quota = at_least(
            MIN_CPU_QUOTA,
            size.milli_cpu.saturating_mul(CPU_PERIOD.unsigned_abs() / 1000),
        );
        let security = &container.security;
        let host = HostConfig {
            network_mode: Some(pause.clone()),
            ipc_mode: Some(pause.clone()),
            pid_mode: self.spec.share_process_namespace.then_some(pause),
            mounts: Some(mounts),
            memory: Some(memory),
            // Equal to `memory`: no swap, as on a node.
            memory_swap: Some(memory),
            // A quota, for unlike `NanoCpus` it may exceed what the engine's machine has.
            cpu_period: Some(CPU_PERIOD),
            cpu_quota: Some(cpu_quota),
            pids_limit: Some(-1),
            readonly_rootfs: Some(security.read_only_root),
            privileged: Some(security.privileged),
            cap_add: (!security.add_capabilities.is_empty()).then(|| security.add_capabilities.clone()),
            restart_policy: Some(never()),
            ..Default::default()
        };
        Ok(ContainerCreateBody {
            image: Some(container.image.clone()),
            // Docker refuses a host name here and takes the pause container's; podman gives each container its own.
            hostname: self.podman.then(|| self.host_name().to_owned()),
            user: user(container, image_user),
            entrypoint: (!container.command.is_empty()).then(|| container.command.clone()),
            // A given command drops the image's arguments too, as in Kubernetes.
            cmd: (!container.args.is_empty() || !container.command.is_empty()).then(|| container.args.clone()),
            working_dir: (!container.working_dir.is_empty()).then(|| container.working_dir.clone()),
            env: Some(container.env.iter().map(|variable| env(variable, ip)).collect()),
            tty: Some(container.tty),
            open_stdin: Some(container.stdin),
            stdin_once: Some(container.stdin_once),
            labels: Some(names::container_labels(self.owner, self.id, &container.name)),
            stop_timeout: Some(0),
            host_config: Some(host),
            ..Default::default()
        })
    }

    /// The host name of every container.
    pub(super) fn host_name(&self) -> &str {
        let name = &self.spec.host_name;
        let end = (0..=name.len().min(MAX_HOST_NAME))
            .rev()
            .find(|&i| name.is_char_boundary(i))
            .unwrap_or(0);
        name[..end].trim_end_matches(['-', '.'])
    }
}

/// The restart policy of everything here: the domain decides about restarts.
fn never() -> RestartPolicy {
    RestartPolicy {
        name: Some(RestartPolicyNameEnum::NO),
        maximum_retry_count: None,
    }
}

/// What a container may use: its own size, else the group's.
fn effective_size(group: Size, own: Size) -> Size {
    let or = |own, group| if own == 0 { group } else { own };
    Size {
        milli_cpu: or(own.milli_cpu, group.milli_cpu),
        memory_mib: or(own.memory_mib, group.memory_mib),
    }
}

/// A limit as engines want it: 0 is none, and any other not too small for them.
fn at_least(least: i64, limit: u64) -> i64 {
    match i64::try_from(limit).unwrap_or(i64::MAX) {
        0 => 0,
        limit => limit.max(least),
    }
}

fn env(variable: &EnvVar, ip: IpAddr) -> String {
    match &variable.value {
        EnvValue::Literal(value) => format!("{}={}", variable.name, value.0),
        EnvValue::PodIp => format!("{}={ip}", variable.name),
    }
}

/// User (and group) to run as; none = what the image says.
fn user(container: &ContainerSpec, image_user: &str) -> Option<String> {
    let security = &container.security;
    match (security.run_as_user, security.run_as_group) {
        (None, None) => None,
        (Some(user), None) => Some(user.to_string()),
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (None, Some(group)) => {
            let user = image_user
                .split(':')
                .next()
                .filter(|user| !user.is_empty())
                .unwrap_or("0");
            Some(format!("{user}:{group}"))
        }
    }
}

/// Why a container that must not run as root may not start with this image user; none = it may.
pub(super) fn root_refused(container: &ContainerSpec, image_user: &str) -> Option<String> {
    if !container.security.run_as_non_root {
        return None;
    }
    let image_user = image_user.split(':').next().unwrap_or_default();
    match (container.security.run_as_user, image_user) {
        (Some(0), _) => Some("container's runAsUser breaks non-root policy".to_owned()),
        (Some(_), _) => None,
        (None, "" | "0" | "root") => Some("container has runAsNonRoot and image will run as root".to_owned()),
        (None, user) if user.parse::<u64>().is_err() => Some(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        )),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Secret, Security};

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 88, 0, 7));

    fn body(podman: bool, change: impl FnOnce(&mut ContainerSpec)) -> ContainerCreateBody {
        let id = GroupId::from("eci-1");
        let mut container = ContainerSpec {
            name: "main".into(),
            image: "busybox:1".into(),
            ..Default::default()
        };
        change(&mut container);
        let spec = GroupSpec {
            host_name: "web-1".into(),
            size: Size {
                milli_cpu: 2000,
                memory_mib: 4096,
            },
            containers: vec![container],
            ..Default::default()
        };
        let volumes = Volumes {
            subpath: true,
            mountpoints: vec!["/engine".into()],
        };
        let frame = Frame {
            owner: "test",
            id: &id,
            spec: &spec,
            podman,
        };
        frame
            .container(&spec.containers[0], IP, "185:0", &volumes)
            .expect("body")
    }

    #[test]
    fn arguments_alone_keep_the_images_entrypoint() {
        let made = body(false, |c| c.args = vec!["driver".into()]);
        assert_eq!((made.entrypoint, made.cmd), (None, Some(vec!["driver".into()])));
        let made = body(false, |c| c.command = vec!["sh".into()]);
        assert_eq!((made.entrypoint, made.cmd), (Some(vec!["sh".into()]), Some(vec![])));
        let made = body(false, |_| ());
        assert_eq!((made.entrypoint, made.cmd), (None, None));
    }

    #[test]
    fn the_groups_address_is_put_into_the_environment() {
        let made = body(false, |c| {
            c.env = vec![
                EnvVar {
                    name: "A".into(),
                    value: EnvValue::Literal(Secret("x=y".into())),
                },
                EnvVar {
                    name: "IP".into(),
                    value: EnvValue::PodIp,
                },
            ];
        });
        assert_eq!(made.env, Some(vec!["A=x=y".into(), "IP=10.88.0.7".into()]));
    }

    #[test]
    fn limits_are_the_containers_own_or_the_groups() {
        let host = body(false, |c| c.size.memory_mib = 64)
            .host_config
            .expect("host config");
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!(
            (host.cpu_quota, host.cpu_period, host.nano_cpus),
            (Some(200_000), Some(100_000), None)
        );
    }

    #[test]
    fn no_limit_is_too_small_for_an_engine() {
        let host = body(false, |c| {
            c.size = Size {
                milli_cpu: 1,
                memory_mib: 1,
            }
        })
        .host_config
        .expect("host config");
        assert_eq!((host.cpu_quota, host.memory), (Some(1_000), Some(6 << 20)));
        assert_eq!(at_least(MIN_MEMORY, 0), 0);
    }

    #[test]
    fn privileges_are_those_given() {
        let given = Security {
            privileged: true,
            read_only_root: true,
            add_capabilities: vec!["NET_ADMIN".into()],
            ..Default::default()
        };
        let host = body(false, |c| c.security = given).host_config.expect("host config");
        assert_eq!((host.privileged, host.readonly_rootfs), (Some(true), Some(true)));
        assert_eq!(host.cap_add, Some(vec!["NET_ADMIN".into()]));
        let host = body(false, |_| ()).host_config.expect("host config");
        assert_eq!((host.privileged, host.cap_add), (Some(false), None));
    }

    #[test]
    fn only_podman_is_told_the_host_name() {
        assert_eq!(body(true, |_| ()).hostname.as_deref(), Some("web-1"));
        assert_eq!(body(false, |_| ()).hostname, None);
    }

    #[test]
    fn a_group_id_without_a_user_keeps_the_images_user() {
        let with = |run_as_user, run_as_group| {
            body(false, |c| {
                c.security = Security {
                    run_as_user,
                    run_as_group,
                    ..Default::default()
                }
            })
            .user
        };
        assert_eq!(with(None, None), None);
        assert_eq!(with(Some(7), None).as_deref(), Some("7"));
        assert_eq!(with(Some(7), Some(8)).as_deref(), Some("7:8"));
        assert_eq!(with(None, Some(8)).as_deref(), Some("185:8"));
    }

    #[test]
    fn non_root_is_checked_against_the_image() {
        let mut container = ContainerSpec::default();
        assert_eq!(root_refused(&container, ""), None);
        container.security.run_as_non_root = true;
        assert!(root_refused(&container, "").is_some());
        assert!(root_refused(&container, "root:0").is_some());
        assert!(root_refused(&container, "spark").is_some_and(|why| why.contains("non-numeric")));
        assert_eq!(root_refused(&container, "185:0"), None);
        container.security.run_as_user = Some(0);
        assert!(root_refused(&container, "185").is_some());
    }

    #[test]
    fn the_pause_container_carries_the_groups_names() {
        let id = GroupId::from("eci-1");
        let spec = GroupSpec {
            host_name: format!("{}-x", "a".repeat(62)),
            dns: Dns::None {
                name_servers: vec!["10.96.0.10".into()],
                searches: vec!["default.svc.cluster.local".into()],
                options: vec![("ndots".into(), "5".into()), ("rotate".into(), String::new())],
            },
            ..Default::default()
        };
        let frame = Frame {
            owner: "test",
            id: &id,
            spec: &spec,
            podman: true,
        };
        let made = frame.pause("pause:1", "eci", true);
        assert_eq!(made.hostname, Some("a".repeat(62)));
        let host = made.host_config.expect("host config");
        assert_eq!(host.dns_options, Some(vec!["ndots:5".into(), "rotate".into()]));
        assert_eq!(host.network_mode.as_deref(), Some("eci"));
        assert_eq!(host.cap_add, Some(vec!["NET_ADMIN".into()]));
    }
}
