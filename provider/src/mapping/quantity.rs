//! Kubernetes quantities (`500m`, `1433Mi`, `1e3`), exact.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::units::{MiB, MilliCpu};

/// A quantity of CPU, rounded up to thousandths; `None` = not a quantity, or out of range.
pub fn milli_cpu(quantity: &Quantity) -> Option<MilliCpu> {
    Exact::parse(quantity).ok()?.ceil_times(1000).map(MilliCpu)
}

/// A quantity of bytes, rounded up to MiB; `None` = not a quantity, or out of range.
pub fn mib(quantity: &Quantity) -> Option<MiB> {
    Exact::parse(quantity).ok()?.ceil_times(1).map(MiB::from_bytes_ceil)
}

/// A quantity as an exact fraction. Never negative: no resource of a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    numerator: u128,
    denominator: u128,
}

/// Units of ten: suffix, power.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// Units of two: suffix, power.
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Exact {
    /// Reads `quantity`.
    pub(super) fn parse(quantity: &Quantity) -> Result<Self, String> {
        let text = quantity.0.trim();
        let fail = |why: &str| format!("`{text}` is not a quantity: {why}");
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if unsigned.starts_with('-') {
            return Err(fail("it must not be negative"));
        }
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (mantissa, suffix) = unsigned.split_at(end);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(fail("it must start with a decimal number"));
        }
        let digits = format!("{whole}{}", fraction.trim_end_matches('0'));
        let places = digits.len() - whole.len();
        let significant = digits.trim_start_matches('0');
        let too_large = || fail("it has too many digits");
        let mut numerator: u128 = if significant.is_empty() {
            0
        } else {
            significant.parse().map_err(|_| too_large())?
        };
        let mut denominator = power_of_ten(places).ok_or_else(too_large)?;
        let (ten, two) = exponents(suffix)
            .ok_or_else(|| fail("the unit must be one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent"))?;
        let scale = power_of_ten(ten.unsigned_abs() as usize).ok_or_else(too_large)?;
        if ten < 0 {
            denominator = denominator.checked_mul(scale).ok_or_else(too_large)?;
        } else {
            numerator = numerator.checked_mul(scale).ok_or_else(too_large)?;
        }
        numerator = numerator.checked_mul(1 << two).ok_or_else(too_large)?;
        Ok(Self { numerator, denominator })
    }

    /// The smallest integer that is not below `self × factor`; `None` above `u64`.
    pub(super) fn ceil_times(self, factor: u64) -> Option<u64> {
        let scaled = self.numerator.checked_mul(u128::from(factor))?;
        u64::try_from(scaled.div_ceil(self.denominator)).ok()
    }

    /// Whether it is nothing at all.
    pub(super) fn is_zero(self) -> bool {
        self.numerator == 0
    }
}

/// Powers of ten and of two that `suffix` stands for.
fn exponents(suffix: &str) -> Option<(i32, u32)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((*power, 0));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((0, *power));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse().ok().map(|power| (power, 0))
}

fn power_of_ten(power: usize) -> Option<u128> {
    10u128.checked_pow(u32::try_from(power).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Result<Exact, String> {
        Exact::parse(&Quantity(text.to_owned()))
    }

    #[test]
    fn cpu_in_thousandths() {
        for (text, milli) in [
            ("1", 1000),
            ("500m", 500),
            ("0.25", 250),
            (".5", 500),
            ("1e-1", 100),
            ("100u", 1),
            ("4.", 4000),
        ] {
            assert_eq!(exact(text).map(|q| q.ceil_times(1000)), Ok(Some(milli)), "{text}");
        }
    }

    #[test]
    fn memory_in_bytes() {
        for (text, bytes) in [
            ("1433Mi", 1433 << 20),
            ("1.5Gi", 3 << 29),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1E3", 1000),
            ("1Ei", 1 << 60),
            ("0.1", 1),
        ] {
            assert_eq!(exact(text).map(|q| q.ceil_times(1)), Ok(Some(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        for text in [
            "",
            "-1",
            "x",
            "1KB",
            "1.2.3",
            "1e",
            "Gi",
            "1e99",
            "99999999999999999999999999999999999999999",
        ] {
            let error = exact(text).expect_err(text);
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
        assert_eq!(exact("16Ei").map(|q| q.ceil_times(1)), Ok(None));
    }
}
