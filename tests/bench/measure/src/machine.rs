//! What the figures were measured on. No host name and no paths: they say nothing about a figure.

use std::fs;

use serde::Serialize;

use crate::usage::cores;

/// The machine, as far as it matters.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// CPUs this process may use.
    pub cores: usize,
    /// Model of the CPU.
    pub cpu: String,
    /// All memory.
    pub memory_bytes: u64,
    /// System and release.
    pub kernel: String,
    /// Of the last minute, when the bench began.
    pub load_average: f64,
}

impl Machine {
    /// This one; what cannot be read is empty or 0.
    pub fn describe() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: cores(),
            cpu: value_of(&read("/proc/cpuinfo"), "model name").to_owned(),
            memory_bytes: value_of(&read("/proc/meminfo"), "MemTotal")
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .map_or(0, |kilobytes| kilobytes * 1024),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            load_average: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }
}

/// The value of the first line `name : value`.
fn value_of<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(key, value)| (key.trim() == name).then(|| value.trim()))
        .unwrap_or_default()
}
