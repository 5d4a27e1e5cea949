//! The sizes ECI sells, and rounding up to them.

use crate::spec::Size;

/// Regions that sell more pairs than the common ones.
const REGIONS_WITH_MORE: [&str; 12] = [
    "cn-hangzhou",
    "cn-shanghai",
    "cn-qingdao",
    "cn-beijing",
    "cn-zhangjiakou",
    "cn-huhehaote",
    "cn-wulanchabu",
    "cn-shenzhen",
    "cn-heyuan",
    "cn-guangzhou",
    "cn-chengdu",
    "ap-southeast-1",
];

/// vCPU in thousandths and the GiB that go with it, in halves: the pairs of all regions.
const COMMON: [(u64, &[u64]); 12] = [
    (250, &[1, 2]),
    (500, &[2, 4]),
    (1_000, &[4, 8, 16]),
    (2_000, &[2, 4, 8, 16, 32]),
    (4_000, &[4, 8, 16, 32, 64]),
    (8_000, &[8, 16, 32, 64, 128]),
    (12_000, &[24, 48, 96, 192]),
    (16_000, &[32, 64, 128, 256]),
    (24_000, &[48, 96, 192, 384]),
    (32_000, &[64, 128, 256, 512]),
    (52_000, &[192, 384, 768]),
    (64_000, &[256, 512, 1_024]),
];

/// The same for the pairs of [`REGIONS_WITH_MORE`]: GiB from, to, in steps of 2. Never for spot.
const MORE: [(u64, u64, u64); 4] = [(2_000, 6, 14), (4_000, 6, 30), (6_000, 6, 48), (8_000, 10, 62)];

/// A group that says nothing about its size gets this one.
pub const DEFAULT: Size = Size {
    milli_cpu: 2_000,
    memory_mib: 4_096,
};

/// The smallest size sold that has at least this vCPU and memory: first the least vCPU, then the least memory. None
/// where nothing sold is large enough. `common_only` leaves out the pairs that some regions sell on top (for spot).
pub fn round_up(asked: Size, region: &str, common_only: bool) -> Option<Size> {
    let common = COMMON.iter().flat_map(|(milli_cpu, halves)| {
        halves.iter().map(|h| Size {
            milli_cpu: *milli_cpu,
            memory_mib: h * 512,
        })
    });
    let more = MORE
        .iter()
        .flat_map(|(milli_cpu, from, to)| {
            (*from..=*to).step_by(2).map(|gib| Size {
                milli_cpu: *milli_cpu,
                memory_mib: gib * 1_024,
            })
        })
        .filter(|_| !common_only && REGIONS_WITH_MORE.contains(&region));
    common
        .chain(more)
        .filter(|s| s.milli_cpu >= asked.milli_cpu && s.memory_mib >= asked.memory_mib)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gib(cpu: f64, gib: f64) -> Size {
        Size {
            milli_cpu: (cpu * 1000.0) as u64,
            memory_mib: (gib * 1024.0) as u64,
        }
    }

    #[test]
    fn documented_examples() {
        // The document's own: 7 vCPU and 13 GiB are 8/14 in Hangzhou and 8/16 elsewhere.
        assert_eq!(round_up(gib(7.0, 13.0), "cn-hangzhou", false), Some(gib(8.0, 14.0)));
        assert_eq!(round_up(gib(7.0, 13.0), "eu-west-1", false), Some(gib(8.0, 16.0)));
        assert_eq!(round_up(gib(7.0, 13.0), "cn-hangzhou", true), Some(gib(8.0, 16.0)));
        assert_eq!(round_up(gib(0.0, 0.0), "cn-hangzhou", false), Some(gib(0.25, 0.5)));
        assert_eq!(round_up(gib(0.25, 2.0), "cn-hangzhou", false), Some(gib(0.5, 2.0)));
        assert_eq!(round_up(gib(5.0, 5.0), "cn-hangzhou", false), Some(gib(6.0, 6.0)));
        assert_eq!(round_up(gib(5.0, 5.0), "eu-west-1", false), Some(gib(8.0, 8.0)));
        assert_eq!(round_up(gib(40.0, 1.0), "cn-hangzhou", false), Some(gib(52.0, 96.0)));
    }

    #[test]
    fn what_is_sold_stays_as_it_is() {
        for (milli_cpu, halves) in COMMON {
            for half in halves {
                let size = Size {
                    milli_cpu,
                    memory_mib: half * 512,
                };
                assert_eq!(round_up(size, "eu-west-1", false), Some(size));
            }
        }
    }

    #[test]
    fn beyond_the_largest_there_is_nothing() {
        assert_eq!(round_up(gib(64.25, 1.0), "cn-hangzhou", false), None);
        assert_eq!(round_up(gib(1.0, 513.0), "cn-hangzhou", false), None);
    }
}
