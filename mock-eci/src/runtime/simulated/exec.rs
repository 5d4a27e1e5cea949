//! Commands in simulated containers: a few programs that tests of a client need, and nothing else.
//!
//! | program | does |
//! |---|---|
//! | `echo [-n] WORD...` | writes its words |
//! | `cat` | copies standard input to standard output |
//! | `true`, `false` | exit with 0, with 1 |
//! | `sleep SECONDS` | by the server's clock |
//! | `env`, `printenv [NAME]` | the container's environment, as far as it was given literally |
//! | `hostname`, `pwd`, `whoami` | the group's host name, the working directory, `root` |
//! | `stty size` | lines and columns of the terminal |
//! | `sh [-c SCRIPT]` (`bash`, `ash`) | see [`shell`]; without `-c` it takes its lines from standard input |
//!
//! Any other program answers as a container runtime does for one that is not in the image: a sentence on standard error and
//! exit code 127. With a terminal, both streams are one, lines end with CR LF, and Ctrl-D ends the input; nothing is echoed.

mod programs;
mod shell;

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use self::programs::Process;
use crate::{
    clock::Clock,
    runtime::exec::{ExecOutput, ExecPeer, ExecRequest},
    spec::{ContainerSpec, EnvValue, GroupSpec},
};

/// What a program finds around it.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    variables: Vec<(String, String)>,
    host_name: String,
    working_dir: String,
}

impl Surroundings {
    pub(super) fn of(group: &GroupSpec, container: &ContainerSpec) -> Self {
        let mut variables = vec![
            (
                "PATH".to_owned(),
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ),
            ("HOSTNAME".to_owned(), group.host_name.clone()),
            ("HOME".to_owned(), "/root".to_owned()),
        ];
        for variable in &container.env {
            if let EnvValue::Literal(value) = &variable.value {
                variables.retain(|(name, _)| *name != variable.name);
                variables.push((variable.name.clone(), value.0.clone()));
            }
        }
        let working_dir = match container.working_dir.as_str() {
            "" => "/",
            path => path,
        };
        Self {
            variables,
            host_name: group.host_name.clone(),
            working_dir: working_dir.to_owned(),
        }
    }
}

/// Commands under way by the serial of their instance, to end them with it.
#[derive(Debug, Default)]
pub(super) struct Running(HashMap<u64, CancellationToken>);

impl Running {
    /// What tells a command that its container has ended.
    pub(super) fn join(&mut self, serial: u64) -> CancellationToken {
        self.0.entry(serial).or_default().clone()
    }

    /// The instance has ended.
    pub(super) fn end(&mut self, serial: u64) {
        if let Some(ended) = self.0.remove(&serial) {
            ended.cancel();
        }
    }

    /// All have.
    pub(super) fn clear(&mut self) {
        for (_, ended) in self.0.drain() {
            ended.cancel();
        }
    }
}

/// Runs a command to its end, or to its container's, or until nobody listens.
pub(super) async fn run(
    request: ExecRequest,
    peer: ExecPeer,
    surroundings: Surroundings,
    clock: Clock,
    container_ended: CancellationToken,
) {
    let output = peer.output.clone();
    let mut process = Process::new(peer, request.tty, surroundings, clock);
    let code = tokio::select! {
        code = process.run(&request.command.0) => code,
        // As a process that is killed.
        () = container_ended.cancelled() => Some(137),
        () = output.closed() => None,
    };
    if let Some(code) = code {
        let _ = output.send(ExecOutput::Ended(Ok(code))).await;
    }
}
