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
    /// Whether its postStart hook is under way: it was started, but does not count as running yet.
    pub hooked: bool,
    /// Whether it takes part in readiness now.
    pub ready: bool,
    /// Engine's id of the newest instance.
    pub container_id: String,
    /// Image id or digest.
    pub image_id: String,
    /// Whether it will be started again: now, when its back-off is over, or when it is replaced.
    pub restarting: bool,
    /// Whether the newest instance has run.
    pub ran: bool,
    /// Whether it is to be started when its turn comes.
    pub awaiting: bool,
    /// Whether a start was ordered whose outcome is not known yet.
    in_flight: bool,
    /// The instance that starts when its back-off is over.
    backing_off: Option<u32>,
    /// It makes room: whether and how its place is taken.
    replace: Option<Replace>,
    /// Next back-off after a crash; none = the next restart is immediate.
    crash_backoff: Option<Duration>,
    /// Next back-off after a failed start.
    start_backoff: Duration,
}

/// What comes after a container that a restart or an update ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// A new instance.
    Anew,
    /// Nothing: its policy is Never.
    Never,
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
    /// The group's name, for messages.
    pub pod: &'a str,
    /// The group's id, for messages.
    pub uid: &'a str,
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
            hooked: false,
            ready: false,
            container_id: String::new(),
            image_id: String::new(),
            restarting: false,
            ran: false,
            awaiting: true,
            in_flight: false,
            backing_off: None,
            replace: None,
            crash_backoff: None,
            start_backoff: BACKOFF_FIRST,
        }
    }

    /// Notes that an instance is being started now.
    pub fn starting(&mut self, instance: u32) {
        self.ran &= instance == self.instance;
        self.instance = instance;
        self.restarting = true;
        self.awaiting = false;
        self.in_flight = true;
        self.backing_off = None;
    }

    /// Notes that an instance starts when its back-off is over.
    pub fn back_off(&mut self, instance: u32) {
        self.backing_off = Some(instance);
    }

    /// Whether this instance waits for the end of its back-off.
    pub fn backs_off(&self, instance: u32) -> bool {
        self.backing_off == Some(instance)
    }

    /// Whether its start failed and is tried again.
    pub fn fails_to_start(&self) -> bool {
        self.backing_off.is_some() && !self.ran
    }

    /// Notes that nothing of it is started any more.
    pub fn give_up(&mut self) {
        self.restarting = false;
        self.awaiting = false;
        self.backing_off = None;
        self.replace = None;
    }

    /// Orders that it makes room. With `never` (the policy) what has run is not started again; what has not is.
    pub fn make_room(&mut self, never: bool) {
        if never && self.ran {
            // One that has ended already stays as it ended.
            self.replace = self.is_running().then_some(Replace::Never);
        } else {
            self.replace = Some(Replace::Anew);
        }
        self.backing_off = None;
    }

    /// Whether it was told to make room.
    pub fn makes_room(&self) -> bool {
        self.replace.is_some()
    }

    /// Whether nothing of it runs or is about to.
    pub fn is_quiet(&self) -> bool {
        !self.is_running() && !self.in_flight
    }

    /// Takes its own place after it made room: a fresh container with the next number, waiting for its turn. False = its
    /// place stays as it is.
    pub fn renew(&mut self, reason: &'static str) -> bool {
        if self.replace.take() != Some(Replace::Anew) {
            return false;
        }
        let last = match &self.state {
            State::Terminated(ended) => Some(ended.clone()),
            _ => self.last.take(),
        };
        *self = Self {
            instance: self.instance + u32::from(self.ran),
            last,
            restarts: self.restarts,
            container_id: std::mem::take(&mut self.container_id),
            image_id: std::mem::take(&mut self.image_id),
            ..Self::new(reason)
        };
        true
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
            ContainerEvent::Hooking => {
                self.hooked = true;
                None
            }
            ContainerEvent::Started { container_id, image_id } => {
                if let State::Terminated(ended) = &self.state {
                    self.last = Some(ended.clone());
                }
                self.state = State::Running { started_at: at };
                self.ever_started = true;
                self.hooked = false;
                self.restarts = instance;
                self.ran = true;
                self.in_flight = false;
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
        self.in_flight = false;
        if of.ending || self.replace.is_some() {
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
        if instance != self.instance || !self.backs_off(instance) {
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
        self.in_flight = false;
        if let Some(replace) = self.replace {
            self.restarting = replace == Replace::Anew;
            self.state = State::Terminated(ended);
            return None;
        }
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
                message: format!(
                    "back-off {} restarting failed container={} pod={}_default({})",
                    go_duration(after),
                    of.name,
                    of.pod,
                    of.uid
                ),
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
        self.give_up();
        self.in_flight = false;
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

/// Seconds as Go writes them, and with it the kubelet: `10s`, `2m40s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
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
        pod: "web",
        uid: "eci-1",
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
        let State::Waiting { reason, message } = &container.state else {
            panic!("{:?}", container.state);
        };
        assert_eq!(*reason, "CrashLoopBackOff");
        assert_eq!(
            message,
            "back-off 5m0s restarting failed container=c pod=web_default(eci-1)"
        );

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
        container.back_off(0);
        assert!(!container.pull_backs_off(1, "i"), "of another instance");
        assert!(container.pull_backs_off(0, "i"));
        assert!(!container.pull_backs_off(0, "i"), "once");
        let message = "Back-off pulling image \"i\": ErrImagePull: no such host".to_owned();
        assert_eq!(reason(&container), ("ImagePullBackOff", message));
        container.apply(fail(), 0, Timestamp::UNIX_EPOCH, APP);
        assert_eq!(reason(&container).0, "ErrImagePull", "each attempt fails anew");
    }

    #[test]
    fn a_replaced_container_is_the_next_instance_without_back_off() {
        let at = Timestamp::UNIX_EPOCH;
        let mut container = Container::new("ContainerCreating");
        container.starting(0);
        container.make_room(false);
        assert!(!container.is_quiet(), "its start is under way");
        container.apply(started(), 0, at, APP);
        assert!(!container.is_quiet(), "it runs");
        assert_eq!(
            container.apply(exited(143), 0, at, APP),
            None,
            "the policy is not asked"
        );
        assert!(container.is_quiet());
        assert_eq!((container.ended(), container.restart_count()), (None, 0));
        assert!(container.renew("ContainerCreating"));
        assert_eq!((container.instance, container.awaiting), (1, true));
        container.starting(1);
        container.apply(started(), 1, at, APP);
        assert_eq!(container.restart_count(), 1);
        assert_eq!(container.last.as_ref().map(|ended| ended.exit.code), Some(143));

        // What never ran keeps its number.
        let mut container = Container::new("ContainerCreating");
        container.starting(0);
        container.make_room(true);
        let failed = ContainerEvent::StartFailed {
            reason: "ErrImagePull".into(),
            message: String::new(),
        };
        assert_eq!(container.apply(failed, 0, at, APP), None);
        assert!(container.renew("ContainerCreating"));
        assert_eq!(container.instance, 0);
    }

    #[test]
    fn with_policy_never_a_replaced_container_ends_for_good() {
        let of = Context {
            policy: RestartPolicy::Never,
            ..APP
        };
        let mut container = Container::new("ContainerCreating");
        container.starting(0);
        container.apply(started(), 0, Timestamp::UNIX_EPOCH, of);
        container.make_room(true);
        container.apply(exited(143), 0, Timestamp::UNIX_EPOCH, of);
        assert_eq!(container.ended(), Some(false));
        assert!(!container.renew("ContainerCreating"));
        assert_eq!(container.ended(), Some(false));
    }
}
