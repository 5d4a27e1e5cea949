//! What runs the containers of a group, behind one trait.
//!
//! # Flow
//! The domain owns the life cycle; a runtime only acts and reports. Commands return at once, what became of them is
//! reported as [`RuntimeEvent`]s on the channel the runtime was made with, in the order it happened per group:
//!
//! ```text
//! launch ──► Scheduled ──► PullStarted ──► SandboxReady{ip}            (or LaunchFailed)
//! start(container, instance) ──► [Pulling ──► Pulled ──►] Started ──► [Ready(..)] ──► Exited      (or StartFailed)
//! stop(grace) ──► Exited for each running container ──► Stopped
//! update ──► nothing: later starts use the new spec
//! remove ──► nothing: no event follows
//! ```
//!
//! The domain starts init containers one by one, then all containers, restarts them by the group's policy with the
//! kubelet's back-off (crash and image pull alike, by calling [`Runtime::start`] again with the next instance, or the
//! same one when the instance never started), ends groups at their deadline, and removes groups that are deleted.
//! So a runtime needs no timer but the grace period and the probes.
//!
//! # Guarantees a runtime gives
//! - Commands for one group are carried out in order; [`Runtime::stop`] and [`Runtime::remove`] interrupt a launch or a start in progress.
//! - Every command on an unknown group is ignored, but `stop`, which answers [`RuntimeEventKind::Stopped`].
//! - Exactly one `Exited` follows each `Started`, even when somebody else killed the container.
//! - Logs of all instances (at least the newest two) stay readable until `remove`.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;

use self::{
    exec::{ExecRequest, ExecStreams},
    metrics::Sample,
};
use crate::spec::{GroupId, GroupSpec, PullPolicy, RegistryCredential};

pub mod docker;
pub mod exec;
pub mod metrics;
pub mod simulated;

/// Where a runtime reports to. Sending fails only when the server is gone; ignore that.
pub type Events = mpsc::UnboundedSender<RuntimeEvent>;

/// Something a runtime cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Mount this volume.
    Volume(String),
    /// Give containers GPUs.
    Gpu,
    /// Give a group the address it asks for.
    PrivateIpAddress,
}

/// Runs the containers of groups. See the module for the protocol.
pub trait Runtime: Send + Sync + 'static {
    /// What of a spec this runtime cannot do. Asked before a group is made: an error in the call is better than a group that
    /// silently lacks something.
    fn lacks(&self, _spec: &GroupSpec) -> Option<Lack> {
        None
    }

    /// Makes the group's network (and volumes), but starts none of its containers.
    fn launch(&self, launch: Launch);

    /// Pulls what the container needs by its pull policy and starts it. `instance` counts from 0 and is one more for each
    /// restart; it names the instance in events and in [`LogQuery`].
    fn start(&self, group: &GroupId, container: &str, instance: u32);

    /// Ends every container of the group: preStop hook and SIGTERM now, SIGKILL after `grace` (zero = at once), then
    /// reports [`RuntimeEventKind::Stopped`]. A second call can shorten the grace, never lengthen it. Logs stay.
    fn stop(&self, group: &GroupId, grace: Duration);

    /// Ends one container as [`Runtime::stop`] ends all; it is reported by its `Exited`.
    fn stop_container(&self, group: &GroupId, container: &str, grace: Duration);

    /// Gives the group another spec, for starts from now on: rewrites its config files in place, makes the volumes it has not
    /// had yet, and keeps the record that comes along instead of the old one. Containers that run are left alone; those whose
    /// own parameters differ, or that are no more, were ended before this is called.
    fn update(&self, update: Launch);

    /// Forgets the group: kills what still runs, frees network, volumes and logs.
    fn remove(&self, group: &GroupId);

    /// Log lines of one container, oldest first.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] when there is no such group, container or instance.
    fn logs<'a>(
        &'a self,
        group: &'a GroupId,
        container: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>>;

    /// Replaces what [`Launch::record`] said; the newest record is the one [`Runtime::adopt`] finds. By default nothing is
    /// kept.
    fn keep(&self, group: &GroupId, record: Record) {
        let (_, _) = (group, record);
    }

    /// Runs a command in a container that runs. It ends when its caller drops the streams, or with the container.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] when this instance does not run. A program that cannot be started is no error here: the
    /// streams say so, with exit code 126 or 127, as a container runtime does. By default nothing runs.
    fn exec<'a>(
        &'a self,
        group: &'a GroupId,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStreams, RuntimeError>> {
        let (_, _) = (group, request);
        Box::pin(std::future::ready(Err(RuntimeError::NotFound)))
    }

    /// What a group used at each of these times (multiples of [`metrics::SAMPLE_PERIOD`], oldest first). Times without a sample
    /// are left out; a sample may be up to `within` older than the time it stands for. By default there are none.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] when there is no such group.
    fn samples(&self, group: &GroupId, times: &[Timestamp], within: Duration) -> Result<Vec<Sample>, RuntimeError> {
        let (_, _, _) = (group, times, within);
        Ok(Vec::new())
    }

    /// Makes images ready for groups to come (`CreateImageCache`), and tells when they are. Dropping the future gives up.
    /// A runtime without images has them all.
    fn pull_images(&self, pull: ImagePull) -> BoxFuture<'static, Result<(), PullFailed>> {
        drop(pull);
        Box::pin(std::future::ready(Ok(())))
    }

    /// Resolves once what [`Runtime::keep`] was last given for a group survives this process, or it is clear that it never
    /// will. By default at once.
    fn kept(&self, group: &GroupId) -> BoxFuture<'static, ()> {
        let _ = group;
        Box::pin(std::future::ready(()))
    }

    /// Whether groups outlive this process, so that making their records is worth while.
    fn survives(&self) -> bool {
        true
    }

    /// Groups of an earlier process that this runtime still holds; called once, before any command. From here on their
    /// events are reported like those of groups launched now. What cannot be adopted is removed.
    fn adopt(&self) -> BoxFuture<'_, Result<Vec<AdoptedGroup>, RuntimeError>>;

    /// Removes every group there is, those of earlier processes included, and returns when they are gone.
    fn reset(&self) -> BoxFuture<'_, Result<(), RuntimeError>>;
}

/// Order to make a group, or to make it another.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The group's id.
    pub id: GroupId,
    /// All that was asked for; shared with the domain.
    pub spec: Arc<GroupSpec>,
    /// The domain's own record of the group, opaque JSON text (holds secrets: never log it). A runtime that survives this
    /// process keeps it with the group and returns it in [`AdoptedGroup::record`].
    pub record: Record,
    /// Those of its images that an image cache holds: they need no pull.
    pub cached_images: Vec<String>,
}

/// Order to make images ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePull {
    /// References of the images.
    pub images: Vec<String>,
    /// Whether images that are there are pulled again.
    pub policy: PullPolicy,
    /// Logins of their registries.
    pub credentials: Vec<RegistryCredential>,
    /// Registries (`host[:port]`) without TLS or without a trusted certificate.
    pub insecure_registries: Vec<String>,
    /// Tags of the image cache: simulations are steered by some.
    pub tags: Vec<(String, String)>,
}

/// Why images are not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullFailed {
    /// CamelCase word, such as `ErrImagePull`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Opaque text a runtime keeps for the domain; `Debug` shows its length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record(pub Arc<str>);

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// One thing that happened to a group.
#[derive(Clone, Debug)]
pub struct RuntimeEvent {
    /// The group.
    pub group: GroupId,
    /// When, by the server's [`crate::clock::Clock`].
    pub at: Timestamp,
    /// What.
    pub kind: RuntimeEventKind,
}

/// What happened to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEventKind {
    /// Resources were found.
    Scheduled,
    /// The pull of the first image begins (or storage is attached): billing starts here.
    PullStarted,
    /// The group has its address; containers can be started.
    SandboxReady {
        /// Its address.
        ip: IpAddr,
    },
    /// The group cannot be made at all; nothing of it remains but its record.
    LaunchFailed {
        /// CamelCase word, such as `NoStock` or `FailedCreatePodSandBox`.
        reason: String,
        /// For people.
        message: String,
    },
    /// Something happened to one container.
    Container {
        /// Its name.
        name: String,
        /// Which of its instances.
        instance: u32,
        /// What.
        event: ContainerEvent,
    },
    /// It uses more than it may of what is limited for the group as a whole, and has to end.
    Evicted {
        /// For people.
        message: String,
    },
    /// After `stop`: nothing of the group runs any more.
    Stopped,
}

/// What happened to one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerEvent {
    /// Its image is being pulled.
    Pulling,
    /// Its image is there.
    Pulled {
        /// How long the pull took; none = the image was already there.
        took: Option<Duration>,
    },
    /// It was started, and its postStart hook is under way; `Started` follows when that is done.
    Hooking,
    /// It runs, and its postStart hook is done.
    Started {
        /// The engine's id of this instance, such as `docker://<hex>`.
        container_id: String,
        /// Digest or id of the image.
        image_id: String,
    },
    /// It could not be started; the domain tries again with back-off. A postStart hook that fails is no such failure: the
    /// container is ended, and its end reported.
    StartFailed {
        /// The kubelet's word: `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName`, `CreateContainerError`, `RunContainerError` ...
        reason: String,
        /// For people.
        message: String,
    },
    /// Outcome of the readiness probe changed. Containers without such a probe are ready as soon as they run, without this event.
    Ready(bool),
    /// A probe failed; worth an event for people. When liveness was lost the runtime stops the container too.
    Unhealthy {
        /// Such as `Liveness probe failed: HTTP probe failed with statuscode: 500`.
        message: String,
    },
    /// Something else worth an event for people, in the kubelet's words.
    Noted {
        /// `Warning`, otherwise `Normal`.
        warning: bool,
        /// CamelCase word, such as `Killing` or `FailedPreStopHook`.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// It ended.
    Exited(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// 0–255; 128 + signal where a signal ended it.
    pub code: i32,
    /// The signal, 0 = none or unknown.
    pub signal: i32,
    /// It exceeded its memory: reason `OOMKilled`.
    pub oom: bool,
    /// Termination message (its file, or by policy the end of its log), at most 4096 bytes.
    pub message: String,
}

/// Which log lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Which instance.
    pub instance: u32,
    /// At most this many lines, the newest ones.
    pub tail: usize,
    /// Only lines written at or after this time.
    pub since: Option<Timestamp>,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// Its bytes, with the newline if there was one.
    pub text: Bytes,
}

/// A group found at start.
#[derive(Clone, Debug)]
pub struct AdoptedGroup {
    /// The group's id.
    pub id: GroupId,
    /// What [`Launch::record`] held.
    pub record: Record,
    /// Its address; none = its network is gone (the machine was restarted): every container counts as ended.
    pub ip: Option<IpAddr>,
    /// The newest instance of each container that was ever created.
    pub containers: Vec<AdoptedContainer>,
}

/// The newest instance of a container found at start.
#[derive(Clone, Debug)]
pub struct AdoptedContainer {
    /// Its name.
    pub name: String,
    /// Its instance number.
    pub instance: u32,
    /// The engine's id.
    pub container_id: String,
    /// Digest or id of the image.
    pub image_id: String,
    /// When it started; none = it was created and never started.
    pub started_at: Option<Timestamp>,
    /// When and how it ended; none = it runs.
    pub exited: Option<(Timestamp, Exit)>,
}

/// Why a runtime could not answer.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// No such group, container or instance.
    #[error("no such group, container or instance")]
    NotFound,
    /// The engine failed.
    #[error("cannot {action}: {message}")]
    Engine {
        /// What was tried, as an infinitive: `read the log`.
        action: &'static str,
        /// What the engine said.
        message: String,
    },
}
