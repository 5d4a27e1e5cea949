//! Commands in containers over a WebSocket: what `ExecContainerCommand` gives an address for.
//!
//! ```text
//! ExecContainerCommand ──► Sessions::issue ──► ws://HOST/exec/?s=TOKEN (once, for 30 s)
//! client ──GET, Upgrade──► socket::accept ──► Sessions::redeem ──► session::run ◄──streams──► Cloud::exec ──► runtime
//! ```
//! It is neither the product API (no signature, no action) nor steering: the token is all the right there is, as at ECI.
//! Without sockets, [`crate::App::connect`] gives a connection in memory that is served like any other.

mod framing;
mod page;
mod session;
pub(crate) mod socket;
mod tickets;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::page::{PATH, addresses, handle};
use self::tickets::Tickets;
pub use self::tickets::Token;
use crate::domain::exec::Exec;

/// Commands that run at one time, those of `Sync` included; each may hold a few frames of [`socket::MAX_FRAME`].
pub const MAX_SESSIONS: usize = 128;

/// All commands under way, and those that may be begun.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tickets: Tickets,
    stdin_end: AtomicBool,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    running: TaskTracker,
}

/// Room for one command; dropping it makes room for another.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

impl Sessions {
    /// None yet. `stdin_end`: whether an empty message on channel 0 ends standard input.
    pub fn new(stdin_end: bool) -> Self {
        Self(Arc::new(Inner {
            tickets: Tickets::default(),
            stdin_end: AtomicBool::new(stdin_end),
            slots: Arc::new(Semaphore::new(MAX_SESSIONS)),
            stop: CancellationToken::new(),
            running: TaskTracker::new(),
        }))
    }

    /// A token with which this command can be run once, within 30 s; none = too many wait to be used.
    pub fn issue(&self, exec: Exec, now: Timestamp) -> Option<Token> {
        self.0.tickets.issue(exec, now)
    }

    /// What a token stands for; from then on it stands for nothing.
    pub fn redeem(&self, token: &Token, now: Timestamp) -> Option<Exec> {
        self.0.tickets.redeem(token, now)
    }

    /// Room for a command; none = too many run.
    pub fn slot(&self) -> Option<Slot> {
        self.0.slots.clone().try_acquire_owned().ok().map(Slot)
    }

    /// Whether an empty message on channel 0 ends standard input. What ECI does is unconfirmed.
    pub fn stdin_end(&self) -> bool {
        self.0.stdin_end.load(Ordering::Acquire)
    }

    /// Switches that on or off, for sessions that begin from now on.
    pub fn set_stdin_end(&self, on: bool) {
        self.0.stdin_end.store(on, Ordering::Release);
    }

    /// How many sessions with a client there are.
    pub fn running(&self) -> usize {
        self.0.running.len()
    }

    /// Takes all tokens back. Commands that run end with their containers.
    pub(crate) fn clear(&self) {
        self.0.tickets.clear();
    }

    /// Ends all sessions, as the server ends.
    pub(crate) fn stop(&self) {
        self.0.stop.cancel();
        self.0.running.close();
    }

    /// Waits for them to be over, after [`Sessions::stop`].
    pub(crate) async fn stopped(&self) {
        self.0.running.wait().await;
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(crate) fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        self.0.running.spawn(session);
    }
}
