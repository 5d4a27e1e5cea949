//! (pure) Which of the waiting pods is looked at next: fair between namespaces, oldest first within one, and nobody waits
//! behind one that cannot go.
//!
//! Namespaces take turns. A pod whose turn did not end well comes back after a pause of its own, which doubles, and meanwhile
//! the others of its namespace go on. A namespace that has no room has no turns for a while, however many wait in it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::pods::record::Uid;

/// First pause after a turn that did not end well.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// A pod in the queue.
#[derive(Clone, Debug)]
struct Entry {
    namespace: Arc<str>,
    created: Timestamp,
    /// When its turn may come.
    due: Timestamp,
    failures: u32,
    /// Its turn is on.
    taken: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<Uid, Entry>,
    /// Pods by age, for each namespace.
    lines: HashMap<Arc<str>, BTreeSet<(Timestamp, Uid)>>,
    /// Namespaces, the one whose turn was longest ago first.
    turns: Vec<Arc<str>>,
    /// Namespaces without a turn until then.
    blocked: HashMap<Arc<str>, Timestamp>,
}

impl Queue {
    /// Puts a pod in, or changes when its turn may come; a pause it has earned is kept.
    pub fn put(&mut self, uid: &Uid, namespace: &Arc<str>, created: Timestamp, due: Timestamp) {
        if let Some(entry) = self.entries.get_mut(uid) {
            if entry.failures == 0 {
                entry.due = due;
            }
            return;
        }
        let entry = Entry {
            namespace: namespace.clone(),
            created,
            due,
            failures: 0,
            taken: false,
        };
        self.entries.insert(uid.clone(), entry);
        let line = self.lines.entry(namespace.clone()).or_default();
        if line.is_empty() && !self.turns.contains(namespace) {
            self.turns.push(namespace.clone());
        }
        line.insert((created, uid.clone()));
    }

    /// Takes a pod out: it was let through, is bound, or is gone.
    pub fn remove(&mut self, uid: &str) {
        let Some((uid, entry)) = self.entries.remove_entry(uid) else {
            return;
        };
        if let Some(line) = self.lines.get_mut(&entry.namespace) {
            line.remove(&(entry.created, uid));
            if line.is_empty() {
                self.lines.remove(&entry.namespace);
                self.blocked.remove(&entry.namespace);
                self.turns.retain(|namespace| *namespace != entry.namespace);
            }
        }
    }

    /// The pod whose turn it is. Its turn is on until [`Self::failed`] or [`Self::remove`].
    pub fn next(&mut self, now: Timestamp) -> Option<Uid> {
        let (turn, uid) = self.turns.iter().enumerate().find_map(|(turn, namespace)| {
            let line = self.lines.get(namespace)?;
            if self.blocked.get(namespace).is_some_and(|until| *until > now) {
                return None;
            }
            let due = |uid: &Uid| self.entries.get(uid).is_some_and(|e| !e.taken && e.due <= now);
            let (_, uid) = line.iter().find(|(_, uid)| due(uid))?;
            Some((turn, uid.clone()))
        })?;
        let namespace = self.turns.remove(turn);
        self.turns.push(namespace);
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.taken = true;
        }
        Some(uid)
    }

    /// Its turn is over and did not end well.
    pub fn failed(&mut self, uid: &str, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(uid) {
            let pause = FIRST_PAUSE.saturating_mul(1 << entry.failures.min(10)).min(LAST_PAUSE);
            entry.failures += 1;
            entry.taken = false;
            entry.due = now + pause;
        }
    }

    /// Its turn is over, and another comes then.
    pub fn again(&mut self, uid: &str, due: Timestamp) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.taken = false;
            entry.due = due;
        }
    }

    /// Its turn is over and its namespace has no room: none of it has a turn until then, and it is the first again.
    pub fn block(&mut self, uid: &str, until: Timestamp) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.taken = false;
            self.blocked.insert(entry.namespace.clone(), until);
        }
    }

    /// The pods of `namespace` whose turn could come now.
    pub fn due(&self, namespace: &str, now: Timestamp) -> impl Iterator<Item = &Uid> {
        let line = self.lines.get(namespace).into_iter().flatten();
        line.map(|(_, uid)| uid)
            .filter(move |uid| self.entries.get(*uid).is_some_and(|entry| entry.due <= now))
    }

    /// Something has changed that may help: whoever is in a pause has a turn at once.
    pub fn wake_all(&mut self, now: Timestamp) {
        self.blocked.clear();
        for entry in self.entries.values_mut().filter(|entry| entry.failures > 0) {
            entry.failures = 0;
            entry.due = entry.due.min(now);
        }
    }

    /// When the next turn may come; none = nobody waits for one.
    pub fn next_due(&self) -> Option<Timestamp> {
        let waiting = self.entries.values().filter(|e| !e.taken);
        let due = |e: &Entry| self.blocked.get(&e.namespace).map_or(e.due, |until| e.due.max(*until));
        waiting.map(due).min()
    }

    /// Pods in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn put(queue: &mut Queue, namespace: &str, name: &str, created: i64) {
        queue.put(&Uid::from(name), &Arc::from(namespace), at(created), at(created));
    }

    /// Takes turns until nobody is due.
    fn turns(queue: &mut Queue, now: i64) -> Vec<String> {
        std::iter::from_fn(|| queue.next(at(now)))
            .map(|uid| uid.to_string())
            .collect()
    }

    #[test]
    fn namespaces_take_turns_and_the_oldest_of_each_goes_first() {
        let mut queue = Queue::default();
        for (n, name) in ["a1", "a2", "a3", "a4"].iter().enumerate() {
            put(&mut queue, "a", name, n as i64);
        }
        put(&mut queue, "b", "b2", 9);
        put(&mut queue, "b", "b1", 8);
        assert_eq!(turns(&mut queue, 10), ["a1", "b1", "a2", "b2", "a3", "a4"]);
    }

    #[test]
    fn nobody_waits_behind_one_that_cannot_go() {
        let mut queue = Queue::default();
        put(&mut queue, "a", "stuck", 0);
        put(&mut queue, "a", "next", 1);
        assert_eq!(queue.next(at(1)).as_deref(), Some("stuck"));
        queue.failed("stuck", at(1));
        assert_eq!(queue.next(at(1)).as_deref(), Some("next"));
        queue.remove("next");
        assert_eq!(queue.next(at(1)), None);
        assert_eq!(queue.next_due(), Some(at(2)));
        // Each failure doubles the pause, to a minute at most.
        for (pause, then) in [(2, 2), (4, 10), (8, 100), (16, 200), (32, 300), (60, 400), (60, 500)] {
            assert_eq!(queue.next(at(then)).as_deref(), Some("stuck"));
            queue.failed("stuck", at(then));
            assert_eq!(queue.next_due(), Some(at(then + pause)));
        }
        queue.wake_all(at(501));
        assert_eq!(queue.next(at(501)).as_deref(), Some("stuck"));
    }

    #[test]
    fn a_pod_has_one_turn_at_a_time_and_not_before_it_is_due() {
        let mut queue = Queue::default();
        queue.put(&Uid::from("p"), &Arc::from("a"), at(0), at(30));
        assert_eq!(queue.next(at(29)), None);
        assert_eq!(queue.next(at(30)).as_deref(), Some("p"));
        assert_eq!(queue.next(at(31)), None);
        queue.again("p", at(40));
        assert_eq!(queue.next(at(39)), None);
        assert_eq!(queue.next(at(40)).as_deref(), Some("p"));
    }

    #[test]
    fn a_namespace_without_room_has_no_turns_and_the_others_have_theirs() {
        let mut queue = Queue::default();
        for (namespace, name) in [("full", "f1"), ("full", "f2"), ("other", "o1")] {
            put(&mut queue, namespace, name, 0);
        }
        assert_eq!(queue.next(at(1)).as_deref(), Some("f1"));
        queue.block("f1", at(2));
        assert_eq!(queue.due("full", at(1)).count(), 2);
        assert_eq!(turns(&mut queue, 1), ["o1"]);
        assert_eq!(queue.next_due(), Some(at(2)));
        // The oldest is the first again.
        assert_eq!(queue.next(at(2)).as_deref(), Some("f1"));
        queue.block("f1", at(90));
        queue.wake_all(at(3));
        assert_eq!(queue.next(at(3)).as_deref(), Some("f1"));
    }

    proptest! {
        /// Whatever comes, fails and goes: everyone who is due has a turn, and the lines are as long as the list.
        #[test]
        fn everyone_due_has_a_turn(steps in prop::collection::vec((0u8..6, 0u8..12), 0..80)) {
            let mut queue = Queue::default();
            let mut now = 0;
            for (what, pod) in steps {
                let (uid, namespace) = (Uid::from(format!("{pod}")), Arc::from(["a", "b", "c"][usize::from(pod % 3)]));
                match what {
                    0 | 1 => queue.put(&uid, &namespace, at(i64::from(pod)), at(now)),
                    2 => queue.failed(&uid, at(now)),
                    3 => queue.remove(&uid),
                    4 => queue.block(&uid, at(now + 1)),
                    _ => now += 7,
                }
            }
            let lines: usize = queue.lines.values().map(BTreeSet::len).sum();
            prop_assert_eq!(lines, queue.len());
            let waiting = queue.entries.values().filter(|e| !e.taken).count();
            let mut seen = BTreeSet::new();
            while let Some(uid) = queue.next(at(now + 100_000)) {
                prop_assert!(seen.insert(uid), "two turns at once");
            }
            prop_assert_eq!(seen.len(), waiting);
            for uid in seen {
                queue.remove(&uid);
            }
            prop_assert_eq!(queue.lines.len(), queue.turns.len());
        }
    }
}
