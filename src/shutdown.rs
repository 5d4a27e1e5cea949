//! One signal that everything is to end, heard by every task.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A handle on the end of the process; clones hear the same signal.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A shutdown that only [`Shutdown::trigger`] starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT starts. A second signal ends the process at once, for people who press Ctrl-C
    /// twice; groups keep running either way.
    ///
    /// # Errors
    /// The signal handlers could not be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if trigger.is_triggered() {
                    tracing::warn!(signal = name, "second signal: ending at once");
                    std::process::exit(130);
                }
                tracing::info!(signal = name, "shutting down; container groups keep running");
                trigger.trigger();
            }
        });
        Ok(shutdown)
    }

    /// Starts the end.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether the end has started.
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when the end starts.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }

    /// A shutdown of a part: it ends with this one, and can end alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Runs `work` until it is done (`Some`) or the end starts (`None`; `work` is dropped).
    pub async fn race<F: Future>(&self, work: F) -> Option<F::Output> {
        self.0.run_until_cancelled(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_alone_without_it() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.trigger();
        assert!(first.is_triggered() && !parent.is_triggered() && !second.is_triggered());
        parent.trigger();
        second.triggered().await;
        assert_eq!(second.race(std::future::pending::<()>()).await, None);
    }
}
