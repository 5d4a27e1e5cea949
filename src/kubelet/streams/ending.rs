//! What clients are told when the agent is stopped: an end with a reason, not a broken connection.

use std::sync::Arc;
use std::time::Duration;

use eci::{ExecOutput, ExecQuery, ExecSession};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::exec::CommandSource;
use crate::shutdown::Shutdown;

/// The reason.
pub(super) const ENDING: &str = "the agent of this virtual node is being stopped; the container goes on";
/// How long that may take; less than the server waits for.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Commands that end with that reason when the shutdown begins.
pub(super) struct UntilShutdown {
    pub(super) commands: Arc<dyn CommandSource>,
    pub(super) shutdown: Shutdown,
}

impl CommandSource for UntilShutdown {
    fn run(&self, query: ExecQuery) -> BoxFuture<'static, Result<ExecSession, String>> {
        let (running, shutdown) = (self.commands.run(query), self.shutdown.clone());
        async move {
            let Some(session) = shutdown.race(running).await else {
                return Err(ENDING.to_owned());
            };
            let ExecSession { input, output } = session?;
            let end = async move { shutdown.triggered().await };
            let reason = stream::once(async { ExecOutput::Ended(Err(ENDING.to_owned())) });
            // A command that ends by itself is not listened to any further.
            let output = output.take_until(end).chain(reason).boxed();
            Ok(ExecSession { input, output })
        }
        .boxed()
    }
}
