//! `Container.N` and `InitContainer.N`.

use crate::request::{Container, ContainerSecurity, EnvValue, Handler, Probe};

use super::put_name_value;
use super::writer::{Writer, decimal};

/// Writes a container with everything ECI knows of one.
pub(super) fn put(w: &mut Writer<'_>, container: &Container) {
    put_common(w, container);
    put_probe(w, "LivenessProbe", container.liveness_probe.as_ref());
    put_probe(w, "ReadinessProbe", container.readiness_probe.as_ref());
    put_hook(w, "LifecyclePostStartHandler", container.post_start.as_ref());
    put_hook(w, "LifecyclePreStopHandler", container.pre_stop.as_ref());
    let ContainerSecurity {
        run_as_group,
        run_as_non_root,
        ..
    } = &container.security;
    // These two are spelled without a dot, unlike the rest of the security context.
    w.put_some("SecurityContextRunAsGroup", run_as_group.as_ref());
    w.put_some("SecurityContextRunAsNonRoot", run_as_non_root.as_ref());
    w.put_if("Stdin", container.stdin);
    w.put_if("StdinOnce", container.stdin_once);
    w.put_if("Tty", container.tty);
}

/// Writes an init container: it has no probes, hooks, group or terminal in the API, and the mapping sets none.
pub(super) fn put_init(w: &mut Writer<'_>, container: &Container) {
    put_common(w, container);
}

fn put_common(w: &mut Writer<'_>, container: &Container) {
    w.put("Name", &container.name);
    w.put("Image", &container.image);
    w.put_some("ImagePullPolicy", container.image_pull_policy.as_ref());
    if let Some(cpu) = container.cpu {
        w.put("Cpu", &decimal(cpu.as_vcpu()));
    }
    if let Some(memory) = container.memory {
        w.put("Memory", &decimal(memory.as_gib()));
    }
    w.put_some("Gpu", container.gpu.as_ref());
    w.texts("Command", &container.command);
    w.texts("Arg", &container.args);
    w.put_some("WorkingDir", container.working_dir.as_ref());
    w.list("EnvironmentVar", &container.env, |w, var| {
        w.put("Key", &var.key);
        match &var.value {
            EnvValue::Literal(value) => w.put("Value", &value.0),
            EnvValue::PodIp => w.put("FieldRef.FieldPath", "status.podIP"),
        }
    });
    w.list("Port", &container.ports, |w, port| {
        w.put_display("Port", port.port);
        w.put("Protocol", &port.protocol);
    });
    w.list("VolumeMount", &container.volume_mounts, |w, mount| {
        w.put("Name", &mount.name);
        w.put("MountPath", &mount.mount_path);
        w.put_unless_empty("SubPath", &mount.sub_path);
        w.put_if("ReadOnly", mount.read_only);
        w.put_some("MountPropagation", mount.mount_propagation.as_ref());
    });
    w.within("SecurityContext", |w| {
        w.put_some("RunAsUser", container.security.run_as_user.as_ref());
        w.put_if("ReadOnlyRootFilesystem", container.security.read_only_root_filesystem);
        w.texts("Capability.Add", &container.security.add_capabilities);
    });
    w.put_some("TerminationMessagePath", container.termination_message_path.as_ref());
    w.put_some(
        "TerminationMessagePolicy",
        container.termination_message_policy.as_ref(),
    );
}

fn put_probe(w: &mut Writer<'_>, key: &str, probe: Option<&Probe>) {
    let Some(probe) = probe else { return };
    w.within(key, |w| {
        match &probe.handler {
            Handler::Exec(command) => w.texts("Exec.Command", command),
            // A probe has neither host nor headers in the API; the mapping refuses them.
            Handler::HttpGet {
                path,
                port,
                scheme,
                host: _,
                headers: _,
            } => {
                w.put("HttpGet.Path", path);
                w.put_display("HttpGet.Port", port);
                w.put("HttpGet.Scheme", scheme);
            }
            Handler::TcpSocket { port, host: _ } => w.put_display("TcpSocket.Port", port),
        }
        w.put_some("InitialDelaySeconds", probe.initial_delay_seconds.as_ref());
        w.put_some("PeriodSeconds", probe.period_seconds.as_ref());
        w.put_some("TimeoutSeconds", probe.timeout_seconds.as_ref());
        w.put_some("SuccessThreshold", probe.success_threshold.as_ref());
        w.put_some("FailureThreshold", probe.failure_threshold.as_ref());
    });
}

/// Hooks are spelled as one word each, `LifecyclePreStopHandlerHttpGetPort`, directly below the container.
fn put_hook(w: &mut Writer<'_>, prefix: &str, handler: Option<&Handler>) {
    let Some(handler) = handler else { return };
    let name = |member: &str| format!("{prefix}{member}");
    match handler {
        Handler::Exec(command) => w.texts(&name("Exec"), command),
        Handler::HttpGet {
            host,
            path,
            port,
            scheme,
            headers,
        } => {
            w.put_some(&name("HttpGetHost"), host.as_ref());
            w.put_display(&name("HttpGetPort"), port);
            w.put(&name("HttpGetPath"), path);
            w.put(&name("HttpGetScheme"), scheme);
            w.list(&name("HttpGetHttpHeader"), headers, |w, (name, value)| {
                put_name_value(w, name, value)
            });
        }
        Handler::TcpSocket { host, port } => {
            w.put_some(&name("TcpSocketHost"), host.as_ref());
            w.put_display(&name("TcpSocketPort"), port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{EnvVar, Port, VolumeMount};
    use crate::units::{MiB, MilliCpu};

    fn lines(put: fn(&mut Writer<'_>, &Container), container: &Container) -> Vec<String> {
        let mut lines = Vec::new();
        put(&mut Writer::new(&mut |k, v| lines.push(format!("{k}={v}"))), container);
        lines
    }

    fn full() -> Container {
        Container {
            name: "c1".into(),
            image: "nginx:1.25".into(),
            image_pull_policy: Some("Always".into()),
            cpu: Some(MilliCpu(500)),
            memory: Some(MiB(1536)),
            gpu: Some(1),
            command: vec!["/bin/sh".into(), "-c".into()],
            args: vec!["echo \"a b\" > /tmp/x".into()],
            working_dir: Some("/w".into()),
            env: vec![
                EnvVar {
                    key: "EMPTY".into(),
                    value: EnvValue::Literal("".into()),
                },
                EnvVar {
                    key: "IP".into(),
                    value: EnvValue::PodIp,
                },
            ],
            ports: vec![Port {
                port: 80,
                protocol: "TCP".into(),
            }],
            volume_mounts: vec![
                VolumeMount {
                    name: "v".into(),
                    mount_path: "/v".into(),
                    ..Default::default()
                },
                VolumeMount {
                    name: "v".into(),
                    mount_path: "/u".into(),
                    sub_path: "u".into(),
                    read_only: true,
                    mount_propagation: Some("HostToContainer".into()),
                },
            ],
            liveness_probe: Some(Probe {
                handler: Handler::HttpGet {
                    host: None,
                    path: "/healthz".into(),
                    port: 8080,
                    scheme: "HTTP".into(),
                    headers: vec![],
                },
                initial_delay_seconds: Some(1),
                period_seconds: Some(2),
                timeout_seconds: Some(3),
                success_threshold: Some(1),
                failure_threshold: Some(4),
            }),
            readiness_probe: Some(Probe {
                handler: Handler::Exec(vec!["true".into(), "x".into()]),
                initial_delay_seconds: None,
                period_seconds: None,
                timeout_seconds: None,
                success_threshold: None,
                failure_threshold: None,
            }),
            post_start: Some(Handler::Exec(vec!["a".into(), "b".into()])),
            pre_stop: Some(Handler::HttpGet {
                host: Some("h".into()),
                path: "/stop".into(),
                port: 81,
                scheme: "HTTPS".into(),
                headers: vec![("X-A".into(), "1".into())],
            }),
            security: ContainerSecurity {
                run_as_user: Some(185),
                run_as_group: Some(0),
                run_as_non_root: Some(false),
                read_only_root_filesystem: true,
                add_capabilities: vec!["NET_ADMIN".into()],
            },
            stdin: true,
            stdin_once: true,
            tty: true,
            termination_message_path: Some("/dev/termination-log".into()),
            termination_message_policy: Some("File".into()),
        }
    }

    const COMMON: &[&str] = &[
        "Name=c1",
        "Image=nginx:1.25",
        "ImagePullPolicy=Always",
        "Cpu=0.5",
        "Memory=1.5",
        "Gpu=1",
        "Command.1=/bin/sh",
        "Command.2=-c",
        "Arg.1=echo \"a b\" > /tmp/x",
        "WorkingDir=/w",
        "EnvironmentVar.1.Key=EMPTY",
        "EnvironmentVar.1.Value=",
        "EnvironmentVar.2.Key=IP",
        "EnvironmentVar.2.FieldRef.FieldPath=status.podIP",
        "Port.1.Port=80",
        "Port.1.Protocol=TCP",
        "VolumeMount.1.Name=v",
        "VolumeMount.1.MountPath=/v",
        "VolumeMount.2.Name=v",
        "VolumeMount.2.MountPath=/u",
        "VolumeMount.2.SubPath=u",
        "VolumeMount.2.ReadOnly=true",
        "VolumeMount.2.MountPropagation=HostToContainer",
        "SecurityContext.RunAsUser=185",
        "SecurityContext.ReadOnlyRootFilesystem=true",
        "SecurityContext.Capability.Add.1=NET_ADMIN",
        "TerminationMessagePath=/dev/termination-log",
        "TerminationMessagePolicy=File",
    ];

    #[test]
    fn every_member_of_a_container() {
        let lines = lines(put, &full());
        assert_eq!(lines[..COMMON.len()], *COMMON);
        assert_eq!(
            lines[COMMON.len()..],
            [
                "LivenessProbe.HttpGet.Path=/healthz",
                "LivenessProbe.HttpGet.Port=8080",
                "LivenessProbe.HttpGet.Scheme=HTTP",
                "LivenessProbe.InitialDelaySeconds=1",
                "LivenessProbe.PeriodSeconds=2",
                "LivenessProbe.TimeoutSeconds=3",
                "LivenessProbe.SuccessThreshold=1",
                "LivenessProbe.FailureThreshold=4",
                "ReadinessProbe.Exec.Command.1=true",
                "ReadinessProbe.Exec.Command.2=x",
                "LifecyclePostStartHandlerExec.1=a",
                "LifecyclePostStartHandlerExec.2=b",
                "LifecyclePreStopHandlerHttpGetHost=h",
                "LifecyclePreStopHandlerHttpGetPort=81",
                "LifecyclePreStopHandlerHttpGetPath=/stop",
                "LifecyclePreStopHandlerHttpGetScheme=HTTPS",
                "LifecyclePreStopHandlerHttpGetHttpHeader.1.Name=X-A",
                "LifecyclePreStopHandlerHttpGetHttpHeader.1.Value=1",
                "SecurityContextRunAsGroup=0",
                "SecurityContextRunAsNonRoot=false",
                "Stdin=true",
                "StdinOnce=true",
                "Tty=true",
            ]
        );
    }

    #[test]
    fn an_init_container_has_the_common_members_only() {
        assert_eq!(lines(put_init, &full()), COMMON);
    }

    #[test]
    fn tcp_actions() {
        let tcp = |host: Option<&str>| Handler::TcpSocket {
            host: host.map(Into::into),
            port: 9,
        };
        let container = Container {
            name: "c".into(),
            image: "i".into(),
            readiness_probe: Some(Probe {
                handler: tcp(None),
                initial_delay_seconds: None,
                period_seconds: None,
                timeout_seconds: None,
                success_threshold: None,
                failure_threshold: None,
            }),
            pre_stop: Some(tcp(Some("h"))),
            ..Default::default()
        };
        assert_eq!(
            lines(put, &container)[2..],
            [
                "ReadinessProbe.TcpSocket.Port=9",
                "LifecyclePreStopHandlerTcpSocketHost=h",
                "LifecyclePreStopHandlerTcpSocketPort=9"
            ]
        );
    }
}
