//! What containers use, as the engine counts it: one task asks for all of them, and keeps what it is told for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bollard::{
    models::{
        ContainerBlkioStatEntry, ContainerBlkioStats, ContainerMemoryStats, ContainerNetworkStats,
        ContainerStatsResponse, ContainerSummaryStateEnum,
    },
    query_parameters::StatsOptionsBuilder,
};
use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    Inner,
    engine::{Engine, EngineError},
    history::History,
    names,
};
use crate::{
    runtime::metrics::{ContainerUse, Cpu, Disk, Interface, Memory, SAMPLE_PERIOD, Sample, Traffic, floor},
    spec::GroupId,
    timers::after,
};

/// Containers asked about at once; on top of that every call waits for its turn at the engine.
const PARALLEL: usize = 4;

/// Histories of all groups.
#[derive(Default)]
pub(super) struct Histories(Mutex<HashMap<GroupId, History>>);

impl Histories {
    fn lock(&self) -> MutexGuard<'_, HashMap<GroupId, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self, group: &GroupId) {
        self.lock().remove(group);
    }

    pub(super) fn at(&self, group: &GroupId, times: &[Timestamp], within: Duration) -> Vec<Sample> {
        let histories = self.lock();
        let Some(history) = histories.get(group) else {
            return Vec::new();
        };
        times.iter().filter_map(|at| history.at(*at, within)).collect()
    }
}

/// What one container used since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its name within the group; none = the pause container.
    pub(super) container: Option<(String, u32)>,
    pub(super) core_nanoseconds: u64,
    pub(super) memory: Memory,
    pub(super) interfaces: Vec<Interface>,
    pub(super) disks: Vec<Disk>,
}

/// Takes a sample at every multiple of [`SAMPLE_PERIOD`], until the runtime is gone.
pub(super) async fn run(inner: Weak<Inner>) {
    loop {
        let Some(clock) = inner.upgrade().map(|inner| inner.shared.clock.clone()) else {
            return;
        };
        let next = after(floor(clock.now(), SAMPLE_PERIOD), SAMPLE_PERIOD);
        clock.sleep_until(next).await;
        let Some(inner) = inner.upgrade() else { return };
        // A jump may have passed several; the engine can be asked about now only.
        let at = floor(clock.now(), SAMPLE_PERIOD);
        if let Err(error) = sample(&inner, at).await {
            tracing::debug!(%error, "no samples");
        }
    }
}

async fn sample(inner: &Arc<Inner>, at: Timestamp) -> Result<(), EngineError> {
    if inner.groups().is_empty() {
        return Ok(());
    }
    let engine = &inner.shared.engine;
    let found = engine.list(&names::owner_filter(&inner.shared.config.owner)).await?;
    let running = found.into_iter().filter_map(|container| {
        if container.state != Some(ContainerSummaryStateEnum::RUNNING) {
            return None;
        }
        let group = names::group_of(container.labels.as_ref()?)?;
        let name = container.names?.into_iter().next()?.trim_start_matches('/').to_owned();
        let part = match names::parse_container(&name) {
            Some((_, container, instance)) => Some((container.to_owned(), instance)),
            None if name == names::pause(&group) => None,
            // A helper.
            None => return None,
        };
        Some((group, name, part))
    });
    let readings = stream::iter(running)
        .map(|(group, name, container)| async move {
            let stats = match engine.stats(&name).await {
                Ok(stats) => stats,
                // It ended in between, mostly.
                Err(error) => {
                    tracing::debug!(%error, "no figures");
                    return None;
                }
            };
            let mut reading = Reading {
                container,
                ..read(stats)
            };
            if reading.container.is_some() {
                // The pause container's network, which podman counts again for each that joined it.
                reading.interfaces.clear();
            }
            Some((group, reading))
        })
        .buffer_unordered(PARALLEL)
        .filter_map(std::future::ready)
        .collect::<Vec<_>>()
        .await;
    let mut groups: HashMap<GroupId, Vec<Reading>> = HashMap::new();
    for (group, reading) in readings {
        groups.entry(group).or_default().push(reading);
    }
    let known = inner.groups();
    let mut histories = inner.histories.lock();
    for (group, readings) in groups {
        // Not one that was removed meanwhile: nobody would forget it again.
        if known.contains_key(&group) {
            histories.entry(group).or_default().add(at, readings);
        }
    }
    Ok(())
}

impl Engine {
    /// What a container used, once.
    async fn stats(&self, name: &str) -> Result<ContainerStatsResponse, EngineError> {
        // Without one-shot an engine measures twice, a second apart: rates are our own business.
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let found = self
            .call("measure container", name, async {
                let mut stats = Box::pin(self.docker().stats(name, Some(options)));
                stats.next().await.transpose()
            })
            .await?;
        found.ok_or_else(|| EngineError::local("measure container", name, "the engine said nothing"))
    }
}

fn read(stats: ContainerStatsResponse) -> Reading {
    let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage);
    let mut interfaces: Vec<Interface> = stats
        .networks
        .unwrap_or_default()
        .into_iter()
        // Podman gives one sum for all interfaces, by a name that is none.
        .map(|(name, counted)| interface(if name == "network" { "eth0".to_owned() } else { name }, &counted))
        .collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    Reading {
        container: None,
        core_nanoseconds: cpu.unwrap_or(0),
        memory: stats.memory_stats.map(memory).unwrap_or_default(),
        interfaces,
        disks: stats.blkio_stats.map(disks).unwrap_or_default(),
    }
}

/// As the kubelet counts: what can be reclaimed easily is in use, but not in the working set. The names differ between the
/// two versions of control groups, and podman gives none at all.
fn memory(stats: ContainerMemoryStats) -> Memory {
    let usage = stats.usage.unwrap_or(0);
    let detail = stats.stats.unwrap_or_default();
    let first = |names: &[&str]| names.iter().find_map(|name| detail.get(*name).copied());
    let inactive = first(&["total_inactive_file", "inactive_file"]).unwrap_or(0);
    let cache = first(&["total_cache", "cache", "file"]).unwrap_or(inactive);
    Memory {
        usage,
        cache,
        working_set: usage.saturating_sub(inactive),
        rss: first(&["total_rss", "rss", "anon"]).unwrap_or(usage.saturating_sub(cache)),
    }
}

fn interface(name: String, counted: &ContainerNetworkStats) -> Interface {
    let number = |value: Option<u64>| value.unwrap_or(0);
    Interface {
        name,
        received: Traffic {
            bytes: number(counted.rx_bytes),
            packets: number(counted.rx_packets),
            errors: number(counted.rx_errors),
            drops: number(counted.rx_dropped),
        },
        sent: Traffic {
            bytes: number(counted.tx_bytes),
            packets: number(counted.tx_packets),
            errors: number(counted.tx_errors),
            drops: number(counted.tx_dropped),
        },
    }
}

fn disks(stats: ContainerBlkioStats) -> Vec<Disk> {
    let mut disks: Vec<Disk> = Vec::new();
    let mut count = |entries: Option<Vec<ContainerBlkioStatEntry>>, add: fn(&mut Disk, &str, u64)| {
        for entry in entries.unwrap_or_default() {
            let (Some(major), Some(minor), Some(op)) = (entry.major, entry.minor, entry.op) else {
                continue;
            };
            let device = format!("{major}:{minor}");
            let index = disks.iter().position(|disk| disk.device == device).unwrap_or_else(|| {
                disks.push(Disk {
                    device,
                    ..Disk::default()
                });
                disks.len() - 1
            });
            add(&mut disks[index], &op.to_ascii_lowercase(), entry.value.unwrap_or(0));
        }
    };
    count(stats.io_service_bytes_recursive, |disk, op, value| match op {
        "read" => disk.read_bytes = value,
        "write" => disk.write_bytes = value,
        _ => {}
    });
    count(stats.io_serviced_recursive, |disk, op, value| match op {
        "read" => disk.reads = value,
        "write" => disk.writes = value,
        _ => {}
    });
    disks
}

impl Reading {
    /// The container's part, used at this rate.
    pub(super) fn part(&self, nano_cores: u64) -> Option<ContainerUse> {
        let (name, _) = self.container.clone()?;
        Some(ContainerUse {
            name,
            cpu: Cpu {
                nano_cores,
                core_nanoseconds: self.core_nanoseconds,
            },
            memory: self.memory,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let read = |json: &str| read(serde_json::from_str(json).expect("an answer of an engine"));
        let v1 = read(
            r#"{"cpu_stats":{"cpu_usage":{"total_usage":5}},"memory_stats":{"usage":100,"stats":
            {"total_cache":40,"cache":39,"total_rss":50,"total_inactive_file":30}},"networks":
            {"eth0":{"rx_bytes":1,"rx_dropped":2,"tx_packets":3}},"blkio_stats":{"io_service_bytes_recursive":
            [{"major":8,"minor":0,"op":"Read","value":7},{"major":8,"minor":0,"op":"Total","value":9}]}}"#,
        );
        assert_eq!(v1.core_nanoseconds, 5);
        let memory = v1.memory;
        assert_eq!(
            (memory.usage, memory.cache, memory.working_set, memory.rss),
            (100, 40, 70, 50)
        );
        assert_eq!((v1.interfaces[0].received.drops, v1.interfaces[0].sent.packets), (2, 3));
        assert_eq!((&*v1.disks[0].device, v1.disks[0].read_bytes), ("8:0", 7));
        let v2 = read(r#"{"memory_stats":{"usage":100,"stats":{"file":40,"anon":50,"inactive_file":30}}}"#);
        assert_eq!((v2.memory.cache, v2.memory.working_set, v2.memory.rss), (40, 70, 50));
        let podman = read(r#"{"memory_stats":{"usage":100,"stats":null},"networks":null,"blkio_stats":null}"#);
        assert_eq!((podman.memory.working_set, podman.memory.rss), (100, 100));
    }
}
