//! Sizes, instants and money as types, so that no bare number has to say what it counts.

use std::fmt;

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
