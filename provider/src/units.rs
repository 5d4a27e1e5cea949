//! Sizes, instants and money as types, so that no bare number has to say what it counts.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// CPU in thousandths of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MilliCpu(pub u64);

/// Memory in MiB (2^20 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MiB(pub u64);

/// Money in 10⁻⁹ of the currency unit: ECI's prices per second need six to eight decimals, and sums must be exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NanoMoney(pub i128);

impl MilliCpu {
    /// vCPU as ECI writes it (`0.25`, `2.0`).
    pub fn as_vcpu(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl MiB {
    /// GiB as ECI writes it (`0.5`, `16.0`).
    pub fn as_gib(self) -> f64 {
        self.0 as f64 / 1024.0
    }

    /// The smallest number of MiB that holds `bytes`.
    pub fn from_bytes_ceil(bytes: u64) -> Self {
        Self(bytes.div_ceil(1 << 20))
    }
}

impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vCPU", self.as_vcpu())
    }
}

impl fmt::Display for MiB {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} GiB", self.as_gib())
    }
}

impl NanoMoney {
    /// Reads an amount that is not negative, with up to nine decimals, such as `0.123456789`.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
            return None;
        }
        let (whole, decimals): (i128, i128) = (whole.parse().ok()?, format!("{decimals:0<9}").parse().ok()?);
        whole.checked_mul(1_000_000_000)?.checked_add(decimals).map(Self)
    }
}

impl Add for NanoMoney {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoMoney {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for NanoMoney {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for NanoMoney {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for NanoMoney {
    /// All nine decimals, so that what is printed is what is counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, amount) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        f.pad(&format!(
            "{sign}{}.{:09}",
            amount / 1_000_000_000,
            amount % 1_000_000_000
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_printed_to_the_last_unit() {
        for (amount, text) in [
            (0, "0.000000000"),
            (1, "0.000000001"),
            (-1_500_000_000, "-1.500000000"),
            (12_345_678_901, "12.345678901"),
        ] {
            assert_eq!(NanoMoney(amount).to_string(), text);
            assert_eq!(NanoMoney::parse(text), Some(NanoMoney(amount)).filter(|_| amount >= 0));
        }
        assert_eq!(NanoMoney::parse("1.5"), Some(NanoMoney(1_500_000_000)));
        for wrong in ["", "1.0000000001", "x", "1.x"] {
            assert_eq!(NanoMoney::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            [NanoMoney(1), NanoMoney(2)].into_iter().sum::<NanoMoney>(),
            NanoMoney(3)
        );
    }
}
