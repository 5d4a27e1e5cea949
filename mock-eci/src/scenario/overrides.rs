//! What tags of a group and the environment of a container say against the scenario.

use std::time::Duration;

use crate::spec::{ContainerSpec, EnvValue, GroupSpec};

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
    /// `exit-signal`.
    pub exit_signal: Option<i32>,
    /// `exit-message`: its termination message.
    pub exit_message: Option<String>,
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
        Self::read(&group.tags, container)
    }

    /// Of anything else that has tags.
    pub fn of_tags(tags: &[(String, String)]) -> Self {
        Self::read(tags, None)
    }

    fn read(group_tags: &[(String, String)], container: Option<&ContainerSpec>) -> Self {
        let text = |setting: &str| -> Option<&str> {
            let variable = container.and_then(|c| {
                c.env.iter().find_map(|var| match &var.value {
                    EnvValue::Literal(value) if is_variable(&var.name, setting) => Some(value.0.as_str()),
                    _ => None,
                })
            });
            let tag = || {
                let mut tags = group_tags.iter();
                tags.find_map(|(k, v)| (k.strip_prefix("mock-eci/") == Some(setting)).then_some(v.as_str()))
            };
            variable.or_else(tag)
        };
        let millis = |setting: &str| text(setting)?.parse().ok().map(Duration::from_millis);
        let word = |setting: &str| text(setting).filter(|t| !t.is_empty()).map(str::to_owned);
        // The common case: nothing is said, and nothing is looked up fifteen times.
        let any = group_tags.iter().any(|(k, _)| k.starts_with("mock-eci/"))
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
            exit_signal: text("exit-signal").and_then(|t| t.parse().ok()),
            exit_message: word("exit-message"),
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
