//! Native sidecars: init containers with `restartPolicy: Always`.
//!
//! ECI's own init containers end before the next begins, so a sidecar is one of the group's containers, marked by the environment
//! variables by which ECI knows sidecars: it starts before the main containers (when it is ready, if it has a readiness
//! probe), is ended when the main ones have ended for good, and ends after them. That is all that a native sidecar is, but for
//! two things, both said to the pod's owner: an ordinary init container that comes later would have to run beside it, and
//! with a pod policy other than Always it is not started again in every case.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::rejection::Findings;
use crate::request::{EnvValue, EnvVar};

/// Kind of a container: `sidecar`, else `normal`.
const TYPE: &str = "ECI_CONTAINER_TYPE";
/// -1000 to 1000; of two containers the one with more starts first. Others have 0.
const LAUNCH_PRIORITY: &str = "ECI_CONTAINER_LAUNCH_PRIORITY";
/// -1000 to 1000; of two containers the one with more ends first. Others have 0.
const EXIT_PRIORITY: &str = "ECI_CONTAINER_EXIT_PRIORITY";

/// Variables that mark a sidecar.
pub(super) const VARIABLES: usize = 3;

/// A sidecar's place: the first starts first and ends last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sidecar {
    /// How many come after it.
    followers: usize,
}

impl Sidecar {
    /// Whether an init container is one.
    pub(super) fn is(container: &Container) -> bool {
        container.restart_policy.as_deref() == Some("Always")
    }

    /// The sidecar that `container` (the `index`th init container of `spec`) is, if it is one.
    pub(super) fn of(spec: &PodSpec, index: usize, container: &Container) -> Option<Self> {
        let later = spec.init_containers.iter().flatten().skip(index + 1);
        Self::is(container).then(|| Self {
            followers: later.filter(|container| Self::is(container)).count(),
        })
    }

    /// Adds the variables to `env`; those the pod sets itself stand.
    pub(super) fn mark(self, env: &mut Vec<EnvVar>) {
        let priority = self.followers + 1;
        for (key, value) in [
            (TYPE, "sidecar".to_owned()),
            (LAUNCH_PRIORITY, priority.to_string()),
            (EXIT_PRIORITY, format!("-{priority}")),
        ] {
            if !env.iter().any(|var| var.key == key) {
                env.push(EnvVar {
                    key: key.to_owned(),
                    value: EnvValue::Literal(value.into()),
                });
            }
        }
    }
}

/// Refuses what sidecars cannot be here, and says where they are less.
pub(super) fn check(spec: &PodSpec, findings: &mut Findings) {
    let mut first: Option<&str> = None;
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        if Sidecar::is(container) {
            first.get_or_insert(&container.name);
            let unless = match spec.restart_policy.as_deref() {
                Some("Never") => "it is not started again when it ends",
                Some("OnFailure") => "it is not started again when it ends with 0",
                _ => continue,
            };
            findings.warn(
                format!("spec.initContainers[{index}].restartPolicy"),
                format!("ECI restarts all containers of a group by the pod's restartPolicy, so {unless}"),
            );
        } else if let Some(sidecar) = first {
            findings.refuse(
                format!("spec.initContainers[{index}]"),
                format!(
                    "`{}` would have to run beside the sidecar `{sidecar}`; ECI starts sidecars when all other init \
                     containers have ended. Put it before the sidecar if it can do without it, or make the sidecar an \
                     ordinary container",
                    container.name
                ),
            );
        }
    }
}
