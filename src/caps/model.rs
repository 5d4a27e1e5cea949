//! Property test: random histories of pods against the books, which must never grant more than the caps and never forget
//! whom they keep waiting.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use provider::units::MilliCpu;

use super::ledger::{Cap, Claim, Ledger, Refusal, Stray};
use crate::pods::record::Uid;

const NAMESPACES: [&str; 2] = ["a", "b"];
const PODS: u8 = 24;

#[derive(Clone, Debug)]
enum Step {
    /// A pod wants a group.
    Reserve(u8),
    /// Its group is gone, or was never made.
    Release(u8),
    /// It goes, or meets another trouble.
    Leave(u8),
    /// Groups without a pod are found.
    Strays(Vec<u8>),
    /// The cap of a namespace is changed, or dropped.
    Set(u8, Option<(Option<u64>, Option<u64>)>),
}

fn step() -> impl Strategy<Value = Step> {
    let pod = 0..PODS;
    let cap = (prop::option::of(0u64..6), prop::option::of(0u64..9));
    prop_oneof![
        6 => pod.clone().prop_map(Step::Reserve),
        4 => pod.clone().prop_map(Step::Release),
        2 => pod.clone().prop_map(Step::Leave),
        1 => prop::collection::vec(pod, 0..3).prop_map(Step::Strays),
        1 => (0u8..2, prop::option::of(cap)).prop_map(|(n, cap)| Step::Set(n, cap)),
    ]
}

/// Pods are of either namespace, of three sizes, and the older the smaller their number.
fn claim(pod: u8) -> (Claim, Timestamp) {
    let claim = Claim {
        uid: Uid::from(format!("{pod:02}")),
        namespace: NAMESPACES[usize::from(pod % 2)].into(),
        cpu: MilliCpu(1 + u64::from(pod % 3)),
    };
    (claim, Timestamp::from_second(i64::from(pod)).expect("in range"))
}

fn stray(pod: u8) -> Stray {
    let (claim, _) = claim(pod);
    Stray {
        namespace: claim.namespace,
        cpu: claim.cpu,
    }
}

/// What must be true of the books, kept in the simplest way.
#[derive(Default)]
struct Truth {
    held: BTreeSet<u8>,
    waiting: BTreeSet<u8>,
    strays: Vec<u8>,
}

impl Truth {
    fn taken(&self, namespace: &str) -> (u64, u64) {
        let pods = self.held.iter().chain(&self.strays);
        let cpus = pods.map(|p| claim(*p).0).filter(|c| &*c.namespace == namespace);
        cpus.fold((0, 0), |(n, sum), c| (n + 1, sum + c.cpu.0))
    }
}

fn within(cap: Cap, (pods, cpu): (u64, u64)) -> bool {
    cap.pods.is_none_or(|cap| pods <= cap) && cap.cpu.is_none_or(|cap| cpu <= cap.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn never_more_than_the_cap_oldest_first_and_nobody_is_forgotten(steps in prop::collection::vec(step(), 1..120)) {
        let default = Cap { pods: Some(3), cpu: Some(MilliCpu(5)) };
        let mut ledger = Ledger::new(default);
        let mut truth = Truth::default();
        for step in steps {
            let mut woken: Vec<Uid> = Vec::new();
            match step {
                Step::Reserve(pod) => {
                    let (claim, created) = claim(pod);
                    let cap = ledger.cap(&claim.namespace);
                    let before = truth.taken(&claim.namespace);
                    match ledger.reserve(&claim, created) {
                        Ok(()) => {
                            let new = truth.held.insert(pod);
                            truth.waiting.remove(&pod);
                            if new {
                                prop_assert!(within(cap, truth.taken(&claim.namespace)), "beyond the cap");
                                // Nobody older of the namespace who could have had the room was passed over.
                                let fits = |p: &&u8| **p < pod && **p % 2 == pod % 2 && within(cap, (1, 1 + u64::from(**p % 3)));
                                let older = truth.waiting.iter().filter(fits).map(|p| 1 + u64::from(p % 3));
                                let (n, cpu) = older.fold(before, |(n, sum), cpu| (n + 1, sum + cpu));
                                prop_assert!(within(cap, (n + 1, cpu + claim.cpu.0)), "{pod} went before older ones");
                            }
                        }
                        Err(Refusal::TooLarge(_)) => {
                            prop_assert!(!within(cap, (1, claim.cpu.0)));
                            truth.waiting.insert(pod);
                        }
                        Err(Refusal::Full(_)) => {
                            truth.waiting.insert(pod);
                        }
                    }
                }
                Step::Release(pod) => {
                    truth.held.remove(&pod);
                    woken = ledger.release(&claim(pod).0.uid);
                }
                Step::Leave(pod) => {
                    truth.waiting.remove(&pod);
                    woken = ledger.leave(&claim(pod).0.uid);
                }
                Step::Strays(pods) => {
                    woken = ledger.strays("node", pods.iter().map(|p| stray(*p)).collect());
                    truth.strays = pods;
                }
                Step::Set(namespace, cap) => {
                    let cap = cap.map(|(pods, cpu)| Cap { pods, cpu: cpu.map(MilliCpu) });
                    woken = ledger.set(NAMESPACES[usize::from(namespace)], cap);
                }
            }
            for namespace in NAMESPACES {
                prop_assert_eq!(ledger.taken(namespace), truth.taken(namespace));
            }
            // Who is woken goes, in that order.
            for uid in woken {
                let pod: u8 = uid.parse().expect("a number");
                prop_assert!(truth.waiting.contains(&pod), "woken but not in line");
                prop_assert!(ledger.would_go(&uid));
                let (claim, created) = claim(pod);
                prop_assert_eq!(ledger.reserve(&claim, created), Ok(()));
                truth.waiting.remove(&pod);
                truth.held.insert(pod);
            }
            // Who could go was woken: none is left in line for whom there is room.
            let mut heads: BTreeMap<u8, u8> = BTreeMap::new();
            for pod in &truth.waiting {
                let cap = ledger.cap(NAMESPACES[usize::from(pod % 2)]);
                if within(cap, (1, 1 + u64::from(pod % 3))) {
                    heads.entry(pod % 2).or_insert(*pod);
                }
            }
            for pod in heads.values() {
                prop_assert!(!ledger.would_go(&claim(*pod).0.uid), "{} waits although there is room", pod);
            }
        }
        for pod in 0..PODS {
            let uid = claim(pod).0.uid;
            ledger.leave(&uid);
            ledger.release(&uid);
        }
        ledger.strays("node", Vec::new());
        prop_assert!(ledger.is_empty(), "something is left in the books");
    }
}
