//! Containers and init containers to `Container.N` and `InitContainer.N`.

use k8s_openapi::api::core::v1::{self as core, ContainerPort, VolumeMount};

use super::env::Environment;
use super::rejection::Findings;
use super::sidecars::{self, Sidecar};
use super::{Context, limits, probes, resources, security};
use crate::request;

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of `spec.initContainers`: runs to its end before the next.
    Init,
    /// One of `spec.initContainers` that stays: see [`super::sidecars`].
    Sidecar(Sidecar),
    /// One of `spec.containers`.
    Main,
}

/// The container at `path`.
pub(super) fn container(
    cx: &Context<'_>,
    container: &core::Container,
    kind: Kind,
    path: &str,
    findings: &mut Findings,
) -> request::Container {
    let core::Container {
        args,
        command,
        env: _, // Both by `Environment`.
        env_from: _,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources: _,   // By `resources`, for the pod as a whole and as bounds below.
        restart_policy, // `Always` of an init container made it a sidecar.
        restart_policy_rules,
        security_context: _, // By `security`.
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = container;

    if resize_policy.as_ref().is_some_and(|policy| !policy.is_empty()) {
        findings.weaken(
            format!("{path}.resizePolicy"),
            "the resources of a running container group are not changed",
        );
    }
    if restart_policy.is_some() && !matches!(kind, Kind::Sidecar(_)) {
        findings.refuse(
            format!("{path}.restartPolicy"),
            "ECI restarts all containers of a group by one policy; use the pod's restartPolicy",
        );
    }
    if restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
        findings.refuse(
            format!("{path}.restartPolicyRules"),
            "ECI restarts containers by the pod's restartPolicy alone",
        );
    }
    if volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        findings.refuse(
            format!("{path}.volumeDevices"),
            "raw block devices cannot be attached; use volumeMounts",
        );
    }
    findings.refuse_if_set(
        startup_probe,
        format!("{path}.startupProbe"),
        "ECI knows LivenessProbe and ReadinessProbe only; give the liveness probe an initialDelaySeconds as long as the start may take",
    );
    let image = image.as_deref().unwrap_or_default();
    if image.is_empty() || image.len() > 255 {
        findings.invalid(format!("{path}.image"), "an image needs a name of 1 to 255 characters");
    }

    let environment = Environment::resolve(cx, container, path, findings);
    let mut expand_all = |texts: &Option<Vec<String>>, name: &str| -> Vec<String> {
        let texts = texts.iter().flatten().enumerate();
        texts
            .filter_map(|(index, text)| environment.expand(text, &format!("{path}.{name}[{index}]"), findings))
            .collect()
    };
    let command = expand_all(command, "command");
    let args = expand_all(args, "args");
    let volume_mounts = volume_mounts
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, one)| {
            mount(
                cx,
                one,
                &environment,
                &format!("{path}.volumeMounts[{index}]"),
                findings,
            )
        })
        .collect();

    let declared = ports.as_deref().unwrap_or_default();
    let (post_start, pre_stop) = match lifecycle {
        Some(lifecycle) => probes::hooks(lifecycle, declared, &format!("{path}.lifecycle"), findings),
        None => (None, None),
    };
    let mut probe = |probe: &Option<core::Probe>, name: &str| {
        probe
            .as_ref()
            .and_then(|probe| probes::probe(probe, declared, &format!("{path}.{name}"), findings))
    };
    let liveness_probe = probe(liveness_probe, "livenessProbe");
    let readiness_probe = probe(readiness_probe, "readinessProbe");
    if kind == Kind::Init {
        not_for_init(container, path, findings);
    }

    let sidecar = match kind {
        Kind::Sidecar(sidecar) => Some(sidecar),
        Kind::Init | Kind::Main => None,
    };
    let room = limits::MAX_ENV - sidecar.map_or(0, |_| sidecars::VARIABLES);
    let (mut env, left_out) = environment.into_vars(room);
    if left_out > 0 {
        findings.warn(
            "spec.enableServiceLinks",
            format!(
                "{left_out} variables of Services are left out: ECI takes {} for a container",
                limits::MAX_ENV
            ),
        );
    }
    if let Some(sidecar) = sidecar {
        sidecar.mark(&mut env);
    }
    // A size that the pod names takes the place of requests and limits: together they might exceed it.
    let mut bounds = resources::bounds(container);
    if cx.size_is_named {
        (bounds.cpu, bounds.memory) = (None, None);
    }
    request::Container {
        name: name.clone(),
        image: image.to_owned(),
        image_pull_policy: image_pull_policy.clone().filter(|policy| !policy.is_empty()),
        cpu: bounds.cpu,
        memory: bounds.memory,
        gpu: bounds.gpus,
        command,
        args,
        working_dir: working_dir.clone().filter(|dir| !dir.is_empty()),
        env,
        ports: map_ports(declared, path, findings),
        volume_mounts,
        liveness_probe,
        readiness_probe,
        post_start,
        pre_stop,
        security: security::container(cx, container, kind == Kind::Init, path, findings),
        stdin: stdin.unwrap_or(false),
        stdin_once: stdin_once.unwrap_or(false),
        tty: tty.unwrap_or(false),
        termination_message_path: termination_message_path.clone().filter(|path| !path.is_empty()),
        termination_message_policy: termination_message_policy.clone().filter(|policy| !policy.is_empty()),
    }
}

/// What Kubernetes allows for init containers (or does for sidecars) and ECI does not.
fn not_for_init(container: &core::Container, path: &str, findings: &mut Findings) {
    for (set, name) in [
        (container.lifecycle.is_some(), "lifecycle"),
        (container.liveness_probe.is_some(), "livenessProbe"),
        (container.readiness_probe.is_some(), "readinessProbe"),
    ] {
        if set {
            findings.invalid(
                format!("{path}.{name}"),
                "an init container has neither probes nor hooks",
            );
        }
    }
    for (set, name) in [
        (container.stdin == Some(true), "stdin"),
        (container.tty == Some(true), "tty"),
    ] {
        if set {
            findings.refuse(
                format!("{path}.{name}"),
                "ECI gives init containers no standard input and no terminal",
            );
        }
    }
}

fn map_ports(ports: &[ContainerPort], path: &str, findings: &mut Findings) -> Vec<request::Port> {
    let mut mapped: Vec<request::Port> = Vec::with_capacity(ports.len());
    for (index, port) in ports.iter().enumerate() {
        // The name is resolved in probes and hooks.
        let ContainerPort {
            container_port,
            host_ip,
            host_port,
            name: _,
            protocol,
        } = port;
        let field = format!("{path}.ports[{index}]");
        if host_port.is_some_and(|port| port != 0) || host_ip.as_ref().is_some_and(|ip| !ip.is_empty()) {
            findings.refuse(
                format!("{field}.hostPort"),
                "a container group has an address of its own and no host; connect to the pod's IP or a Service",
            );
        }
        let protocol = protocol
            .as_deref()
            .filter(|protocol| !protocol.is_empty())
            .unwrap_or("TCP");
        if !matches!(protocol, "TCP" | "UDP") {
            findings.refuse(
                format!("{field}.protocol"),
                format!("ECI knows TCP and UDP, not {protocol}"),
            );
        }
        match u16::try_from(*container_port) {
            Ok(number) if number > 0 => {
                let port = request::Port {
                    port: number,
                    protocol: protocol.to_owned(),
                };
                // Kubernetes allows the same port under two names.
                if !mapped.contains(&port) {
                    mapped.push(port);
                }
            }
            _ => findings.invalid(format!("{field}.containerPort"), "a port is a number from 1 to 65535"),
        }
    }
    mapped
}

fn mount(
    cx: &Context<'_>,
    mount: &VolumeMount,
    environment: &Environment,
    path: &str,
    findings: &mut Findings,
) -> request::VolumeMount {
    let VolumeMount {
        mount_path,
        mount_propagation,
        name,
        read_only,
        recursive_read_only: _, // No volume offered here has mounts below it, so read-only is recursively so.
        sub_path,
        sub_path_expr,
    } = mount;
    if !cx.spec.volumes.iter().flatten().any(|volume| volume.name == *name) {
        findings.invalid(format!("{path}.name"), format!("the pod has no volume `{name}`"));
    }
    let sub_path = match sub_path_expr.as_deref().filter(|expr| !expr.is_empty()) {
        Some(expr) => environment
            .expand_strictly(expr, &format!("{path}.subPathExpr"), findings)
            .unwrap_or_default(),
        None => sub_path.clone().unwrap_or_default(),
    };
    if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
        findings.invalid(format!("{path}.subPath"), "it must be a relative path without `..`");
    }
    request::VolumeMount {
        name: name.clone(),
        mount_path: mount_path.clone(),
        sub_path,
        read_only: read_only.unwrap_or(false), // And where its volume is, which `pod` knows.
        mount_propagation: mount_propagation.clone().filter(|propagation| propagation != "None"),
    }
}
