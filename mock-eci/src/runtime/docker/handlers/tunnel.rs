//! A way into a group's network: standard input and output of busybox's `nc` in the pause container.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{container::LogOutput, exec::StartExecResults};
use bytes::Bytes;
use futures::{StreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::StreamReader;

use super::Failure;
use crate::runtime::docker::{group::Group, names};

/// Most that is kept of what `nc` complains about.
const MAX_WORDS: usize = 512;

/// Both directions of a connection.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection to `host:port`, and what went wrong with it should it break.
pub(super) struct Tunnel {
    pub(super) connection: Box<dyn Connection>,
    pub(super) words: Words,
}

/// What `nc` complained about.
#[derive(Clone, Default)]
pub(super) struct Words(Arc<Mutex<Vec<u8>>>);

impl Words {
    fn add(&self, text: &[u8]) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_WORDS.saturating_sub(words.len()).min(text.len());
        words.extend_from_slice(&text[..room]);
    }

    /// The kubelet's words for it.
    pub(super) fn why(&self) -> Option<String> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&words);
        let text = text.trim();
        (!text.is_empty()).then(|| in_kubelets_words(text))
    }
}

/// Opens one. That nobody answers shows when it is used.
pub(super) async fn open(group: &Group, host: &str, port: u16, timeout: Duration) -> Result<Tunnel, Failure> {
    let command = command(host, port, timeout, &[]);
    let attached = group.engine().attach(&names::pause(&group.id), command).await;
    let StartExecResults::Attached { output, input } = attached.map_err(|error| Failure::Errored(error.to_string()))?
    else {
        return Err(Failure::Errored("the engine attached nothing".to_owned()));
    };
    let words = Words::default();
    let complaints = words.clone();
    let output = output.filter_map(move |chunk| {
        future::ready(match chunk {
            Ok(LogOutput::StdErr { message }) => {
                complaints.add(&message);
                None
            }
            Ok(chunk) => Some(Ok::<Bytes, io::Error>(chunk.into_bytes())),
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    Ok(Tunnel {
        connection: Box::new(tokio::io::join(StreamReader::new(output), input)),
        words,
    })
}

/// Connects to `host:port` and hangs up.
pub(super) async fn knock(group: &Group, host: &str, port: u16, timeout: Duration) -> Result<(), Failure> {
    let command = command(host, port, timeout, &["-e", "/bin/busybox", "true"]);
    let pause = names::pause(&group.id);
    let failed = |why: &str| Err(Failure::Failed(format!("dial tcp {}: {why}", address(host, port))));
    match tokio::time::timeout(timeout, group.engine().exec(&pause, command)).await {
        Ok(Ok((0, _))) => Ok(()),
        Ok(Ok((_, output))) => failed(&in_kubelets_words(&output)),
        Ok(Err(error)) => Err(Failure::Errored(error.to_string())),
        Err(_) => failed("i/o timeout"),
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The command that connects; it ends by itself soon after the timeout, whatever becomes of this process.
fn command(host: &str, port: u16, timeout: Duration, more: &[&str]) -> Vec<String> {
    const BUSYBOX: &str = "/bin/busybox";
    let seconds = timeout.as_secs().max(1).to_string();
    let port = port.to_string();
    [BUSYBOX, "timeout", &seconds, BUSYBOX, "nc", "-w", &seconds, host, &port]
        .iter()
        .chain(more)
        .map(|&word| word.to_owned())
        .collect()
}

/// `nc: can't connect to remote host (10.88.0.7): Connection refused` as Go says it.
fn in_kubelets_words(text: &str) -> String {
    let why = text.rsplit(": ").next().unwrap_or(text);
    match why {
        "Connection refused" | "No route to host" | "Network is unreachable" => {
            format!("connect: {}", why.to_lowercase())
        }
        "Connection timed out" | "timed out" | "" => "i/o timeout".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_made_inside_the_groups_network() {
        let made = command("10.88.0.7", 5432, Duration::from_secs(1), &["-e", "true"]);
        assert_eq!(
            made.join(" "),
            "/bin/busybox timeout 1 /bin/busybox nc -w 1 10.88.0.7 5432 -e true"
        );
        assert_eq!(address("fd00::1", 80), "[fd00::1]:80");
    }

    #[test]
    fn complaints_are_the_kubelets() {
        for (text, words) in [
            (
                "nc: can't connect to remote host (10.88.0.7): Connection refused",
                "connect: connection refused",
            ),
            ("nc: timed out", "i/o timeout"),
            ("", "i/o timeout"),
            ("nc: bad address 'x'", "nc: bad address 'x'"),
        ] {
            assert_eq!(in_kubelets_words(text), words);
        }
    }
}
