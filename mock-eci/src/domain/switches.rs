//! Environment variables of a container that mean something to ECI itself: which containers are sidecars, in which order
//! containers start and end, and what of them does not count.
//!
//! As ECI documents them: a container of higher launch priority starts first, and the next ones start when it has started, or
//! is ready, if it has a readiness probe; one of higher exit priority ends first. Sidecars are ended when the other
//! containers have ended for good, and how they end counts like any end, unless exit codes are ignored.

use crate::spec::{ContainerSpec, EnvValue};

/// What a container's environment says to ECI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// `ECI_CONTAINER_TYPE=sidecar`, or `ECI_SIDECAR_CONTAINER=true`.
    pub sidecar: bool,
    /// `ECI_CONTAINER_LAUNCH_PRIORITY`, -1000 to 1000.
    pub launch: i16,
    /// `ECI_CONTAINER_EXIT_PRIORITY`, -1000 to 1000.
    pub exit: i16,
    /// `ECI_CONTAINER_IGNORE_EXIT_CODE=true`: it always ended well.
    pub ignore_exit_code: bool,
    /// `ECI_CONTAINER_IGNORE_READY=true`: the group is ready without it.
    pub ignore_ready: bool,
}

impl Switches {
    /// Reads the environment; values that are none of those documented change nothing.
    pub fn of(container: &ContainerSpec) -> Self {
        let mut switches = Self::default();
        for var in container.env.iter().filter(|var| var.name.starts_with("ECI_")) {
            let EnvValue::Literal(value) = &var.value else { continue };
            let yes = value.0 == "true";
            let priority = || value.0.parse().ok().filter(|p| (-1000..=1000).contains(p)).unwrap_or(0);
            match var.name.as_str() {
                "ECI_CONTAINER_TYPE" => switches.sidecar |= value.0 == "sidecar",
                "ECI_SIDECAR_CONTAINER" => switches.sidecar |= yes,
                "ECI_CONTAINER_LAUNCH_PRIORITY" => switches.launch = priority(),
                "ECI_CONTAINER_EXIT_PRIORITY" => switches.exit = priority(),
                "ECI_CONTAINER_IGNORE_EXIT_CODE" => switches.ignore_exit_code = yes,
                "ECI_CONTAINER_IGNORE_READY" => switches.ignore_ready = yes,
                _ => {}
            }
        }
        switches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{EnvVar, Secret};

    fn of(pairs: &[(&str, &str)]) -> Switches {
        let env = pairs.iter().map(|(name, value)| EnvVar {
            name: (*name).to_owned(),
            value: EnvValue::Literal(Secret((*value).to_owned())),
        });
        Switches::of(&ContainerSpec {
            env: env.collect(),
            ..ContainerSpec::default()
        })
    }

    #[test]
    fn all_of_them() {
        let all = of(&[
            ("ECI_CONTAINER_TYPE", "sidecar"),
            ("ECI_CONTAINER_LAUNCH_PRIORITY", "1000"),
            ("ECI_CONTAINER_EXIT_PRIORITY", "-1"),
            ("ECI_CONTAINER_IGNORE_EXIT_CODE", "true"),
            ("ECI_CONTAINER_IGNORE_READY", "true"),
        ]);
        let expected = Switches {
            sidecar: true,
            launch: 1000,
            exit: -1,
            ignore_exit_code: true,
            ignore_ready: true,
        };
        assert_eq!(all, expected);
        assert!(of(&[("ECI_SIDECAR_CONTAINER", "true")]).sidecar);
    }

    #[test]
    fn other_values_change_nothing() {
        let none = of(&[
            ("ECI_CONTAINER_TYPE", "normal"),
            ("ECI_CONTAINER_LAUNCH_PRIORITY", "1001"),
            ("ECI_CONTAINER_EXIT_PRIORITY", "first"),
            ("ECI_CONTAINER_IGNORE_EXIT_CODE", "yes"),
            ("OTHER", "sidecar"),
        ]);
        assert_eq!(none, Switches::default());
    }
}
