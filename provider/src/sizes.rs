//! The vCPU/GiB pairs ECI sells, and the cheapest one that holds a pod.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pricing::PriceList;
use crate::units::{MiB, MilliCpu};

/// A supported size of a container group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Size {
    /// vCPU.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: MiB,
}

impl Size {
    /// Whether a pod that asks for `cpu` and `memory` fits.
    pub fn holds(self, cpu: MilliCpu, memory: MiB) -> bool {
        self.cpu >= cpu && self.memory >= memory
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.cpu, self.memory)
    }
}

/// What ECI gives a group that asks for nothing.
pub const DEFAULT: Size = Size {
    cpu: MilliCpu(2000),
    memory: MiB(4096),
};

/// The smallest spot group.
pub const SPOT_MINIMUM_CPU: MilliCpu = MilliCpu(2000);

/// vCPU (in thousandths) and the MiB offered with it, in every region. Regional extras are left out on purpose: a pod
/// must not fit in one region and be refused in the next, and spot sells only these.
const TABLE: [(u64, &[u64]); 12] = [
    (250, &[512, 1 << 10]),
    (500, &[1 << 10, 2 << 10]),
    (1_000, &[2 << 10, 4 << 10, 8 << 10]),
    (2_000, &[1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10]),
    (4_000, &[2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10]),
    (8_000, &[4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10]),
    (12_000, &[12 << 10, 24 << 10, 48 << 10, 96 << 10]),
    (16_000, &[16 << 10, 32 << 10, 64 << 10, 128 << 10]),
    (24_000, &[24 << 10, 48 << 10, 96 << 10, 192 << 10]),
    (32_000, &[32 << 10, 64 << 10, 128 << 10, 256 << 10]),
    (52_000, &[96 << 10, 192 << 10, 384 << 10]),
    (64_000, &[128 << 10, 256 << 10, 512 << 10]),
];

/// Every supported size, by vCPU and then memory.
pub fn all() -> impl Iterator<Item = Size> {
    TABLE.iter().flat_map(|(cpu, memories)| {
        memories.iter().map(|mib| Size {
            cpu: MilliCpu(*cpu),
            memory: MiB(*mib),
        })
    })
}

/// The cheapest size that holds `cpu` and `memory`; of equally cheap ones the one with fewer vCPU. `None` = none is big
/// enough. Nothing asked for at all is [`DEFAULT`], as ECI itself decides.
pub fn fit(cpu: MilliCpu, memory: MiB, prices: &PriceList) -> Option<Size> {
    if cpu.0 == 0 && memory.0 == 0 {
        return Some(DEFAULT);
    }
    // `all` is ordered, and `min_by_key` keeps the first of equals.
    all()
        .filter(|size| size.holds(cpu, memory))
        .min_by_key(|size| prices.cost(*size, 1))
}

/// What to tell the owner of a pod that gets `bought` for what it `asked`; `None` = it gets what it asked for. The difference
/// is billed.
pub fn rounding(asked: Size, bought: Size) -> Option<String> {
    match asked {
        same if same == bought => None,
        Size {
            cpu: MilliCpu(0),
            memory: MiB(0),
        } => Some(format!(
            "asked for nothing; ECI then gives and bills {bought}. Smaller ones are cheaper: set requests"
        )),
        _ => Some(format!(
            "asked for {asked}; ECI sells and bills {bought}, the cheapest that holds it"
        )),
    }
}

/// What an ECS instance type of the usual form has (`ecs.c6.xlarge`: family `c` with 2 GiB per vCPU, 4 vCPU), so far as its
/// name says; `None` for others, such as those with GPUs. ECI's own answer has the last word.
pub fn of_instance_type(name: &str) -> Option<Size> {
    let mut parts = name.strip_prefix("ecs.")?.split('.');
    let (family, size, None) = (parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let cpu = match size {
        "large" => 2,
        "xlarge" => 4,
        _ => {
            4 * size
                .strip_suffix("xlarge")?
                .parse::<u64>()
                .ok()
                .filter(|n| (2..=64).contains(n))?
        }
    };
    let (kind, generation) = family.split_at(family.find(|c: char| c.is_ascii_digit())?);
    let gib_per_vcpu = match kind {
        "c" => 2,
        "g" => 4,
        "r" => 8,
        _ => return None,
    };
    // Suffixes, as in g7a and r7se, keep the ratio.
    (generation.len() <= 3).then_some(Size {
        cpu: MilliCpu(cpu * 1000),
        memory: MiB((cpu * gib_per_vcpu) << 10),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gib(n: u64) -> MiB {
        MiB(n << 10)
    }

    #[test]
    fn documented_sizes() {
        let fit = |cpu, memory| fit(MilliCpu(cpu), memory, &PriceList::CNY);
        assert_eq!(fit(0, MiB(0)), Some(DEFAULT));
        assert_eq!(
            fit(1, MiB(1)),
            Some(Size {
                cpu: MilliCpu(250),
                memory: MiB(512)
            })
        );
        // The documentation's example outside the regions with extra pairs: 7 vCPU / 13 GiB becomes 8 / 16.
        assert_eq!(
            fit(7000, gib(13)),
            Some(Size {
                cpu: MilliCpu(8000),
                memory: gib(16)
            })
        );
        // A Spark executor of 4 cores and 8g (9011 MiB with overhead).
        assert_eq!(
            fit(4000, MiB(9011)),
            Some(Size {
                cpu: MilliCpu(4000),
                memory: gib(16)
            })
        );
        assert_eq!(
            fit(64_000, gib(512)),
            Some(Size {
                cpu: MilliCpu(64_000),
                memory: gib(512)
            })
        );
        assert_eq!(fit(64_001, MiB(1)), None);
        assert_eq!(fit(1, MiB((512 << 10) + 1)), None);
    }

    #[test]
    fn little_memory_for_one_vcpu_is_the_one_vcpu_size() {
        // 2 vCPU / 1 GiB would fit as well, and costs more than 1 vCPU / 2 GiB.
        assert_eq!(
            fit(MilliCpu(1000), gib(1), &PriceList::CNY),
            Some(Size {
                cpu: MilliCpu(1000),
                memory: gib(2)
            })
        );
    }

    #[test]
    fn rounding_is_told_when_it_costs() {
        let size = |cpu, memory| Size {
            cpu: MilliCpu(cpu),
            memory: MiB(memory),
        };
        assert_eq!(rounding(size(2000, 4096), size(2000, 4096)), None);
        let told = |asked, bought| rounding(asked, bought).expect("told");
        assert_eq!(
            told(size(4000, 9011), size(4000, 16 << 10)),
            "asked for 4 vCPU / 8.7998046875 GiB; ECI sells and bills 4 vCPU / 16 GiB, the cheapest that holds it"
        );
        assert!(told(size(0, 0), DEFAULT).starts_with("asked for nothing"));
    }

    #[test]
    fn usual_instance_types_say_what_they_have() {
        let of = |name| of_instance_type(name).map(|size| (size.cpu.0, size.memory.0 >> 10));
        assert_eq!(of("ecs.c6.large"), Some((2000, 4)));
        assert_eq!(of("ecs.g7a.xlarge"), Some((4000, 16)));
        assert_eq!(of("ecs.r7se.16xlarge"), Some((64_000, 512)));
        for other in [
            "ecs.gn6i-c4g1.xlarge",
            "ecs.c6",
            "ecs.c6.huge",
            "ecs.c6.0xlarge",
            "c6.large",
            "ecs.t5-lc1m1.small",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_cheaper_fitting_size_exists(cpu in 0u64..70_000, mib in 0u64..600_000, usd in any::<bool>()) {
            let prices = if usd { PriceList::USD } else { PriceList::CNY };
            prop_assume!(cpu > 0 || mib > 0);
            match fit(MilliCpu(cpu), MiB(mib), &prices) {
                Some(chosen) => {
                    prop_assert!(chosen.holds(MilliCpu(cpu), MiB(mib)));
                    for other in all().filter(|other| other.holds(MilliCpu(cpu), MiB(mib))) {
                        prop_assert!(prices.cost(chosen, 3600) <= prices.cost(other, 3600), "{other} is cheaper");
                    }
                }
                None => prop_assert!(all().all(|size| !size.holds(MilliCpu(cpu), MiB(mib)))),
            }
        }
    }
}
