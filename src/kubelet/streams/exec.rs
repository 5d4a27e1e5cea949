//! `exec`: a command in a container, between a client's [`Session`] and the pool.

use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::sync::watch;

use eci::{ExecInput, ExecOutput, ExecQuery, ExecSession};

use super::outcome::Outcome;
use super::session::{Gone, Output, Session};
use super::stdin_end::{LOST, StdinEnd};
use crate::chain::chain;

/// Runs commands; ECI's `ExecContainerCommand`, or a script in tests.
pub trait CommandSource: Send + Sync {
    /// Starts a command. The error is fit for users.
    fn run(&self, query: ExecQuery) -> BoxFuture<'static, Result<ExecSession, String>>;
}

/// Commands in ECI.
pub struct EciCommands(pub eci::Client);

impl CommandSource for EciCommands {
    fn run(&self, query: ExecQuery) -> BoxFuture<'static, Result<ExecSession, String>> {
        let client = self.0.clone();
        async move { client.exec(&query).await.map_err(|error| chain(&error)) }.boxed()
    }
}

/// Runs the command for the client, until one of them is gone.
pub(super) async fn serve(commands: &dyn CommandSource, query: ExecQuery, mut session: Session) {
    let gone = session.end.gone.clone();
    let end = StdinEnd::new(&query);
    let work = async {
        match commands.run(query).await {
            Ok(command) => bridge(command, &mut session, commands, end).await,
            Err(error) => Some(Outcome::Failed(failure(&error))),
        }
    };
    // A client that leaves takes its command with it.
    let outcome = gone.run_until_cancelled(work).await.flatten();
    if let Some(outcome) = outcome {
        session.finish(&outcome).await;
    }
}

fn failure(error: &str) -> String {
    format!("error executing command in container: {error}")
}

/// `None` = the client is gone.
async fn bridge(
    command: ExecSession,
    session: &mut Session,
    commands: &dyn CommandSource,
    mut end: StdinEnd,
) -> Option<Outcome> {
    let ExecSession { mut input, mut output } = command;
    let (input_ended, mut ended) = watch::channel(false);
    let Session {
        stdin,
        sizes,
        stdout,
        stderr,
        ..
    } = session;
    let to_command = async {
        let mut open = stdin.is_some();
        loop {
            let next = tokio::select! {
                // Sizes are few, and should not wait behind input.
                biased;
                Some(size) = sizes.next() => ExecInput::Resize { width: size.width, height: size.height },
                data = next(stdin), if open => match data {
                    Some(data) => ExecInput::Stdin(data),
                    None => {
                        open = false;
                        ExecInput::StdinEnd
                    }
                },
                else => return,
            };
            let is_end = matches!(next, ExecInput::StdinEnd);
            // A command that takes no more input may still have output.
            if input.send(next).await.is_err() {
                return;
            }
            if is_end {
                input_ended.send_replace(true);
            }
        }
    };
    let from_command = async {
        loop {
            let in_vain = async {
                if ended.wait_for(|ended| *ended).await.is_err() {
                    std::future::pending::<()>().await;
                }
                end.lost(commands).await;
            };
            let next = tokio::select! {
                biased;
                next = output.next() => next,
                () = in_vain => return Some(Outcome::Failed(failure(LOST))),
            };
            let sent = match next {
                Some(ExecOutput::Stdout(data)) => send(stdout.as_ref(), data).await,
                Some(ExecOutput::Stderr(data)) => send(stderr.as_ref(), data).await,
                Some(ExecOutput::Ended(Ok(code))) => return Some(Outcome::Exited(code)),
                Some(ExecOutput::Ended(Err(error))) => return Some(Outcome::Failed(failure(&error))),
                None => return Some(Outcome::Failed(failure("its connection broke"))),
            };
            // The stream was reset: nobody is interested any more.
            sent.ok()?;
        }
    };
    let to_command = async {
        to_command.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = from_command => outcome,
        () = to_command => None,
    }
}

async fn next(stdin: &mut Option<futures::stream::BoxStream<'static, bytes::Bytes>>) -> Option<bytes::Bytes> {
    match stdin {
        Some(stdin) => stdin.next().await,
        None => None,
    }
}

/// What the client did not ask for is read and dropped.
async fn send(output: Option<&Output>, data: bytes::Bytes) -> Result<(), Gone> {
    match output {
        Some(output) => output.send(data).await,
        None => Ok(()),
    }
}
