//! `DescribeMultiContainerGroupMetric`: what groups used, as of their newest sample.
//!
//! The members are those of a kubelet's `/stats/summary` in ECI's spelling. What a record does not say is `None`: no figure
//! is better than a zero that nobody measured.

use jiff::Timestamp;
use serde::Deserialize;

use super::lenient;

/// Answer of `DescribeMultiContainerGroupMetric`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MetricsAnswer {
    /// `RequestId`.
    #[serde(deserialize_with = "lenient::text")]
    pub request_id: String,
    /// `MonitorDatas`.
    #[serde(rename = "MonitorDatas", deserialize_with = "lenient::objects")]
    pub groups: Vec<GroupMetrics>,
}

/// One group's part.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GroupMetrics {
    /// `ContainerGroupId`.
    #[serde(rename = "ContainerGroupId", deserialize_with = "lenient::text")]
    pub group_id: String,
    /// `Records`: the newest one, or none where nothing was measured yet.
    #[serde(rename = "Records", deserialize_with = "lenient::objects")]
    pub records: Vec<Sample>,
}

impl GroupMetrics {
    /// The newest sample that says when it was taken; a figure without a time says nothing.
    pub fn newest(self) -> Option<Sample> {
        self.records
            .into_iter()
            .filter(|sample| sample.at.is_some())
            .max_by_key(|sample| sample.at)
    }
}

/// What a group used, at one time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Sample {
    /// `Timestamp`.
    #[serde(rename = "Timestamp", deserialize_with = "lenient::time")]
    pub at: Option<Timestamp>,
    /// `CPU` of all containers, ended ones included.
    #[serde(rename = "CPU", deserialize_with = "unset")]
    pub cpu: CpuUse,
    /// `Memory` of all containers.
    #[serde(deserialize_with = "unset")]
    pub memory: MemoryUse,
    /// `Network.Interfaces`.
    #[serde(rename = "Network", deserialize_with = "interfaces")]
    pub interfaces: Vec<InterfaceUse>,
    /// `Disk`.
    #[serde(rename = "Disk", deserialize_with = "lenient::objects")]
    pub disks: Vec<DiskUse>,
    /// `Filesystem`; the group's own comes first.
    #[serde(rename = "Filesystem", deserialize_with = "lenient::objects")]
    pub filesystems: Vec<FilesystemUse>,
    /// `Containers` that run.
    #[serde(deserialize_with = "lenient::objects")]
    pub containers: Vec<ContainerUse>,
}

/// A container's part of a [`Sample`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerUse {
    /// `Name`.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// `CPU`, since this run of the container began.
    #[serde(rename = "CPU", deserialize_with = "unset")]
    pub cpu: CpuUse,
    /// `Memory`.
    #[serde(deserialize_with = "unset")]
    pub memory: MemoryUse,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CpuUse {
    /// `UsageNanoCores`: nanoseconds of one core per second.
    #[serde(deserialize_with = "lenient::count")]
    pub usage_nano_cores: Option<u64>,
    /// `UsageCoreNanoSeconds`: all that was used, in nanoseconds of one core.
    #[serde(deserialize_with = "lenient::count")]
    pub usage_core_nano_seconds: Option<u64>,
    /// `Limit`, in thousandths of a vCPU.
    #[serde(deserialize_with = "lenient::count")]
    pub limit: Option<u64>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MemoryUse {
    /// `AvailableBytes`: what the limit leaves beyond the working set.
    #[serde(deserialize_with = "lenient::count")]
    pub available_bytes: Option<u64>,
    /// `UsageBytes`, caches included.
    #[serde(deserialize_with = "lenient::count")]
    pub usage_bytes: Option<u64>,
    /// `Cache`: of these, file cache.
    #[serde(deserialize_with = "lenient::count")]
    pub cache: Option<u64>,
    /// `WorkingSet`: of these, what cannot be taken back easily.
    #[serde(deserialize_with = "lenient::count")]
    pub working_set: Option<u64>,
    /// `Rss`: of these, anonymous memory.
    #[serde(deserialize_with = "lenient::count")]
    pub rss: Option<u64>,
}

impl MemoryUse {
    /// The limit: what is available and what is not.
    pub fn limit(&self) -> Option<u64> {
        self.available_bytes?.checked_add(self.working_set?)
    }
}

/// Counters of a network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct InterfaceUse {
    /// `Name`, such as `eth0`.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// `RxBytes`.
    #[serde(deserialize_with = "lenient::count")]
    pub rx_bytes: Option<u64>,
    /// `RxPackets`.
    #[serde(deserialize_with = "lenient::count")]
    pub rx_packets: Option<u64>,
    /// `RxErrors`.
    #[serde(deserialize_with = "lenient::count")]
    pub rx_errors: Option<u64>,
    /// `RxDrops`.
    #[serde(deserialize_with = "lenient::count")]
    pub rx_drops: Option<u64>,
    /// `TxBytes`.
    #[serde(deserialize_with = "lenient::count")]
    pub tx_bytes: Option<u64>,
    /// `TxPackets`.
    #[serde(deserialize_with = "lenient::count")]
    pub tx_packets: Option<u64>,
    /// `TxErrors`.
    #[serde(deserialize_with = "lenient::count")]
    pub tx_errors: Option<u64>,
    /// `TxDrops`.
    #[serde(deserialize_with = "lenient::count")]
    pub tx_drops: Option<u64>,
}

/// Counters of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUse {
    /// `Device`, such as `vda`.
    #[serde(deserialize_with = "lenient::text")]
    pub device: String,
    /// `ReadBytes`.
    #[serde(deserialize_with = "lenient::count")]
    pub read_bytes: Option<u64>,
    /// `WriteBytes`.
    #[serde(deserialize_with = "lenient::count")]
    pub write_bytes: Option<u64>,
    /// `ReadIo` (`ReadIO` in the call for one group).
    #[serde(alias = "ReadIO", deserialize_with = "lenient::count")]
    pub read_io: Option<u64>,
    /// `WriteIo` (`WriteIO` in the call for one group).
    #[serde(alias = "WriteIO", deserialize_with = "lenient::count")]
    pub write_io: Option<u64>,
}

/// A file system, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FilesystemUse {
    /// `FsName`, such as `/dev/vda1`.
    #[serde(rename = "FsName", deserialize_with = "lenient::text")]
    pub name: String,
    /// `Capacity`.
    #[serde(deserialize_with = "lenient::count")]
    pub capacity: Option<u64>,
    /// `Usage`.
    #[serde(deserialize_with = "lenient::count")]
    pub usage: Option<u64>,
    /// `Available`.
    #[serde(deserialize_with = "lenient::count")]
    pub available: Option<u64>,
}

/// A structure in which nothing is set where there is none.
fn unset<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    Ok(lenient::object(d)?.unwrap_or_default())
}

fn interfaces<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<InterfaceUse>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Network {
        #[serde(deserialize_with = "lenient::objects")]
        interfaces: Vec<InterfaceUse>,
    }
    Ok(unset::<Network, D>(d)?.interfaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_reference_names() {
        let body = r#"{"RequestId":"r","MonitorDatas":[{"ContainerGroupId":"eci-1","Records":[{
            "Timestamp":"2026-11-26T09:00:15Z",
            "CPU":{"UsageNanoCores":250000000,"UsageCoreNanoSeconds":9007199254740993,"Load":250,"Limit":2000},
            "Memory":{"AvailableBytes":1000,"UsageBytes":300,"Cache":100,"WorkingSet":250,"Rss":200},
            "Network":{"Interfaces":[{"Name":"eth0","RxBytes":1,"RxPackets":2,"RxErrors":3,"RxDrops":4,"TxBytes":5,
                "TxPackets":6,"TxErrors":7,"TxDrops":8}]},
            "Disk":[{"Device":"vda","ReadBytes":1,"WriteBytes":2,"ReadIo":3,"WriteIo":4}],
            "Filesystem":[{"FsName":"/dev/vda1","Capacity":30,"Usage":10,"Available":20}],
            "Containers":[{"Name":"c","CPU":{"UsageNanoCores":1},"Memory":{"WorkingSet":2}}]}]}]}"#;
        let answer: MetricsAnswer = serde_json::from_str(body).expect("reads");
        let sample = answer.groups[0].clone().newest().expect("a record");
        assert_eq!(answer.groups[0].group_id, "eci-1");
        assert_eq!(sample.at, "2026-11-26T09:00:15Z".parse().ok());
        assert_eq!(
            sample.cpu.usage_core_nano_seconds,
            Some(9_007_199_254_740_993),
            "to the last digit"
        );
        assert_eq!((sample.cpu.limit, sample.memory.limit()), (Some(2_000), Some(1_250)));
        assert_eq!(sample.interfaces[0].tx_drops, Some(8));
        assert_eq!(sample.disks[0].write_io, Some(4));
        assert_eq!(sample.filesystems[0].available, Some(20));
        let container = &sample.containers[0];
        assert_eq!(
            (container.cpu.usage_nano_cores, container.cpu.usage_core_nano_seconds),
            (Some(1), None)
        );
    }

    #[test]
    fn what_is_missing_is_not_zero_and_what_has_no_time_is_nothing() {
        for body in [
            r#"{"MonitorDatas":[{"ContainerGroupId":"e","Records":[]}]}"#,
            r#"{"MonitorDatas":[{"ContainerGroupId":"e","Records":[{"Timestamp":"","CPU":{"UsageNanoCores":1}}]}]}"#,
            r#"{"MonitorDatas":[{"ContainerGroupId":"e"}]}"#,
        ] {
            let mut answer: MetricsAnswer = serde_json::from_str(body).expect(body);
            assert_eq!(answer.groups.remove(0).newest(), None, "{body}");
        }
        let bare = r#"{"Timestamp":"2026-11-26T09:00:15Z","CPU":null,"Memory":"","Network":[],"Disk":{}}"#;
        let sample: Sample = serde_json::from_str(bare).expect("reads");
        let nothing = Sample {
            at: sample.at,
            ..Sample::default()
        };
        assert_eq!(sample, nothing);
    }

    #[test]
    fn of_several_records_the_newest_counts() {
        let at = |time: &str| Sample {
            at: time.parse().ok(),
            ..Sample::default()
        };
        let group = GroupMetrics {
            group_id: String::new(),
            records: vec![at("2026-11-26T09:00:30Z"), at("2026-11-26T09:00:45Z"), at("")],
        };
        assert_eq!(group.newest(), Some(at("2026-11-26T09:00:45Z")));
    }
}
