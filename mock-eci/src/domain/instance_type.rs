//! The ECS instance types groups can be bought by (`InstanceType`): a table of common families and what follows from it.
//!
//! Sizes follow the regular naming: `large` has 2 vCPU, `xlarge` 4, `Nxlarge` 4 × N. Prices are round figures near the
//! China site's pay-as-you-go list of 2024 per vCPU and hour (GPU types: per type); the international ones follow by the
//! ratio of ECI's own two lists for a vCPU (11 : 70). They are for arithmetic, not for budgets.

use crate::{config::Currency, spec::Size};

/// Processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Architecture {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "AMD64",
            Self::Arm64 => "ARM64",
        }
    }
}

/// One instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name, `ecs.g6.large`.
    pub name: String,
    /// Its family, `ecs.g6`.
    pub family: &'static str,
    /// vCPU and memory.
    pub size: Size,
    /// GPUs.
    pub gpus: u32,
    /// Architecture.
    pub architecture: Architecture,
    /// Whether it has local disks.
    pub local_disks: bool,
    /// Pay-as-you-go price of an hour in 10⁻⁹ CNY.
    cny_nano_per_hour: u64,
}

impl InstanceType {
    /// Pay-as-you-go price of an hour, in 10⁻⁹ of the currency unit.
    pub fn nano_per_hour(&self, currency: Currency) -> u64 {
        match currency {
            Currency::Cny => self.cny_nano_per_hour,
            Currency::Usd => self.cny_nano_per_hour * 11 / 70,
        }
    }
}

struct Family {
    name: &'static str,
    gib_per_vcpu: u64,
    architecture: Architecture,
    local_disks: bool,
    /// 10⁻⁶ CNY per vCPU and hour.
    cny_micro: u64,
}

const fn family(name: &'static str, gib_per_vcpu: u64, cny_micro: u64) -> Family {
    Family {
        name,
        gib_per_vcpu,
        architecture: Architecture::Amd64,
        local_disks: false,
        cny_micro,
    }
}

const fn arm(name: &'static str, gib_per_vcpu: u64, cny_micro: u64) -> Family {
    Family {
        architecture: Architecture::Arm64,
        ..family(name, gib_per_vcpu, cny_micro)
    }
}

const fn disks(name: &'static str, gib_per_vcpu: u64, cny_micro: u64) -> Family {
    Family {
        local_disks: true,
        ..family(name, gib_per_vcpu, cny_micro)
    }
}

static FAMILIES: [Family; 16] = [
    family("ecs.c5", 2, 170_000),
    family("ecs.g5", 4, 220_000),
    family("ecs.r5", 8, 290_000),
    family("ecs.c6", 2, 195_000),
    family("ecs.g6", 4, 250_000),
    family("ecs.r6", 8, 330_000),
    family("ecs.c7", 2, 210_000),
    family("ecs.g7", 4, 270_000),
    family("ecs.r7", 8, 360_000),
    family("ecs.c8i", 2, 220_000),
    family("ecs.g8i", 4, 285_000),
    family("ecs.r8i", 8, 380_000),
    arm("ecs.c8y", 2, 170_000),
    arm("ecs.g8y", 4, 220_000),
    arm("ecs.r8y", 8, 290_000),
    disks("ecs.i3", 8, 470_000),
];

/// Sizes of every family above and their vCPU.
const SIZES: [(&str, u64); 8] = [
    ("large", 2),
    ("xlarge", 4),
    ("2xlarge", 8),
    ("3xlarge", 12),
    ("4xlarge", 16),
    ("6xlarge", 24),
    ("8xlarge", 32),
    ("16xlarge", 64),
];

/// GPU types follow no rule: family, name, vCPU, GiB, GPUs, 10⁻⁶ CNY per hour.
const WITH_GPU: [(&str, &str, u64, u64, u32, u64); 8] = [
    ("ecs.gn6i", "ecs.gn6i-c4g1.xlarge", 4, 15, 1, 11_630_000),
    ("ecs.gn6i", "ecs.gn6i-c8g1.2xlarge", 8, 31, 1, 14_000_000),
    ("ecs.gn6i", "ecs.gn6i-c16g1.4xlarge", 16, 62, 1, 16_410_000),
    ("ecs.gn6i", "ecs.gn6i-c24g1.6xlarge", 24, 93, 1, 17_190_000),
    ("ecs.gn6i", "ecs.gn6i-c24g1.12xlarge", 48, 186, 2, 34_380_000),
    ("ecs.gn6v", "ecs.gn6v-c8g1.2xlarge", 8, 32, 1, 26_460_000),
    ("ecs.gn6v", "ecs.gn6v-c8g1.8xlarge", 32, 128, 4, 105_840_000),
    ("ecs.gn6e", "ecs.gn6e-c12g1.3xlarge", 12, 92, 1, 29_730_000),
];

fn size(vcpu: u64, gib: u64) -> Size {
    Size {
        milli_cpu: vcpu * 1_000,
        memory_mib: gib * 1_024,
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = InstanceType> {
    let regular = FAMILIES.iter().flat_map(|family| {
        SIZES.iter().map(|(name, vcpu)| InstanceType {
            name: format!("{}.{name}", family.name),
            family: family.name,
            size: size(*vcpu, vcpu * family.gib_per_vcpu),
            gpus: 0,
            architecture: family.architecture,
            local_disks: family.local_disks,
            cny_nano_per_hour: vcpu * family.cny_micro * 1_000,
        })
    });
    let with_gpu = WITH_GPU
        .iter()
        .map(|(family, name, vcpu, gib, gpus, cny_micro)| InstanceType {
            name: (*name).to_owned(),
            family,
            size: size(*vcpu, *gib),
            gpus: *gpus,
            architecture: Architecture::Amd64,
            local_disks: false,
            cny_nano_per_hour: cny_micro * 1_000,
        });
    regular.chain(with_gpu)
}

/// The one of this name.
pub fn find(name: &str) -> Option<InstanceType> {
    all().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_sizes() {
        for (name, vcpu, gib) in [
            ("ecs.c6.large", 2, 4),
            ("ecs.g7.xlarge", 4, 16),
            ("ecs.r6.3xlarge", 12, 96),
            ("ecs.c8y.16xlarge", 64, 128),
            ("ecs.gn6i-c4g1.xlarge", 4, 15),
        ] {
            assert_eq!(find(name).map(|kind| kind.size), Some(size(vcpu, gib)), "{name}");
        }
        for unknown in ["", "ecs.c6", "ecs.c6.small", "c6.large", "ecs.c6.large "] {
            assert_eq!(find(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn names_are_unique_and_prices_grow_with_the_size() {
        let mut names: Vec<String> = all().map(|kind| kind.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        let price = |name| find(name).expect(name).nano_per_hour(Currency::Cny);
        assert_eq!(price("ecs.g6.large"), 500_000_000);
        assert_eq!(price("ecs.g6.2xlarge"), 4 * price("ecs.g6.large"));
        let usd = find("ecs.g6.large").expect("known").nano_per_hour(Currency::Usd);
        assert_eq!(usd, 78_571_428);
    }
}
