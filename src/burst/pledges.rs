//! (pure) Pods that were let onto the pool and have not arrived: they will take room there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provider::units::MilliCpu;

use crate::pods::record::Uid;

/// How long a pod that was let in keeps its room while the scheduler has not placed it: others of its namespace may fit
/// where this one does not.
const UNPLACED: Duration = Duration::from_secs(60);
/// And after it was placed, until its node has seen it.
const PLACED: Duration = Duration::from_secs(10);

/// The pledges.
#[derive(Debug, Default)]
pub struct Pledges {
    by_pod: HashMap<Uid, Pledge>,
}

#[derive(Debug)]
struct Pledge {
    namespace: Arc<str>,
    cpu: MilliCpu,
    until: Timestamp,
    placed: bool,
}

impl Pledges {
    /// Room for a pod that is let in.
    pub fn make(&mut self, uid: &Uid, namespace: &Arc<str>, cpu: MilliCpu, now: Timestamp) {
        self.by_pod.entry(uid.clone()).or_insert_with(|| Pledge {
            namespace: namespace.clone(),
            cpu,
            until: now + UNPLACED,
            placed: false,
        });
    }

    /// The pod was not let in after all, or has gone.
    pub fn cancel(&mut self, uid: &str) {
        self.by_pod.remove(uid);
    }

    /// The pod has a node, or is gone: the pool will tell, if it went there.
    pub fn placed(&mut self, uid: &str, now: Timestamp) {
        if let Some(pledge) = self.by_pod.get_mut(uid).filter(|pledge| !pledge.placed) {
            pledge.placed = true;
            pledge.until = now + PLACED;
        }
    }

    /// Pods and vCPU on their way for `namespace`, but for those that `arrived` tells of.
    pub fn on_their_way(&mut self, namespace: &str, now: Timestamp, arrived: impl Fn(&str) -> bool) -> (u64, MilliCpu) {
        self.by_pod.retain(|uid, pledge| pledge.until > now && !arrived(uid));
        let of = self.by_pod.values().filter(|pledge| &*pledge.namespace == namespace);
        let (pods, cpu) = of.fold((0, 0u64), |(pods, cpu), p| (pods + 1, cpu.saturating_add(p.cpu.0)));
        (pods, MilliCpu(cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn room_is_kept_until_the_pod_has_arrived_or_is_not_expected_any_more() {
        let mut pledges = Pledges::default();
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        pledges.make(&Uid::from("1"), &a, MilliCpu(500), at(0));
        pledges.make(&Uid::from("2"), &a, MilliCpu(250), at(10));
        pledges.make(&Uid::from("3"), &b, MilliCpu(250), at(0));
        assert_eq!(pledges.on_their_way("a", at(1), |_| false), (2, MilliCpu(750)));
        pledges.placed("2", at(20));
        assert_eq!(pledges.on_their_way("a", at(29), |_| false), (2, MilliCpu(750)));
        assert_eq!(pledges.on_their_way("a", at(30), |_| false), (1, MilliCpu(500)));
        assert_eq!(pledges.on_their_way("b", at(30), |uid| uid == "3"), (0, MilliCpu(0)));
        // One that the scheduler cannot place does not keep its room for ever.
        assert_eq!(pledges.on_their_way("a", at(60), |_| false), (0, MilliCpu(0)));
    }
}
