//! Caps on what a namespace may have on virtual nodes at a time, in pods and in vCPU, for every pod that would get a group,
//! however it came here (docs/decisions/0020-caps.md).
//!
//! One [`Caps`] is shared by the pods of all nodes of this process. A create asks for room right before it is sent, when the
//! size that will be bought is known; what was granted counts until the group is known to be absent, ended or gone. Who finds
//! no room waits in line, oldest pod first, and is told when there may be some.
//!
//! # Guarantees
//! - Never is more granted than the caps allow: groups being made, groups whose create has no answer, and groups that are not
//!   gone yet all count, and so do groups of ours that no pod here owns any more.
//! - After a restart nothing is granted before all that exists is counted: every gate given to [`Caps::new`] must be opened.
//! - A namespace without a cap never waits, once the caps are known.

mod ledger;
#[cfg(test)]
mod model;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use provider::units::MilliCpu;
use tokio::sync::mpsc;

pub use ledger::{Cap, Claim, Stray, Unit};
use ledger::{Ledger, Refusal};

use crate::pods::record::Uid;

/// Name of the gate that the namespaces' own caps are known.
pub const NAMESPACES: &str = "namespaces";

/// Handle to the caps; cheap to clone. Without caps it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    inner: Option<Arc<Mutex<Inner>>>,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    /// What must be counted or known before anything is granted.
    closed: HashSet<String>,
    /// Where pods are woken; a receiver that is gone belongs to a lane that ended.
    listeners: Vec<mpsc::UnboundedSender<Uid>>,
}

/// Why a pod has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not everything that exists is counted yet.
    Counting {
        /// The pod's namespace.
        namespace: String,
    },
    /// No room now.
    Full {
        /// The pod's namespace.
        namespace: String,
        /// Which cap.
        unit: Unit,
        /// What the namespace may have.
        cap: Cap,
    },
    /// There never will be: the pod alone is more than the cap.
    TooLarge {
        /// The pod's namespace.
        namespace: String,
        /// Which cap.
        unit: Unit,
        /// What the namespace may have.
        cap: Cap,
        /// What the pod would take.
        asked: MilliCpu,
    },
}

impl fmt::Display for Wait {
    /// Says no figure that changes while a pod waits: each text is an Event and a write of the pod's status.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counting { namespace } => {
                write!(
                    f,
                    "waits until what namespace {namespace} has on virtual nodes is counted"
                )
            }
            Self::Full { namespace, unit, cap } => write!(
                f,
                "waits for room: namespace {namespace} may have {} on virtual nodes at a time; pods go in the order of their age",
                cap.told(*unit)
            ),
            Self::TooLarge {
                namespace,
                unit,
                cap,
                asked,
            } => {
                let told = cap.told(*unit);
                match unit {
                    Unit::Pods => write!(f, "namespace {namespace} may have {told} on virtual nodes: none at all"),
                    Unit::Cpu => write!(
                        f,
                        "the pod's container group takes {asked}, and namespace {namespace} may have {told} on virtual nodes in all: \
                         make the pod smaller or the cap larger"
                    ),
                }
            }
        }
    }
}

impl Caps {
    /// Caps with `default` for namespaces without one of their own. Nothing is granted before each of `gates` was opened.
    pub fn new(default: Cap, gates: impl IntoIterator<Item = String>) -> Self {
        let inner = Inner {
            ledger: Ledger::new(default),
            closed: gates.into_iter().collect(),
            listeners: Vec::new(),
        };
        Self {
            inner: Some(Arc::new(Mutex::new(inner))),
        }
    }

    /// No caps, and nothing that could set one.
    pub fn none() -> Self {
        Self::default()
    }

    /// Who may have room now is sent here.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Uid> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(mut inner) = self.lock() {
            inner.listeners.push(sender);
        }
        receiver
    }

    /// What `gate` stands for is counted or known from here on.
    pub fn open(&self, gate: &str) {
        let Some(mut inner) = self.lock() else { return };
        if inner.closed.remove(gate) && inner.closed.is_empty() {
            let waiting = inner.ledger.all_waiting();
            inner.wake(waiting);
        }
    }

    /// Room for a group of `claim` that is about to be created. What is granted counts until [`Self::release`].
    ///
    /// # Errors
    /// Why there is none; the pod is in line then until [`Self::leave`].
    pub fn reserve(&self, claim: &Claim, created: Timestamp) -> Result<(), Wait> {
        let Some(mut inner) = self.lock() else { return Ok(()) };
        let namespace = || claim.namespace.to_string();
        if !inner.closed.is_empty() && inner.ledger.held_by(&claim.uid).is_none() {
            let uncapped = !inner.closed.contains(NAMESPACES) && inner.ledger.cap(&claim.namespace) == Cap::default();
            if !uncapped {
                inner.ledger.wait(claim, created);
                return Err(Wait::Counting { namespace: namespace() });
            }
        }
        let cap = inner.ledger.cap(&claim.namespace);
        inner.ledger.reserve(claim, created).map_err(|refusal| match refusal {
            Refusal::Full(unit) => Wait::Full {
                namespace: namespace(),
                unit,
                cap,
            },
            Refusal::TooLarge(unit) => Wait::TooLarge {
                namespace: namespace(),
                unit,
                cap,
                asked: claim.cpu,
            },
        })
    }

    /// A group of `claim` exists or may exist, whatever the caps say.
    pub fn hold(&self, claim: &Claim) {
        if let Some(mut inner) = self.lock() {
            inner.ledger.hold(claim);
        }
    }

    /// The pod has no group and none is being made.
    pub fn release(&self, uid: &str) {
        let Some(mut inner) = self.lock() else { return };
        let next = inner.ledger.release(uid);
        inner.wake(next);
    }

    /// The pod is not in line any more: it goes, or something else stands in its way.
    pub fn leave(&self, uid: &str) {
        let Some(mut inner) = self.lock() else { return };
        let next = inner.ledger.leave(uid);
        inner.wake(next);
    }

    /// Whether a pod in line would be granted room now.
    pub fn would_go(&self, uid: &str) -> bool {
        self.lock()
            .is_none_or(|inner| inner.closed.is_empty() && inner.ledger.would_go(uid))
    }

    /// The groups that `node` has and that belong to no pod we know, in place of those told before.
    pub fn strays(&self, node: &str, strays: Vec<Stray>) {
        let Some(mut inner) = self.lock() else { return };
        let next = inner.ledger.strays(node, strays);
        inner.wake(next);
    }

    /// A namespace's own cap, or none any more.
    pub fn set(&self, namespace: &str, cap: Option<Cap>) {
        let Some(mut inner) = self.lock() else { return };
        let next = inner.ledger.set(namespace, cap);
        inner.wake(next);
    }

    /// Whether a pod of `namespace` that takes `cpu` would find room beside all that is held, all that is in line and `more`
    /// pods with so much CPU that are on their way.
    pub fn has_room(&self, namespace: &str, cpu: MilliCpu, more: (u64, MilliCpu)) -> Result<(), Wait> {
        let Some(inner) = self.lock() else { return Ok(()) };
        let told = || namespace.to_owned();
        if !inner.closed.is_empty() {
            return Err(Wait::Counting { namespace: told() });
        }
        let cap = inner.ledger.cap(namespace);
        inner
            .ledger
            .has_room(namespace, cpu, more)
            .map_err(|refusal| match refusal {
                Refusal::Full(unit) => Wait::Full {
                    namespace: told(),
                    unit,
                    cap,
                },
                Refusal::TooLarge(unit) => Wait::TooLarge {
                    namespace: told(),
                    unit,
                    cap,
                    asked: cpu,
                },
            })
    }

    /// vCPU for which the pod counts, if it does.
    pub fn held_by(&self, uid: &str) -> Option<MilliCpu> {
        self.lock()?.ledger.held_by(uid)
    }

    /// Whether there are caps, or may be.
    pub fn are_set(&self) -> bool {
        self.inner.is_some()
    }

    /// How many pods are in line.
    pub fn waiting(&self) -> usize {
        self.lock().map_or(0, |inner| inner.ledger.line())
    }

    /// What a namespace may have that has no cap of its own.
    pub fn default_cap(&self) -> Cap {
        self.lock()
            .map_or_else(Cap::default, |inner| inner.ledger.default_cap())
    }

    /// Whether the pod counts or is in line.
    pub fn knows(&self, uid: &str) -> bool {
        self.lock().is_some_and(|inner| inner.ledger.knows(uid))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Inner>> {
        // A panic while holding the lock leaves sums that are too large at worst.
        Some(self.inner.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn wake(&mut self, uids: Vec<Uid>) {
        for uid in uids {
            self.listeners.retain(|listener| listener.send(uid.clone()).is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(uid: &str, cpu: u64) -> Claim {
        Claim {
            uid: Uid::from(uid),
            namespace: "a".into(),
            cpu: MilliCpu(cpu),
        }
    }

    fn pods(n: u64) -> Cap {
        Cap {
            pods: Some(n),
            cpu: None,
        }
    }

    #[test]
    fn without_caps_all_go() {
        assert_eq!(Caps::none().reserve(&claim("1", 1), Timestamp::UNIX_EPOCH), Ok(()));
    }

    #[test]
    fn nothing_is_granted_before_all_is_counted_and_then_all_in_line_are_told() {
        let caps = Caps::new(pods(1), ["node".to_owned(), NAMESPACES.to_owned()]);
        let mut woken = caps.listen();
        let refused = caps.reserve(&claim("1", 1), Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Err(Wait::Counting { .. })), "{refused:?}");
        caps.hold(&claim("before", 1));
        caps.open("node");
        assert!(woken.try_recv().is_err());
        caps.open(NAMESPACES);
        assert_eq!(woken.try_recv().as_deref(), Ok("1"));
        let refused = caps.reserve(&claim("1", 1), Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Err(Wait::Full { .. })), "{refused:?}");
        caps.release("before");
        assert_eq!(woken.try_recv().as_deref(), Ok("1"));
        assert_eq!(caps.reserve(&claim("1", 1), Timestamp::UNIX_EPOCH), Ok(()));
    }

    #[test]
    fn a_namespace_that_has_no_cap_does_not_wait_for_the_count() {
        let caps = Caps::new(Cap::default(), ["node".to_owned(), NAMESPACES.to_owned()]);
        caps.open(NAMESPACES);
        assert_eq!(caps.reserve(&claim("1", 1), Timestamp::UNIX_EPOCH), Ok(()));
    }

    #[test]
    fn what_is_waited_for_is_said_without_figures_that_change() {
        let full = Wait::Full {
            namespace: "a".to_owned(),
            unit: Unit::Pods,
            cap: pods(50),
        };
        assert_eq!(
            full.to_string(),
            "waits for room: namespace a may have 50 pods on virtual nodes at a time; pods go in the order of their age"
        );
        let large = Wait::TooLarge {
            namespace: "a".to_owned(),
            unit: Unit::Cpu,
            cap: Cap {
                pods: None,
                cpu: Some(MilliCpu(2_000)),
            },
            asked: MilliCpu(4_000),
        };
        assert!(large.to_string().contains("takes 4 vCPU"), "{large}");
    }
}
