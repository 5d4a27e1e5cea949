//! The price list: money is a whole number of 10⁻⁹ currency units, never a float.

use crate::{config::Currency, spec::Size};

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
    fn quarter_sizes_do_not_lose_their_fraction() {
        let size = Size {
            milli_cpu: 250,
            memory_mib: 512,
        };
        assert_eq!(Rates::of(Currency::Cny).amount_nano(size, 1), 12_250 + 3_065);
        assert_eq!(Rates::of(Currency::Usd).amount_nano(size, 10), 19_250 + 4_800);
    }
}
