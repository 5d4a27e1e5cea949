//! Whether the process is ready, and if not, what it waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What readiness depends on, as named gates. The process is ready while all of them are open; clones share the gates.
#[derive(Clone, Debug, Default)]
pub struct Health {
    gates: Arc<Mutex<BTreeMap<String, Result<(), String>>>>,
}

/// One thing readiness depends on.
#[derive(Clone, Debug)]
pub struct Gate {
    health: Health,
    name: String,
}

impl Health {
    /// No gates yet, so ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a gate, closed for `reason`; `name` is what `/readyz` shows, such as `node virtual-kubelet registered`. A gate
    /// that exists already is handed out again as it is.
    pub fn require(&self, name: impl Into<String>, reason: &str) -> Gate {
        let name = name.into();
        self.lock()
            .entry(name.clone())
            .or_insert_with(|| Err(reason.to_owned()));
        Gate {
            health: self.clone(),
            name,
        }
    }

    /// Whether all gates are open.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(Result::is_ok)
    }

    /// One line a gate, as Kubernetes' own `/readyz?verbose` writes them.
    pub fn report(&self) -> String {
        let gates = self.lock();
        let mut text = String::new();
        for (name, state) in gates.iter() {
            // Writing to a String cannot fail.
            let _ = match state {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(reason) => writeln!(text, "[-]{name}: {reason}"),
            };
        }
        let ready = gates.values().all(Result::is_ok);
        text.push_str(if ready { "ready\n" } else { "not ready\n" });
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Result<(), String>>> {
        // A panic elsewhere cannot leave the map half written: each change is one insert.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// This condition holds now.
    pub fn open(&self) {
        self.health.lock().insert(self.name.clone(), Ok(()));
    }

    /// This condition does not hold, because of `reason`.
    pub fn close(&self, reason: impl Into<String>) {
        self.health.lock().insert(self.name.clone(), Err(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_all_gates_open() {
        let health = Health::new();
        assert!(health.is_ready());
        let node = health.require("node registered", "starting");
        let pods = health.require("pods listed", "starting");
        assert!(!health.is_ready());
        node.open();
        pods.open();
        assert_eq!(health.report(), "[+]node registered ok\n[+]pods listed ok\nready\n");
        pods.close("watch lost");
        assert!(!health.is_ready());
        assert_eq!(
            health.report(),
            "[+]node registered ok\n[-]pods listed: watch lost\nnot ready\n"
        );
    }

    #[test]
    fn a_gate_asked_for_twice_keeps_its_state() {
        let health = Health::new();
        health.require("pods listed", "starting").open();
        health.require("pods listed", "starting");
        assert!(health.is_ready());
    }
}
