//! A price for so many seconds.

use serde::{Deserialize, Serialize};

use crate::pricing::PriceList;
use crate::sizes::Size;
use crate::units::NanoMoney;

/// Where a fraction has no exact form, it is rounded to that of so many seconds.
const LONGEST: u32 = 3_600_000;

/// Money for a number of seconds, as a fraction, so that prices per second and per hour are both exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    nano: NanoMoney,
    per_seconds: u32,
}

impl Rate {
    /// Nothing.
    pub const FREE: Self = Self {
        nano: NanoMoney(0),
        per_seconds: 1,
    };

    /// `price` for each second.
    pub fn per_second(price: NanoMoney) -> Self {
        Self::reduced(price.0, 1)
    }

    /// `price` for each hour.
    pub fn per_hour(price: NanoMoney) -> Self {
        Self::reduced(price.0, 3_600)
    }

    /// What `size` costs by `prices`, exactly: thousandths of a vCPU and 1024ths of a GiB have one denominator.
    pub fn of_size(prices: &PriceList, size: Size) -> Self {
        let cpu = i128::from(size.cpu.0).saturating_mul(prices.vcpu_second.0);
        let memory = i128::from(size.memory.0).saturating_mul(prices.gib_second.0);
        let nano = cpu.saturating_mul(1_024).saturating_add(memory.saturating_mul(1_000));
        Self::reduced(nano, 1_024_000)
    }

    /// What `seconds` cost, rounded half up to 10⁻⁹.
    pub fn cost(self, seconds: i64) -> NanoMoney {
        let per = i128::from(self.per_seconds.max(1));
        let due = self.nano.0.saturating_mul(i128::from(seconds.max(0)));
        NanoMoney(due.saturating_add(per / 2).div_euclid(per))
    }

    /// This price times a fraction, exactly unless that takes more digits than any price has.
    #[must_use]
    pub fn times(self, numerator: u32, denominator: u32) -> Self {
        let nano = self.nano.0.saturating_mul(i128::from(numerator));
        let per = i128::from(self.per_seconds.max(1)) * i128::from(denominator.max(1));
        let divisor = i128::try_from(gcd(nano.unsigned_abs(), per.unsigned_abs())).unwrap_or(1);
        let (nano, per) = (nano / divisor, per / divisor);
        match u32::try_from(per) {
            Ok(per) => Self::reduced(nano, per),
            Err(_) => {
                let longest = nano.saturating_mul(i128::from(LONGEST));
                Self::reduced(longest.saturating_add(per / 2) / per, LONGEST)
            }
        }
    }

    fn reduced(nano: i128, per_seconds: u32) -> Self {
        let divisor = gcd(nano.unsigned_abs(), u128::from(per_seconds));
        let divisor = u32::try_from(divisor).unwrap_or(1).max(1);
        Self {
            nano: NanoMoney(nano / i128::from(divisor)),
            per_seconds: per_seconds / divisor,
        }
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{MiB, MilliCpu};

    #[test]
    fn the_official_sample_costs_a_whole_number_a_second() {
        let size = Size {
            cpu: MilliCpu(2000),
            memory: MiB(4096),
        };
        let rate = Rate::of_size(&PriceList::CNY, size);
        assert_eq!(rate, Rate::per_second(NanoMoney(122_520)));
        assert_eq!(rate.cost(3_600), NanoMoney(441_072_000));
    }

    #[test]
    fn a_price_of_an_hour_is_rounded_once() {
        let rate = Rate::per_hour(NanoMoney(390_000_000));
        assert_eq!((rate.cost(1), rate.cost(3)), (NanoMoney(108_333), NanoMoney(325_000)));
        assert_eq!(rate.cost(3_600), NanoMoney(390_000_000));
    }

    #[test]
    fn a_discount_is_exact() {
        let fifteen_off = |rate: Rate| rate.times(85, 100);
        assert_eq!(
            fifteen_off(Rate::per_second(NanoMoney(49_001))).cost(20),
            NanoMoney(833_017)
        );
        let hour = fifteen_off(Rate::per_hour(NanoMoney(1_060_000_001)));
        assert_eq!(hour.cost(3_600 * 20), NanoMoney(18_020_000_017));
        let odd = Rate {
            nano: NanoMoney(1_000_000_007),
            per_seconds: 1_024_000,
        };
        assert_eq!(odd.times(8_751, 10_000).cost(1_024_000), NanoMoney(875_100_006));
    }

    proptest! {
        #[test]
        fn agrees_with_the_price_list(cpu in 0_u64..64_000, mib in 0_u64..524_288, seconds in 0_i64..10_000_000, usd: bool) {
            let prices = if usd { PriceList::USD } else { PriceList::CNY.economy() };
            let size = Size { cpu: MilliCpu(cpu), memory: MiB(mib) };
            prop_assert_eq!(Rate::of_size(&prices, size).cost(seconds), prices.cost(size, seconds.unsigned_abs()));
        }
    }
}
