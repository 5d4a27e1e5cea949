//! Parameters of one container or init container.

use std::time::Duration;

use crate::{
    api::{
        error::ApiError,
        params::{Scope, longer},
    },
    spec::{ContainerSpec, EnvValue, EnvVar, Handler, Mount, Probe, PullPolicy, Secret, Security, Size, VolumeSpec},
};

pub(super) fn container(scope: Scope<'_>, is_init: bool, volumes: &[VolumeSpec]) -> Result<ContainerSpec, ApiError> {
    let name = scope.required("Name")?;
    if !is_label(name) {
        return Err(ApiError::invalid(
            &scope.name("Name"),
            "it must be at most 63 of a-z, 0-9 and '-', and neither begin nor end with '-'",
        ));
    }
    let image = scope.required("Image")?;
    if image.len() > 255 || image.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
        return Err(ApiError::invalid(
            &scope.name("Image"),
            "it must be an image reference of 1 to 255 characters",
        ));
    }
    let bounds = scope.bounds();
    let gpus = scope.integer("Gpu", 0..=64)?.unwrap_or(0);
    let spec = ContainerSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        pull_policy: pull_policy(scope)?,
        size: Size {
            milli_cpu: scope.decimal("Cpu", 1_000)?.unwrap_or(0),
            memory_mib: scope.decimal("Memory", 1_024)?.unwrap_or(0),
        },
        gpus: u32::try_from(gpus).unwrap_or(u32::MAX),
        command: command(scope, "Command")?,
        args: scope.short_texts("Arg", bounds.arguments, usize::MAX)?,
        working_dir: scope.filled("WorkingDir").unwrap_or_default().to_owned(),
        env: environment(scope)?,
        hide_env: scope.boolean("EnvironmentVarHide")?.unwrap_or(false),
        ports: ports(scope)?,
        mounts: mounts(scope, volumes)?,
        security: security(scope)?,
        termination_message_path: scope.filled("TerminationMessagePath").unwrap_or_default().to_owned(),
        termination_message_from_logs: termination_message_from_logs(scope)?,
        ..ContainerSpec::default()
    };
    if is_init {
        return Ok(spec);
    }
    Ok(ContainerSpec {
        stdin: scope.boolean("Stdin")?.unwrap_or(false),
        stdin_once: scope.boolean("StdinOnce")?.unwrap_or(false),
        tty: scope.boolean("Tty")?.unwrap_or(false),
        liveness_probe: probe(scope.sub("LivenessProbe"))?,
        readiness_probe: probe(scope.sub("ReadinessProbe"))?,
        post_start: hook(scope, "LifecyclePostStartHandler")?,
        pre_stop: hook(scope, "LifecyclePreStopHandler")?,
        ..spec
    })
}

/// The items of a command line.
fn command(scope: Scope<'_>, member: &str) -> Result<Vec<String>, ApiError> {
    let bounds = scope.bounds();
    scope.short_texts(member, bounds.command, bounds.command_chars)
}

/// Kubernetes' DNS label, which is what container names are there.
fn is_label(name: &str) -> bool {
    name.len() <= 63
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn pull_policy(scope: Scope<'_>) -> Result<PullPolicy, ApiError> {
    match scope.filled("ImagePullPolicy") {
        None | Some("IfNotPresent") => Ok(PullPolicy::IfNotPresent),
        Some("Always") => Ok(PullPolicy::Always),
        Some("Never") => Ok(PullPolicy::Never),
        Some(_) => Err(ApiError::invalid(
            &scope.name("ImagePullPolicy"),
            "it must be Always, IfNotPresent or Never",
        )),
    }
}

fn environment(scope: Scope<'_>) -> Result<Vec<EnvVar>, ApiError> {
    let items = scope.list("EnvironmentVar", scope.bounds().variables)?;
    items
        .into_iter()
        .map(|item| {
            let name = item.required("Key")?;
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.len() > 128 || !name.bytes().all(allowed) || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(ApiError::invalid(
                    &item.name("Key"),
                    format_args!("{name:?} must be 1 to 128 of 0-9, a-z, A-Z and '_', and not begin with a digit"),
                ));
            }
            let value = match item.filled("FieldRef.FieldPath") {
                None => EnvValue::Literal(Secret(variable(item)?.to_owned())),
                Some("status.podIP") => EnvValue::PodIp,
                Some(_) => {
                    return Err(ApiError::invalid(
                        &item.name("FieldRef.FieldPath"),
                        "it must be status.podIP",
                    ));
                }
            };
            Ok(EnvVar {
                name: name.to_owned(),
                value,
            })
        })
        .collect()
}

fn variable(item: Scope<'_>) -> Result<&str, ApiError> {
    let chars = item.bounds().variable_chars;
    let value = item.text("Value").unwrap_or_default();
    match longer(value, chars) {
        true => Err(ApiError::value_exceeded(
            &item.name("Value"),
            format_args!("it may have {chars} characters"),
        )),
        false => Ok(value),
    }
}

fn ports(scope: Scope<'_>) -> Result<Vec<(u16, String)>, ApiError> {
    let items = scope.list("Port", scope.bounds().ports)?;
    items
        .into_iter()
        .map(|item| {
            let port = item
                .integer("Port", 1..=65_535)?
                .ok_or_else(|| ApiError::missing(&item.name("Port")))?;
            let protocol = item.filled("Protocol").unwrap_or("TCP");
            if !matches!(protocol, "TCP" | "UDP") {
                return Err(ApiError::invalid(&item.name("Protocol"), "it must be TCP or UDP"));
            }
            Ok((u16::try_from(port).unwrap_or(u16::MAX), protocol.to_owned()))
        })
        .collect()
}

fn mounts(scope: Scope<'_>, volumes: &[VolumeSpec]) -> Result<Vec<Mount>, ApiError> {
    let items = scope.list("VolumeMount", scope.bounds().mounts)?;
    items
        .into_iter()
        .map(|item| {
            let volume = item.required("Name")?;
            if !volumes.iter().any(|v| v.name == volume) {
                return Err(ApiError::invalid(
                    &item.name("Name"),
                    format_args!("there is no volume {volume:?}"),
                ));
            }
            let path = item.required("MountPath")?;
            if !path.starts_with('/') {
                return Err(ApiError::invalid(&item.name("MountPath"), "it must be absolute"));
            }
            let sub_path = item.filled("SubPath").unwrap_or_default();
            if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
                return Err(ApiError::invalid(
                    &item.name("SubPath"),
                    "it must be relative and without '..'",
                ));
            }
            let propagation = match item.filled("MountPropagation").unwrap_or("None") {
                // Some of ECI's own texts misspell it.
                "HostToContainer" | "HostToCotainer" => "HostToContainer",
                "None" => "None",
                "Bidirectional" => "Bidirectional",
                _ => {
                    return Err(ApiError::invalid(
                        &item.name("MountPropagation"),
                        "it must be None, HostToContainer or Bidirectional",
                    ));
                }
            };
            Ok(Mount {
                volume: volume.to_owned(),
                path: path.to_owned(),
                sub_path: sub_path.to_owned(),
                read_only: item.boolean("ReadOnly")?.unwrap_or(false),
                propagation: propagation.to_owned(),
            })
        })
        .collect()
}

fn security(scope: Scope<'_>) -> Result<Security, ApiError> {
    let context = scope.sub("SecurityContext");
    let read_only_root = context.boolean("ReadOnlyRootFilesystem")?;
    if read_only_root == Some(false) {
        return Err(ApiError::invalid(
            &context.name("ReadOnlyRootFilesystem"),
            "only true is accepted",
        ));
    }
    let add_capabilities = context.texts("Capability.Add", 10)?;
    if let Some(bad) = add_capabilities
        .iter()
        .find(|c| !matches!(**c, "NET_ADMIN" | "NET_RAW"))
    {
        return Err(ApiError::invalid(
            &context.name("Capability.Add"),
            format_args!("{bad:?} must be NET_ADMIN or NET_RAW"),
        ));
    }
    Ok(Security {
        run_as_user: context.integer("RunAsUser", 0..=i64::from(u32::MAX))?,
        run_as_group: scope.integer("SecurityContextRunAsGroup", 0..=i64::from(u32::MAX))?,
        run_as_non_root: scope.boolean("SecurityContextRunAsNonRoot")?.unwrap_or(false),
        read_only_root: read_only_root.unwrap_or(false),
        privileged: scope.boolean("SecurityContextPrivileged")?.unwrap_or(false),
        add_capabilities: add_capabilities.into_iter().map(str::to_owned).collect(),
    })
}

fn termination_message_from_logs(scope: Scope<'_>) -> Result<bool, ApiError> {
    match scope.filled("TerminationMessagePolicy") {
        None | Some("File") => Ok(false),
        Some("FallbackToLogsOnError") => Ok(true),
        Some(_) => Err(ApiError::invalid(
            &scope.name("TerminationMessagePolicy"),
            "it must be File or FallbackToLogsOnError",
        )),
    }
}

fn probe(scope: Scope<'_>) -> Result<Option<Probe>, ApiError> {
    if scope.is_empty() {
        return Ok(None);
    }
    let (exec, http, tcp) = (scope.sub("Exec"), scope.sub("HttpGet"), scope.sub("TcpSocket"));
    let handler = match (exec.is_empty(), http.is_empty(), tcp.is_empty()) {
        (false, true, true) => Handler::Exec(command(exec, "Command")?),
        (true, false, true) => Handler::HttpGet {
            host: String::new(),
            path: http.filled("Path").unwrap_or("/").to_owned(),
            port: port(http, "Port")?,
            scheme: scheme(http, "Scheme")?,
            headers: Vec::new(),
        },
        (true, true, false) => Handler::TcpSocket {
            host: String::new(),
            port: port(tcp, "Port")?,
        },
        _ => {
            return Err(ApiError::invalid(
                &scope.name(""),
                "exactly one of HttpGet, Exec and TcpSocket is needed",
            ));
        }
    };
    let number = |name: &str, least: i64, default: i64| -> Result<u64, ApiError> {
        Ok(scope
            .integer(name, least..=i64::from(i32::MAX))?
            .unwrap_or(default)
            .unsigned_abs())
    };
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let success_threshold = number("SuccessThreshold", 1, 1)?;
    if success_threshold != 1 {
        return Err(ApiError::invalid(&scope.name("SuccessThreshold"), "it must be 1"));
    }
    Ok(Some(Probe {
        handler,
        initial_delay: Duration::from_secs(number("InitialDelaySeconds", 0, 0)?),
        period: Duration::from_secs(number("PeriodSeconds", 1, 10)?),
        timeout: Duration::from_secs(number("TimeoutSeconds", 1, 1)?),
        success_threshold: count(success_threshold),
        failure_threshold: count(number("FailureThreshold", 1, 3)?),
    }))
}

fn hook(scope: Scope<'_>, prefix: &str) -> Result<Option<Handler>, ApiError> {
    let name = |member: &str| format!("{prefix}{member}");
    let exec = command(scope, &name("Exec"))?;
    let http = scope.filled(&name("HttpGetPort"));
    let tcp = scope.filled(&name("TcpSocketPort"));
    match (exec.is_empty(), http, tcp) {
        (true, None, None) => Ok(None),
        (false, None, None) => Ok(Some(Handler::Exec(exec))),
        (true, Some(_), None) => Ok(Some(Handler::HttpGet {
            host: scope.filled(&name("HttpGetHost")).unwrap_or_default().to_owned(),
            path: scope.filled(&name("HttpGetPath")).unwrap_or("/").to_owned(),
            port: port(scope, &name("HttpGetPort"))?,
            scheme: scheme(scope, &name("HttpGetScheme"))?,
            headers: scope.text_pairs(&name("HttpGetHttpHeader"), ("Name", "Value"), 20)?,
        })),
        (true, None, Some(_)) => Ok(Some(Handler::TcpSocket {
            host: scope.filled(&name("TcpSocketHost")).unwrap_or_default().to_owned(),
            port: port(scope, &name("TcpSocketPort"))?,
        })),
        _ => Err(ApiError::invalid(
            &scope.name(prefix),
            "only one of Exec, HttpGet and TcpSocket is allowed",
        )),
    }
}

fn port(scope: Scope<'_>, member: &str) -> Result<u16, ApiError> {
    let port = scope
        .integer(member, 1..=65_535)?
        .ok_or_else(|| ApiError::missing(&scope.name(member)))?;
    Ok(u16::try_from(port).unwrap_or(u16::MAX))
}

fn scheme(scope: Scope<'_>, member: &str) -> Result<String, ApiError> {
    match scope.filled(member).unwrap_or("HTTP") {
        scheme @ ("HTTP" | "HTTPS") => Ok(scheme.to_owned()),
        _ => Err(ApiError::invalid(&scope.name(member), "it must be HTTP or HTTPS")),
    }
}
