//! CPU, memory and file descriptors of this process, read from `/proc/self` when Prometheus asks.
//!
//! The `process` feature of the `prometheus` crate would bring in `libc` and `procfs` for the same four numbers.

use std::fs;
use std::path::Path;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

/// Ticks a second in which `/proc` counts CPU time: USER_HZ, which Linux fixes at 100 on every architecture it shows to
/// user space, whatever the kernel's own rate is.
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes in the kB of `/proc/self/status`.
const KB: f64 = 1024.0;

/// Collects the conventional `process_*` metrics.
pub(super) struct ProcessCollector {
    descs: Vec<Desc>,
}

/// What `/proc` says.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: f64,
    peak_resident_bytes: f64,
    threads: f64,
    open_fds: f64,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        let families = [
            ("process_cpu_seconds_total", "User and system CPU time"),
            ("process_resident_memory_bytes", "Resident memory"),
            (
                "process_resident_memory_peak_bytes",
                "Highest resident memory since the start",
            ),
            ("process_threads", "Threads"),
            ("process_open_fds", "Open file descriptors"),
        ];
        let descs = families
            .into_iter()
            .filter_map(|(name, help)| Desc::new(name.into(), help.into(), Vec::new(), Default::default()).ok());
        Self { descs: descs.collect() }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let usage = read(Path::new("/proc/self"));
        let gauge = |name: &str, help: &str, value: f64| {
            let gauge = Gauge::with_opts(Opts::new(name, help)).ok()?;
            gauge.set(value);
            gauge.collect().into_iter().next()
        };
        let cpu = Counter::with_opts(Opts::new("process_cpu_seconds_total", "User and system CPU time")).ok();
        let cpu = cpu.and_then(|counter| {
            counter.inc_by(usage.cpu_seconds);
            counter.collect().into_iter().next()
        });
        [
            cpu,
            gauge("process_resident_memory_bytes", "Resident memory", usage.resident_bytes),
            gauge(
                "process_resident_memory_peak_bytes",
                "Highest resident memory since the start",
                usage.peak_resident_bytes,
            ),
            gauge("process_threads", "Threads", usage.threads),
            gauge("process_open_fds", "Open file descriptors", usage.open_fds),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What cannot be read is 0: a metric is no reason to fail.
fn read(proc_self: &Path) -> Usage {
    let stat = fs::read_to_string(proc_self.join("stat")).unwrap_or_default();
    let status = fs::read_to_string(proc_self.join("status")).unwrap_or_default();
    let open_fds = fs::read_dir(proc_self.join("fd")).map(Iterator::count).unwrap_or(0);
    Usage {
        cpu_seconds: cpu_ticks(&stat) / TICKS_PER_SECOND,
        resident_bytes: status_field(&status, "VmRSS:") * KB,
        peak_resident_bytes: status_field(&status, "VmHWM:") * KB,
        threads: status_field(&status, "Threads:"),
        open_fds: open_fds as f64,
    }
}

/// utime + stime, fields 14 and 15 of `stat`. The second field is the program's name in parentheses and may itself hold
/// blanks and parentheses, so fields are counted from the last `)`.
fn cpu_ticks(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum()
}

fn status_field(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_an_awkward_program_name() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 7 0 1 2 3";
        assert_eq!(cpu_ticks(stat), 300.0);
        assert_eq!(cpu_ticks(""), 0.0);
    }

    #[test]
    fn memory_is_read_by_name() {
        let status = "Name:\tvirtual-node\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        assert_eq!(status_field(status, "VmRSS:"), 1024.0);
        assert_eq!(status_field(status, "Threads:"), 3.0);
        assert_eq!(status_field(status, "Absent:"), 0.0);
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let usage = read(Path::new("/proc/self"));
        assert!(
            usage.resident_bytes > 0.0 && usage.peak_resident_bytes >= usage.resident_bytes && usage.threads >= 1.0
        );
    }
}
