//! The price list: money is a whole number of 10⁻⁹ currency units, never a float.

use super::instance_type;
use crate::{
    config::Currency,
    spec::{ComputeCategory, GroupSpec, Size},
};

/// Seconds of an hour.
const HOUR: u128 = 3_600;

/// By which list something is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tariff {
    /// By vCPU and memory.
    #[default]
    General,
    /// The same for the economy category: a vCPU is cheaper, memory is not (unconfirmed).
    Economy,
    /// By instance type: price of an hour in 10⁻⁹ of each currency.
    InstanceType {
        /// CNY.
        cny: u64,
        /// USD.
        usd: u64,
    },
}

impl Tariff {
    /// The one of a group.
    pub fn of(spec: &GroupSpec) -> Self {
        let kind = spec.instance_type.as_deref().and_then(instance_type::find);
        match (kind, spec.compute_category) {
            (Some(kind), _) => Self::of_type(&kind),
            (None, ComputeCategory::Economy) => Self::Economy,
            (None, ComputeCategory::General) => Self::General,
        }
    }

    /// The one of an instance type.
    pub fn of_type(kind: &instance_type::InstanceType) -> Self {
        Self::InstanceType {
            cny: kind.nano_per_hour(Currency::Cny),
            usd: kind.nano_per_hour(Currency::Usd),
        }
    }

    /// What a size costs for so many seconds, rounded half up to a whole 10⁻⁹.
    pub fn amount_nano(self, currency: Currency, size: Size, seconds: u64) -> u64 {
        let per_hour = match (self, currency) {
            (Self::General, _) => return Rates::of(currency).amount_nano(size, seconds),
            (Self::Economy, _) => return Rates::economy(currency).amount_nano(size, seconds),
            (Self::InstanceType { cny, .. }, Currency::Cny) => cny,
            (Self::InstanceType { usd, .. }, Currency::Usd) => usd,
        };
        let amount = (u128::from(per_hour) * u128::from(seconds) + HOUR / 2) / HOUR;
        u64::try_from(amount).unwrap_or(u64::MAX)
    }
}

/// Price of one vCPU and of one GiB for one second, in 10⁻⁹ of the currency unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Per vCPU-second.
    pub cpu_nano: u64,
    /// Per GiB-second.
    pub memory_nano: u64,
}

impl Rates {
    /// The published pay-as-you-go rates of general-purpose groups.
    pub fn of(currency: Currency) -> Self {
        match currency {
            // 0.000049 and 0.00000613 CNY.
            Currency::Cny => Self {
                cpu_nano: 49_000,
                memory_nano: 6_130,
            },
            // 0.0000077 and 0.00000096 USD.
            Currency::Usd => Self {
                cpu_nano: 7_700,
                memory_nano: 960,
            },
        }
    }

    /// Those of the economy category: 0.000027 CNY per vCPU; USD by the same ratio.
    pub fn economy(currency: Currency) -> Self {
        let general = Self::of(currency);
        Self {
            cpu_nano: general.cpu_nano * 27 / 49,
            ..general
        }
    }

    /// What a size costs for so many seconds, rounded half up to a whole 10⁻⁹.
    pub fn amount_nano(self, size: Size, seconds: u64) -> u64 {
        // milli-vCPU / 1000 and MiB / 1024, brought over one denominator.
        const DENOMINATOR: u128 = 1_000 * 1_024;
        let per_second = u128::from(size.milli_cpu) * u128::from(self.cpu_nano) * 1_024
            + u128::from(size.memory_mib) * u128::from(self.memory_nano) * 1_000;
        let amount = (per_second * u128::from(seconds) + DENOMINATOR / 2) / DENOMINATOR;
        u64::try_from(amount).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_sample() {
        // 2 vCPU and 4 GiB cost 0.00012252 CNY a second in ECI's own price sample.
        let size = Size {
            milli_cpu: 2_000,
            memory_mib: 4_096,
        };
        assert_eq!(Rates::of(Currency::Cny).amount_nano(size, 1), 122_520);
        assert_eq!(Rates::of(Currency::Cny).amount_nano(size, 3_600), 441_072_000);
    }

    #[test]
    fn economy_and_instance_types() {
        let size = Size {
            milli_cpu: 2_000,
            memory_mib: 4_096,
        };
        assert_eq!(Rates::economy(Currency::Cny).cpu_nano, 27_000);
        assert_eq!(
            Tariff::Economy.amount_nano(Currency::Cny, size, 1),
            2 * 27_000 + 4 * 6_130
        );
        let kind = instance_type::find("ecs.c6.large").expect("known");
        let tariff = Tariff::of_type(&kind);
        assert_eq!(tariff.amount_nano(Currency::Cny, size, 3_600), 390_000_000);
        assert_eq!(tariff.amount_nano(Currency::Cny, size, 1), 108_333);
    }

    #[test]
    fn quarter_sizes_do_not_lose_their_fraction() {
        let size = Size {
            milli_cpu: 250,
            memory_mib: 512,
        };
        assert_eq!(Rates::of(Currency::Cny).amount_nano(size, 1), 12_250 + 3_065);
        assert_eq!(Rates::of(Currency::Usd).amount_nano(size, 10), 19_250 + 4_800);
    }
}
