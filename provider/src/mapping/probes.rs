//! Probes and life cycle hooks.

use k8s_openapi::api::core::v1::{
    ContainerPort, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::rejection::Findings;
use crate::request::{self, Handler};

/// Where a handler stands: ECI's probes know less than its hooks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Probe,
    Hook,
}

/// The probe at `path` of a container that declares `ports`.
pub(super) fn probe(
    probe: &Probe,
    ports: &[ContainerPort],
    path: &str,
    findings: &mut Findings,
) -> Option<request::Probe> {
    let Probe {
        exec,
        failure_threshold,
        grpc,
        http_get,
        initial_delay_seconds,
        period_seconds,
        success_threshold,
        tcp_socket,
        termination_grace_period_seconds,
        timeout_seconds,
    } = probe;
    if grpc.is_some() {
        findings.refuse(
            format!("{path}.grpc"),
            "ECI's probes are HttpGet, Exec and TcpSocket; use exec with grpc_health_probe, or tcpSocket",
        );
        return None;
    }
    findings.refuse_if_set(
        termination_grace_period_seconds,
        format!("{path}.terminationGracePeriodSeconds"),
        "ECI has one grace period (TerminationGracePeriodSeconds of the group) and none for probes; set the pod's",
    );
    if success_threshold.is_some_and(|threshold| threshold > 1) {
        findings.refuse(
            format!("{path}.successThreshold"),
            "ECI takes no SuccessThreshold but 1; set it to 1, or let the check itself count",
        );
    }
    let handler = handler(exec, http_get, tcp_socket, Place::Probe, ports, path, findings)?;
    Some(request::Probe {
        handler,
        initial_delay_seconds: *initial_delay_seconds,
        period_seconds: *period_seconds,
        timeout_seconds: *timeout_seconds,
        success_threshold: *success_threshold,
        failure_threshold: *failure_threshold,
    })
}

/// `postStart` and `preStop`.
pub(super) fn hooks(
    lifecycle: &Lifecycle,
    ports: &[ContainerPort],
    path: &str,
    findings: &mut Findings,
) -> (Option<Handler>, Option<Handler>) {
    let Lifecycle {
        post_start,
        pre_stop,
        stop_signal,
    } = lifecycle;
    findings.refuse_if_set(
        stop_signal,
        format!("{path}.stopSignal"),
        "ECI sends the image's stop signal; set STOPSIGNAL in the image",
    );
    let mut hook = |handler: &Option<LifecycleHandler>, name: &str| {
        handler
            .as_ref()
            .and_then(|handler| hook(handler, ports, &format!("{path}.{name}"), findings))
    };
    (hook(post_start, "postStart"), hook(pre_stop, "preStop"))
}

fn hook(hook: &LifecycleHandler, ports: &[ContainerPort], path: &str, findings: &mut Findings) -> Option<Handler> {
    let LifecycleHandler {
        exec,
        http_get,
        sleep,
        tcp_socket,
    } = hook;
    if sleep.is_some() {
        findings.refuse(
            format!("{path}.sleep"),
            "ECI's hooks are Exec, HttpGet and TcpSocket, and whether the image has a `sleep` is not known here; if it has, use exec with [\"sleep\", \"<seconds>\"]",
        );
        return None;
    }
    handler(exec, http_get, tcp_socket, Place::Hook, ports, path, findings)
}

fn handler(
    exec: &Option<ExecAction>,
    http_get: &Option<HTTPGetAction>,
    tcp_socket: &Option<TCPSocketAction>,
    place: Place,
    ports: &[ContainerPort],
    path: &str,
    findings: &mut Findings,
) -> Option<Handler> {
    if let Some(ExecAction { command }) = exec {
        return Some(Handler::Exec(command.clone().unwrap_or_default()));
    }
    if let Some(HTTPGetAction {
        host,
        http_headers,
        path: url_path,
        port,
        scheme,
    }) = http_get
    {
        let field = format!("{path}.httpGet");
        let headers: Vec<_> = http_headers
            .iter()
            .flatten()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect();
        if place == Place::Probe && !headers.is_empty() {
            findings.refuse(
                format!("{field}.httpHeaders"),
                "ECI's probes send no headers; use exec with curl, or answer without them",
            );
        }
        return Some(Handler::HttpGet {
            host: host_of(host, place, &field, findings),
            path: url_path
                .clone()
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| "/".to_owned()),
            port: resolve_port(port, ports, &field, findings)?,
            scheme: scheme
                .clone()
                .filter(|scheme| !scheme.is_empty())
                .unwrap_or_else(|| "HTTP".to_owned()),
            headers,
        });
    }
    if let Some(TCPSocketAction { host, port }) = tcp_socket {
        let field = format!("{path}.tcpSocket");
        return Some(Handler::TcpSocket {
            host: host_of(host, place, &field, findings),
            port: resolve_port(port, ports, &field, findings)?,
        });
    }
    findings.invalid(path, "it names no action");
    None
}

fn host_of(host: &Option<String>, place: Place, field: &str, findings: &mut Findings) -> Option<String> {
    let host = host.clone().filter(|host| !host.is_empty())?;
    if place == Place::Probe {
        findings.refuse(
            format!("{field}.host"),
            "ECI probes the pod's own address only; leave the host out",
        );
        return None;
    }
    Some(host)
}

/// A number, a declared port's name, or, as in a kubelet, a number written as text.
fn resolve_port(port: &IntOrString, ports: &[ContainerPort], field: &str, findings: &mut Findings) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => ports
            .iter()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    let resolved = number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port > 0);
    if resolved.is_none() {
        let shown = match port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        findings.invalid(
            format!("{field}.port"),
            format!("`{shown}` is neither a port from 1 to 65535 nor the name of one of the container's ports"),
        );
    }
    resolved
}
