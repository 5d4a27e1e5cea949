//! One group on the engine, with its events, removed whatever becomes of the test.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bollard::{
    Docker,
    query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder},
};
use futures::FutureExt;
use mock_eci::{
    clock::{Clock, Mode},
    runtime::{
        ContainerEvent, Exit, Launch, LogQuery, Record, Runtime, RuntimeEvent, RuntimeEventKind,
        docker::{Config, DockerRuntime},
    },
    spec::{ContainerSpec, GroupId, GroupSpec, Size, VolumeSource, VolumeSpec},
};
use tokio::sync::mpsc;

/// Longest wait for any one event; an engine that is busy with all tests at once is slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// A runtime of its own with one group.
pub(crate) struct Bed {
    pub(crate) runtime: DockerRuntime,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) group: GroupId,
    events: mpsc::UnboundedReceiver<RuntimeEvent>,
    seen: Vec<RuntimeEvent>,
}

/// Runs a test on a bed and removes what it made, also when it fails.
pub(crate) fn on_bed<F: Future<Output = ()>>(test: impl FnOnce(Bed) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bed = Bed::new().await;
        let config = bed.config.clone();
        let outcome = AssertUnwindSafe(test(bed)).catch_unwind().await;
        let (events, _) = mpsc::unbounded_channel();
        let cleaner = DockerRuntime::connect(config, Clock::new(Mode::Auto), events)
            .await
            .unwrap();
        cleaner.reset().await.unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The image containers of tests are made of.
pub(crate) fn image() -> String {
    std::env::var("MOCK_ECI_TEST_IMAGE").unwrap_or_else(|_| "localhost/virtual-node/busybox:1".to_owned())
}

/// The engine itself, for what a runtime does not show.
pub(crate) async fn engine() -> Docker {
    let docker = Docker::connect_with_defaults().unwrap();
    docker.negotiate_version().await.unwrap()
}

/// A container that runs a shell script.
pub(crate) fn shell(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: image(),
        command: vec!["/bin/sh".into(), "-c".into(), script.to_owned()],
        ..Default::default()
    }
}

/// A group of these containers.
pub(crate) fn group(containers: Vec<ContainerSpec>) -> GroupSpec {
    GroupSpec {
        name: "test".into(),
        host_name: "test-host".into(),
        size: Size {
            milli_cpu: 1000,
            memory_mib: 256,
        },
        termination_grace: Duration::from_secs(30),
        containers,
        ..Default::default()
    }
}

/// An EmptyDir volume.
pub(crate) fn empty_dir(name: &str, memory: bool) -> VolumeSpec {
    VolumeSpec {
        name: name.into(),
        source: VolumeSource::EmptyDir {
            memory,
            size_limit: "16Mi".into(),
        },
    }
}

impl Bed {
    async fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        assert!(
            std::env::var("DOCKER_HOST").is_ok(),
            "these tests need a container engine: set DOCKER_HOST (see tests/docker.rs; `make up` prints one)"
        );
        let id = format!("{:08}{:04}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = Config {
            network: std::env::var("MOCK_ECI_TEST_NETWORK").unwrap_or_else(|_| "bridge".to_owned()),
            pause_image: image(),
            owner: format!("test-{id}"),
            ..Config::default()
        };
        let clock = Clock::new(Mode::Auto);
        let (sender, events) = mpsc::unbounded_channel();
        let runtime = DockerRuntime::connect(config.clone(), clock.clone(), sender)
            .await
            .unwrap();
        Self {
            runtime,
            config,
            clock,
            group: GroupId::from(format!("eci-testtest{id}")),
            events,
            seen: Vec::new(),
        }
    }

    /// The same engine seen by a new process.
    pub(crate) async fn restarted(self) -> Self {
        let Self {
            config, clock, group, ..
        } = self;
        let (sender, events) = mpsc::unbounded_channel();
        let runtime = DockerRuntime::connect(config.clone(), clock.clone(), sender)
            .await
            .unwrap();
        Self {
            runtime,
            config,
            clock,
            group,
            events,
            seen: Vec::new(),
        }
    }

    /// Launches the group and waits for its address.
    pub(crate) async fn launch(&mut self, spec: GroupSpec) -> std::net::IpAddr {
        self.order(spec);
        self.until("the sandbox", |event| match event {
            RuntimeEventKind::SandboxReady { ip } => Some(*ip),
            RuntimeEventKind::LaunchFailed { message, .. } => panic!("launch failed: {message}"),
            _ => None,
        })
        .await
    }

    /// Orders the group and waits for nothing.
    pub(crate) fn order(&self, spec: GroupSpec) {
        let record = Record("{\"the\":\"record\"}".into());
        self.runtime.launch(Launch {
            cached_images: Vec::new(),
            id: self.group.clone(),
            spec: Arc::new(spec),
            record,
        });
    }

    /// Starts an instance and waits until it runs.
    pub(crate) async fn start(&mut self, container: &str, instance: u32) {
        self.runtime.start(&self.group, container, instance);
        self.container("Started", container, instance, |event| match event {
            ContainerEvent::Started { container_id, image_id } => {
                assert!(container_id.starts_with("docker://"), "{container_id}");
                assert!(!image_id.is_empty());
                Some(())
            }
            ContainerEvent::StartFailed { reason, message } => panic!("{container}: {reason}: {message}"),
            _ => None,
        })
        .await;
    }

    /// Starts an instance that must not start; its reason and message.
    pub(crate) async fn start_fails(&mut self, container: &str) -> (String, String) {
        self.runtime.start(&self.group, container, 0);
        self.container("StartFailed", container, 0, |event| match event {
            ContainerEvent::StartFailed { reason, message } => Some((reason.clone(), message.clone())),
            ContainerEvent::Started { .. } => panic!("{container} started"),
            _ => None,
        })
        .await
    }

    /// Waits for an instance to end.
    pub(crate) async fn exit(&mut self, container: &str, instance: u32) -> Exit {
        self.container("Exited", container, instance, |event| match event {
            ContainerEvent::Exited(exit) => Some(exit.clone()),
            _ => None,
        })
        .await
    }

    /// Starts the first instance of a container, waits for its end, and returns its log.
    pub(crate) async fn output(&mut self, container: &str) -> String {
        self.start(container, 0).await;
        let exit = self.exit(container, 0).await;
        let log = self.log(container, 0).await;
        assert_eq!(exit.code, 0, "{exit:?}: {log}");
        log
    }

    /// The whole log of an instance.
    pub(crate) async fn log(&self, container: &str, instance: u32) -> String {
        let query = LogQuery {
            instance,
            tail: 10_000,
            since: None,
        };
        let lines = self.runtime.logs(&self.group, container, query).await.unwrap();
        lines
            .iter()
            .map(|line| String::from_utf8_lossy(&line.text).into_owned())
            .collect()
    }

    /// Waits until an instance's log contains `text`.
    pub(crate) async fn logged(&self, container: &str, instance: u32, text: &str) {
        let wait = async {
            while !self.log(container, instance).await.contains(text) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{container} never wrote {text:?}"));
    }

    /// Waits for something about an instance.
    pub(crate) async fn container<T>(
        &mut self,
        what: &str,
        container: &str,
        instance: u32,
        mut wanted: impl FnMut(&ContainerEvent) -> Option<T>,
    ) -> T {
        self.until(&format!("{what} of {container} {instance}"), |event| match event {
            RuntimeEventKind::Container {
                name,
                instance: n,
                event,
            } if name == container && *n == instance => wanted(event),
            _ => None,
        })
        .await
    }

    /// Waits for an event; those before it are kept in [`Bed::seen`].
    pub(crate) async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&RuntimeEventKind) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event)) => {
                    let found = wanted(&event.kind);
                    self.seen.push(event);
                    if let Some(found) = found {
                        return found;
                    }
                }
                _ => panic!("no {what} after {PATIENCE:?}; seen: {:#?}", self.seen),
            }
        }
    }

    /// Everything reported so far.
    pub(crate) fn seen(&self) -> &[RuntimeEvent] {
        &self.seen
    }

    /// Names of containers and volumes the engine holds of this bed.
    pub(crate) async fn left(&self) -> Vec<String> {
        let docker = engine().await;
        let filters = HashMap::from([("label", vec![format!("io.virtual-node.mock-eci={}", self.config.owner)])]);
        let containers = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let containers = docker.list_containers(Some(containers)).await.unwrap();
        let volumes = docker
            .list_volumes(Some(volumes))
            .await
            .unwrap()
            .volumes
            .unwrap_or_default();
        let names = containers.into_iter().flat_map(|found| found.names.unwrap_or_default());
        names.chain(volumes.into_iter().map(|volume| volume.name)).collect()
    }
}
