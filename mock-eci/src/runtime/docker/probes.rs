//! Readiness and liveness probes of a running container.

use std::{net::IpAddr, sync::Arc};

use super::{actor::Command, group::Group, handlers};
use crate::{
    runtime::ContainerEvent,
    spec::{ContainerSpec, Probe},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Liveness,
    Readiness,
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
    let mut good: Option<bool> = None;
    let (mut successes, mut failures) = (0_u32, 0_u32);
    tokio::time::sleep(probe.initial_delay).await;
    loop {
        match handlers::run(group, ip, name, &probe.handler, probe.timeout).await {
            Ok(()) => {
                (successes, failures) = (successes.saturating_add(1), 0);
                if successes >= probe.success_threshold.max(1) && good != Some(true) {
                    good = Some(true);
                    if kind == Kind::Readiness {
                        tell(ContainerEvent::Ready(true));
                    }
                }
            }
            Err(why) => {
                (successes, failures) = (0, failures.saturating_add(1));
                let word = if kind == Kind::Liveness {
                    "Liveness"
                } else {
                    "Readiness"
                };
                tell(ContainerEvent::Unhealthy {
                    message: format!("{word} probe failed: {why}"),
                });
                if failures >= probe.failure_threshold.max(1) && good != Some(false) {
                    good = Some(false);
                    match kind {
                        Kind::Readiness => tell(ContainerEvent::Ready(false)),
                        Kind::Liveness => {
                            let grace = group.spec.termination_grace;
                            return group.tell(Command::StopContainer {
                                container: container.to_owned(),
                                grace,
                            });
                        }
                    }
                }
            }
        }
        tokio::time::sleep(probe.period).await;
    }
}
