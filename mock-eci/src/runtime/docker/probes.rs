//! Readiness and liveness probes of a running container.

use std::{net::IpAddr, sync::Arc};

use tokio::time::{Instant, MissedTickBehavior};

use super::{
    actor::Command,
    group::Group,
    handlers::{self, Failure},
};
use crate::{
    runtime::ContainerEvent,
    spec::{ContainerSpec, Probe, RestartPolicy},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Liveness,
    Readiness,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Probes until the task is aborted; outcomes go to the actor, which knows whether the container still runs.
pub(super) async fn run(group: Arc<Group>, ip: IpAddr, container: ContainerSpec, name: String, instance: u32) {
    let probe = |kind, probe: Option<Probe>| {
        let (group, container, name) = (&group, &container.name, &name);
        async move {
            if let Some(probe) = probe {
                repeat(group, ip, container, name, instance, kind, &probe).await;
            }
        }
    };
    let liveness = probe(Kind::Liveness, container.liveness_probe.clone());
    let readiness = probe(Kind::Readiness, container.readiness_probe.clone());
    futures::join!(liveness, readiness);
}

async fn repeat(group: &Group, ip: IpAddr, container: &str, name: &str, instance: u32, kind: Kind, probe: &Probe) {
    let tell = |event| {
        group.tell(Command::Observed {
            container: container.to_owned(),
            instance,
            event,
        });
    };
    let mut count = Count::default();
    let mut ticks = tokio::time::interval_at(Instant::now() + probe.initial_delay, probe.period);
    // As with Go's tickers, a probe that takes longer than the period leaves out the ones it overlaps.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let done = handlers::probe(group, ip, name, &probe.handler, probe.timeout).await;
        let good = match &done {
            Ok(()) => true,
            Err(Failure::Failed(why)) => {
                let message = format!("{} probe failed: {why}", kind.word());
                tell(ContainerEvent::Unhealthy { message });
                false
            }
            Err(Failure::Errored(why)) => {
                let message = format!("{} probe errored: {why}", kind.word());
                tell(ContainerEvent::Unhealthy { message });
                continue;
            }
        };
        match (count.add(good, probe), kind) {
            (Some(ready), Kind::Readiness) => tell(ContainerEvent::Ready(ready)),
            (Some(false), Kind::Liveness) => {
                let restarted = match group.spec.restart_policy {
                    RestartPolicy::Never => "",
                    RestartPolicy::Always | RestartPolicy::OnFailure => ", will be restarted",
                };
                tell(ContainerEvent::Noted {
                    warning: false,
                    reason: "Killing",
                    message: format!("Container {container} failed liveness probe{restarted}"),
                });
                return group.tell(Command::StopContainer {
                    container: container.to_owned(),
                    grace: group.spec.termination_grace,
                });
            }
            _ => {}
        }
    }
}

/// Outcomes in a row, and what they add up to.
#[derive(Debug, Default)]
struct Count {
    good: Option<bool>,
    successes: u32,
    failures: u32,
}

impl Count {
    /// Takes in an outcome; answers whether the probe is good where that has changed.
    fn add(&mut self, good: bool, probe: &Probe) -> Option<bool> {
        if good {
            (self.successes, self.failures) = (self.successes.saturating_add(1), 0);
        } else {
            (self.successes, self.failures) = (0, self.failures.saturating_add(1));
        }
        let reached = if good {
            self.successes >= probe.success_threshold.max(1)
        } else {
            self.failures >= probe.failure_threshold.max(1)
        };
        (reached && self.good != Some(good)).then(|| {
            self.good = Some(good);
            good
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::spec::Handler;

    #[test]
    fn thresholds_count_outcomes_in_a_row() {
        let probe = Probe {
            handler: Handler::Exec(Vec::new()),
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            success_threshold: 2,
            failure_threshold: 3,
        };
        let mut count = Count::default();
        let told: Vec<_> = "gbggbbgbbbbgg"
            .chars()
            .map(|outcome| count.add(outcome == 'g', &probe))
            .collect();
        let mut expected = [None; 13];
        (expected[3], expected[9], expected[12]) = (Some(true), Some(false), Some(true));
        assert_eq!(told, expected);
    }
}
