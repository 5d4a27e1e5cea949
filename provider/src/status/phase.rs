//! The phase of a pod: a kubelet's rules over its containers, then what the group's own state adds.

use k8s_openapi::api::core::v1::ContainerStatus;

use super::facts::{ContainerFacts, PodFacts};
use crate::group::GroupStatus;
use crate::request::RestartPolicy;

/// `status.phase`, in the order in which a pod goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Accepted, not all containers have started.
    Pending,
    /// At least one container runs or is being restarted.
    Running,
    /// All containers ended with 0 and will not be restarted.
    Succeeded,
    /// All containers ended, at least one of them badly.
    Failed,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    /// The word in `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Reads `status.phase`; `None` for `Unknown` and anything new.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }

    /// Whether the pod is over. A terminal phase never changes.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// `next`, unless that would be a step back: a pod that ran never waits again (a group that restarts or is updated is
    /// Running), and one that is over stays what it is.
    pub(super) fn then(self, next: Self) -> Self {
        if self.is_terminal() { self } else { self.max(next) }
    }
}

/// How far the containers of a pod are, by what they mean for its phase.
#[derive(Default)]
pub(super) struct Containers {
    main: Vec<Progress>,
    init: Vec<Progress>,
    sidecars: Vec<Progress>,
}

impl Containers {
    /// Of statuses that stand in the order of `facts`.
    pub(super) fn of(main: &[ContainerStatus], init: &[ContainerStatus], facts: &PodFacts) -> Self {
        Self::sorted(main, init, &facts.init_containers)
    }

    fn sorted(main: &[ContainerStatus], init: &[ContainerStatus], facts: &[ContainerFacts]) -> Self {
        let mut all = Self {
            main: main.iter().map(Progress::of).collect(),
            ..Self::default()
        };
        for (index, status) in init.iter().enumerate() {
            let sidecar = facts.get(index).is_some_and(|facts| facts.sidecar);
            let list = if sidecar { &mut all.sidecars } else { &mut all.init };
            list.push(Progress::of(status));
        }
        all
    }

    /// Whether every main container has ended with 0.
    fn all_well(&self) -> bool {
        let well = Progress::Stopped { well: true };
        !self.main.is_empty() && self.main.iter().all(|progress| *progress == well)
    }
}

/// The phase of a pod whose group is in `group`.
pub(super) fn of(group: &GroupStatus, containers: &Containers, policy: RestartPolicy) -> Phase {
    match group {
        GroupStatus::Scheduling => Phase::Pending,
        // The group's verdict: ECI can be told to overlook a container's exit code.
        GroupStatus::Succeeded => Phase::Succeeded,
        // ECI counts how sidecars end when it ends them; a pod is done with its main containers.
        GroupStatus::Failed | GroupStatus::Expired if !containers.sidecars.is_empty() && containers.all_well() => {
            Phase::Succeeded
        }
        GroupStatus::Failed | GroupStatus::Expired | GroupStatus::ScheduleFailed => Phase::Failed,
        // What has ended there will not run again, even where the policy is Always.
        GroupStatus::Terminating => by_containers(containers, policy, true),
        GroupStatus::Pending
        | GroupStatus::Running
        | GroupStatus::Restarting
        | GroupStatus::Updating
        // Whatever the word means, the containers tell.
        | GroupStatus::Unknown(_) => by_containers(containers, policy, false),
    }
}

/// A kubelet's `getPhase`. `over` = no container will be started again, whatever the restart policy.
pub(super) fn by_containers(containers: &Containers, policy: RestartPolicy, over: bool) -> Phase {
    let Containers { main, init, sidecars } = containers;
    if policy == RestartPolicy::Never && init.contains(&Progress::Stopped { well: false }) {
        return Phase::Failed;
    }
    // A failed init container that will be tried again does not hold the phase, for nothing after it has started.
    let initializing = init
        .iter()
        .any(|progress| matches!(progress, Progress::Waiting | Progress::Running));
    if initializing || main.contains(&Progress::Waiting) {
        return Phase::Pending;
    }
    if main.contains(&Progress::Running) {
        return Phase::Running;
    }
    if main.is_empty() {
        return Phase::Pending;
    }
    // Sidecars end after the main containers, and how they end does not matter.
    if sidecars.contains(&Progress::Running) {
        return Phase::Running;
    }
    let all_well = containers.all_well();
    match policy {
        _ if over && all_well => Phase::Succeeded,
        _ if over => Phase::Failed,
        RestartPolicy::Always => Phase::Running,
        _ if all_well => Phase::Succeeded,
        RestartPolicy::Never => Phase::Failed,
        RestartPolicy::OnFailure => Phase::Running,
    }
}

/// How far a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Has not run.
    Waiting,
    /// Runs.
    Running,
    /// Ended, or waits for its next run.
    Stopped {
        /// Whether the last run ended with 0; never for one that waits for the next.
        well: bool,
    },
}

impl Progress {
    fn of(status: &ContainerStatus) -> Self {
        let Some(state) = &status.state else {
            return Self::Waiting;
        };
        if state.running.is_some() {
            return Self::Running;
        }
        if let Some(end) = &state.terminated {
            return Self::Stopped {
                well: end.exit_code == 0,
            };
        }
        match status.last_state.as_ref().and_then(|last| last.terminated.as_ref()) {
            Some(_) => Self::Stopped { well: false },
            None => Self::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    };

    use super::*;

    fn ended(exit_code: i32) -> ContainerState {
        let terminated = Some(ContainerStateTerminated {
            exit_code,
            ..ContainerStateTerminated::default()
        });
        ContainerState {
            terminated,
            ..ContainerState::default()
        }
    }

    /// `w` waiting, `r` running, `0` and `1` ended so, `b` between two runs.
    fn statuses(states: &str) -> Vec<ContainerStatus> {
        let waiting = ContainerState {
            waiting: Some(ContainerStateWaiting::default()),
            ..ContainerState::default()
        };
        let running = ContainerState {
            running: Some(ContainerStateRunning::default()),
            ..ContainerState::default()
        };
        states
            .chars()
            .map(|state| match state {
                'w' => (waiting.clone(), None),
                'r' => (running.clone(), None),
                'b' => (waiting.clone(), Some(ended(1))),
                code => (ended(i32::from(code == '1')), None),
            })
            .map(|(state, last_state)| ContainerStatus {
                state: Some(state),
                last_state,
                ..ContainerStatus::default()
            })
            .collect()
    }

    /// Init containers in capitals are sidecars.
    fn containers(main: &str, init: &str) -> Containers {
        let facts: Vec<_> = init
            .chars()
            .map(|state| ContainerFacts {
                name: "c".into(),
                image: "i".into(),
                readiness_probe: false,
                sidecar: state.is_uppercase(),
            })
            .collect();
        // Digits have no capitals: `Z` and `O` are sidecars that ended with 0 and 1.
        let init = init.to_lowercase().replace('z', "0").replace('o', "1");
        Containers::sorted(&statuses(main), &statuses(&init), &facts)
    }

    #[test]
    fn phases_are_a_kubelets() {
        use Phase::{Failed, Pending, Running, Succeeded};
        // Init containers, containers, phase by policy Always, OnFailure, Never.
        for (init, main, phases) in [
            ("", "w", [Pending; 3]),
            ("", "rw", [Pending; 3]),
            ("", "r", [Running; 3]),
            ("", "r1", [Running; 3]),
            ("", "r0", [Running; 3]),
            ("", "0", [Running, Succeeded, Succeeded]),
            ("", "00", [Running, Succeeded, Succeeded]),
            ("", "01", [Running, Running, Failed]),
            ("", "1", [Running, Running, Failed]),
            ("", "b", [Running, Running, Failed]),
            ("", "rb", [Running; 3]),
            ("r", "w", [Pending; 3]),
            ("0w", "w", [Pending; 3]),
            ("00", "r", [Running; 3]),
            ("1", "w", [Pending, Pending, Failed]),
            ("b", "w", [Pending, Pending, Failed]),
            ("W", "w", [Pending; 3]),
            ("R", "w", [Pending; 3]),
            ("0R", "r", [Running; 3]),
            ("B", "r", [Running; 3]),
            ("O", "r", [Running; 3]),
            ("R", "0", [Running; 3]),
            ("Z", "0", [Running, Succeeded, Succeeded]),
            ("O", "0", [Running, Succeeded, Succeeded]),
            ("O", "1", [Running, Running, Failed]),
        ] {
            let policies = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
            for (policy, expected) in policies.into_iter().zip(phases) {
                let phase = of(&GroupStatus::Running, &containers(main, init), policy);
                assert_eq!(phase, expected, "init {init:?}, containers {main:?}, {policy:?}");
            }
        }
    }

    #[test]
    fn the_groups_own_verdict_wins() {
        for (group, states, expected) in [
            (GroupStatus::Scheduling, "r", Phase::Pending),
            (GroupStatus::Succeeded, "1", Phase::Succeeded),
            (GroupStatus::Failed, "0", Phase::Failed),
            (GroupStatus::Expired, "r", Phase::Failed),
            (GroupStatus::ScheduleFailed, "w", Phase::Failed),
            (GroupStatus::Terminating, "r", Phase::Running),
            (GroupStatus::Terminating, "01", Phase::Failed),
            (GroupStatus::Terminating, "0", Phase::Succeeded),
            (GroupStatus::Unknown("New".to_owned()), "r", Phase::Running),
        ] {
            assert_eq!(
                of(&group, &containers(states, ""), RestartPolicy::Always),
                expected,
                "{group:?} {states}"
            );
        }
    }

    #[test]
    fn sidecars_that_eci_ended_do_not_fail_a_pod() {
        for (main, sidecar, expected) in [
            ("0", "O", Phase::Succeeded),
            ("0", "R", Phase::Succeeded),
            ("1", "O", Phase::Failed),
            ("r", "O", Phase::Failed),
        ] {
            for group in [GroupStatus::Failed, GroupStatus::Expired] {
                let phase = of(&group, &containers(main, sidecar), RestartPolicy::Never);
                assert_eq!(phase, expected, "{group:?} {main} {sidecar}");
            }
        }
    }
}
