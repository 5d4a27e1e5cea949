//! What processes use, read from `/proc`.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

/// Linux tells user space about CPU time in hundredths of a second (USER_HZ), whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of the whole machine and of every process this one can see, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    at: Instant,
    busy_ticks: u64,
    processes: HashMap<u32, (String, u64)>,
}

/// CPU seconds spent between two snapshots.
#[derive(Debug)]
pub struct Spent {
    by_pid: HashMap<u32, f64>,
    /// By the name of the program, which Linux cuts after 15 characters.
    pub by_name: BTreeMap<String, f64>,
    /// Share (0–1) of the machine's CPU that went to processes outside the testbed: how far to trust the rest.
    pub foreign_share: f64,
    /// CPU seconds of the whole machine, and how many there were to spend.
    busy: f64,
    all: f64,
}

impl Snapshot {
    /// Reads `/proc`. Processes that end meanwhile are left out.
    pub fn take() -> Result<Self> {
        let mut processes = HashMap::new();
        for entry in fs::read_dir("/proc").context("reading /proc")? {
            let name = entry.context("reading /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            processes.extend(parse_stat(&stat).map(|(name, ticks)| (pid, (name.to_owned(), ticks))));
        }
        let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        Ok(Self {
            at: Instant::now(),
            busy_ticks: parse_busy(&stat).context("/proc/stat has no line of all CPUs")?,
            processes,
        })
    }

    /// What was spent since `earlier`.
    pub fn since(&self, earlier: &Self) -> Spent {
        let mut by_pid = HashMap::new();
        let mut by_name = BTreeMap::<String, f64>::new();
        let mut seen = 0.0;
        for (pid, (name, ticks)) in &self.processes {
            let before = earlier.processes.get(pid).map_or(0, |(_, ticks)| *ticks);
            let seconds = ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND;
            by_pid.insert(*pid, seconds);
            *by_name.entry(name.clone()).or_default() += seconds;
            seen += seconds;
        }
        let busy = self.busy_ticks.saturating_sub(earlier.busy_ticks) as f64 / TICKS_PER_SECOND;
        let all = (self.at - earlier.at).as_secs_f64() * cores() as f64;
        by_name.retain(|_, seconds| *seconds > 0.0);
        Spent {
            by_pid,
            by_name,
            busy,
            all,
            foreign_share: if all > 0.0 {
                ((busy - seen) / all).clamp(0.0, 1.0)
            } else {
                0.0
            },
        }
    }
}

impl Spent {
    /// Share (0–1) of the machine's CPU that went to any but these processes: for programs that run in no testbed.
    pub fn share_of_others(&self, pids: &[u32]) -> f64 {
        let own: f64 = pids.iter().map(|pid| self.by(*pid)).sum();
        match self.all > 0.0 {
            true => ((self.busy - own) / self.all).clamp(0.0, 1.0),
            false => 0.0,
        }
    }

    /// Of one process.
    pub fn by(&self, pid: u32) -> f64 {
        self.by_pid.get(&pid).copied().unwrap_or_default()
    }
}

/// CPUs this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory a process has (resident set) and had at most.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most, ever.
    pub peak: u64,
}

impl Memory {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading the memory of a process")?;
        let bytes = |name| parse_kilobytes(&status, name).with_context(|| format!("process {pid} has no {name}"));
        Ok(Self {
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}

/// Name of the program, user and system ticks, out of `/proc/<pid>/stat`.
fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    // The name may hold spaces and parentheses; the last parenthesis ends it.
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name, user + system))
}

/// Ticks in which any CPU was at work, out of `/proc/stat`: all but idle and waiting for IO (fields 4 and 5), not counting
/// guest time (9 and 10) twice.
fn parse_busy(stat: &str) -> Option<u64> {
    let fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = fields
        .split_ascii_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    Some(ticks.iter().take(3).sum::<u64>() + ticks.iter().skip(5).take(3).sum::<u64>())
}

fn parse_kilobytes(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 1 0 100 1 1";
        assert_eq!(parse_stat(stat), Some(("a) b (c)", 12)));
    }

    #[test]
    fn idle_and_waiting_is_not_busy() {
        assert_eq!(
            parse_busy("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9 9 9\n"),
            Some(63)
        );
    }

    #[test]
    fn memory_is_in_kilobytes() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(parse_kilobytes(status, "VmHWM:"), Some(2048 * 1024));
        assert_eq!(parse_kilobytes(status, "VmSwap:"), None);
    }
}
