//! What a size costs: embedded list prices and the arithmetic, in integers.
//!
//! `fee = (vCPU × p_cpu + GiB × p_gib) × seconds` on the *bought* (rounded-up) size, per second. The figures are the
//! pay-as-you-go list prices of the general compute category; a region may deviate, and an account may have discounts,
//! so they rank sizes and estimate costs. `DescribeContainerGroupPrice` has the last word.

use serde::{Deserialize, Serialize};

use crate::sizes::Size;
use crate::units::NanoMoney;

/// Prices per second of one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceList {
    /// In which currency.
    pub currency: Currency,
    /// One vCPU for one second.
    pub vcpu_second: NanoMoney,
    /// One GiB for one second.
    pub gib_second: NanoMoney,
}

/// Currency of a price list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// Renminbi: the China site.
    #[serde(rename = "CNY")]
    Cny,
    /// US dollar: the international site.
    #[serde(rename = "USD")]
    Usd,
}

impl Currency {
    /// ISO 4217 code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cny => "CNY",
            Self::Usd => "USD",
        }
    }
}

impl PriceList {
    /// China site, general category: 0.000049 CNY per vCPU·s, 0.00000613 CNY per GiB·s.
    pub const CNY: Self = Self {
        currency: Currency::Cny,
        vcpu_second: NanoMoney(49_000),
        gib_second: NanoMoney(6_130),
    };
    /// International site: 0.0000077 USD per vCPU·s, 0.00000096 USD per GiB·s.
    pub const USD: Self = Self {
        currency: Currency::Usd,
        vcpu_second: NanoMoney(7_700),
        gib_second: NanoMoney(960),
    };

    /// The same list for the economy compute category, whose vCPU cost 27/49 of the general one's on the China site; taken to be so
    /// elsewhere.
    pub fn economy(self) -> Self {
        Self {
            vcpu_second: NanoMoney(self.vcpu_second.0 * 27 / 49),
            ..self
        }
    }

    /// The list for a currency's ISO code, if there is one.
    pub fn by_currency(code: &str) -> Option<Self> {
        match code {
            "CNY" => Some(Self::CNY),
            "USD" => Some(Self::USD),
            _ => None,
        }
    }

    /// What `size` costs for `seconds`. Exact for every supported size; others are rounded half up to 10⁻⁹.
    pub fn cost(&self, size: Size, seconds: u64) -> NanoMoney {
        // One fraction with both denominators, so that nothing is rounded before the end.
        let per_second =
            i128::from(size.cpu.0) * self.vcpu_second.0 * 1024 + i128::from(size.memory.0) * self.gib_second.0 * 1000;
        let scaled = per_second * i128::from(seconds);
        NanoMoney((scaled + 512_000).div_euclid(1_024_000))
    }
}

impl Default for PriceList {
    fn default() -> Self {
        Self::CNY
    }
}

/// What `size` costs for `seconds` by `prices`: [`PriceList::cost`] as a function.
pub fn cost(prices: &PriceList, size: Size, seconds: u64) -> NanoMoney {
    prices.cost(size, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{MiB, MilliCpu};

    fn size(milli: u64, gib_times_two: u64) -> Size {
        Size {
            cpu: MilliCpu(milli),
            memory: MiB(gib_times_two * 512),
        }
    }

    #[test]
    fn official_price_sample_is_reproduced() {
        // DescribeContainerGroupPrice sample: 2 vCPU / 4 GiB = 0.00012252 CNY per second.
        assert_eq!(PriceList::CNY.cost(size(2000, 8), 1), NanoMoney(122_520));
    }

    #[test]
    fn an_hour_of_one_vcpu_matches_the_billing_page() {
        assert_eq!(PriceList::CNY.cost(size(1000, 0), 3600), NanoMoney(176_400_000));
        assert_eq!(PriceList::USD.cost(size(1000, 0), 3600), NanoMoney(27_720_000));
    }

    #[test]
    fn quarter_sizes_are_exact_and_sums_of_seconds_equal_the_sum() {
        let quarter = size(250, 1);
        let one = PriceList::CNY.cost(quarter, 1);
        assert_eq!(one, NanoMoney(12_250 + 3_065));
        assert_eq!(PriceList::CNY.cost(quarter, 86_400), NanoMoney(one.0 * 86_400));
    }
}
