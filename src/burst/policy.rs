//! (pure) Which burst policy a pod has, and who says so: the pod itself, else its namespace, else the profile, else the default.
//!
//! Within the pod, and within the namespace, ACK's label `alibabacloud.com/eci` beats our `k8s.aliyun.com/eci-burst-policy`,
//! and that beats `alibabacloud.com/burst-resource`; of a key that is both label and annotation the label counts.

use std::collections::BTreeMap;
use std::fmt;

use super::names;

/// Labels or annotations.
pub type Map = BTreeMap<String, String>;

/// Where a pod may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// On workers while they have room, then on the pool.
    EcsFirst,
    /// On the pool.
    EciOnly,
    /// On workers.
    EcsOnly,
    /// On the pool while it has room, then on workers.
    EciFirst,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EcsFirst, Self::EciOnly, Self::EcsOnly, Self::EciFirst];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcsFirst => "ecs-first",
            Self::EciOnly => "eci-only",
            Self::EcsOnly => "ecs-only",
            Self::EciFirst => "eci-first",
        }
    }

    /// Reads a name; underscores will do for dashes, as in ACK's `eci_only`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('_', "-");
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who chose a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The pod's own labels or annotations.
    Pod,
    /// Those of its namespace.
    Namespace,
    /// A selector of the eci-profile.
    Profile,
    /// The setting.
    Default,
}

/// A policy, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The policy.
    pub policy: Policy,
    /// Who chose it.
    pub level: Level,
    /// By ACK's label `alibabacloud.com/eci`, which beats the pod's node selector and affinity, too.
    pub beats_selectors: bool,
}

/// A value that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is `{value}`: it must be {wanted}")]
pub struct BadValue {
    /// Label or annotation.
    pub key: &'static str,
    /// What it says.
    pub value: String,
    /// What it may say.
    pub wanted: &'static str,
}

/// What one object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// That its policy is none: whatever the levels below say.
    OptedOut,
    /// This.
    Policy {
        /// The policy.
        policy: Policy,
        /// See [`Choice::beats_selectors`].
        beats_selectors: bool,
    },
}

/// What the labels and annotations of a pod, a namespace or an effect say.
///
/// # Errors
/// A key has a value that means nothing. Nothing is guessed then: the pod is left where the scheduler puts it.
pub fn said(labels: &Map, annotations: &Map) -> Result<Said, BadValue> {
    let bad = |key, value: &str, wanted| BadValue {
        key,
        value: value.to_owned(),
        wanted,
    };
    let plain = |policy| Said::Policy {
        policy,
        beats_selectors: false,
    };
    match labels.get(names::ECI).map(String::as_str) {
        Some("true") => {
            return Ok(Said::Policy {
                policy: Policy::EciOnly,
                beats_selectors: true,
            });
        }
        Some("false") => return Ok(Said::OptedOut),
        Some(other) => return Err(bad(names::ECI, other, "\"true\" or \"false\"")),
        None => {}
    }
    let either = |key: &str| labels.get(key).or_else(|| annotations.get(key));
    if let Some(value) = either(names::BURST_POLICY) {
        return Policy::parse(value)
            .map(plain)
            .ok_or_else(|| bad(names::BURST_POLICY, value, "ecs-first, eci-only, ecs-only or eci-first"));
    }
    match either(names::BURST_RESOURCE).map(String::as_str) {
        None => Ok(Said::Nothing),
        Some("eci") => Ok(plain(Policy::EcsFirst)),
        Some("eci_only" | "eci-only") => Ok(plain(Policy::EciOnly)),
        Some(other) => Err(bad(names::BURST_RESOURCE, other, "eci or eci_only")),
    }
}

/// What there is to choose from for one pod, nearest first; none = that level says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Levels {
    /// The pod.
    pub pod: Said,
    /// Its namespace.
    pub namespace: Said,
    /// The profile.
    pub profile: Option<Policy>,
    /// The setting.
    pub default: Option<Policy>,
}

/// The policy of a pod; none = it did not opt in, and is left alone.
pub fn choose(levels: Levels) -> Option<Choice> {
    for (said, level) in [(levels.pod, Level::Pod), (levels.namespace, Level::Namespace)] {
        match said {
            Said::Nothing => {}
            Said::OptedOut => return None,
            Said::Policy {
                policy,
                beats_selectors,
            } => {
                return Some(Choice {
                    policy,
                    level,
                    beats_selectors,
                });
            }
        }
    }
    let below = [(levels.profile, Level::Profile), (levels.default, Level::Default)];
    below.into_iter().find_map(|(policy, level)| {
        Some(Choice {
            policy: policy?,
            level,
            beats_selectors: false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// What labels and annotations say, as a word.
    fn word(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> String {
        match said(&map(labels), &map(annotations)) {
            Ok(Said::Nothing) => "nothing".to_owned(),
            Ok(Said::OptedOut) => "out".to_owned(),
            Ok(Said::Policy {
                policy,
                beats_selectors: true,
            }) => format!("{policy}!"),
            Ok(Said::Policy { policy, .. }) => policy.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn acks_names_and_ours_say_what_they_mean() {
        const R: &str = names::BURST_RESOURCE;
        const P: &str = names::BURST_POLICY;
        const E: &str = names::ECI;
        for (labels, annotations, wanted) in [
            (&[][..], &[][..], "nothing"),
            (&[(R, "eci")], &[], "ecs-first"),
            (&[], &[(R, "eci")], "ecs-first"),
            (&[(R, "eci_only")], &[], "eci-only"),
            (&[], &[(R, "eci_only")], "eci-only"),
            (&[(R, "eci")], &[(R, "eci_only")], "ecs-first"),
            (&[(E, "true")], &[], "eci-only!"),
            (&[(E, "false")], &[], "out"),
            // ACK's is a label only.
            (&[], &[(E, "true")], "nothing"),
            (&[(E, "true"), (R, "eci")], &[(P, "ecs-only")], "eci-only!"),
            (&[(R, "eci_only")], &[(P, "ecs-only")], "ecs-only"),
            (&[(P, "eci-first")], &[(P, "ecs-only")], "eci-first"),
            (&[], &[(P, "eci_only")], "eci-only"),
            (&[], &[(P, "ecs_first")], "ecs-first"),
            (
                &[(R, "ecs")],
                &[],
                "alibabacloud.com/burst-resource is `ecs`: it must be eci or eci_only",
            ),
            (
                &[(P, "anywhere")],
                &[],
                "k8s.aliyun.com/eci-burst-policy is `anywhere`: it must be ecs-first, eci-only, ecs-only or eci-first",
            ),
            (
                &[(E, "yes")],
                &[],
                "alibabacloud.com/eci is `yes`: it must be \"true\" or \"false\"",
            ),
        ] {
            assert_eq!(word(labels, annotations), wanted, "{labels:?} {annotations:?}");
        }
    }

    #[test]
    fn the_pod_beats_its_namespace_beats_the_profile_beats_the_default() {
        // Every combination of what the four levels may say.
        let saids = [
            Said::Nothing,
            Said::OptedOut,
            Said::Policy {
                policy: Policy::EciOnly,
                beats_selectors: true,
            },
            Said::Policy {
                policy: Policy::EcsOnly,
                beats_selectors: false,
            },
        ];
        for pod in saids {
            for namespace in saids {
                for profile in [None, Some(Policy::EciFirst)] {
                    for default in [None, Some(Policy::EcsFirst)] {
                        let choice = choose(Levels {
                            pod,
                            namespace,
                            profile,
                            default,
                        });
                        let nearest = [pod, namespace].into_iter().find(|s| *s != Said::Nothing);
                        let wanted = match nearest {
                            Some(Said::OptedOut) => None,
                            Some(Said::Policy { policy, .. }) => Some(policy),
                            _ => profile.or(default),
                        };
                        assert_eq!(
                            choice.map(|c| c.policy),
                            wanted,
                            "{pod:?} {namespace:?} {profile:?} {default:?}"
                        );
                        let level = choice.map(|c| c.level);
                        if let Said::Policy { .. } = pod {
                            assert_eq!(level, Some(Level::Pod));
                        }
                    }
                }
            }
        }
    }
}
