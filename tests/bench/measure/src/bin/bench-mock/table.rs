//! The table: each phase with few groups and with many, and how the cost of a call grows.

use std::fmt::Write as _;

use measure::machine::Machine;

use crate::life::{Life, Phase};

const MEGABYTE: f64 = 1e6;

impl Phase {
    fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.seconds
    }

    /// CPU of mock-eci for one call, in millionths of a second.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.calls as f64
    }

    fn bytes_per_call(&self) -> f64 {
        self.bytes as f64 / self.calls as f64
    }
}

/// The whole table.
pub(crate) fn render(machine: &Machine, few: &Life, many: &Life) -> String {
    let mut text = format!(
        "mock-eci, simulated: {} and {} groups, {} of them changed; {} cores, {}; other work took {:.0}-{:.0} % of the CPU\n",
        few.groups,
        many.groups,
        many.changed,
        machine.cores,
        machine.kernel,
        few.foreign_cpu_share.min(many.foreign_cpu_share) * 100.0,
        few.foreign_cpu_share.max(many.foreign_cpu_share) * 100.0,
    );
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<28} {:>7} {:>9} {:>12} {:>12} {:>14} {:>14} {:>11}",
        "phase",
        "calls",
        "calls/s",
        "CPU/call, us",
        "bytes/call",
        format!("CPU at {}", few.groups),
        format!("bytes at {}", few.groups),
        "CPU, ratio",
    );
    for (small, phase) in few.phases.iter().zip(&many.phases) {
        let _ = writeln!(
            text,
            "{:<28} {:>7} {:>9.0} {:>12.1} {:>12.0} {:>14.1} {:>14.0} {:>11.2}",
            phase.name,
            phase.calls,
            phase.calls_per_second(),
            phase.cpu_micros(),
            phase.bytes_per_call(),
            small.cpu_micros(),
            small.bytes_per_call(),
            phase.cpu_micros() / small.cpu_micros(),
        );
    }
    for life in [few, many] {
        let _ = writeln!(
            text,
            "{} groups: {:.1} s, of it {:.1} s CPU of mock-eci ({:.2} cores); memory {:.1} MB empty, {:.1} MB full ({:.1} kB a \
             group), {:.1} MB peak",
            life.groups,
            life.seconds,
            life.cpu_seconds,
            life.cpu_seconds / life.seconds,
            life.empty_bytes as f64 / MEGABYTE,
            life.resident_bytes as f64 / MEGABYTE,
            life.resident_bytes.saturating_sub(life.empty_bytes) as f64 / 1e3 / life.groups as f64,
            life.peak_bytes as f64 / MEGABYTE,
        );
    }
    text
}
