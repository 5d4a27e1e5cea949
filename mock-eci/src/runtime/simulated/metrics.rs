//! What simulated groups use: computed from their ids, their sizes and the time, and nowhere stored.
//!
//! Processor use swings around a level that is each container's own; what was used in all is the integral of that, so that rate
//! and sum agree and the sum never falls. Everything else grows with time or settles.

use std::{f64::consts::TAU, time::Duration};

use jiff::Timestamp;

use super::engine::{SimContainer, SimGroup};
use crate::{
    runtime::metrics::{ContainerUse, Cpu, Disk, Filesystem, Interface, Memory, Sample, Traffic},
    spec::{ContainerSpec, GroupId, GroupSpec, Size},
};

/// From one peak of processor use to the next, in seconds.
const SWING: f64 = 300.0;
/// How far use swings around its level.
const DEPTH: f64 = 0.4;
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
/// Root file system of a group before `EphemeralStorage`.
const ROOT_GIB: u64 = 30;

/// The group at each of these times, as far as it ran then.
pub(super) fn samples(id: &GroupId, group: &SimGroup, times: &[Timestamp]) -> Vec<Sample> {
    let Some(since) = group.up else { return Vec::new() };
    let until = if group.containers.iter().any(|c| c.running.is_some()) {
        None
    } else {
        // Between init containers, or in a back-off: there is no telling before the next start.
        group.containers.iter().filter_map(|c| c.runs.last()?.until).max()
    };
    let ran = |at: &&Timestamp| **at >= since && until.is_none_or(|until| **at <= until);
    times
        .iter()
        .filter(ran)
        .map(|at| sample(id, group, since, *at))
        .collect()
}

fn sample(id: &GroupId, group: &SimGroup, since: Timestamp, at: Timestamp) -> Sample {
    let mut sample = Sample {
        at,
        ..Sample::default()
    };
    sample.cpu.core_nanoseconds = group.spent;
    for container in &group.containers {
        sample.cpu.core_nanoseconds += container.spent;
        for run in container.runs.iter().filter(|run| run.since <= at) {
            if run.until.is_some_and(|until| until <= at) {
                sample.cpu.core_nanoseconds += run.spent();
                continue;
            }
            let (cpu, memory) = (run.cpu(at), run.memory(at));
            sample.cpu.add(cpu);
            sample.memory.add(memory);
            sample.containers.push(ContainerUse {
                name: container.name.to_string(),
                cpu,
                memory,
            });
        }
    }
    let age = seconds(since, at);
    let seed = hash(&[id.as_str()]);
    sample.interfaces = vec![Interface {
        name: "eth0".to_owned(),
        received: traffic(grown(age, 1_000 + seed % 50_000)),
        sent: traffic(grown(age, 500 + (seed >> 16) % 20_000)),
    }];
    let disk = Disk {
        device: "vda".to_owned(),
        read_bytes: grown(age, 100 + (seed >> 32) % 4_000),
        write_bytes: grown(age, 500 + (seed >> 48) % 8_000),
        reads: 0,
        writes: 0,
    };
    let capacity = (ROOT_GIB + group.spec.extra_ephemeral_storage_gib) * GIB;
    sample.filesystems = vec![Filesystem {
        name: "/dev/vda1".to_owned(),
        capacity,
        usage: (GIB + disk.write_bytes).min(capacity / 10 * 9),
    }];
    sample.disks = vec![Disk {
        reads: disk.read_bytes / 4_096,
        writes: disk.write_bytes / 4_096,
        ..disk
    }];
    sample
}

/// Processor time of a container that is over.
pub(super) fn spent(container: &SimContainer) -> u64 {
    container.spent + container.runs.iter().map(Run::spent).sum::<u64>()
}

/// One instance of a container. It keeps the load it began with: an update of its group must not change what was used before.
pub(super) struct Run {
    since: Timestamp,
    until: Option<Timestamp>,
    load: Load,
    /// What steering said it is to use, oldest first.
    told: Vec<Change>,
}

/// What steering says a container is to use; none = as it does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Nanoseconds of one core per second.
    pub nano_cores: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
}

/// It was told so.
struct Change {
    told: Told,
    since: Timestamp,
    /// What the run had used until then, in nanoseconds of one core.
    before: u64,
}

/// How often a run can be told and what it used in between is still known.
const MAX_TOLD: usize = 100;

impl Run {
    pub(super) fn new(id: &GroupId, group: &GroupSpec, container: &ContainerSpec, now: Timestamp) -> Self {
        Self {
            since: now,
            until: None,
            load: Load::of(id, group, container),
            told: Vec::new(),
        }
    }

    /// From now on it uses what it is told, but never more than it has.
    pub(super) fn tell(&mut self, told: Told, now: Timestamp) {
        let Size { milli_cpu, memory_mib } = self.load.size;
        let told = Told {
            nano_cores: told.nano_cores.map(|n| n.min(milli_cpu.saturating_mul(1_000_000))),
            memory: told.memory.map(|bytes| bytes.min(memory_mib * MIB)),
        };
        let before = self.cpu(now).core_nanoseconds;
        if self.told.len() >= MAX_TOLD {
            self.told.remove(0);
        }
        self.told.push(Change {
            told,
            since: now,
            before,
        });
    }

    fn change(&self, at: Timestamp) -> Option<&Change> {
        self.told.iter().rev().find(|change| change.since <= at)
    }

    fn cpu(&self, at: Timestamp) -> Cpu {
        let own = self.load.cpu(seconds(self.since, at));
        let Some(change) = self.change(at) else { return own };
        let (nano_cores, since_then) = match change.told.nano_cores {
            Some(rate) => (rate, (rate as f64 * seconds(change.since, at)) as u64),
            None => {
                let then = self.load.cpu(seconds(self.since, change.since)).core_nanoseconds;
                (own.nano_cores, own.core_nanoseconds.saturating_sub(then))
            }
        };
        Cpu {
            nano_cores,
            core_nanoseconds: change.before.saturating_add(since_then),
        }
    }

    fn memory(&self, at: Timestamp) -> Memory {
        match self.change(at).and_then(|change| change.told.memory) {
            Some(bytes) => Memory {
                usage: bytes,
                cache: 0,
                working_set: bytes,
                rss: bytes,
            },
            None => self.load.memory(seconds(self.since, at)),
        }
    }

    pub(super) fn end(&mut self, at: Timestamp) {
        self.until = Some(at);
    }

    /// Processor time of all of it, once it is over.
    pub(super) fn spent(&self) -> u64 {
        self.cpu(self.until.unwrap_or(self.since)).core_nanoseconds
    }
}

/// How much a container uses.
struct Load {
    seed: u64,
    size: Size,
}

impl Load {
    fn of(id: &GroupId, group: &GroupSpec, container: &ContainerSpec) -> Self {
        // Containers without a size of their own share the group's.
        let sharers = u64::try_from(group.containers.len()).unwrap_or(1).max(1);
        let part = |own: u64, whole: u64| if own > 0 { own } else { whole / sharers };
        Self {
            seed: hash(&[id.as_str(), &container.name]),
            size: Size {
                milli_cpu: part(container.size.milli_cpu, group.size.milli_cpu),
                memory_mib: part(container.size.memory_mib, group.size.memory_mib),
            },
        }
    }

    fn cpu(&self, ran: f64) -> Cpu {
        let peak = self.size.milli_cpu as f64 * 1e6;
        let level = peak * between(self.seed, 0.1, 0.7);
        let phase = TAU * between(self.seed.rotate_left(20), 0.0, 1.0);
        let angle = TAU * ran / SWING + phase;
        let swung = DEPTH * SWING / TAU * (phase.cos() - angle.cos());
        Cpu {
            nano_cores: (level * (1.0 + DEPTH * angle.sin())) as u64,
            core_nanoseconds: (level * (ran + swung)) as u64,
        }
    }

    fn memory(&self, ran: f64) -> Memory {
        let all = (self.size.memory_mib * MIB) as f64;
        let rss = all * between(self.seed.rotate_left(40), 0.2, 0.6) * (0.5 + ran / 120.0).min(1.0);
        let cache = all * 0.1 * (ran / 600.0).min(1.0);
        Memory {
            usage: rss as u64 + cache as u64,
            cache: cache as u64,
            working_set: rss as u64 + cache as u64 / 2,
            rss: rss as u64,
        }
    }
}

fn traffic(bytes: u64) -> Traffic {
    Traffic {
        bytes,
        packets: bytes / 800,
        errors: 0,
        drops: 0,
    }
}

/// Bytes at so many a second.
fn grown(seconds: f64, rate: u64) -> u64 {
    (seconds * rate as f64) as u64
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let passed = Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO);
    passed.as_secs_f64()
}

fn between(seed: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * (seed % 1_000_003) as f64 / 1_000_002.0
}

/// FNV-1a and a last mix: the same on every machine and in every version.
fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(seed: u64) -> Load {
        Load {
            seed,
            size: Size {
                milli_cpu: 2_000,
                memory_mib: 4_096,
            },
        }
    }

    proptest! {
        #[test]
        fn rate_and_sum_agree_and_nothing_exceeds_its_size(seed: u64, second in 0_u32..3_000_000) {
            let (load, second) = (load(seed), f64::from(second));
            let (from, to) = (load.cpu(second), load.cpu(second + 0.1));
            prop_assert!(from.core_nanoseconds < to.core_nanoseconds);
            let rate = (to.core_nanoseconds - from.core_nanoseconds) as f64 / 0.1;
            prop_assert!((rate / from.nano_cores as f64 - 1.0).abs() < 0.01, "{rate} {from:?}");
            prop_assert!(from.nano_cores <= 2_000_000_000);
            let memory = load.memory(second);
            prop_assert!(memory.rss <= memory.working_set && memory.working_set <= memory.usage);
            prop_assert!(memory.usage <= 4_096 * MIB);
        }
    }

    #[test]
    fn a_run_uses_what_it_is_told_and_its_sum_never_falls() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let mut run = Run {
            since: at(0),
            until: None,
            load: load(7),
            told: Vec::new(),
        };
        let busy = Told {
            nano_cores: Some(9_000_000_000),
            memory: Some(MIB),
        };
        let before = run.cpu(at(100));
        run.tell(busy, at(100));
        assert_eq!(run.cpu(at(50)), load(7).cpu(50.0), "what was is not changed");
        assert_eq!(run.cpu(at(100)).core_nanoseconds, before.core_nanoseconds);
        let later = run.cpu(at(110));
        assert_eq!(later.nano_cores, 2_000_000_000, "two cores are all it has");
        assert_eq!(later.core_nanoseconds, before.core_nanoseconds + 20_000_000_000);
        assert_eq!(run.memory(at(110)).working_set, MIB);
        run.tell(Told::default(), at(110));
        let (own, then) = (load(7).cpu(130.0), load(7).cpu(110.0));
        let by_itself = run.cpu(at(130));
        assert_eq!(by_itself.nano_cores, own.nano_cores);
        assert_eq!(
            by_itself.core_nanoseconds,
            later.core_nanoseconds + own.core_nanoseconds - then.core_nanoseconds
        );
        for second in 200..500 {
            run.tell(busy, at(second));
        }
        assert_eq!(run.told.len(), MAX_TOLD);
        assert!(run.cpu(at(500)).core_nanoseconds > by_itself.core_nanoseconds);
    }

    #[test]
    fn another_group_uses_something_else() {
        assert_ne!(hash(&["eci-a", "c"]), hash(&["eci-b", "c"]));
        assert_ne!(hash(&["a", "bc"]), hash(&["ab", "c"]));
    }
}
