//! `attach`: the output of a container, as it comes. ECI has no such call, so it is a followed log.

use futures::StreamExt;

use super::ending::ENDING;
use super::outcome::Outcome;
use super::session::Session;
use crate::kubelet::logs::query::LogOptions;
use crate::kubelet::logs::stream::{LogAccess, LogStream, Target};
use crate::shutdown::Shutdown;

/// What a client is told that wants to give input; before anything is opened, so that it does not wait in vain.
pub(super) const NO_INPUT: &str = "input is not possible: ECI has no way to attach to a container's standard input; attach without \
                                   --stdin (-i), or run a command in the container with kubectl exec -i";

/// Sends what the container writes from now on, until it ends, the client leaves, or the agent is stopped. Standard output and standard error come
/// together, as ECI does not tell them apart.
pub(super) async fn serve(logs: LogAccess, target: Target, session: Session, shutdown: Shutdown) {
    let gone = session.end.gone.clone();
    let options = LogOptions {
        follow: true,
        tail_lines: Some(0),
        ..LogOptions::default()
    };
    let work = async {
        let stream = match LogStream::open(logs, target, options).await {
            Ok(stream) => stream,
            Err(error) => return Some(Outcome::Failed(format!("error attaching to container: {error}"))),
        };
        let Some(output) = session.stdout.as_ref().or(session.stderr.as_ref()) else {
            return Some(Outcome::Exited(0));
        };
        let mut lines = std::pin::pin!(stream.into_stream().take_until(shutdown.triggered()));
        while let Some(Ok(lines)) = lines.next().await {
            output.send(lines).await.ok()?;
        }
        if shutdown.is_triggered() {
            return Some(Outcome::Failed(ENDING.to_owned()));
        }
        Some(Outcome::Exited(0))
    };
    let outcome = gone.run_until_cancelled(work).await.flatten();
    if let Some(outcome) = outcome {
        session.finish(&outcome).await;
    }
}
