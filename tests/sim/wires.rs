//! The wires of one agent to the cloud and to the API server: cut when it is killed, at any request.
//!
//! As with a real `kill -9`, a request that is on its way is served to its end; only nobody hears the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

pub use crate::support::api_server::faults::When;

/// At which request an agent dies: the how-manieth, and on which side of its effect.
pub type Death = (u64, When);

/// Handle; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wires(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cut: CancellationToken,
    requests: AtomicU64,
    death: Option<Death>,
}

impl Wires {
    /// Wires that are cut at a request, if one is given.
    pub fn new(death: Option<Death>) -> Self {
        Self(Arc::new(Inner {
            death,
            ..Inner::default()
        }))
    }

    /// Cuts them: from here on nothing is sent and nothing is heard.
    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    async fn are_cut(&self) {
        self.0.cut.cancelled().await;
    }

    /// Whether a request will cut them.
    pub fn are_mortal(&self) -> bool {
        self.0.death.is_some()
    }

    /// Whether they are cut.
    pub fn is_cut(&self) -> bool {
        self.0.cut.is_cancelled()
    }

    /// Carries a request and its answer, unless they are cut.
    pub async fn carry<T: Send + 'static>(&self, served: impl Future<Output = T> + Send + 'static) -> T {
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let dies = self.0.death.filter(|(at, _)| *at == number).map(|(_, when)| when);
        if dies == Some(When::Before) {
            self.cut();
        }
        if self.is_cut() {
            return std::future::pending().await;
        }
        let answer = tokio::spawn(served);
        tokio::select! {
            biased;
            () = self.are_cut() => std::future::pending().await,
            answer = answer => {
                if dies == Some(When::After) {
                    self.cut();
                    return std::future::pending().await;
                }
                answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
        }
    }
}
