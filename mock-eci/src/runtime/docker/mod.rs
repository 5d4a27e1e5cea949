//! Groups as real containers, through the Docker Engine API: Docker, Docker Desktop and podman all serve.
//!
//! A group is a pause container, which owns its network and files, and one container for each of its own, in the pause
//! container's network. Every instance of a container is an engine container of its own; the engine restarts nothing.
//!
//! ```text
//! DockerRuntime ──commands──► Actor (one task per group) ──► launch / start / ending / probes ──► Engine
//!       ▲                        ▲        └── RuntimeEvents to the domain
//!       └─ adopt, logs           └── monitor: one event stream of the engine, for all groups
//! ```

mod actor;
mod adopt;
mod archive;
mod bodies;
mod ending;
mod engine;
mod exec;
mod files;
mod group;
mod handlers;
mod history;
mod hosts;
mod images;
mod launch;
mod logfile;
mod logs;
mod monitor;
mod names;
mod oom;
mod probes;
mod start;
mod stats;
mod update;
mod usage;

use std::{
    collections::HashMap,
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use futures::future::{self, BoxFuture};
use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use self::{
    actor::{Actor, Command},
    engine::Engine,
    group::{Group, Shared},
};
use super::{
    AdoptedGroup, Events, ImagePull, Lack, Launch, LogLine, LogQuery, PullFailed, Record, Runtime, RuntimeError,
    RuntimeEvent, RuntimeEventKind,
    exec::{ExecRequest, ExecStreams},
    metrics::Sample,
};
use crate::{
    clock::Clock,
    spec::{GroupId, GroupSpec, VolumeSource, VolumeSpec},
};

/// Image of the container that owns a group's network; any image with `/bin/busybox` will do.
pub const DEFAULT_PAUSE_IMAGE: &str = "localhost/virtual-node/pause:1";
/// How many calls an engine is given at once.
pub const DEFAULT_PARALLEL_CALLS: usize = 8;

/// How long a caller waits for a record to be kept.
const KEEPING: Duration = Duration::from_secs(10);

/// Settings of the docker runtime.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine: `unix://`, `tcp://` or `http://`; none = what `DOCKER_HOST` says, else `unix:///var/run/docker.sock`.
    pub host: Option<String>,
    /// Network of the engine that groups join (`--network`); it must exist.
    pub network: String,
    /// Routes added in each group (`--route CIDR=GATEWAY`).
    pub routes: Vec<Route>,
    /// See [`DEFAULT_PAUSE_IMAGE`].
    pub pause_image: String,
    /// Tells several servers apart that share one engine: each sees, adopts and resets its own groups only.
    pub owner: String,
    /// How many calls are made at once, at least 1.
    pub parallel_calls: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: None,
            network: "bridge".to_owned(),
            routes: Vec::new(),
            pause_image: DEFAULT_PAUSE_IMAGE.to_owned(),
            owner: "mock-eci".to_owned(),
            parallel_calls: DEFAULT_PARALLEL_CALLS,
        }
    }
}

/// A route of a group's network, written `CIDR=GATEWAY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to, such as `10.96.0.0/12`.
    pub destination: String,
    /// By way of this address in the groups' network.
    pub gateway: IpAddr,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is not a route CIDR=GATEWAY, such as 10.96.0.0/12=10.88.0.1: {why}");
        let (destination, gateway) = text.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        let gateway: IpAddr = gateway.parse().map_err(|_| wrong("the gateway is not an IP address"))?;
        let (network, length) = destination
            .split_once('/')
            .ok_or_else(|| wrong("the CIDR has no prefix length"))?;
        let network: IpAddr = network.parse().map_err(|_| wrong("the CIDR has no IP address"))?;
        let length: u8 = length.parse().map_err(|_| wrong("the prefix length is not a number"))?;
        if length > if network.is_ipv4() { 32 } else { 128 } {
            return Err(wrong("the prefix length is too long"));
        }
        if network.is_ipv4() != gateway.is_ipv4() {
            return Err(wrong("one is IPv4 and the other IPv6"));
        }
        Ok(Self {
            destination: destination.to_owned(),
            gateway,
        })
    }
}

/// Connects to the engine and begins to listen to it. Must be called on a Tokio runtime, which its tasks run on.
///
/// # Errors
/// A sentence that names the engine and what to set, when it does not answer.
pub async fn connect(config: Config, clock: Clock, events: Events) -> Result<Arc<dyn Runtime>, RuntimeError> {
    Ok(Arc::new(DockerRuntime::connect(config, clock, events).await?))
}

/// Runs groups on a container engine. Dropping it leaves all containers as they are.
#[derive(Clone)]
pub struct DockerRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    groups: Mutex<HashMap<GroupId, mpsc::UnboundedSender<Command>>>,
    histories: stats::Histories,
    tasks: Handle,
}

impl DockerRuntime {
    /// See [`connect`].
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn connect(config: Config, clock: Clock, events: Events) -> Result<Self, RuntimeError> {
        let engine = Engine::connect(config.host.as_deref(), config.parallel_calls).await?;
        tracing::info!(?engine, network = config.network, "connected to the container engine");
        let shared = Arc::new(Shared {
            engine,
            config,
            clock,
            events,
        });
        let inner = Arc::new(Inner {
            shared,
            groups: Mutex::default(),
            histories: stats::Histories::default(),
            tasks: Handle::current(),
        });
        inner.tasks.spawn(monitor::run(Arc::downgrade(&inner)));
        inner.tasks.spawn(stats::run(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }
}

impl Inner {
    fn groups(&self) -> MutexGuard<'_, HashMap<GroupId, mpsc::UnboundedSender<Command>>> {
        // Nothing that holds it can leave it half changed.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a group's actor; false = there is none.
    fn tell(&self, group: &GroupId, command: Command) -> bool {
        self.groups()
            .get(group)
            .is_some_and(|inbox| inbox.send(command).is_ok())
    }

    /// Takes a group into the books.
    fn group(&self, id: GroupId, spec: Arc<GroupSpec>) -> (Arc<Group>, mpsc::UnboundedReceiver<Command>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let group = Group {
            shared: Arc::clone(&self.shared),
            id: id.clone(),
            spec,
            inbox: sender.downgrade(),
            muted: Arc::new(AtomicBool::new(false)),
        };
        self.groups().insert(id, sender);
        (Arc::new(group), receiver)
    }

    /// Starts a group's actor.
    fn run(&self, group: &Arc<Group>, inbox: mpsc::UnboundedReceiver<Command>, prepare: impl FnOnce(Actor) -> Actor) {
        self.tasks.spawn({
            let _context = self.tasks.enter();
            prepare(Actor::new(Arc::clone(group), inbox)).run()
        });
    }
}

impl Runtime for DockerRuntime {
    fn lacks(&self, spec: &GroupSpec) -> Option<Lack> {
        let external = |v: &&VolumeSpec| matches!(v.source, VolumeSource::External(_));
        if let Some(volume) = spec.volumes.iter().find(external) {
            return Some(Lack::Volume(volume.name.clone()));
        }
        if spec.init_containers.iter().chain(&spec.containers).any(|c| c.gpus > 0) {
            return Some(Lack::Gpu);
        }
        spec.network.private_ip.map(|_| Lack::PrivateIpAddress)
    }

    fn launch(&self, launch: Launch) {
        let Launch {
            id,
            spec,
            record,
            // The engine holds them, if anybody does.
            cached_images: _,
        } = launch;
        let (group, inbox) = self.inner.group(id, spec);
        self.inner.run(&group, inbox, |actor| actor.launching(record));
    }

    fn start(&self, group: &GroupId, container: &str, instance: u32) {
        self.inner.tell(
            group,
            Command::Start {
                container: container.to_owned(),
                instance,
            },
        );
    }

    fn stop(&self, group: &GroupId, grace: Duration) {
        if !self.inner.tell(group, Command::Stop { grace }) {
            let shared = &self.inner.shared;
            let event = RuntimeEvent {
                group: group.clone(),
                at: shared.clock.now(),
                kind: RuntimeEventKind::Stopped,
            };
            let _ = shared.events.send(event);
        }
    }

    fn stop_container(&self, group: &GroupId, container: &str, grace: Duration) {
        self.inner.tell(
            group,
            Command::StopContainer {
                container: container.to_owned(),
                grace,
            },
        );
    }

    fn update(&self, update: Launch) {
        let id = update.id.clone();
        self.inner.tell(&id, Command::Update(update));
    }

    fn keep(&self, group: &GroupId, record: Record) {
        self.inner.tell(group, Command::Keep { record });
    }

    fn kept(&self, group: &GroupId) -> BoxFuture<'static, ()> {
        let (done, kept) = oneshot::channel();
        self.inner.tell(group, Command::Flush { done });
        Box::pin(async move {
            // An engine that does not answer keeps nobody waiting for ever.
            let _ = tokio::time::timeout(KEEPING, kept).await;
        })
    }

    fn remove(&self, group: &GroupId) {
        let inbox = self.inner.groups().remove(group);
        self.inner.histories.forget(group);
        if let Some(inbox) = inbox {
            let (done, _) = oneshot::channel();
            let _ = inbox.send(Command::Remove { done });
        }
    }

    fn logs<'a>(
        &'a self,
        group: &'a GroupId,
        container: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        Box::pin(async move {
            if !self.inner.groups().contains_key(group) {
                return Err(RuntimeError::NotFound);
            }
            let name = names::container(group, container, query.instance);
            match logs::read(&self.inner.shared, &name, query.tail, query.since).await {
                Err(error) if error.is_not_found() => Err(RuntimeError::NotFound),
                other => Ok(other?),
            }
        })
    }

    fn exec<'a>(
        &'a self,
        group: &'a GroupId,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStreams, RuntimeError>> {
        Box::pin(async move {
            if !self.inner.groups().contains_key(group) {
                return Err(RuntimeError::NotFound);
            }
            match exec::start(&self.inner.shared, group, request).await {
                // There is none, or it does not run (any more).
                Err(error) if exec::is_about_the_container(&error) => Err(RuntimeError::NotFound),
                other => Ok(other?),
            }
        })
    }

    fn samples(&self, group: &GroupId, times: &[Timestamp], within: Duration) -> Result<Vec<Sample>, RuntimeError> {
        if !self.inner.groups().contains_key(group) {
            return Err(RuntimeError::NotFound);
        }
        Ok(self.inner.histories.at(group, times, within))
    }

    fn pull_images(&self, pull: ImagePull) -> BoxFuture<'static, Result<(), PullFailed>> {
        let shared = Arc::clone(&self.inner.shared);
        Box::pin(async move {
            for image in &pull.images {
                images::ensure(&shared.engine, image, pull.policy, &pull.credentials, || {})
                    .await
                    .map_err(|error| PullFailed {
                        reason: error.reason.to_owned(),
                        message: error.message,
                    })?;
            }
            Ok(())
        })
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<AdoptedGroup>, RuntimeError>> {
        Box::pin(async move { Ok(adopt::adopt(&self.inner).await?) })
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(async move {
            let groups: Vec<_> = self.inner.groups().drain().collect();
            groups.iter().for_each(|(id, _)| self.inner.histories.forget(id));
            let removed = groups.into_iter().map(|(_, inbox)| async move {
                let (done, removed) = oneshot::channel();
                let _ = inbox.send(Command::Remove { done });
                drop(inbox);
                let _ = removed.await;
            });
            future::join_all(removed).await;
            self.inner.sweep().await?;
            Ok(())
        })
    }
}

impl Inner {
    /// Removes what carries our label and belongs to no group that is known.
    async fn sweep(&self) -> Result<(), engine::EngineError> {
        let engine = &self.shared.engine;
        let filter = names::owner_filter(&self.shared.config.owner);
        let containers = engine.list(&filter).await?.into_iter().filter_map(|found| found.labels);
        let volumes = engine.volumes(&filter).await?.into_iter().map(|found| found.labels);
        let known = |id: &GroupId| self.groups().contains_key(id);
        let ids: std::collections::BTreeSet<GroupId> = containers
            .chain(volumes)
            .filter_map(|labels| names::group_of(&labels))
            .filter(|id| !known(id))
            .collect();
        future::try_join_all(ids.iter().map(|id| group::purge(engine, id))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_a_network_and_a_gateway_of_one_family() {
        let route: Route = "10.96.0.0/12=10.88.0.1".parse().expect("route");
        assert_eq!(
            (route.destination.as_str(), route.gateway),
            ("10.96.0.0/12", "10.88.0.1".parse().expect("address"))
        );
        for wrong in [
            "",
            "10.96.0.0/12",
            "10.96.0.0=10.88.0.1",
            "10.96.0.0/33=10.88.0.1",
            "fd00::/8=10.88.0.1",
            "x/8=10.88.0.1",
            "10.0.0.0/8=x",
        ] {
            let error = wrong.parse::<Route>().expect_err(wrong);
            assert!(error.contains("CIDR=GATEWAY"), "{error}");
        }
    }
}
