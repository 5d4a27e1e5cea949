//! How containers end: asking them to, and finding out how it went.

use std::{sync::Arc, time::Duration};

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{actor::Command, files, group::Group, handlers, logs, names, oom};
use crate::{
    runtime::{ContainerEvent, Exit},
    spec::ContainerSpec,
};

/// Exit code of what was killed or cannot be found any more.
const KILLED: i32 = 137;
/// Between attempts to kill a container, or to ask a failing engine what became of it.
const RETRY: Duration = Duration::from_secs(1);
/// What a container is left after its preStop hook, however long that took; the kubelet's choice.
const AFTER_HOOK: Duration = Duration::from_secs(2);
/// How much of a log stands in for a termination message, as with the kubelet.
const LOG_LINES: usize = 80;
/// The same in bytes.
const LOG_BYTES: usize = 2048;

/// When and how a container ended, by the engine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at: Timestamp,
    pub(super) exit: Exit,
}

/// Finds out whether an instance has ended, asking until the engine answers; none = it runs.
pub(super) async fn examine(group: &Group, container: &ContainerSpec, instance: u32) -> Option<End> {
    let name = names::container(&group.id, &container.name, instance);
    loop {
        match group.engine().inspect(&name).await {
            Ok(found) => {
                let mut end = end_of(&found, group.shared.clock.wall())?;
                if end.exit.code == KILLED && !end.exit.oom {
                    end.exit.oom = oom::killed(found.id.unwrap_or_default()).await;
                }
                end.exit.message = last_words(group, container, instance, end.exit.code).await;
                return Some(end);
            }
            Err(error) if error.is_not_found() => {
                let message = "The container could not be located when it was terminated".to_owned();
                return Some(End {
                    at: group.shared.clock.wall(),
                    exit: Exit {
                        code: KILLED,
                        message,
                        ..Exit::default()
                    },
                });
            }
            Err(error) => {
                tracing::debug!(group = %group.id, %error, "asking again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// When (`now` where the engine does not know) and how a container ended; none = it runs, or never ran.
pub(super) fn end_of(container: &ContainerInspectResponse, now: Timestamp) -> Option<End> {
    use ContainerStateStatusEnum as Status;
    let state = container.state.as_ref()?;
    match state.status {
        Some(Status::EXITED | Status::DEAD | Status::REMOVING) => {}
        _ => return None,
    }
    let code = state
        .exit_code
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or(KILLED);
    Some(End {
        at: time(state.finished_at.as_deref()).unwrap_or(now),
        exit: Exit {
            code,
            signal: 0,
            oom: state.oom_killed.unwrap_or_default(),
            message: String::new(),
        },
    })
}

/// When a container was started; none = never.
pub(super) fn started_at(state: &ContainerState) -> Option<Timestamp> {
    time(state.started_at.as_deref())
}

/// A time of the engine's; the year 1 stands for never.
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// A container's termination message.
pub(super) async fn last_words(group: &Group, container: &ContainerSpec, instance: u32, code: i32) -> String {
    let path = files::termination_path(&container.name);
    let pause = names::pause(&group.id);
    let written = group
        .engine()
        .end_of_file(&pause, &path, files::MAX_TERMINATION_MESSAGE);
    let written = match written.await {
        Ok(written) => written,
        Err(error) => {
            tracing::debug!(group = %group.id, %error, "no termination message");
            Vec::new()
        }
    };
    if !written.is_empty() || code == 0 || !container.termination_message_from_logs {
        return String::from_utf8_lossy(&written).into_owned();
    }
    let name = names::container(&group.id, &container.name, instance);
    let lines = logs::read(&group.shared, &name, LOG_LINES, None)
        .await
        .unwrap_or_default();
    let text: Vec<u8> = lines.into_iter().flat_map(|line| line.text).collect();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_BYTES)..]).into_owned()
}

/// An instance that is asked to end.
pub(super) struct Ending {
    pub(super) group: Arc<Group>,
    pub(super) container: String,
    pub(super) instance: u32,
    pub(super) stop_signal: String,
    /// When it is killed; may move to earlier.
    pub(super) deadline: watch::Receiver<Instant>,
    /// Cancelled once it has ended.
    pub(super) ended: CancellationToken,
}

impl Ending {
    /// preStop hook, the stop signal, and SIGKILL at the deadline; returns once the container has ended.
    pub(super) async fn run(self, ip: Option<std::net::IpAddr>) {
        let ended = self.ended.clone();
        tokio::select! {
            () = ended.cancelled() => {}
            () = self.end(ip) => {}
        }
    }

    async fn end(mut self, ip: Option<std::net::IpAddr>) {
        let name = names::container(&self.group.id, &self.container, self.instance);
        let deadline = *self.deadline.borrow();
        if deadline > Instant::now() {
            let mut least = deadline;
            let hook = self
                .group
                .spec
                .container(&self.container)
                .and_then(|container| container.pre_stop.clone());
            if let (Some(hook), Some(ip)) = (hook, ip) {
                let group = Arc::clone(&self.group);
                let left = deadline.saturating_duration_since(Instant::now());
                tokio::select! {
                    done = handlers::hook(&group, ip, &name, &hook, left) => {
                        if let Err(why) = done {
                            tracing::info!(group = %group.id, container = self.container, why, "preStop hook failed");
                            self.note(true, "FailedPreStopHook", "PreStopHook failed");
                        }
                    }
                    () = self.until(deadline, deadline) => {}
                }
                least = least.max(Instant::now() + AFTER_HOOK);
            }
            if let Err(error) = self.group.engine().kill(&name, &self.stop_signal).await {
                // Most likely it has ended by itself meanwhile.
                tracing::debug!(group = %self.group.id, %error, "not signalled");
                self.check();
            }
            self.until(least, deadline).await;
        }
        loop {
            if let Err(error) = self.group.engine().kill(&name, "SIGKILL").await {
                tracing::debug!(group = %self.group.id, %error, "not killed");
            }
            self.check();
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Waits until `time`, or until the deadline where that is not the one it was any more: somebody is in a greater hurry.
    async fn until(&mut self, time: Instant, was: Instant) {
        loop {
            let deadline = *self.deadline.borrow_and_update();
            let until = if deadline < was { deadline } else { time };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                changed = self.deadline.changed() => if changed.is_err() {
                    return tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    fn check(&self) {
        self.group.tell(Command::Check {
            container: self.container.clone(),
            instance: self.instance,
        });
    }

    fn note(&self, warning: bool, reason: &'static str, message: &str) {
        let event = ContainerEvent::Noted {
            warning,
            reason,
            message: message.to_owned(),
        };
        self.group.tell(Command::Observed {
            container: self.container.clone(),
            instance: self.instance,
            event,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(status: ContainerStateStatusEnum, finished_at: &str) -> ContainerInspectResponse {
        ContainerInspectResponse {
            state: Some(ContainerState {
                status: Some(status),
                exit_code: Some(3),
                finished_at: Some(finished_at.into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn only_containers_that_ran_and_stopped_have_ended() {
        let time = "2026-01-01T00:00:12.5Z";
        assert_eq!(
            end_of(
                &container(ContainerStateStatusEnum::RUNNING, "0001-01-01T00:00:00Z"),
                Timestamp::UNIX_EPOCH
            ),
            None
        );
        assert_eq!(
            end_of(
                &container(ContainerStateStatusEnum::CREATED, "0001-01-01T00:00:00Z"),
                Timestamp::UNIX_EPOCH
            ),
            None
        );
        let end = end_of(
            &container(ContainerStateStatusEnum::EXITED, time),
            Timestamp::UNIX_EPOCH,
        )
        .expect("ended");
        assert_eq!((end.at, end.exit.code), (time.parse().expect("time"), 3));
    }

    #[test]
    fn the_year_one_is_never() {
        let state = ContainerState {
            started_at: Some("0001-01-01T00:00:00Z".into()),
            ..Default::default()
        };
        assert_eq!(started_at(&state), None);
    }
}
