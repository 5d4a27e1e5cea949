//! What a group used at one time. Limits are not in here: they follow from what was asked for.

use std::time::Duration;

use jiff::Timestamp;

/// Between two samples; they are taken at multiples of this since the epoch.
pub const SAMPLE_PERIOD: Duration = Duration::from_secs(15);

/// What a group used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When; a multiple of [`SAMPLE_PERIOD`].
    pub at: Timestamp,
    /// All its containers together, ended ones included.
    pub cpu: Cpu,
    /// All its containers together.
    pub memory: Memory,
    /// Its network interfaces, counted since it was made.
    pub interfaces: Vec<Interface>,
    /// Its disks, counted since it was made.
    pub disks: Vec<Disk>,
    /// Its file systems, where the runtime knows them.
    pub filesystems: Vec<Filesystem>,
    /// Each container that runs, by name.
    pub containers: Vec<ContainerUse>,
}

/// One container's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerUse {
    /// Its name.
    pub name: String,
    /// Its processor time: since this instance was started.
    pub cpu: Cpu,
    /// Its memory.
    pub memory: Memory,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Rate of use: nanoseconds of one core per second.
    pub nano_cores: u64,
    /// All that was used, in nanoseconds of one core. It never falls.
    pub core_nanoseconds: u64,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that is in use, caches included.
    pub usage: u64,
    /// Of that, file cache.
    pub cache: u64,
    /// Of that, what cannot be reclaimed.
    pub working_set: u64,
    /// Of that, anonymous memory.
    pub rss: u64,
}

/// Counters of a network interface. They never fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Of them, faulty ones.
    pub errors: u64,
    /// Of them, dropped ones.
    pub drops: u64,
}

/// Counters of a disk. They never fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Such as `vda`, or `major:minor` where the engine knows no name.
    pub device: String,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
}

/// A file system, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    /// Such as `/dev/vda1`.
    pub name: String,
    /// Its size.
    pub capacity: u64,
    /// What is in use.
    pub usage: u64,
}

impl Cpu {
    /// Both together.
    pub(crate) fn add(&mut self, other: Self) {
        self.nano_cores = self.nano_cores.saturating_add(other.nano_cores);
        self.core_nanoseconds = self.core_nanoseconds.saturating_add(other.core_nanoseconds);
    }
}

impl Memory {
    /// Both together.
    pub(crate) fn add(&mut self, other: Self) {
        self.usage = self.usage.saturating_add(other.usage);
        self.cache = self.cache.saturating_add(other.cache);
        self.working_set = self.working_set.saturating_add(other.working_set);
        self.rss = self.rss.saturating_add(other.rss);
    }
}

/// The last multiple of `period` since the epoch that is not after `at`.
pub(crate) fn floor(at: Timestamp, period: Duration) -> Timestamp {
    let period = i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
    let second = at.as_second().div_euclid(period).saturating_mul(period);
    Timestamp::from_second(second).unwrap_or(at)
}
