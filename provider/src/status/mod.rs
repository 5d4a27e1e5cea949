//! Container group to `PodStatus`: a pure function of the observed group, the pod's facts and what was published before.
//!
//! Only the fields a kubelet owns are filled. Equal observations give equal statuses: a time comes from the observation or
//! from the previous status, and `now` only where something changes at this moment.

pub mod conditions;
mod container;
mod facts;
mod fingerprint;
mod patch;
mod phase;
mod previous;
pub mod reasons;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus};

use self::conditions::Basis;
use self::container::{Sources, Unrecorded, some, time};
pub use self::facts::{ContainerFacts, GateFacts, PodFacts, restart_policy};
pub use self::fingerprint::fingerprint;
pub use self::patch::patch;
pub use self::phase::Phase;
pub use self::previous::{Previous, PreviousCondition, PreviousContainer, PreviousEnd, PreviousState};
use crate::group::{ContainerState, GroupStatus, ObservedContainer, ObservedGroup};
use crate::request::RestartPolicy;

/// The status of the pod whose group is `group`. `now` becomes the time of changes that nobody recorded.
pub fn to_pod_status(group: &ObservedGroup, facts: &PodFacts, now: Timestamp) -> PodStatus {
    let mut view = View {
        group_id: &group.id,
        observed: Some(group),
        unrecorded: match group.status {
            GroupStatus::Succeeded => Unrecorded::Succeeded,
            GroupStatus::Failed | GroupStatus::Expired => Unrecorded::Lost,
            GroupStatus::ScheduleFailed => Unrecorded::NeverRan,
            _ => Unrecorded::StillWaiting,
        },
        waiting: (waiting_reason(facts), creation_problem(group).unwrap_or_default()),
        finished: group.finished,
        policy: facts.restart_policy,
    };
    let mut containers = view.containers(facts);
    let mut init_containers = view.init_containers(facts, &containers);
    let phase = phase::of(
        &group.status,
        &phase::Containers::of(&containers, &init_containers, facts),
        facts.restart_policy,
    );
    let phase = facts.previous.phase.map_or(phase, |before| before.then(phase));
    if phase.is_terminal() && !group.status.is_terminal() {
        // The pod is over before its group is, or was said to be earlier: nothing in it runs or waits any more.
        view.unrecorded = if phase == Phase::Succeeded {
            Unrecorded::Succeeded
        } else {
            Unrecorded::Lost
        };
        containers = view.containers(facts);
        init_containers = view.init_containers(facts, &containers);
    }
    // A pod whose main containers had ended well owes no explanation for what ended the group.
    let (reason, message) = match phase {
        Phase::Succeeded => (String::new(), String::new()),
        _ => explain(group, facts),
    };
    let started = facts
        .previous
        .start_time
        .or(group.start_time)
        .or(group.created)
        .or(facts.created);
    Parts {
        facts,
        phase,
        reason,
        message,
        pod_ip: group.pod_ip.as_deref().filter(|ip| !ip.is_empty()),
        started: Some(started.unwrap_or(now)),
        finished: group.finished,
        containers,
        init_containers,
        now,
    }
    .assemble()
}

/// The status of a pod that has no group yet: Pending, its containers waiting for `reason` (such as
/// [`reasons::CONTAINER_CREATING`]). A pod that was further already stays where it was.
pub fn pending_status(facts: &PodFacts, reason: &str, message: &str) -> PodStatus {
    // Nothing happens here that would need a time of its own: what is not met has not been since the pod exists.
    let now = facts.created.unwrap_or_default();
    let over = facts.previous.phase.is_some_and(Phase::is_terminal);
    let view = View {
        group_id: "",
        observed: None,
        unrecorded: if over {
            Unrecorded::Lost
        } else {
            Unrecorded::StillWaiting
        },
        waiting: (reason, message),
        finished: None,
        policy: facts.restart_policy,
    };
    let containers = view.containers(facts);
    let init_containers = view.init_containers(facts, &containers);
    let phase = facts
        .previous
        .phase
        .map_or(Phase::Pending, |before| before.then(Phase::Pending));
    let started = facts.previous.start_time;
    let (reason, message) = (String::new(), String::new());
    Parts {
        facts,
        phase,
        reason,
        message,
        pod_ip: None,
        started,
        finished: None,
        containers,
        init_containers,
        now,
    }
    .assemble()
}

/// The status of a pod that is over although no group says how: containers whose end is not known get exit code 137 and
/// reason `ContainerStatusUnknown`, as a kubelet does; what is known of the others stays. `reason` and `message` become
/// the pod's, unless it was over before.
pub fn terminal_status(facts: &PodFacts, reason: &str, message: &str, now: Timestamp) -> PodStatus {
    let view = View {
        group_id: "",
        observed: None,
        unrecorded: Unrecorded::Lost,
        waiting: ("", ""),
        finished: Some(now),
        policy: facts.restart_policy,
    };
    let containers = view.containers(facts);
    let init_containers = view.init_containers(facts, &containers);
    let phase = phase::by_containers(
        &phase::Containers::of(&containers, &init_containers, facts),
        facts.restart_policy,
        true,
    );
    // Init containers that never ended do not make a pod Pending that is over.
    let phase = if phase == Phase::Succeeded {
        phase
    } else {
        Phase::Failed
    };
    Parts {
        facts,
        phase: facts.previous.phase.map_or(phase, |before| before.then(phase)),
        reason: reason.to_owned(),
        message: message.to_owned(),
        pod_ip: None,
        started: facts.previous.start_time,
        finished: Some(now),
        containers,
        init_containers,
        now,
    }
    .assemble()
}

/// The status of a pod that is given up before anything of it ran: Failed, its containers waiting for good. `reason` and
/// `message` become the pod's, unless it was over before.
pub fn refused_status(facts: &PodFacts, reason: &str, message: &str, now: Timestamp) -> PodStatus {
    let view = View {
        group_id: "",
        observed: None,
        unrecorded: Unrecorded::NeverRan,
        waiting: (waiting_reason(facts), ""),
        finished: Some(now),
        policy: facts.restart_policy,
    };
    Parts {
        facts,
        phase: facts
            .previous
            .phase
            .map_or(Phase::Failed, |before| before.then(Phase::Failed)),
        reason: reason.to_owned(),
        message: message.to_owned(),
        pod_ip: None,
        started: facts.previous.start_time,
        finished: Some(now),
        containers: view.containers(facts),
        init_containers: view.init_containers(facts, &[]),
        now,
    }
    .assemble()
}

/// Whether the cheap status call is not enough to tell the pod's status: it lacks a container, or init containers, which
/// it never reports, had not all ended well when they were last heard of. Never heard of, they matter until a main
/// container has started, for that means that they have.
pub fn needs_full_observation(group: &ObservedGroup, facts: &PodFacts) -> bool {
    if matches!(group.status, GroupStatus::Scheduling | GroupStatus::ScheduleFailed) {
        return false;
    }
    let seen = |name: &str| group.containers.iter().find(|container| container.name == name);
    let sidecars = facts.init_containers.iter().filter(|container| container.sidecar);
    let lacks_one = facts
        .containers
        .iter()
        .chain(sidecars)
        .any(|container| seen(&container.name).is_none());
    let has_init = facts.init_containers.iter().any(|container| !container.sidecar);
    let initializing = match &group.init_containers {
        Some(known) => !known.iter().all(|init| ended_well(&init.state)),
        None => has_init && !group.containers.iter().any(ran),
    };
    lacks_one || initializing
}

fn ended_well(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Terminated { exit_code: 0, .. })
}

fn ran(container: &ObservedContainer) -> bool {
    !matches!(container.state, ContainerState::Waiting { .. }) || container.last_state.is_some()
}

/// The pod's reason and message, from the group's state.
fn explain(group: &ObservedGroup, facts: &PodFacts) -> (String, String) {
    match group.status {
        GroupStatus::Expired => (
            reasons::BID_FAILED.to_owned(),
            "The spot resources of the container group were reclaimed".to_owned(),
        ),
        GroupStatus::ScheduleFailed => {
            let problem = creation_problem(group).unwrap_or("ECI could not create the container group");
            (reasons::SCHEDULE_FAILED.to_owned(), problem.to_owned())
        }
        GroupStatus::Failed if deadline_is_over(group, facts) => (
            reasons::DEADLINE_EXCEEDED.to_owned(),
            reasons::DEADLINE_MESSAGE.to_owned(),
        ),
        _ => (String::new(), String::new()),
    }
}

/// Times come in whole seconds, and ECI's own count begins a moment before a group's start.
const DEADLINE_SLACK: i64 = 2;

/// ECI does not say why it stopped a group, but a group that failed after its deadline was stopped at it, and so was one
/// whose containers were killed just then.
fn deadline_is_over(group: &ObservedGroup, facts: &PodFacts) -> bool {
    let start = group.start_time.or(group.created).or(facts.previous.start_time);
    // The cheap call reports no end of the group, but those of its containers.
    let ends = group.containers.iter().filter_map(|container| match container.state {
        ContainerState::Terminated { finished_at, .. } => finished_at,
        _ => None,
    });
    let killed = group.containers.iter().any(|container| match container.state {
        ContainerState::Terminated { exit_code, .. } => exit_code > 128,
        _ => false,
    });
    match (facts.active_deadline_seconds, start, group.finished.or(ends.max())) {
        (Some(deadline), Some(start), Some(end)) => {
            let ran = end.as_second() - start.as_second();
            ran >= deadline || (killed && ran + DEADLINE_SLACK >= deadline)
        }
        _ => false,
    }
}

/// What keeps ECI from creating the group, such as a stock shortage.
fn creation_problem(group: &ObservedGroup) -> Option<&str> {
    let condition = group
        .conditions
        .iter()
        .find(|c| c.type_ == "ContainerInstanceCreated" && c.status == "False")?;
    let text = if condition.message.is_empty() {
        &condition.reason
    } else {
        &condition.message
    };
    Some(text.as_str()).filter(|text| !text.is_empty())
}

fn waiting_reason(facts: &PodFacts) -> &'static str {
    if facts.init_containers.is_empty() {
        reasons::CONTAINER_CREATING
    } else {
        reasons::POD_INITIALIZING
    }
}

/// From where the containers are looked at.
struct View<'a> {
    group_id: &'a str,
    observed: Option<&'a ObservedGroup>,
    unrecorded: Unrecorded,
    waiting: (&'a str, &'a str),
    finished: Option<Timestamp>,
    policy: RestartPolicy,
}

/// The list a container stands in, and what follows from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Init,
    Sidecar,
}

impl View<'_> {
    fn containers(&self, facts: &PodFacts) -> Vec<ContainerStatus> {
        let observed = self.observed.map(|group| group.containers.as_slice());
        let status = |one| self.status(one, observed, &facts.previous.containers, self.unrecorded, Role::Main);
        facts.containers.iter().map(status).collect()
    }

    fn init_containers(&self, facts: &PodFacts, main: &[ContainerStatus]) -> Vec<ContainerStatus> {
        let containers = self.observed.map(|group| group.containers.as_slice());
        let observed = self.observed.and_then(|group| group.init_containers.as_deref());
        // ECI starts nothing before every init container has ended well, so a call that leaves them out need not say so, and
        // what was heard of them before is over.
        let sidecar_ran = facts
            .init_containers
            .iter()
            .filter(|one| one.sidecar)
            .any(|one| find(containers, one).is_some_and(ran));
        let begun = sidecar_ran || main.iter().any(container::has_started);
        let all_ended = |seen: &[ObservedContainer]| seen.iter().all(|init| ended_well(&init.state));
        let observed = observed.filter(|seen| all_ended(seen) || !begun);
        let passed = observed.is_none() && begun;
        let unrecorded = if passed { Unrecorded::Succeeded } else { self.unrecorded };
        let previous = &facts.previous.init_containers;
        let status = |one: &ContainerFacts| match one.sidecar {
            true => self.status(one, containers, previous, self.unrecorded, Role::Sidecar),
            false => self.status(one, observed, previous, unrecorded, Role::Init),
        };
        facts.init_containers.iter().map(status).collect()
    }

    fn status(
        &self,
        one: &ContainerFacts,
        observed: Option<&[ObservedContainer]>,
        previous: &[PreviousContainer],
        unrecorded: Unrecorded,
        role: Role,
    ) -> ContainerStatus {
        let is_init = role == Role::Init;
        // The end of the group is not the end of an init container that ended long before.
        let finished = self
            .finished
            .filter(|_| !(is_init && unrecorded == Unrecorded::Succeeded));
        let sources = Sources {
            group_id: self.group_id,
            facts: one,
            observed: find(observed, one),
            previous: previous.iter().find(|before| before.name == one.name),
            unrecorded,
            finished,
            waiting: self.waiting,
            is_init,
            // A sidecar may always run again, whatever the pod's policy.
            policy: if role == Role::Sidecar {
                RestartPolicy::Always
            } else {
                self.policy
            },
            siblings_ran: !is_init && observed.into_iter().flatten().any(ran),
        };
        sources.status()
    }
}

fn find<'a>(observed: Option<&'a [ObservedContainer]>, one: &ContainerFacts) -> Option<&'a ObservedContainer> {
    observed.into_iter().flatten().find(|seen| *seen.name == *one.name)
}

/// A status but for its conditions.
struct Parts<'a> {
    facts: &'a PodFacts,
    phase: Phase,
    reason: String,
    message: String,
    pod_ip: Option<&'a str>,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    containers: Vec<ContainerStatus>,
    init_containers: Vec<ContainerStatus>,
    now: Timestamp,
}

impl Parts<'_> {
    fn assemble(self) -> PodStatus {
        let previous = &self.facts.previous;
        let was_over = previous.phase.is_some_and(Phase::is_terminal);
        let (reason, message) = if was_over && (!previous.reason.is_empty() || self.reason.is_empty()) {
            (previous.reason.to_string(), previous.message.to_string())
        } else {
            (self.reason, self.message)
        };
        // A group that is over may have given its address back; the pod keeps showing it, as a kubelet does.
        let pod_ip = self.pod_ip.or(previous.pod_ip.as_deref());
        let conditions = Basis {
            facts: self.facts,
            phase: self.phase,
            containers: &self.containers,
            init_containers: &self.init_containers,
            has_network: pod_ip.is_some(),
            started: self.started,
            finished: self.finished,
            now: self.now,
        }
        .conditions();
        PodStatus {
            phase: Some(self.phase.as_str().to_owned()),
            reason: some(&reason),
            message: some(&message),
            conditions: Some(conditions),
            pod_ip: pod_ip.map(str::to_owned),
            pod_ips: pod_ip.map(|ip| vec![PodIP { ip: ip.to_owned() }]),
            host_ip: some(&self.facts.node_ip),
            host_ips: some(&self.facts.node_ip).map(|ip| vec![HostIP { ip }]),
            start_time: self.started.map(time),
            container_statuses: Some(self.containers),
            init_container_statuses: Some(self.init_containers).filter(|statuses| !statuses.is_empty()),
            observed_generation: self.facts.generation,
            ..PodStatus::default()
        }
    }
}
