//! What stands between a pod and its group: rejections, weakenings, warnings, each with the path of its field.

use std::fmt;

/// Why a pod cannot be mapped now: every reason at once, so that its owner mends the pod in one go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejections(pub Vec<Rejection>);

/// One reason, tied to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What kind of reason: decides between waiting and giving up.
    pub kind: RejectionKind,
    /// Path of the field, such as `spec.containers[0].volumeMounts[1].subPathExpr`.
    pub field: String,
    /// What is wrong and what to do about it; one sentence or two, for people. Never holds a value from a Secret.
    pub advice: String,
}

/// Kind of a [`Rejection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionKind {
    /// Valid Kubernetes that ECI, or this node, does not offer. Permanent.
    Refused,
    /// An object, or a key of one, that the pod names does not exist yet. Wait and retry, as a kubelet does.
    MissingReference,
    /// Not valid: no kubelet would start it. Permanent.
    Invalid,
}

/// A wish that was accepted although ECI has no parameter for it: it only tightens security, or only advises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakened {
    /// Path of the field.
    pub field: String,
    /// What is not enforced.
    pub why: String,
}

/// A value sent as it is although ECI's documentation speaks against it, or a part of the pod that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path of the field.
    pub field: String,
    /// What may go wrong.
    pub message: String,
}

impl Rejections {
    /// Whether waiting can help: nothing is wrong but references that do not exist yet.
    pub fn is_retryable(&self) -> bool {
        self.0
            .iter()
            .all(|rejection| rejection.kind == RejectionKind::MissingReference)
    }

    /// The waiting reason a kubelet gives the pod's containers: `ContainerCreating` while only volumes wait for their
    /// objects, else `CreateContainerConfigError`.
    pub fn waiting_reason(&self) -> &'static str {
        let volumes_only = self.is_retryable() && self.0.iter().all(|r| r.field.starts_with("spec.volumes"));
        if volumes_only {
            "ContainerCreating"
        } else {
            "CreateContainerConfigError"
        }
    }

    /// The reason of the Warning Event: `FailedMount` for volumes that wait, else `Failed`; a kubelet's words.
    pub fn event_reason(&self) -> &'static str {
        if self.waiting_reason() == "ContainerCreating" {
            "FailedMount"
        } else {
            "Failed"
        }
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rejection) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{rejection}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.advice)
    }
}

/// Collects findings while a pod is mapped.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) rejections: Vec<Rejection>,
    pub(super) weakened: Vec<Weakened>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    fn reject(&mut self, kind: RejectionKind, field: impl Into<String>, advice: impl Into<String>) {
        let rejection = Rejection {
            kind,
            field: field.into(),
            advice: advice.into(),
        };
        // The same value may be looked at twice (an image's credentials, a key used by two variables of one container).
        if !self.rejections.contains(&rejection) {
            self.rejections.push(rejection);
        }
    }

    /// ECI or this node does not offer it.
    pub(super) fn refuse(&mut self, field: impl Into<String>, advice: impl Into<String>) {
        self.reject(RejectionKind::Refused, field, advice);
    }

    /// Refuses `field` when the pod says anything there.
    pub(super) fn refuse_if_set<T>(&mut self, value: &Option<T>, field: impl Into<String>, advice: &str) {
        if value.is_some() {
            self.refuse(field, advice);
        }
    }

    /// No kubelet would start it.
    pub(super) fn invalid(&mut self, field: impl Into<String>, advice: impl Into<String>) {
        self.reject(RejectionKind::Invalid, field, advice);
    }

    /// It names something that does not exist yet.
    pub(super) fn missing(&mut self, field: impl Into<String>, advice: impl Into<String>) {
        self.reject(RejectionKind::MissingReference, field, advice);
    }

    /// Accepted, not enforced.
    pub(super) fn weaken(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.weakened.push(Weakened {
            field: field.into(),
            why: why.into(),
        });
    }

    /// Sent as it is.
    pub(super) fn warn(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning {
            field: field.into(),
            message: message.into(),
        });
    }
}
