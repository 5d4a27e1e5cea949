//! One container of a group: its state, its restarts and their back-off. Pure; times come in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    runtime::{ContainerEvent, Exit},
    spec::RestartPolicy,
};

/// The kubelet's back-off: first restart at once, then this long, doubling.
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
/// The longest back-off. An instance that ran twice as long starts it anew.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Why a container waits whose image could not be pulled.
pub const ERR_IMAGE_PULL: &str = "ErrImagePull";

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running: not yet, or not again yet.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `ErrImagePull`, `CrashLoopBackOff` ...
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// Running.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Ended.
    Terminated(Terminated),
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminated {
    /// When it started; none = it never did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How.
    pub exit: Exit,
    /// The engine's id of the instance.
    pub container_id: String,
}

impl Terminated {
    /// The kubelet's word for it.
    pub fn reason(&self) -> &'static str {
        match &self.exit {
            exit if exit.oom => "OOMKilled",
            exit if exit.code == 0 => "Completed",
            _ => "Error",
        }
    }
}

/// A container's current record.
#[derive(Clone, Debug)]
pub struct Container {
    /// Number of the newest instance.
    pub instance: u32,
    /// Where it is.
    pub state: State,
    /// How the instance before ended.
    pub last: Option<Terminated>,
    /// Whether any instance ever ran.
    pub ever_started: bool,
    /// Number of the newest instance that ran: `RestartCount`.
    pub restarts: u32,
    /// Whether it takes part in readiness now.
    pub ready: bool,
    /// Engine's id of the newest instance.
    pub container_id: String,
    /// Image id or digest.
    pub image_id: String,
    /// Whether it is being started, or will be when its back-off is over.
    pub restarting: bool,
    /// Next back-off after a crash; none = the next restart is immediate.
    crash_backoff: Option<Duration>,
    /// Next back-off after a failed start.
    start_backoff: Duration,
}

/// Start this instance after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Which instance.
    pub instance: u32,
    /// In how long.
    pub after: Duration,
}

/// What the container is part of: enters into restarts and words.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The group's policy.
    pub policy: RestartPolicy,
    /// Whether it is an init container, which runs once to success.
    pub is_init: bool,
    /// Whether the group ends: nothing is started any more.
    pub ending: bool,
    /// Whether it has a readiness probe.
    pub has_readiness_probe: bool,
    /// Name, for messages.
    pub name: &'a str,
    /// Image, for messages.
    pub image: &'a str,
}

impl Container {
    /// Before its first start.
    pub fn new(reason: &'static str) -> Self {
        Self {
            instance: 0,
            state: State::Waiting {
                reason,
                message: String::new(),
            },
            last: None,
            ever_started: false,
            restarts: 0,
            ready: false,
            container_id: String::new(),
            image_id: String::new(),
            restarting: false,
            crash_backoff: None,
            start_backoff: BACKOFF_FIRST,
        }
    }

    /// Notes that an instance is being started now.
    pub fn starting(&mut self, instance: u32) {
        self.instance = instance;
        self.restarting = true;
    }

    /// Takes in what happened to an instance. Events of older instances are late and ignored.
    pub fn apply(&mut self, event: ContainerEvent, instance: u32, at: Timestamp, of: Context<'_>) -> Option<Restart> {
        if instance != self.instance {
            return None;
        }
        match event {
            ContainerEvent::Pulling
            | ContainerEvent::Pulled { .. }
            | ContainerEvent::Unhealthy { .. }
            | ContainerEvent::Noted { .. } => None,
            ContainerEvent::Started { container_id, image_id } => {
                if let State::Terminated(ended) = &self.state {
                    self.last = Some(ended.clone());
                }
                self.state = State::Running { started_at: at };
                self.ever_started = true;
                self.restarts = instance;
                self.ready = !of.is_init && !of.has_readiness_probe;
                self.container_id = container_id;
                self.image_id = image_id;
                self.start_backoff = BACKOFF_FIRST;
                self.restarting = false;
                None
            }
            ContainerEvent::Ready(ready) => {
                self.ready = ready && matches!(self.state, State::Running { .. });
                None
            }
            ContainerEvent::StartFailed { reason, message } => self.start_failed(&reason, message, of),
            ContainerEvent::Exited(exit) => self.exited(exit, at, of),
        }
    }

    fn start_failed(&mut self, reason: &str, message: String, of: Context<'_>) -> Option<Restart> {
        if of.ending {
            return None;
        }
        self.state = State::Waiting {
            reason: known_reason(reason),
            message,
        };
        self.ready = false;
        // Whatever the restart policy: what never started has not ended either, and the kubelet tries it again.
        let after = self.start_backoff;
        self.start_backoff = (self.start_backoff * 2).min(BACKOFF_MAX);
        self.restarting = true;
        Some(Restart {
            instance: self.instance,
            after,
        })
    }

    /// The kubelet looks at a failed pull again before its next attempt, and says so; false = there is nothing to say.
    pub fn pull_backs_off(&mut self, instance: u32, image: &str) -> bool {
        if instance != self.instance {
            return false;
        }
        match &mut self.state {
            State::Waiting { reason, message } if *reason == ERR_IMAGE_PULL => {
                *reason = "ImagePullBackOff";
                *message = format!("Back-off pulling image \"{image}\": {ERR_IMAGE_PULL}: {message}");
                true
            }
            _ => false,
        }
    }

    fn exited(&mut self, exit: Exit, at: Timestamp, of: Context<'_>) -> Option<Restart> {
        let started_at = match self.state {
            State::Running { started_at } => Some(started_at),
            _ => None,
        };
        let ended = Terminated {
            started_at,
            finished_at: at,
            exit,
            container_id: self.container_id.clone(),
        };
        let success = ended.exit.code == 0;
        let ran = started_at.map_or(SignedDuration::ZERO, |s| at.duration_since(s));
        self.ready = false;
        let restart = !of.ending
            && match of.policy {
                RestartPolicy::Never => false,
                RestartPolicy::OnFailure => !success,
                RestartPolicy::Always => !(of.is_init && success),
            };
        if !restart {
            self.restarting = false;
            self.state = State::Terminated(ended);
            return None;
        }
        if ran > SignedDuration::try_from(BACKOFF_MAX * 2).unwrap_or(SignedDuration::MAX) {
            self.crash_backoff = None;
        }
        let after = self.crash_backoff.unwrap_or(Duration::ZERO);
        self.crash_backoff = Some(match self.crash_backoff {
            None => BACKOFF_FIRST,
            Some(last) => (last * 2).min(BACKOFF_MAX),
        });
        self.restarting = true;
        if after.is_zero() {
            self.state = State::Terminated(ended);
        } else {
            self.last = Some(ended);
            self.state = State::Waiting {
                reason: "CrashLoopBackOff",
                message: format!("back-off {}s restarting failed container={}", after.as_secs(), of.name),
            };
        }
        Some(Restart {
            instance: self.instance + 1,
            after,
        })
    }

    /// Whether it ended and will not be started again; with which success.
    pub fn ended(&self) -> Option<bool> {
        match &self.state {
            State::Terminated(ended) if !self.restarting => Some(ended.exit.code == 0),
            _ => None,
        }
    }

    /// `RestartCount`: the number of the newest instance, without one that is only being started.
    pub fn restart_count(&self) -> u32 {
        self.restarts
    }

    /// Whether it waits for this reason.
    pub fn is_waiting_for(&self, wanted: &str) -> bool {
        matches!(self.state, State::Waiting { reason, .. } if reason == wanted)
    }

    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Ends it in the record where no event will (its network or engine is gone).
    pub fn lost(&mut self, at: Timestamp) {
        self.restarting = false;
        if self.is_running() {
            let State::Running { started_at } = self.state else {
                return;
            };
            let exit = Exit {
                code: 137,
                signal: 9,
                ..Exit::default()
            };
            self.state = State::Terminated(Terminated {
                started_at: Some(started_at),
                finished_at: at,
                exit,
                container_id: self.container_id.clone(),
            });
            self.ready = false;
        }
    }
}

/// The kubelet's waiting reasons a runtime may report; anything else becomes the general one.
fn known_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 7] = [
        ERR_IMAGE_PULL,
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PostStartHookError",
    ];
    KNOWN
        .into_iter()
        .find(|k| *k == reason)
        .unwrap_or("CreateContainerError")
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: Context<'_> = Context {
        policy: RestartPolicy::Always,
        is_init: false,
        ending: false,
        has_readiness_probe: false,
        name: "c",
        image: "i",
    };

    fn started() -> ContainerEvent {
        ContainerEvent::Started {
            container_id: String::new(),
            image_id: String::new(),
        }
    }

    fn exited(code: i32) -> ContainerEvent {
        ContainerEvent::Exited(Exit {
            code,
            ..Exit::default()
        })
    }

    #[test]
    fn crashes_back_off_as_the_kubelet_does() {
        let mut at = Timestamp::UNIX_EPOCH;
        let mut container = Container::new("ContainerCreating");
        let mut waits = Vec::new();
        for instance in 0..9 {
            container.starting(instance);
            container.apply(started(), instance, at, APP);
            at += SignedDuration::from_secs(1);
            let restart = container.apply(exited(1), instance, at, APP).expect("restarts");
            assert_eq!(restart.instance, instance + 1);
            waits.push(restart.after.as_secs());
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(matches!(
            container.state,
            State::Waiting {
                reason: "CrashLoopBackOff",
                ..
            }
        ));

        // Eleven minutes of health and the next restart is immediate again.
        container.starting(9);
        container.apply(started(), 9, at, APP);
        at += SignedDuration::from_mins(11);
        assert_eq!(
            container.apply(exited(1), 9, at, APP).map(|r| r.after),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn policies() {
        let end = |policy, is_init, code| {
            let of = Context { policy, is_init, ..APP };
            let mut container = Container::new("ContainerCreating");
            container.apply(started(), 0, Timestamp::UNIX_EPOCH, of);
            container.apply(exited(code), 0, Timestamp::UNIX_EPOCH, of).is_some()
        };
        assert!(end(RestartPolicy::Always, false, 0));
        assert!(end(RestartPolicy::Always, true, 1));
        assert!(
            !end(RestartPolicy::Always, true, 0),
            "a successful init container is done"
        );
        assert!(end(RestartPolicy::OnFailure, false, 1));
        assert!(!end(RestartPolicy::OnFailure, false, 0));
        assert!(!end(RestartPolicy::Never, false, 1));
    }

    #[test]
    fn a_restart_counts_once_it_runs() {
        let mut container = Container::new("ContainerCreating");
        let mut counts = Vec::new();
        for instance in 0..3 {
            container.starting(instance);
            counts.push(container.restart_count());
            container.apply(started(), instance, Timestamp::UNIX_EPOCH, APP);
            counts.push(container.restart_count());
            container.apply(exited(1), instance, Timestamp::UNIX_EPOCH, APP);
        }
        assert_eq!(counts, [0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn late_events_of_an_old_instance_change_nothing() {
        let mut container = Container::new("ContainerCreating");
        container.apply(started(), 0, Timestamp::UNIX_EPOCH, APP);
        container.apply(exited(1), 0, Timestamp::UNIX_EPOCH, APP);
        container.starting(1);
        assert_eq!(container.apply(started(), 0, Timestamp::UNIX_EPOCH, APP), None);
        assert!(!container.is_running());
    }

    #[test]
    fn image_pulls_back_off_too() {
        let mut container = Container::new("ContainerCreating");
        let fail = || ContainerEvent::StartFailed {
            reason: "ErrImagePull".into(),
            message: "no such host".into(),
        };
        let waits: Vec<_> = (0..7)
            .map(|_| {
                container
                    .apply(fail(), 0, Timestamp::UNIX_EPOCH, APP)
                    .expect("retries")
                    .after
                    .as_secs()
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        let reason = |container: &Container| match &container.state {
            State::Waiting { reason, message } => (*reason, message.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&container), ("ErrImagePull", "no such host".to_owned()));
        assert!(!container.pull_backs_off(1, "i"), "of another instance");
        assert!(container.pull_backs_off(0, "i"));
        assert!(!container.pull_backs_off(0, "i"), "once");
        let message = "Back-off pulling image \"i\": ErrImagePull: no such host".to_owned();
        assert_eq!(reason(&container), ("ImagePullBackOff", message));
        container.apply(fail(), 0, Timestamp::UNIX_EPOCH, APP);
        assert_eq!(reason(&container).0, "ErrImagePull", "each attempt fails anew");
    }
}
