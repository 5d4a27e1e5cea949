//! (pure) Memory settings that fill a paid size to the last MiB.

use provider::pricing::PriceList;
use provider::sizes::{self, Size};
use provider::units::{MiB, MilliCpu};
use serde::Serialize;

use crate::cost::eventlog::Settings;

/// Spark adds at least so much to an executor's memory.
const LEAST_OVERHEAD: u64 = 384;

/// What Spark adds to an executor's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum Overhead {
    /// A share of it in thousandths, but not less than [`LEAST_OVERHEAD`].
    Factor {
        /// The share.
        thousandths: u64,
    },
    /// So much.
    Fixed {
        /// MiB.
        mib: u64,
    },
}

impl Overhead {
    /// That of an application with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        if let Some(mib) = settings.get("spark.executor.memoryOverhead").and_then(mib) {
            return Self::Fixed { mib };
        }
        let given = [
            "spark.executor.memoryOverheadFactor",
            "spark.kubernetes.memoryOverheadFactor",
        ];
        let given = given.into_iter().find_map(|key| settings.get(key)?.parse::<f64>().ok());
        let python = matches!(settings.get("spark.kubernetes.resource.type"), Some("python" | "r"));
        let factor = given.unwrap_or(if python { 0.4 } else { 0.1 });
        Self::Factor {
            thousandths: (factor.clamp(0.0, 10.0) * 1_000.0).round() as u64,
        }
    }

    /// The same in words.
    pub(super) fn words(self) -> String {
        match self {
            Self::Factor { thousandths } => format!(
                "Spark adds {} % to it, at least {LEAST_OVERHEAD} MiB",
                thousandths as f64 / 10.0
            ),
            Self::Fixed { mib } => format!("spark.executor.memoryOverhead adds {mib} MiB to it"),
        }
    }

    fn added(self, memory: u64) -> u64 {
        match self {
            Self::Factor { thousandths } => (memory.saturating_mul(thousandths) / 1_000).max(LEAST_OVERHEAD),
            Self::Fixed { mib } => mib,
        }
    }

    /// The most `spark.executor.memory`, in MiB, with which a pod asks for no more than `pod`; none where that is none.
    pub(super) fn memory_within(self, pod: MiB) -> Option<u64> {
        // What is asked for grows with it.
        let (mut low, mut high) = (0, pod.0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if middle.saturating_add(self.added(middle)) <= pod.0 {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        (low > 0).then_some(low)
    }
}

/// Memory as Spark writes it, in MiB: `512m`, `2g`, or MiB without a unit.
fn mib(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (number, unit) = match text.char_indices().last()? {
        (at, unit @ ('k' | 'm' | 'g' | 't')) => (&text[..at], unit),
        _ => (text, 'm'),
    };
    let number: u64 = number.parse().ok()?;
    match unit {
        'k' => Some(number / 1_024),
        'm' => Some(number),
        'g' => number.checked_mul(1 << 10),
        _ => number.checked_mul(1 << 20),
    }
}

/// Sizes worth a thought for executors that ask for `asked`: the one that is bought, and the one with less memory that costs
/// less, the most expensive first.
pub(super) fn neighbours(asked: Size, prices: &PriceList) -> Vec<Size> {
    let Some(bought) = sizes::fit(asked.cpu, asked.memory, prices) else {
        return Vec::new();
    };
    let smaller = sizes::all().filter(|size| size.cpu >= asked.cpu && size.memory < bought.memory);
    let smaller = smaller.filter(|size| prices.cost(*size, 1) < prices.cost(bought, 1));
    let smaller = smaller.max_by_key(|size| (size.memory, std::cmp::Reverse(size.cpu)));
    std::iter::once(bought).chain(smaller).collect()
}

/// What costs of a spot group with so many vCPU are for: spot sells none that is smaller.
pub(super) fn spot_size(size: Size, prices: &PriceList) -> Option<Size> {
    let cpu = MilliCpu(size.cpu.0.max(sizes::SPOT_MINIMUM_CPU.0));
    sizes::fit(cpu, size.memory, prices)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn overhead(settings: &[(&str, &str)]) -> Overhead {
        let settings: BTreeMap<String, String> = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Overhead::of(&Settings::of(settings))
    }

    #[test]
    fn a_pod_is_filled_to_the_last_mib() {
        let jvm = overhead(&[]);
        // 7447 MiB and a tenth of it are 8191; one more would be 8192.8, of which the fraction is cut: 8192.
        assert_eq!(jvm.memory_within(MiB(8_192)), Some(7_448));
        assert_eq!(7_448 + jvm.added(7_448), 8_192);
        // 384 MiB are more than a tenth.
        assert_eq!(jvm.memory_within(MiB(2_048)), Some(1_664));
        assert_eq!(jvm.memory_within(MiB(384)), None);
        let python = overhead(&[("spark.kubernetes.resource.type", "python")]);
        assert_eq!(python.memory_within(MiB(4_096)), Some(2_926));
        let factor = overhead(&[("spark.kubernetes.memoryOverheadFactor", "0.25")]);
        assert_eq!(factor.memory_within(MiB(5_120)), Some(4_096));
        let fixed = overhead(&[("spark.executor.memoryOverhead", "1g")]);
        assert_eq!(fixed.memory_within(MiB(4_096)), Some(3_072));
    }

    #[test]
    fn memory_as_spark_writes_it() {
        for (text, wanted) in [
            ("512", 512),
            ("512m", 512),
            ("2g", 2_048),
            ("2gb", 2_048),
            ("1t", 1 << 20),
            ("2048k", 2),
        ] {
            assert_eq!(mib(text), Some(wanted), "{text}");
        }
        assert_eq!((mib(""), mib("g"), mib("much")), (None, None, None));
    }

    #[test]
    fn neighbours_are_what_is_bought_and_what_is_cheaper() {
        let size = |cpu, gib: u64| Size {
            cpu: MilliCpu(cpu),
            memory: MiB(gib << 10),
        };
        let asked = Size {
            cpu: MilliCpu(1_000),
            memory: MiB(4_097),
        };
        assert_eq!(neighbours(asked, &PriceList::CNY), [size(1_000, 8), size(1_000, 4)]);
        assert_eq!(spot_size(size(1_000, 4), &PriceList::CNY), Some(size(2_000, 4)));
    }
}
