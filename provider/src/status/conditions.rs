//! The pod conditions a kubelet owns, in a kubelet's words.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::container::{self, time};
use super::{Phase, PodFacts};

/// Type of a condition this node owns. `PodScheduled` is the scheduler's, and all others are somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The sandbox has its network.
    PodReadyToStartContainers,
    /// All init containers have ended well.
    Initialized,
    /// The pod serves: containers and readiness gates.
    Ready,
    /// All containers are ready.
    ContainersReady,
    /// ACK's: whether the pod's container group exists, and what stands in its way or is about to befall it. Only where there is
    /// something to say.
    ContainerInstanceCreated,
    /// ACK's: the group's spot resources were taken back.
    ContainerInstanceExpired,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::PodReadyToStartContainers,
        Self::Initialized,
        Self::Ready,
        Self::ContainersReady,
        Self::ContainerInstanceCreated,
        Self::ContainerInstanceExpired,
    ];

    /// Whether a kubelet has it, too.
    pub fn is_a_kubelets(self) -> bool {
        !matches!(self, Self::ContainerInstanceCreated | Self::ContainerInstanceExpired)
    }

    /// The word in `conditions[].type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PodReadyToStartContainers => "PodReadyToStartContainers",
            Self::Initialized => "Initialized",
            Self::ContainersReady => "ContainersReady",
            Self::Ready => "Ready",
            Self::ContainerInstanceCreated => "ContainerInstanceCreated",
            Self::ContainerInstanceExpired => "ContainerInstanceExpired",
        }
    }

    /// Reads `conditions[].type`; `None` = not ours.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A condition that is not a kubelet's, with the time of the change as published before, else `now`.
pub fn extra(facts: &PodFacts, kind: Kind, met: bool, reason: &str, message: &str, now: Timestamp) -> PodCondition {
    let before = facts.previous.conditions.iter().find(|before| before.kind == kind);
    let since = before
        .filter(|before| before.met == met)
        .and_then(|before| before.since);
    PodCondition {
        type_: kind.as_str().to_owned(),
        status: if met { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()).filter(|r| !r.is_empty()),
        message: Some(message.to_owned()).filter(|m| !m.is_empty()),
        last_transition_time: Some(time(since.unwrap_or(now))),
        last_probe_time: None,
        observed_generation: facts.generation,
    }
}

/// What the conditions follow from.
pub(super) struct Basis<'a> {
    pub(super) facts: &'a PodFacts,
    pub(super) phase: Phase,
    pub(super) containers: &'a [ContainerStatus],
    pub(super) init_containers: &'a [ContainerStatus],
    /// Whether the group has its network.
    pub(super) has_network: bool,
    /// When the pod began, if anybody knows.
    pub(super) started: Option<Timestamp>,
    /// When the pod ended, if it did and anybody knows.
    pub(super) finished: Option<Timestamp>,
    /// The time of changes nobody recorded.
    pub(super) now: Timestamp,
}

/// A condition without its time: met, or not met with reason and message.
type Verdict = Result<Option<&'static str>, (&'static str, String)>;

impl Basis<'_> {
    /// A kubelet's four conditions.
    pub(super) fn conditions(&self) -> Vec<PodCondition> {
        let initialized = self.initialized();
        let containers_ready = self.containers_ready();
        let ready = self.ready(&containers_ready);
        vec![
            self.condition(Kind::PodReadyToStartContainers, self.ready_to_start()),
            self.condition(Kind::Initialized, initialized),
            self.condition(Kind::Ready, ready),
            self.condition(Kind::ContainersReady, containers_ready),
        ]
    }

    fn condition(&self, kind: Kind, verdict: Verdict) -> PodCondition {
        let met = verdict.is_ok();
        let (reason, message) = match verdict {
            Ok(reason) => (reason.map(str::to_owned), None),
            Err((reason, message)) => (
                Some(reason.to_owned()).filter(|r| !r.is_empty()),
                Some(message).filter(|m| !m.is_empty()),
            ),
        };
        PodCondition {
            type_: kind.as_str().to_owned(),
            status: if met { "True" } else { "False" }.to_owned(),
            reason,
            message,
            last_transition_time: Some(time(self.since(kind, met))),
            last_probe_time: None,
            observed_generation: self.facts.generation,
        }
    }

    /// When the condition became what it is: as published before, else as the observation tells, else now.
    fn since(&self, kind: Kind, met: bool) -> Timestamp {
        let before = self.facts.previous.conditions.iter().find(|before| before.kind == kind);
        if let Some(since) = before
            .filter(|before| before.met == met)
            .and_then(|before| before.since)
        {
            return since;
        }
        let observed = if met {
            match kind {
                // A probe's success leaves no trace in the observation.
                Kind::Ready | Kind::ContainersReady if self.waits_for_others() => None,
                Kind::Ready | Kind::ContainersReady => {
                    container::latest_start(self.containers.iter().chain(self.sidecars()))
                }
                Kind::PodReadyToStartContainers | Kind::Initialized => self.started,
                Kind::ContainerInstanceCreated | Kind::ContainerInstanceExpired => None,
            }
        } else if self.phase.is_terminal() {
            self.finished.or_else(|| container::latest_finish(self.containers))
        } else if before.is_none() {
            // It has never been met: since the pod exists.
            self.started.or(self.facts.created)
        } else {
            None
        };
        observed.unwrap_or(self.now)
    }

    /// Statuses of init containers, each with whether it is a sidecar.
    fn init(&self) -> impl Iterator<Item = (&ContainerStatus, bool)> {
        let facts = &self.facts.init_containers;
        let sidecar = |index: usize| facts.get(index).is_some_and(|facts| facts.sidecar);
        self.init_containers
            .iter()
            .enumerate()
            .map(move |(index, status)| (status, sidecar(index)))
    }

    fn sidecars(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init().filter(|(_, sidecar)| *sidecar).map(|(status, _)| status)
    }

    fn waits_for_others(&self) -> bool {
        let sidecars = self.facts.init_containers.iter().filter(|container| container.sidecar);
        self.facts
            .containers
            .iter()
            .chain(sidecars)
            .any(|container| container.readiness_probe)
            || !self.facts.readiness_gates.is_empty()
    }

    fn ready_to_start(&self) -> Verdict {
        if self.has_network && !self.phase.is_terminal() {
            Ok(None)
        } else {
            Err(("", String::new()))
        }
    }

    fn initialized(&self) -> Verdict {
        if self.phase == Phase::Succeeded {
            return Ok(Some("PodCompleted"));
        }
        let any_started = self.containers.iter().any(container::has_started);
        // A sidecar is done with initializing when it has started.
        let complete = |status: &ContainerStatus, sidecar| match sidecar {
            true => status.started == Some(true),
            false => status.ready,
        };
        let incomplete: Vec<&str> = self
            .init()
            .filter(|(status, sidecar)| !complete(status, *sidecar))
            .map(|(status, _)| status.name.as_str())
            .collect();
        if any_started || incomplete.is_empty() {
            Ok(None)
        } else {
            Err((
                "ContainersNotInitialized",
                format!("containers with incomplete status: [{}]", incomplete.join(" ")),
            ))
        }
    }

    fn containers_ready(&self) -> Verdict {
        match self.phase {
            Phase::Succeeded => return Err(("PodCompleted", String::new())),
            Phase::Failed => return Err(("PodFailed", String::new())),
            Phase::Pending | Phase::Running => {}
        }
        let unready: Vec<&str> = self
            .sidecars()
            .chain(self.containers)
            .filter(|status| !status.ready)
            .map(|status| status.name.as_str())
            .collect();
        if unready.is_empty() {
            Ok(None)
        } else {
            Err((
                "ContainersNotReady",
                format!("containers with unready status: [{}]", unready.join(" ")),
            ))
        }
    }

    fn ready(&self, containers_ready: &Verdict) -> Verdict {
        if let Err(why) = containers_ready {
            return Err(why.clone());
        }
        let unmet: Vec<String> = self
            .facts
            .readiness_gates
            .iter()
            .filter_map(|gate| match gate.status.as_deref() {
                Some("True") => None,
                Some(other) => Some(format!(
                    "the status of pod readiness gate \"{}\" is not \"True\", but {other}",
                    gate.condition
                )),
                None => Some(format!(
                    "corresponding condition of pod readiness gate \"{}\" does not exist.",
                    gate.condition
                )),
            })
            .collect();
        if unmet.is_empty() {
            Ok(None)
        } else {
            Err(("ReadinessGatesNotReady", unmet.join(", ")))
        }
    }
}
