//! How simulated groups behave: a data file, not code. `scenarios/README.md` says what each key means.
//!
//! Values are ranges in milliseconds, drawn per group from the server's seed. Single groups deviate by tags
//! (`mock-eci/<setting>`) and single containers by environment (`MOCK_ECI_<SETTING>`), see [`Overrides`].

mod overrides;

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use self::overrides::Overrides;

/// A named behaviour.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it is for, in one line.
    pub about: String,
    /// From the create call to resources found.
    #[serde(default)]
    pub schedule_ms: Range,
    /// From there to a group with a network, beside its images.
    #[serde(default)]
    pub pull_ms: Range,
    /// How long images take; absent = no time.
    #[serde(default)]
    pub images: Option<Images>,
    /// From the order to start a container to its running.
    #[serde(default)]
    pub start_ms: Range,
    /// From SIGTERM to the end of a container.
    #[serde(default)]
    pub stop_ms: Range,
    /// How containers end by themselves; absent = they run until deleted. Init containers always end, at once if absent.
    #[serde(default)]
    pub exit: Option<ExitPlan>,
    /// From one simulated log line to the next; 0 = only the first line.
    #[serde(default)]
    pub log_every_ms: u64,
    /// How many groups find no stock after their creation.
    #[serde(default)]
    pub no_stock_per_mille: PerMille,
    /// How many starts of containers fail.
    #[serde(default)]
    pub start_error_per_mille: PerMille,
    /// With which reason; `ErrImagePull` without one.
    #[serde(default)]
    pub start_error: Option<String>,
}

/// From and to, in milliseconds; both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "[u64; 2]")]
pub struct Range {
    /// From.
    pub min: u64,
    /// To.
    pub max: u64,
}

impl Range {
    /// Nothing but this.
    pub fn exactly(duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            min: millis,
            max: millis,
        }
    }
}

impl TryFrom<[u64; 2]> for Range {
    type Error = String;

    fn try_from([min, max]: [u64; 2]) -> Result<Self, Self::Error> {
        match min <= max {
            true => Ok(Self { min, max }),
            false => Err(format!("the range [{min}, {max}] runs backwards")),
        }
    }
}

/// A share in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u32")]
pub struct PerMille(u32);

impl PerMille {
    /// All of them.
    pub const ALL: Self = Self(1_000);

    fn all() -> Self {
        Self::ALL
    }

    /// Whether one whose number is drawn from 0 to 999 belongs to it.
    pub fn includes(self, drawn: u32) -> bool {
        drawn < self.0
    }
}

impl TryFrom<u32> for PerMille {
    type Error = String;

    fn try_from(share: u32) -> Result<Self, Self::Error> {
        match share <= Self::ALL.0 {
            true => Ok(Self(share)),
            false => Err(format!("{share} thousandths are more than all")),
        }
    }
}

/// How containers end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExitPlan {
    /// After running this long.
    pub after_ms: Range,
    /// With this code.
    #[serde(default)]
    pub code: i32,
    /// So many of all do.
    #[serde(default = "PerMille::all")]
    pub per_mille: PerMille,
    /// So many of those that do are out of memory instead.
    #[serde(default)]
    pub oom_per_mille: PerMille,
}

/// How long images take to be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Images {
    /// Milliseconds for a GiB.
    pub ms_per_gib: u64,
    /// Sizes in MiB of images that are not named.
    #[serde(default)]
    pub mib: Range,
    /// Sizes in MiB by repository, without the tag.
    #[serde(default)]
    pub named: BTreeMap<String, u64>,
}

impl Images {
    /// Size of an image in MiB: the same for the same reference.
    pub fn size_mib(&self, image: &str) -> u64 {
        // A colon before the last slash belongs to a port.
        let path = image.rfind('/').map_or(0, |at| at + 1);
        let end = image[path..].find([':', '@']).map_or(image.len(), |at| path + at);
        if let Some(size) = self.named.get(&image[..end]) {
            return *size;
        }
        let hash = Sha256::digest(image.as_bytes());
        let drawn = hash.iter().take(4).fold(0, |n, byte| n << 8 | u64::from(*byte));
        let span = (self.mib.max - self.mib.min).saturating_add(1);
        self.mib.min + drawn % span
    }

    /// How long images take, one after the other; those named twice once.
    pub fn pull(&self, mut images: Vec<&str>) -> Duration {
        images.sort_unstable();
        images.dedup();
        let mib = images
            .iter()
            .fold(0, |sum: u64, i| sum.saturating_add(self.size_mib(i)));
        Duration::from_millis(mib.saturating_mul(self.ms_per_gib) / 1_024)
    }
}

/// Why a scenario cannot be used.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Neither a name nor a file.
    #[error("no scenario and no file is called {0:?}; scenarios are fast, realistic and chaos")]
    Unknown(String),
    /// The file cannot be read.
    #[error("cannot read scenario {0:?}")]
    Read(String, #[source] std::io::Error),
    /// It is not a scenario.
    #[error("scenario {0:?} is not valid: {1}")]
    Parse(String, Box<toml::de::Error>),
}

const EMBEDDED: [(&str, &str); 3] = [
    ("fast", include_str!("../scenarios/fast.toml")),
    ("realistic", include_str!("../scenarios/realistic.toml")),
    ("chaos", include_str!("../scenarios/chaos.toml")),
];

impl Scenario {
    /// The one of this name, or the one in this file.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(name_or_file: &str) -> Result<Self, ScenarioError> {
        if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == name_or_file) {
            return Self::parse(name, text);
        }
        if !Path::new(name_or_file).exists() {
            return Err(ScenarioError::Unknown(name_or_file.to_owned()));
        }
        let text =
            std::fs::read_to_string(name_or_file).map_err(|e| ScenarioError::Read(name_or_file.to_owned(), e))?;
        Self::parse(name_or_file, &text)
    }

    /// From TOML text; `name` is for messages.
    ///
    /// # Errors
    /// [`ScenarioError::Parse`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text).map_err(|e| ScenarioError::Parse(name.to_owned(), Box::new(e)))
    }

    /// Groups run within some 10–50 ms, until deleted.
    pub fn fast() -> Self {
        Self {
            about: "Groups run within some 10-50 ms, until they are deleted".to_owned(),
            schedule_ms: Range { min: 10, max: 50 },
            log_every_ms: 1_000,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_scenario_is_valid_and_fast_is_the_default() {
        for (name, text) in EMBEDDED {
            let scenario = Scenario::parse(name, text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            if name == "fast" {
                assert_eq!(scenario, Scenario::fast());
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_line() {
        let error = |text: &str| {
            let text = format!("about = \"x\"\n{text}\n");
            Scenario::parse("s", &text).expect_err(&text).to_string()
        };
        for (text, said) in [
            ("schedule-ms = [5, 4]", "the range [5, 4] runs backwards"),
            ("no-stock-per-mille = 1001", "1001 thousandths are more than all"),
            ("pull = 5", "unknown field `pull`"),
            ("[exit]\ncode = 1", "missing field `after-ms`"),
            ("start-ms = 5", "invalid type"),
        ] {
            let error = error(text);
            assert!(error.contains(said) && error.contains("line 2"), "{error}");
        }
        assert!(
            Scenario::parse("s", "")
                .expect_err("no about")
                .to_string()
                .contains("about")
        );
    }

    #[test]
    fn images_have_sizes() {
        let images = Images {
            ms_per_gib: 1_024,
            mib: Range { min: 10, max: 20 },
            named: [("r.example:5000/spark".to_owned(), 500)].into(),
        };
        for (image, size) in [
            ("r.example:5000/spark", 500),
            ("r.example:5000/spark:3.5", 500),
            ("r.example:5000/spark@sha256:00", 500),
        ] {
            assert_eq!(images.size_mib(image), size, "{image}");
        }
        for image in ["busybox", "busybox:1", "a/b/c:latest", "/", ":", ""] {
            assert!((10..=20).contains(&images.size_mib(image)), "{image}");
            assert_eq!(images.size_mib(image), images.size_mib(image));
        }
        let group = vec![
            "r.example:5000/spark:1",
            "r.example:5000/spark:1",
            "r.example:5000/spark:2",
        ];
        assert_eq!(images.pull(group), Duration::from_millis(1_000), "each image once");
    }
}
