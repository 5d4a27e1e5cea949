//! Commands in containers, for as long as a caller listens.
//!
//! The engine gives one connection per command, raw in both directions: closing our half of it ends standard input. It has
//! no call that ends a command. So each command carries a mark in its environment, by which a helper container that sees the
//! container's processes finds and kills it, with all that it started: that works with any image (the container itself may
//! hold no `kill`) and any engine (which may be on another machine).

use std::{pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::{ContainerCreateBody, ExecConfig, ExecInspectResponse, HostConfig},
    query_parameters::ResizeExecOptionsBuilder,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
};

use super::{
    engine::{Engine, EngineError},
    group::Shared,
    names,
};
use crate::{
    runtime::exec::{ExecOutput, ExecPeer, ExecRequest, ExecStreams, TerminalSize, pair},
    spec::GroupId,
};

/// Variable of the mark.
const MARK: &str = "MOCK_ECI_EXEC";
/// What was tried, in errors.
const RUN: &str = "run a command in";
/// Read from the engine at once.
const READ: usize = 32 * 1024;
/// Largest piece that is passed on.
const PIECE: usize = 64 * 1024;
/// An engine knows the exit code a moment after the output has ended: asked so often, so far apart.
const ASK: (u32, Duration) = (100, Duration::from_millis(50));
/// How long a command may take to end by itself once its caller is gone: most do when their input ends.
const FAREWELL: (u32, Duration) = (10, Duration::from_millis(100));

/// A command on its way.
pub(super) struct Exec {
    engine: Engine,
    id: String,
    /// The container's engine name.
    container: String,
    helper: Helper,
}

/// The container that ends a command.
struct Helper {
    name: String,
    body: ContainerCreateBody,
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Starts a command; it goes on as a task of its own.
///
/// # Errors
/// When the engine does not take it: there is no such container, or it does not run.
pub(super) async fn start(shared: &Shared, group: &GroupId, request: ExecRequest) -> Result<ExecStreams, EngineError> {
    let engine = shared.engine.clone();
    let container = names::container(group, &request.container, request.instance);
    let mark = format!("{:016x}", rand::random::<u64>());
    let config = ExecConfig {
        cmd: Some(request.command.0),
        env: Some(vec![format!("{MARK}={mark}")]),
        attach_stdin: Some(request.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.tty),
        ..Default::default()
    };
    let created = engine.docker().create_exec(&container, config);
    let id = engine.call(RUN, &container, created).await?.id;
    let (streams, peer) = pair(request.stdin);
    let options = StartExecOptions {
        detach: false,
        tty: request.tty,
        output_capacity: Some(READ),
    };
    let started = engine.docker().start_exec(&id, Some(options));
    match engine.call(RUN, &container, started).await {
        Ok(StartExecResults::Attached { output, input }) => {
            let helper = helper(shared, group, &container, &mark);
            let exec = Exec {
                engine,
                id,
                container,
                helper,
            };
            tokio::spawn(exec.run(peer, output, input, request.tty));
        }
        Ok(StartExecResults::Detached) => return Err(EngineError::local(RUN, &container, "it was detached")),
        // The container is there, since the first call succeeded: it is the program that is not.
        Err(error) if is_about_the_program(&error) => {
            tokio::spawn(async move {
                let sentence = format!("{}\n", error.message.trim_end());
                let _ = peer.output.send(ExecOutput::Stderr(sentence.into())).await;
                let _ = peer.output.send(ExecOutput::Ended(Ok(code_of(&error.message)))).await;
            });
        }
        Err(error) => return Err(error),
    }
    Ok(streams)
}

/// Whether the engine refused a command for what it is, rather than for where it would run.
fn is_about_the_program(error: &EngineError) -> bool {
    let message = error.message.to_lowercase();
    error.status.is_some()
        && [
            "oci runtime",
            "executable file",
            "no such file or directory",
            "permission denied",
        ]
        .iter()
        .any(|words| message.contains(words))
}

/// Whether there is nowhere to run it: no such container, or none that runs.
pub(super) fn is_about_the_container(error: &EngineError) -> bool {
    // Podman answers 500 where Docker answers 409.
    error.is_not_found() || error.is_conflict() || error.message.contains("container state improper")
}

/// What a shell would say.
fn code_of(message: &str) -> i32 {
    if message.to_lowercase().contains("permission denied") {
        126
    } else {
        127
    }
}

impl Exec {
    async fn run(self, peer: ExecPeer, output: Output, input: Input, tty: bool) {
        let ExecPeer {
            stdin,
            size,
            output: to,
        } = peer;
        let both = async {
            tokio::select! {
                () = pass_output(output, &to, tty) => {}
                // These end only with the command.
                () = pass_input(stdin, input) => {}
                () = self.follow_size(size), if tty => {}
            }
        };
        tokio::select! {
            () = both => {}
            () = to.closed() => {}
        }
        // Both halves of the connection are dropped here: its input has ended, if it had any.
        if to.is_closed() {
            return self.end().await;
        }
        let ended = match self.exit_code().await {
            Ok(code) => Ok(code),
            Err(error) => Err(error.to_string()),
        };
        let _ = to.send(ExecOutput::Ended(ended)).await;
    }

    async fn inspect(&self) -> Result<ExecInspectResponse, EngineError> {
        let call = self.engine.docker().inspect_exec(&self.id);
        self.engine.call(RUN, &self.container, call).await
    }

    async fn exit_code(&self) -> Result<i32, EngineError> {
        let (times, pause) = ASK;
        for _ in 0..times {
            let found = self.inspect().await?;
            if found.running != Some(true)
                && let Some(code) = found.exit_code
            {
                return Ok(i32::try_from(code).unwrap_or(-1));
            }
            tokio::time::sleep(pause).await;
        }
        Err(EngineError::local(RUN, &self.container, "there is no exit code"))
    }

    async fn follow_size(&self, mut size: watch::Receiver<Option<TerminalSize>>) {
        while size.changed().await.is_ok() {
            let newest = *size.borrow_and_update();
            let Some(TerminalSize { width, height }) = newest else {
                continue;
            };
            let options = ResizeExecOptionsBuilder::default()
                .w(i32::from(width))
                .h(i32::from(height))
                .build();
            let call = self.engine.docker().resize_exec(&self.id, options);
            if let Err(error) = self.engine.call(RUN, &self.container, call).await {
                tracing::debug!(%error, "a terminal kept its size");
            }
        }
        std::future::pending().await
    }

    /// Ends the command of a caller that is gone.
    async fn end(self) {
        let (times, pause) = FAREWELL;
        for _ in 0..times {
            match self.inspect().await {
                // Without an exit code the engine has only lost sight of it.
                Ok(found) if found.running != Some(true) && found.exit_code.is_some_and(|code| code >= 0) => return,
                // It ended with its container.
                Err(error) if is_about_the_container(&error) => return,
                // It runs, or the engine is too busy to say.
                _ => tokio::time::sleep(pause).await,
            }
        }
        let Helper { name, body } = self.helper;
        let helped = match self.engine.create(&name, body).await {
            Ok(_) => self.engine.start(&name).await,
            Err(error) => Err(error),
        };
        if let Err(error) = helped {
            tracing::warn!(%error, "a command whose caller is gone may still run");
            // Where it started, it removes itself.
            let _ = self.engine.remove(&name).await;
        }
    }
}

/// Until the command gives no more.
async fn pass_output(mut output: Output, to: &mpsc::Sender<ExecOutput>, tty: bool) {
    while let Some(Ok(chunk)) = output.next().await {
        let is_error = !tty && matches!(chunk, LogOutput::StdErr { .. });
        let mut data = chunk.into_bytes();
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE));
            let piece = match is_error {
                true => ExecOutput::Stderr(piece),
                false => ExecOutput::Stdout(piece),
            };
            if to.send(piece).await.is_err() {
                return;
            }
        }
    }
}

/// Until the caller gives no more; then it ends the command's input and waits for ever.
async fn pass_input(mut stdin: mpsc::Receiver<Bytes>, mut input: Input) {
    while let Some(data) = stdin.recv().await {
        if input.write_all(&data).await.is_err() || input.flush().await.is_err() {
            // It reads no more; the caller learns it by sending.
            break;
        }
    }
    let _ = input.shutdown().await;
    drop(stdin);
    // Dropping it could close the other half too.
    let _input = input;
    std::future::pending().await
}

/// What finds the marked processes and kills them.
fn helper(shared: &Shared, group: &GroupId, container: &str, mark: &str) -> Helper {
    let script = format!(
        "for p in /proc/[0-9]*; do if grep -q '{MARK}={mark}' $p/environ 2>/dev/null; then kill -9 ${{p#/proc/}}; fi; done"
    );
    // Processes of other users, and of users with more rights than root of a container has.
    let rights = ["DAC_READ_SEARCH", "KILL", "SYS_PTRACE"].map(str::to_owned).to_vec();
    let body = ContainerCreateBody {
        image: Some(shared.config.pause_image.clone()),
        user: Some("0".to_owned()),
        entrypoint: Some(["/bin/busybox", "sh", "-c", &script].map(str::to_owned).to_vec()),
        cmd: Some(Vec::new()),
        labels: Some(names::group_labels(&shared.config.owner, group)),
        host_config: Some(HostConfig {
            pid_mode: Some(format!("container:{container}")),
            network_mode: Some("none".to_owned()),
            cap_add: Some(rights),
            auto_remove: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    Helper {
        name: format!("{group}-end-{mark}"),
        body,
    }
}
