//! How much the node offers, from what the account may use (`ListUsage`).
//!
//! ECI limits the vCPUs an account has at the same time (`MaxCpu`) and says how many are in use (`UsedCpu`), by groups of
//! ours and by others. The scheduler subtracts the requests of the pods bound to this node from what is allocatable, so
//! with
//!
//! ```text
//! allocatable = MaxCpu - UsedCpu + (what pods of this node with a group have requested)
//! ```
//!
//! what it sees as free is what the account still has free, less what is bound here and not created yet. Capacity is
//! `MaxCpu` itself. Memory has no quota of its own: ECI sells at most 8 GiB a vCPU, so that is how much the vCPUs can
//! come with, and memory never limits before CPU does.

use std::time::Duration;

use provider::units::{MiB, MilliCpu};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::chain::chain;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// The highest ratio ECI sells: 8 GiB a vCPU.
const MIB_PER_VCPU: u64 = 8 * 1024;
/// The smallest group ECI sells, which bounds the number of pods.
const SMALLEST_GROUP: MilliCpu = MilliCpu(250);
/// As many pods as one node is believed to hold, whatever the quota: the vendor's own limit of pods a cluster with
/// Services should have on virtual nodes.
const MAX_PODS: u64 = 20_000;
/// Every group comes with this much temporary storage without charge.
const STORAGE_PER_POD: MiB = MiB(30 * 1024);
/// Until ECI has answered, and for callers without the right to `ListUsage`: the quota of the vendor's own example.
const ASSUMED_MAX_CPU: MilliCpu = MilliCpu(1_000_000);
/// `ListUsage` is asked this often; a change must reach the Node within 60 s.
pub const USAGE_PERIOD: Duration = Duration::from_secs(30);

/// What the node has and what of it can be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// vCPUs of the account in the region.
    pub cpu: MilliCpu,
    /// vCPUs that this node's pods may request together.
    pub allocatable_cpu: MilliCpu,
    /// Pods.
    pub pods: u64,
}

/// The most that a node offers, whatever the account may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// vCPUs; none = no bound.
    pub cpu: Option<MilliCpu>,
    /// Pods; none = as many of the smallest groups as the vCPUs are enough for.
    pub pods: Option<u64>,
}

/// What pods on virtual nodes request together, as the scheduler counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnUse {
    /// CPU requests of this node's pods that have a living group.
    pub cpu: MilliCpu,
    /// CPU requests of pods on the other nodes of this process that have yet to get their groups: the account's use will grow by them.
    pub promised_elsewhere: MilliCpu,
}

impl Default for Capacity {
    /// Before ECI has answered.
    fn default() -> Self {
        Self::from_usage(ASSUMED_MAX_CPU, MilliCpu(0), OwnUse::default(), Bounds::default())
    }
}

impl Capacity {
    /// From the account's quota and use, and the settings.
    pub fn from_usage(max: MilliCpu, used: MilliCpu, own: OwnUse, bounds: Bounds) -> Self {
        let free = max.0.saturating_sub(used.0).saturating_sub(own.promised_elsewhere.0);
        let cpu = bounds.cpu.map_or(max, |bound| bound.min(max));
        let smallest = cpu.0 / SMALLEST_GROUP.0;
        Self {
            cpu,
            allocatable_cpu: MilliCpu(free.saturating_add(own.cpu.0).min(cpu.0)),
            pods: bounds.pods.unwrap_or(MAX_PODS).min(smallest),
        }
    }

    /// Memory that comes with the vCPUs.
    pub fn memory(&self) -> MiB {
        memory_of(self.cpu)
    }

    /// Memory that this node's pods may request together.
    pub fn allocatable_memory(&self) -> MiB {
        memory_of(self.allocatable_cpu)
    }

    /// Temporary storage, all pods together.
    pub fn ephemeral_storage(&self) -> MiB {
        MiB(self.pods.saturating_mul(STORAGE_PER_POD.0))
    }
}

fn memory_of(cpu: MilliCpu) -> MiB {
    MiB(cpu.0.saturating_mul(MIB_PER_VCPU) / 1000)
}

/// What `ListUsage` says about vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuUsage {
    /// `MaxCpu`.
    pub max: MilliCpu,
    /// `UsedCpu`.
    pub used: MilliCpu,
}

/// Asks for the account's usage every `period` until the shutdown and hands what changed to `capacity`. An error keeps the last
/// answer: the quota does not vanish because a call failed.
///
/// `ask` performs `ListUsage`; `own` says at the same moment what this node's pods request.
pub async fn follow_usage<Ask, Answer, E>(
    period: Duration,
    ask: Ask,
    own: impl Fn() -> OwnUse,
    bounds: Bounds,
    capacity: watch::Sender<Capacity>,
    metrics: Metrics,
    shutdown: Shutdown,
) where
    Ask: Fn() -> Answer,
    Answer: Future<Output = Result<CpuUsage, E>>,
    E: std::error::Error + 'static,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    while shutdown.race(ticks.tick()).await.is_some() {
        let Some(answer) = shutdown.race(ask()).await else {
            return;
        };
        match answer {
            Ok(usage) => {
                if failing {
                    tracing::info!("the account's usage is known again");
                }
                failing = false;
                let new = Capacity::from_usage(usage.max, usage.used, own(), bounds);
                capacity.send_if_modified(|current| std::mem::replace(current, new) != new);
            }
            Err(error) => {
                metrics.errors.with_label_values(&["list-usage"]).inc();
                if !failing {
                    let error = chain(&error);
                    tracing::warn!(%error, "ListUsage failed: the node keeps the capacity it has");
                }
                failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use super::*;

    const fn vcpu(count: u64) -> MilliCpu {
        MilliCpu(count * 1000)
    }

    const fn own(count: u64) -> OwnUse {
        OwnUse {
            cpu: vcpu(count),
            promised_elsewhere: MilliCpu(0),
        }
    }

    #[test]
    fn settings_bound_what_is_offered_and_what_other_nodes_promised_is_not_free() {
        let bounds = Bounds {
            cpu: Some(vcpu(100)),
            pods: Some(50),
        };
        let capacity = Capacity::from_usage(vcpu(1000), vcpu(0), OwnUse::default(), bounds);
        assert_eq!(
            (capacity.cpu, capacity.allocatable_cpu, capacity.pods),
            (vcpu(100), vcpu(100), 50)
        );
        let almost_full = Capacity::from_usage(vcpu(1000), vcpu(990), own(20), bounds);
        assert_eq!(almost_full.allocatable_cpu, vcpu(30), "a quota that is smaller counts");
        let elsewhere = OwnUse {
            promised_elsewhere: vcpu(600),
            ..own(20)
        };
        let shared = Capacity::from_usage(vcpu(1000), vcpu(20), elsewhere, Bounds::default());
        assert_eq!(shared.allocatable_cpu, vcpu(400));
    }

    #[test]
    fn what_the_scheduler_sees_as_free_is_what_the_account_has_free() {
        // 1000 vCPUs, 300 in use, 100 of them by pods of this node: 700 are free.
        let capacity = Capacity::from_usage(vcpu(1000), vcpu(300), own(100), Bounds::default());
        assert_eq!(capacity.cpu, vcpu(1000));
        assert_eq!(capacity.allocatable_cpu.0 - vcpu(100).0, vcpu(700).0);
        assert_eq!(capacity.allocatable_memory(), MiB(800 * 8 * 1024));
    }

    #[test]
    fn nothing_is_offered_beyond_the_quota_nor_below_zero() {
        assert_eq!(
            Capacity::from_usage(vcpu(10), vcpu(20), OwnUse::default(), Bounds::default()).allocatable_cpu,
            vcpu(0)
        );
        assert_eq!(
            Capacity::from_usage(vcpu(10), vcpu(0), own(5), Bounds::default()).allocatable_cpu,
            vcpu(10)
        );
    }

    #[test]
    fn pods_follow_the_quota_up_to_a_believable_number() {
        assert_eq!(
            Capacity::from_usage(vcpu(100), vcpu(0), OwnUse::default(), Bounds::default()).pods,
            400
        );
        assert_eq!(
            Capacity::from_usage(vcpu(1_000_000), vcpu(0), OwnUse::default(), Bounds::default()).pods,
            20_000
        );
        let one = Capacity::from_usage(vcpu(1), vcpu(0), OwnUse::default(), Bounds::default());
        assert_eq!(one.ephemeral_storage(), MiB(4 * 30 * 1024));
    }

    #[tokio::test(start_paused = true)]
    async fn usage_is_followed_and_an_error_keeps_what_is_known() {
        let answers = Mutex::new(vec![
            Err(std::io::Error::other("away")),
            Ok(CpuUsage {
                max: vcpu(50),
                used: vcpu(10),
            }),
            Err(std::io::Error::other("away")),
            Ok(CpuUsage {
                max: vcpu(60),
                used: vcpu(10),
            }),
        ]);
        let (sender, mut receiver) = watch::channel(Capacity::default());
        let shutdown = Shutdown::new();
        let ask = || {
            let next = answers.lock().expect("no panics").pop();
            async { next.unwrap_or_else(|| Err(std::io::Error::other("away"))) }
        };
        let metrics = Metrics::new().expect("registers");
        let follow = follow_usage(
            Duration::from_millis(1),
            ask,
            OwnUse::default,
            Bounds::default(),
            sender,
            metrics,
            shutdown.clone(),
        );
        let check = async {
            receiver.changed().await.expect("sender lives");
            assert_eq!(receiver.borrow_and_update().cpu, vcpu(60));
            receiver.changed().await.expect("sender lives");
            assert_eq!(receiver.borrow_and_update().cpu, vcpu(50));
            shutdown.trigger();
        };
        tokio::join!(follow, check);
        assert_eq!(receiver.borrow().cpu, vcpu(50), "the last answer stays");
    }

    #[tokio::test]
    async fn the_same_answer_wakes_nobody() {
        let (sender, mut receiver) = watch::channel(Capacity::from_usage(
            vcpu(5),
            vcpu(1),
            OwnUse::default(),
            Bounds::default(),
        ));
        receiver.mark_unchanged();
        let shutdown = Shutdown::new();
        let asked = Mutex::new(0);
        let ask = || {
            let mut asked = asked.lock().expect("no panics");
            *asked += 1;
            if *asked == 3 {
                shutdown.trigger();
            }
            async {
                Ok::<_, Infallible>(CpuUsage {
                    max: vcpu(5),
                    used: vcpu(1),
                })
            }
        };
        let metrics = Metrics::new().expect("registers");
        let period = Duration::from_millis(1);
        follow_usage(
            period,
            ask,
            OwnUse::default,
            Bounds::default(),
            sender,
            metrics,
            shutdown.clone(),
        )
        .await;
        assert!(!receiver.has_changed().unwrap_or(false));
    }
}
