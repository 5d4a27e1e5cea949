//! `exec`, `attach` and `portForward`: streams between a client and a container.
//!
//! ```text
//! routes ──► upgrade ─┬─ SPDY/3.1 ──► remote ────┬─► Session ─┬─► exec ────► eci::ExecSession (a WebSocket) ──► ECI
//!                     └─ WebSocket ─► websocket ─┘            └─► attach ──► logs::stream (polls) ───────────► ECI
//!                     both ─────────────────────────────────────► port_forward ──────────────────────────────► pod's IP
//! ```
//!
//! # Guarantees
//! - Output is sent in order and in full before the end is told; exit codes arrive as kubectl expects them.
//! - Memory per connection is bounded in bytes, both ways: who is slow slows the other side down.
//! - When the client leaves, what was done for it ends, and so it does at the shutdown.
//! - A command that ECI does not tell the end of its input is ended with a reason (`stdin_end`).
//! - Commands and what they read and write are in no log.

mod attach;
mod ending;
pub mod exec;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod options;
mod outcome;
mod port_forward;
mod queue;
#[cfg(test)]
mod recorded;
mod remote;
mod routes;
mod run;
mod session;
mod size;
pub mod spdy;
mod stdin_end;
#[cfg(test)]
pub(in crate::kubelet) mod testing;
#[cfg(test)]
mod timeouts;
mod upgrade;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::kubelet::logs::stream::LogAccess;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use exec::CommandSource;

pub(super) use routes::routes;

/// Sessions at the same time; each may hold about a megabyte, if its client is slow.
const MAX_SESSIONS: usize = 500;
/// How long a client may take to open the streams it asked for: a kubelet's own time.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Without data for so long a connection ends, unless told otherwise: a kubelet's own time.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// What all sessions share.
#[derive(Clone)]
pub struct Streams {
    /// Where commands run.
    commands: Arc<dyn CommandSource>,
    /// The pods of this node, and what they write.
    logs: LogAccess,
    metrics: Metrics,
    /// Without data for so long a connection ends.
    idle: Duration,
    places: Arc<Semaphore>,
    /// Room for connections to pods.
    forwards: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: Shutdown,
}

impl Streams {
    /// No session yet.
    pub fn new(commands: Arc<dyn CommandSource>, logs: LogAccess, metrics: Metrics, shutdown: Shutdown) -> Self {
        Self {
            commands,
            logs,
            metrics,
            forwards: Arc::new(Semaphore::new(port_forward::CONNECTIONS)),
            idle: IDLE_TIMEOUT,
            places: Arc::new(Semaphore::new(MAX_SESSIONS)),
            tasks: TaskTracker::new(),
            shutdown,
        }
    }

    /// With another time after which connections without data end.
    pub fn with_idle_timeout(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Waits for the sessions to end, after the shutdown has begun.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Room for a session of `route`; `None` = too many.
    fn place(&self, route: &'static str) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        self.metrics.kubelet_streams.with_label_values(&[route]).inc();
        Some(Place {
            route,
            metrics: self.metrics.clone(),
            _permit: permit,
        })
    }

    /// The shutdown of the agent.
    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs a session until it is over. When the shutdown begins, it ends by itself and soon, or is ended.
    fn spawn(&self, place: Place, session: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let farewell = async {
                shutdown.triggered().await;
                tokio::time::sleep(ending::FAREWELL).await;
            };
            tokio::select! {
                () = session => {}
                () = farewell => {}
            }
            drop(place);
        });
    }
}

/// Room for one session, and its count.
struct Place {
    route: &'static str,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.kubelet_streams.with_label_values(&[self.route]).dec();
    }
}
