//! Carries out what probes and life cycle hooks ask for.
//!
//! HTTP and TCP are asked from inside the group's network, by the pause container's busybox: this process may have no
//! way there (Docker Desktop, a remote engine), and the address in use is the one the kubelet would use.

use std::{net::IpAddr, time::Duration};

use super::{group::Group, names};
use crate::spec::Handler;

/// Runs a handler for a container (its engine name is `container`).
///
/// # Errors
/// What went wrong, in the kubelet's words where it has some.
pub(super) async fn run(
    group: &Group,
    ip: IpAddr,
    container: &str,
    handler: &Handler,
    timeout: Duration,
) -> Result<(), String> {
    let seconds = timeout.as_secs().max(1).to_string();
    let (target, command) = match handler {
        Handler::Exec(command) => (container.to_owned(), command.clone()),
        Handler::HttpGet { .. } | Handler::TcpSocket { .. } => {
            (names::pause(&group.id), request(handler, ip, &seconds))
        }
    };
    let executed = tokio::time::timeout(timeout, group.engine().exec(&target, command));
    let (code, output) = match executed.await {
        Err(_) => return Err(format!("timed out after {seconds}s")),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(result)) => result,
    };
    if code == 0 {
        return Ok(());
    }
    Err(match handler {
        Handler::Exec(_) => format!("command exited with {code}: {output}"),
        Handler::HttpGet { .. } => match status_code(&output) {
            Some(status) => format!("HTTP probe failed with statuscode: {status}"),
            None => format!("HTTP probe failed: {output}"),
        },
        Handler::TcpSocket { .. } => format!("TCP probe failed: {output}"),
    })
}

/// The busybox command that asks.
fn request(handler: &Handler, ip: IpAddr, seconds: &str) -> Vec<String> {
    let own = |host: &str| {
        if host.is_empty() {
            ip.to_string()
        } else {
            host.to_owned()
        }
    };
    let bracketed = |host: String| if host.contains(':') { format!("[{host}]") } else { host };
    let busybox = "/bin/busybox".to_owned();
    match handler {
        Handler::Exec(command) => command.clone(),
        Handler::HttpGet {
            host,
            path,
            port,
            scheme,
            headers,
        } => {
            let mut command: Vec<String> = vec![busybox.clone(), "timeout".into(), seconds.into(), busybox];
            command.extend(["wget", "-q", "-O", "/dev/null", "--no-check-certificate"].map(str::to_owned));
            for (name, value) in headers {
                command.extend(["--header".to_owned(), format!("{name}: {value}")]);
            }
            let scheme = if scheme.eq_ignore_ascii_case("https") {
                "https"
            } else {
                "http"
            };
            command.push(format!(
                "{scheme}://{}:{port}/{}",
                bracketed(own(host)),
                path.trim_start_matches('/')
            ));
            command
        }
        Handler::TcpSocket { host, port } => {
            let port = port.to_string();
            [&busybox, "nc", "-w", seconds, &own(host), &port, "-e", &busybox, "true"]
                .map(str::to_owned)
                .to_vec()
        }
    }
}

/// The status in `wget: server returned error: HTTP/1.1 404 Not Found`.
fn status_code(output: &str) -> Option<u16> {
    output.split_once("HTTP/1.")?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_handlers_ask_the_groups_own_address_unless_told_otherwise() {
        let ip: IpAddr = "10.88.0.7".parse().expect("address");
        let get = |host: &str, scheme: &str| {
            let headers = vec![("A".into(), "b".into())];
            request(
                &Handler::HttpGet {
                    host: host.into(),
                    path: "/x?y".into(),
                    port: 80,
                    scheme: scheme.into(),
                    headers,
                },
                ip,
                "3",
            )
        };
        assert_eq!(
            get("", "HTTP").join(" "),
            "/bin/busybox timeout 3 /bin/busybox wget -q -O /dev/null --no-check-certificate --header A: b http://10.88.0.7:80/x?y"
        );
        assert_eq!(
            get("fd00::1", "HTTPS").last().map(String::as_str),
            Some("https://[fd00::1]:80/x?y")
        );
        let tcp = request(
            &Handler::TcpSocket {
                host: String::new(),
                port: 5432,
            },
            ip,
            "1",
        );
        assert_eq!(
            tcp.join(" "),
            "/bin/busybox nc -w 1 10.88.0.7 5432 -e /bin/busybox true"
        );
    }

    #[test]
    fn a_servers_status_is_found_in_wgets_words() {
        assert_eq!(
            status_code("wget: server returned error: HTTP/1.1 503 Service Unavailable"),
            Some(503)
        );
        assert_eq!(
            status_code("wget: can't connect to remote host (10.88.0.7): Connection refused"),
            None
        );
    }
}
