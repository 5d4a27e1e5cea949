//! A group's samples, dense for an hour and ever thinner up to 30 days: what can be asked for, in bounded memory. Pure.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::stats::Reading;
use crate::runtime::metrics::{Cpu, Disk, Memory, Sample, floor};

/// From one sample to the next, and how many: an hour, ten hours, thirty days.
const TIERS: [(Duration, usize); 3] = [
    (Duration::from_secs(15), 240),
    (Duration::from_secs(60), 600),
    (Duration::from_secs(600), 4_320),
];

/// Samples of one group.
#[derive(Debug, Default)]
pub(super) struct History {
    tiers: [VecDeque<Sample>; 3],
    /// The newest reading of each container ever seen; the key is its name, none for the pause container.
    newest: BTreeMap<Option<String>, (Timestamp, Reading)>,
    /// What instances before those used.
    past: Past,
}

#[derive(Debug, Default)]
struct Past {
    core_nanoseconds: u64,
    disks: Vec<Disk>,
}

impl History {
    /// Takes in what an engine said of all containers that run.
    pub(super) fn add(&mut self, at: Timestamp, readings: Vec<Reading>) {
        let is_first = self.newest.is_empty();
        let before = self.tiers[0].back().map(|sample| sample.at);
        let mut sample = Sample {
            at,
            ..Sample::default()
        };
        let mut memory = Memory::default();
        let mut nano_cores = 0_u64;
        for reading in readings {
            let key = reading.container.as_ref().map(|(name, _)| name.clone());
            let earlier = self.newest.remove(&key);
            let (since, used) = match earlier {
                // Counters of one instance never fall; an engine that lost count began anew.
                Some((since, earlier))
                    if earlier.container == reading.container
                        && earlier.core_nanoseconds <= reading.core_nanoseconds =>
                {
                    (Some(since), reading.core_nanoseconds - earlier.core_nanoseconds)
                }
                Some((since, earlier)) => {
                    self.past.core_nanoseconds += earlier.core_nanoseconds;
                    add_disks(&mut self.past.disks, &earlier.disks);
                    (Some(since), reading.core_nanoseconds)
                }
                // Of a container that was never seen it is known only that it started after the last look at its group.
                None => (before.filter(|_| !is_first), reading.core_nanoseconds),
            };
            let rate = since.map_or(0, |since| rate(used, at.duration_since(since)));
            nano_cores = nano_cores.saturating_add(rate);
            memory.add(reading.memory);
            sample.interfaces.extend_from_slice(&reading.interfaces);
            sample.containers.extend(reading.part(rate));
            self.newest.insert(key, (at, reading));
        }
        sample.containers.sort_by(|a, b| a.name.cmp(&b.name));
        sample.disks = self.past.disks.clone();
        let mut core_nanoseconds = self.past.core_nanoseconds;
        for (_, reading) in self.newest.values() {
            core_nanoseconds = core_nanoseconds.saturating_add(reading.core_nanoseconds);
            add_disks(&mut sample.disks, &reading.disks);
        }
        sample.cpu = Cpu {
            nano_cores,
            core_nanoseconds,
        };
        sample.memory = memory;
        self.keep(sample);
    }

    fn keep(&mut self, sample: Sample) {
        for (tier, (period, most)) in self.tiers.iter_mut().zip(TIERS) {
            let is_next = |last: &Sample| floor(last.at, period) < floor(sample.at, period);
            if !tier.back().is_none_or(is_next) {
                continue;
            }
            if tier.len() >= most {
                tier.pop_front();
            }
            tier.push_back(sample.clone());
        }
    }

    /// The newest sample that is not after `at`, and less than `within` before it.
    pub(super) fn at(&self, at: Timestamp, within: Duration) -> Option<Sample> {
        let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
        self.tiers.iter().find_map(|tier| {
            let after = tier.partition_point(|sample| sample.at <= at);
            let sample = tier.get(after.checked_sub(1)?)?;
            (at.duration_since(sample.at) < within).then(|| sample.clone())
        })
    }
}

/// Nanoseconds a second.
fn rate(used: u64, passed: SignedDuration) -> u64 {
    let passed = u128::try_from(passed.as_nanos()).unwrap_or(0).max(1);
    u64::try_from(u128::from(used) * 1_000_000_000 / passed).unwrap_or(u64::MAX)
}

fn add_disks(all: &mut Vec<Disk>, more: &[Disk]) {
    for disk in more {
        match all.iter_mut().find(|known| known.device == disk.device) {
            Some(known) => {
                known.read_bytes = known.read_bytes.saturating_add(disk.read_bytes);
                known.write_bytes = known.write_bytes.saturating_add(disk.write_bytes);
                known.reads = known.reads.saturating_add(disk.reads);
                known.writes = known.writes.saturating_add(disk.writes);
            }
            None => all.push(disk.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn reading(instance: u32, seconds: u64) -> Reading {
        Reading {
            container: Some(("c".into(), instance)),
            core_nanoseconds: seconds * 1_000_000_000,
            disks: vec![Disk {
                device: "8:0".into(),
                read_bytes: seconds,
                ..Disk::default()
            }],
            ..Reading::default()
        }
    }

    #[test]
    fn rates_are_between_samples_and_sums_survive_restarts() {
        let mut history = History::default();
        for (second, readings) in [
            (0, vec![reading(0, 100)]),
            (15, vec![reading(0, 115)]),
            (30, vec![reading(1, 3)]),
            (45, vec![]),
            (60, vec![reading(2, 6)]),
        ] {
            history.add(at(second), readings);
        }
        let cpu = |second| {
            let cpu = history.at(at(second), Duration::from_secs(15)).expect("a sample").cpu;
            (cpu.nano_cores / 1_000_000, cpu.core_nanoseconds / 1_000_000_000)
        };
        assert_eq!(cpu(0), (0, 100), "of the time before nothing is known");
        assert_eq!(cpu(15), (1_000, 115));
        assert_eq!(cpu(30), (200, 118));
        assert_eq!(cpu(45), (0, 118), "what ended counts on");
        assert_eq!(cpu(60), (200, 124));
        let newest = history.at(at(60), Duration::from_secs(15)).expect("a sample");
        assert_eq!((newest.disks[0].read_bytes, newest.containers.len()), (124, 1));
    }

    #[test]
    fn older_samples_are_thinner_and_all_are_bounded() {
        let mut history = History::default();
        let day = 24 * 3600;
        for second in (0..40 * day).step_by(15) {
            history.add(at(second), Vec::new());
        }
        let kept: Vec<usize> = history.tiers.iter().map(VecDeque::len).collect();
        assert_eq!(kept, [240, 600, 4_320]);
        let found = |ago, within| {
            let wanted = at(40 * day - ago);
            history
                .at(wanted, Duration::from_secs(within))
                .map(|sample| (wanted.duration_since(sample.at)).as_secs())
        };
        assert_eq!(found(30, 15), Some(0));
        assert_eq!(found(2 * 3600, 60), Some(0));
        assert_eq!(found(2 * 3600 - 15, 15), None, "no such sample is kept");
        assert_eq!(found(29 * day, 600), Some(0));
        assert_eq!(found(31 * day, 600), None);
        assert_eq!(history.at(at(-1), Duration::from_secs(600)), None);
    }
}
