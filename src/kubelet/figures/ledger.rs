//! Processor time of a node and of its pods, as counters that never fall. Pure.
//!
//! A node has no processor of its own: it used what its pods used, those that are gone included. So its counter is the sum of
//! what was added to the pods' counters from sample to sample, and a pod that vanishes takes nothing away. ECI's counter of a
//! group may begin anew; what it counted until then stays. With the agent the counters begin anew as well, as a machine's do
//! when it is started: what reads counters knows how to take that.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// Before anything was used. metrics-server takes a counter of 0 for a missing one, and an idle node is not a missing one.
const BEGINNING: u64 = 1_000;
/// A group that does not run is forgotten when it was without a sample for so long; a back-off lasts 5 minutes at most.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// The counters of one node.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Nanoseconds of one core, all pods ever.
    total: u64,
    /// The newest sample that is counted in; `None` = none yet.
    at: Option<Timestamp>,
    groups: HashMap<Arc<str>, Account>,
}

/// One group's counter.
#[derive(Debug)]
struct Account {
    at: Timestamp,
    /// As ECI said last.
    raw: u64,
    /// As we say.
    total: u64,
}

/// What a sample says of a group's processor time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// The group.
    pub(super) group: &'a Arc<str>,
    /// When the group began.
    pub(super) since: Option<Timestamp>,
    /// When the sample was taken.
    pub(super) at: Timestamp,
    /// Nanoseconds of one core since then.
    pub(super) raw: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            total: BEGINNING,
            at: None,
            groups: HashMap::new(),
        }
    }
}

impl Ledger {
    /// Counts in what samples taken at about one time say; those that are counted in already change nothing. Groups that run are
    /// remembered, even if nothing is said of them.
    pub(super) fn take<'a>(&mut self, readings: impl IntoIterator<Item = Reading<'a>>, runs: impl Fn(&str) -> bool) {
        let before = self.at;
        for reading in readings {
            let used = match self.groups.get_mut(reading.group) {
                Some(account) if reading.at <= account.at => 0,
                Some(account) => {
                    // One that fell began anew.
                    let used = reading.raw.checked_sub(account.raw).unwrap_or(reading.raw);
                    account.at = reading.at;
                    account.raw = reading.raw;
                    account.total = account.total.saturating_add(used);
                    used
                }
                None => {
                    let account = Account {
                        at: reading.at,
                        raw: reading.raw,
                        total: reading.raw,
                    };
                    self.groups.insert(reading.group.clone(), account);
                    first_share(&reading, before)
                }
            };
            self.total = self.total.saturating_add(used);
            self.at = self.at.max(Some(reading.at));
        }
        if let Some(now) = self.at {
            self.groups
                .retain(|group, account| runs(group) || now.duration_since(account.at) < MEMORY);
        }
    }

    /// The node's counter: nanoseconds of one core.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time of the newest sample that is counted in, or, while nothing runs, `idle`: then nothing is used, which needs no
    /// sample.
    pub(super) fn time(&mut self, idle: Option<Timestamp>) -> Option<Timestamp> {
        self.at = self.at.max(idle);
        self.at
    }

    /// A group's counter: nanoseconds of one core.
    pub(super) fn of(&self, group: &str) -> Option<u64> {
        self.groups.get(group).map(|account| account.total)
    }
}

/// What of a group that is seen for the first time counts for the node. All of it where the group began after the node's last
/// figures, or these are the first. Of an older one, which nobody could ask about until now, the part that its time since then
/// is of all its time: all of it at once would look like hours of work within seconds.
fn first_share(reading: &Reading<'_>, before: Option<Timestamp>) -> u64 {
    let Some(before) = before else { return reading.raw };
    let Some(since) = reading.since else { return 0 };
    let all = reading.at.duration_since(since).as_millis();
    let new = reading.at.duration_since(before.max(since)).as_millis();
    if new >= all {
        return reading.raw;
    }
    let share = i128::from(reading.raw).saturating_mul(new.max(0)) / all.max(1);
    u64::try_from(share).unwrap_or(0)
}

#[cfg(test)]
mod tests;
