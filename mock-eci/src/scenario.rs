//! How simulated groups behave: a data file, not code.
//!
//! Values are ranges in milliseconds, drawn per group from the server's seed. Single groups deviate by tags
//! (`mock-eci/<setting>`) and single containers by environment (`MOCK_ECI_<SETTING>`), see [`Overrides`].

use std::{path::Path, time::Duration};

use serde::Deserialize;
use thiserror::Error;

use crate::spec::{ContainerSpec, EnvValue, GroupSpec};

/// A named behaviour.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it is for, in one line.
    pub about: String,
    /// From the create call to resources found.
    #[serde(default)]
    pub schedule_ms: Range,
    /// From the first image pull to a group with a network, once for all its images.
    #[serde(default)]
    pub pull_ms: Range,
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
    /// Of a thousand groups, how many find no stock after their creation.
    #[serde(default)]
    pub no_stock_per_mille: u32,
}

/// From and to, in milliseconds; both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "[u64; 2]")]
pub struct Range {
    /// From.
    pub min: u64,
    /// To.
    pub max: u64,
}

impl From<[u64; 2]> for Range {
    fn from([min, max]: [u64; 2]) -> Self {
        Self { min, max: max.max(min) }
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
    #[error("scenario {0:?} is not valid")]
    Parse(String, #[source] Box<toml::de::Error>),
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
            pull_ms: Range::default(),
            start_ms: Range::default(),
            stop_ms: Range::default(),
            exit: None,
            log_every_ms: 1_000,
            no_stock_per_mille: 0,
        }
    }
}

/// Deviations of one group (tags `mock-eci/<setting>`) and one container (environment `MOCK_ECI_<SETTING>`). A container's
/// own word wins. Values that are no numbers are ignored: they are hints, not parameters of ECI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `schedule-ms` (group only).
    pub schedule: Option<Duration>,
    /// `pull-ms` (group only).
    pub pull: Option<Duration>,
    /// `launch-error` (group only): reason with which the launch fails, such as `NoStock`.
    pub launch_error: Option<String>,
    /// `start-ms`.
    pub start: Option<Duration>,
    /// `start-error`: reason with which starts fail, such as `ErrImagePull`.
    pub start_error: Option<String>,
    /// `start-error-count`: how many starts fail; absent = all.
    pub start_error_count: Option<u32>,
    /// `exit-after-ms`: the container ends by itself.
    pub exit_after: Option<Duration>,
    /// `exit-code`.
    pub exit_code: Option<i32>,
    /// `exit-count`: how many instances end by themselves; later ones run on. Absent = all.
    pub exit_count: Option<u32>,
    /// `oom`: it ends as if out of memory.
    pub oom: bool,
    /// `stop-ms`: from SIGTERM to its end.
    pub stop: Option<Duration>,
    /// `ready-ms`: readiness probes succeed this long after the start.
    pub ready: Option<Duration>,
    /// `log-every-ms`.
    pub log_every: Option<Duration>,
}

impl Overrides {
    /// Those of one container; of the group alone without one.
    pub fn of(group: &GroupSpec, container: Option<&ContainerSpec>) -> Self {
        let text = |setting: &str| -> Option<&str> {
            let variable = container.and_then(|c| {
                c.env.iter().find_map(|var| match &var.value {
                    EnvValue::Literal(value) if is_variable(&var.name, setting) => Some(value.0.as_str()),
                    _ => None,
                })
            });
            let tag = || {
                let mut tags = group.tags.iter();
                tags.find_map(|(k, v)| (k.strip_prefix("mock-eci/") == Some(setting)).then_some(v.as_str()))
            };
            variable.or_else(tag)
        };
        let millis = |setting: &str| text(setting)?.parse().ok().map(Duration::from_millis);
        let word = |setting: &str| text(setting).filter(|t| !t.is_empty()).map(str::to_owned);
        // The common case: nothing is said, and nothing is looked up thirteen times.
        let any = group.tags.iter().any(|(k, _)| k.starts_with("mock-eci/"))
            || container.is_some_and(|c| c.env.iter().any(|v| v.name.starts_with("MOCK_ECI_")));
        if !any {
            return Self::default();
        }
        Self {
            schedule: millis("schedule-ms"),
            pull: millis("pull-ms"),
            launch_error: word("launch-error"),
            start: millis("start-ms"),
            start_error: word("start-error"),
            start_error_count: text("start-error-count").and_then(|t| t.parse().ok()),
            exit_after: millis("exit-after-ms"),
            exit_code: text("exit-code").and_then(|t| t.parse().ok()),
            exit_count: text("exit-count").and_then(|t| t.parse().ok()),
            oom: text("oom").is_some_and(|t| t.eq_ignore_ascii_case("true")),
            stop: millis("stop-ms"),
            ready: millis("ready-ms"),
            log_every: millis("log-every-ms"),
        }
    }
}

/// Whether `MOCK_ECI_EXIT_CODE` is the variable of `exit-code`.
fn is_variable(name: &str, setting: &str) -> bool {
    name.strip_prefix("MOCK_ECI_").is_some_and(|rest| {
        rest.len() == setting.len()
            && rest
                .bytes()
                .zip(setting.bytes())
                .all(|(a, b)| a == if b == b'-' { b'_' } else { b.to_ascii_uppercase() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{EnvVar, Secret};

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
    fn a_container_deviates_from_its_group() {
        let container = ContainerSpec {
            env: vec![EnvVar {
                name: "MOCK_ECI_EXIT_CODE".into(),
                value: EnvValue::Literal(Secret("3".into())),
            }],
            ..ContainerSpec::default()
        };
        let group = GroupSpec {
            tags: vec![
                ("mock-eci/exit-code".into(), "1".into()),
                ("mock-eci/exit-after-ms".into(), "250".into()),
            ],
            ..GroupSpec::default()
        };
        assert_eq!(Overrides::of(&group, None).exit_code, Some(1));
        let overrides = Overrides::of(&group, Some(&container));
        assert_eq!(
            (overrides.exit_code, overrides.exit_after),
            (Some(3), Some(Duration::from_millis(250)))
        );
    }
}
