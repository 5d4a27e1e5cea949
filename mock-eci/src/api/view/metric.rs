//! Samples in the wire's words: kubelet's `/stats/summary` in members of ECI's own.

use serde_json::{Value, json};

use crate::{
    domain::metrics::Used,
    runtime::metrics::{Cpu, Disk, Interface, Memory, Sample},
    spec::{GroupSpec, Size},
};

const MIB: u64 = 1024 * 1024;

/// Which of the two operations asks: their members differ in small ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Operation {
    /// `DescribeContainerGroupMetric`.
    Single,
    /// `DescribeMultiContainerGroupMetric`.
    Multi,
}

/// `Records`.
pub(in crate::api) fn records(used: &Used, operation: Operation) -> Vec<Value> {
    used.samples
        .iter()
        .map(|sample| record(sample, &used.spec, operation))
        .collect()
}

fn record(sample: &Sample, spec: &GroupSpec, operation: Operation) -> Value {
    let containers: Vec<Value> = sample
        .containers
        .iter()
        .map(|container| {
            let own = spec.container(&container.name).map(|c| c.size).unwrap_or_default();
            // Without a size of its own it may use all of the group's.
            let or = |own: u64, whole: u64| if own > 0 { own } else { whole };
            let limit = Size {
                milli_cpu: or(own.milli_cpu, spec.size.milli_cpu),
                memory_mib: or(own.memory_mib, spec.size.memory_mib),
            };
            json!({
                "Name": container.name,
                "CPU": cpu(container.cpu, limit),
                "Memory": memory(container.memory, limit),
            })
        })
        .collect();
    json!({
        "Timestamp": super::time(Some(sample.at)),
        "CPU": cpu(sample.cpu, spec.size),
        "Memory": memory(sample.memory, spec.size),
        "Network": { "Interfaces": sample.interfaces.iter().map(interface).collect::<Vec<_>>() },
        "Disk": sample.disks.iter().map(|found| disk(found, operation)).collect::<Vec<_>>(),
        "Filesystem": filesystems(sample, operation),
        "Containers": containers,
    })
}

/// `Load` is documented as an average without a unit; here it is in thousandths, as `Limit` is.
fn cpu(cpu: Cpu, limit: Size) -> Value {
    json!({
        "UsageNanoCores": cpu.nano_cores,
        "UsageCoreNanoSeconds": cpu.core_nanoseconds,
        "Load": cpu.nano_cores / 1_000_000,
        "Limit": limit.milli_cpu,
    })
}

fn memory(memory: Memory, limit: Size) -> Value {
    json!({
        "AvailableBytes": (limit.memory_mib * MIB).saturating_sub(memory.working_set),
        "UsageBytes": memory.usage,
        "Cache": memory.cache,
        "WorkingSet": memory.working_set,
        "Rss": memory.rss,
    })
}

fn interface(found: &Interface) -> Value {
    let Interface { name, received, sent } = found;
    json!({
        "Name": name,
        "RxBytes": received.bytes, "RxPackets": received.packets, "RxErrors": received.errors, "RxDrops": received.drops,
        "TxBytes": sent.bytes, "TxPackets": sent.packets, "TxErrors": sent.errors, "TxDrops": sent.drops,
    })
}

fn disk(found: &Disk, operation: Operation) -> Value {
    let (reads, writes) = match operation {
        Operation::Single => ("ReadIO", "WriteIO"),
        Operation::Multi => ("ReadIo", "WriteIo"),
    };
    json!({
        "Device": found.device, "ReadBytes": found.read_bytes, "WriteBytes": found.write_bytes,
        reads: found.reads, writes: found.writes,
    })
}

fn filesystems(sample: &Sample, operation: Operation) -> Vec<Value> {
    sample
        .filesystems
        .iter()
        .map(|found| {
            let mut value = json!({
                "FsName": found.name, "Capacity": found.capacity, "Usage": found.usage,
                "Available": found.capacity.saturating_sub(found.usage),
            });
            if operation == Operation::Single {
                value["Category"] = json!("System");
            }
            value
        })
        .collect()
}
