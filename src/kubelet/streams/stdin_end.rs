//! Whether a command that waits for the end of its standard input will ever see it.
//!
//! ECI does not document how a client ends a command's input. Where it is not passed on, `cat` would wait for ever, and its client
//! with it. From outside such a command looks like one that takes long; so a second command is asked, of which it is known
//! that it ends with its input: `cat`, in the same container.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::time::{sleep, timeout};

use eci::{ExecInput, ExecOutput, ExecQuery, ExecSession};

use super::exec::CommandSource;

/// Input has ended, and nothing came for so long: it may be that the command was not told.
const QUIET: Duration = Duration::from_secs(10);
/// How long `cat` may take to start, and to end once its input has.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client is told whose command was not told the end of its input.
pub(super) const LOST: &str = "standard input has ended, but ECI does not pass its end on, and the command waits for it; all its output so \
                               far was sent. Use a command that knows when it has read enough, such as head -c SIZE or tar";

/// Asks once, for one command.
pub(super) struct StdinEnd {
    cat: ExecQuery,
    /// Whether there is nothing more to find out.
    settled: bool,
}

impl StdinEnd {
    /// Of the command of `query`.
    pub(super) fn new(query: &ExecQuery) -> Self {
        Self {
            cat: ExecQuery {
                group_id: query.group_id.clone(),
                container: query.container.clone(),
                command: vec!["cat".to_owned()],
                tty: false,
                stdin: true,
            },
            // A terminal's input ends with a character.
            settled: query.tty || !query.stdin,
        }
    }

    /// Returns when a command that has been silent since now waits in vain; its input has ended.
    pub(super) async fn lost(&mut self, commands: &dyn CommandSource) {
        if !self.settled {
            sleep(QUIET).await;
            if passed_on(commands, self.cat.clone()).await == Some(false) {
                return;
            }
            self.settled = true;
        }
        std::future::pending().await
    }
}

/// Whether `cat` sees the end of its input; `None` = it cannot be told: there is no `cat`, or no connection.
async fn passed_on(commands: &dyn CommandSource, cat: ExecQuery) -> Option<bool> {
    let started = timeout(PATIENCE, commands.run(cat)).await.ok()?;
    let ExecSession { mut input, mut output } = started.ok()?;
    input.send(ExecInput::StdinEnd).await.ok()?;
    let ended = async {
        loop {
            match output.next().await? {
                ExecOutput::Ended(code) => return Some(code),
                ExecOutput::Stdout(_) | ExecOutput::Stderr(_) => {}
            }
        }
    };
    match timeout(PATIENCE, ended).await {
        Ok(Some(Ok(0))) => Some(true),
        Ok(_) => None,
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::kubelet::streams::IDLE_TIMEOUT;
    use crate::kubelet::streams::exec::serve;
    use crate::kubelet::streams::options::{RemoteCommand, StreamOptions};
    use crate::kubelet::streams::remote::spdy_session;
    use crate::kubelet::streams::spdy::frame::Frame;
    use crate::kubelet::streams::testing::{Commands, SpdyClient};

    const OPTIONS: StreamOptions = StreamOptions {
        stdin: true,
        stdout: true,
        stderr: false,
        tty: false,
    };

    /// Runs a command whose input is `in` and its end; its output, and the last word.
    async fn run(commands: &Commands, command: &str) -> (Vec<u8>, Value) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let query = ExecQuery {
            group_id: "eci-1".to_owned(),
            container: "spark".to_owned(),
            command: vec![command.to_owned()],
            tty: false,
            stdin: true,
        };
        let server = async {
            let session = spdy_session(theirs, RemoteCommand::V4, OPTIONS, IDLE_TIMEOUT).await;
            serve(commands, query, session.expect("a session")).await;
        };
        let client = async {
            let mut client = SpdyClient::new(ours);
            for (id, name) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
                client.open(id, &[("streamtype", name)]).await;
            }
            let data = Bytes::from_static(b"in");
            client.send(&Frame::Data { id: 3, fin: true, data }).await;
            let (mut out, mut error) = (Vec::new(), Vec::new());
            while let Some(frame) = client.next().await {
                match frame {
                    Frame::Data { id: 1, data, .. } => error.extend_from_slice(&data),
                    Frame::Data { id: 5, data, .. } => out.extend_from_slice(&data),
                    _ => {}
                }
            }
            (out, serde_json::from_slice(&error).expect("a status"))
        };
        tokio::join!(server, client).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_waits_in_vain_is_ended_with_a_reason() {
        let commands = Commands::deaf();
        let (out, status) = run(&commands, "cat").await;
        assert_eq!(out, b"in");
        assert_eq!(status["reason"], "InternalError");
        assert!(
            status["message"].as_str().is_some_and(|text| text.contains(LOST)),
            "{status}"
        );
        assert_eq!(commands.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_takes_long_is_left_alone() {
        let (out, status) = run(&Commands::default(), "work").await;
        assert_eq!((out.as_slice(), &status["status"]), (&b""[..], &"Success".into()));
    }
}
