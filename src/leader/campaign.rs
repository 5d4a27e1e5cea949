//! The effects of an election: reading and writing the Lease, in time.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::LeaderSettings;
use super::election::{Election, Move};
use crate::chain::chain;
use crate::clock;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// A call that takes longer has met a dead connection; several fit into the deadline.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why an attempt to take or renew the Lease came to nothing.
#[derive(Debug, Error)]
enum Setback {
    #[error("{holder} holds the lease")]
    HeldBy { holder: String },
    #[error("another replica was faster")]
    Overtaken,
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Slow,
    #[error("the API server cannot be asked")]
    Api(#[from] kube::Error),
}

/// Waits until this replica leads; `None` = the shutdown came first.
pub async fn campaign(
    client: kube::Client,
    settings: LeaderSettings,
    metrics: Metrics,
    shutdown: &Shutdown,
) -> Option<Leadership> {
    let mut candidate = Candidate {
        leases: Api::namespaced(client, &settings.namespace),
        election: Election::new(settings.clone()),
        settings,
        metrics,
    };
    candidate.metrics.leader.set(0);
    let mut told = String::new();
    loop {
        let began = clock::monotonic();
        let setback = match shutdown.race(candidate.attempt()).await? {
            Ok(lease) => {
                tracing::info!(lease = candidate.settings.name, "this replica leads");
                candidate.metrics.leader.set(1);
                return Some(Leadership {
                    candidate,
                    lease,
                    renewed: began,
                });
            }
            Err(setback) => setback,
        };
        let text = chain(&setback);
        // Once for each thing there is to wait for, not once a second.
        if text != told {
            match &setback {
                Setback::HeldBy { .. } | Setback::Overtaken => tracing::info!("standing by: {text}"),
                Setback::Slow | Setback::Api(_) => tracing::warn!(error = text, "the lease could not be asked for"),
            }
            told = text;
        }
        shutdown.race(sleep(jittered(candidate.settings.times.look))).await?;
    }
}

/// Being the leader, for as long as [`Leadership::keep`] runs.
pub struct Leadership {
    candidate: Candidate,
    /// As it was written last.
    lease: Lease,
    /// When the last renewal that succeeded was begun.
    renewed: Instant,
}

impl Leadership {
    /// Renews the Lease. Ends only when that did not succeed in time, or somebody else took it: from then on this replica must
    /// not act. The text says why.
    pub async fn keep(&mut self) -> String {
        let times = self.candidate.settings.times;
        loop {
            sleep(times.renew).await;
            let mut last = None;
            loop {
                let until = self.renewed + times.deadline;
                let began = clock::monotonic();
                match timeout_at(until, self.candidate.renew(&self.lease)).await {
                    Ok(Ok(lease)) => {
                        self.lease = lease;
                        self.renewed = began;
                        break;
                    }
                    Ok(Err(Setback::HeldBy { holder })) => {
                        self.candidate.metrics.leader.set(0);
                        return format!("the lease was taken by {holder}");
                    }
                    Ok(Err(setback)) => {
                        let text = chain(&setback);
                        tracing::warn!(error = text, "the lease could not be renewed, trying on");
                        last = Some(text);
                    }
                    Err(_) => {
                        self.candidate.metrics.leader.set(0);
                        let why = last.unwrap_or_else(|| "no answer".to_owned());
                        return format!("the lease could not be renewed within {:?}: {why}", times.deadline);
                    }
                }
                sleep(jittered(times.look)).await;
            }
        }
    }

    /// Gives the Lease back, so that another replica can take it at once. To be called when everything has ended.
    pub async fn release(self) {
        self.candidate.metrics.leader.set(0);
        let lease = Election::released(self.lease, MicroTime(clock::now()));
        match timeout(CALL_TIMEOUT, self.candidate.replace(&lease)).await {
            Ok(Ok(_)) => tracing::info!("the lease is released"),
            Ok(Err(setback)) => tracing::warn!(error = chain(&setback), "the lease could not be released; it runs out"),
            Err(_) => tracing::warn!("the lease could not be released; it runs out"),
        }
    }
}

struct Candidate {
    leases: Api<Lease>,
    election: Election,
    settings: LeaderSettings,
    metrics: Metrics,
}

impl Candidate {
    /// Reads the Lease and takes it if it may be taken.
    async fn attempt(&mut self) -> Result<Lease, Setback> {
        let read = timeout(CALL_TIMEOUT, self.leases.get_opt(&self.settings.name));
        let wall = || MicroTime(clock::now());
        match read.await.map_err(|_| Setback::Slow)?? {
            None => {
                let first = self.election.first(wall());
                let made = timeout(CALL_TIMEOUT, self.leases.create(&PostParams::default(), &first)).await;
                made.map_err(|_| Setback::Slow)?.map_err(conflict)
            }
            Some(lease) => match self.election.consider(lease, clock::monotonic(), wall()) {
                Move::Wait { holder } => Err(Setback::HeldBy { holder }),
                Move::Take(lease) => self.replace(&lease).await,
            },
        }
    }

    /// Renews on what was written last, and where that is not what is stored, on what is.
    async fn renew(&mut self, written: &Lease) -> Result<Lease, Setback> {
        let now = clock::monotonic();
        if let Move::Take(lease) = self.election.consider(written.clone(), now, MicroTime(clock::now())) {
            match self.replace(&lease).await {
                // Somebody else's label, or a renewal of ours whose answer was lost.
                Err(Setback::Overtaken) => {}
                other => return other,
            }
        }
        let stored = timeout(CALL_TIMEOUT, self.leases.get_opt(&self.settings.name));
        match stored.await.map_err(|_| Setback::Slow)?? {
            Some(lease) if holder(&lease) != self.settings.identity => Err(Setback::HeldBy {
                holder: match holder(&lease) {
                    "" => "nobody (it was released or cleared)".to_owned(),
                    other => other.to_owned(),
                },
            }),
            // Deleted, or changed and still ours.
            _ => self.attempt().await,
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Setback> {
        let params = PostParams::default();
        let put = self.leases.replace(&self.settings.name, &params, lease);
        timeout(CALL_TIMEOUT, put)
            .await
            .map_err(|_| Setback::Slow)?
            .map_err(conflict)
    }
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// 404: deleted between the read and the write; the next look makes it anew.
fn conflict(error: kube::Error) -> Setback {
    match &error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => Setback::Overtaken,
        _ => Setback::Api(error),
    }
}

/// Between 1 and 1.2 times as long, so that replicas do not ask in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + 0.2 * rand::random::<f64>())
}

#[cfg(test)]
mod tests;
