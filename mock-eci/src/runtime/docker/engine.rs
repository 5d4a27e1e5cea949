//! The container engine: Docker's Engine API, spoken by Docker, Docker Desktop and podman.
//!
//! Every call goes through [`Engine::call`], which bounds how many are under way at once (podman takes most of a second
//! for a container and gets slower, not faster, when asked for many) and says in its error what was tried.

use std::{collections::HashMap, fmt, future::Future, sync::Arc, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    auth::DockerCredentials,
    errors::Error as ApiError,
    exec::StartExecResults,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ExecConfig, ImageInspect, Volume,
        VolumeCreateRequest,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
        KillContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::archive::FileEnd;
use crate::runtime::RuntimeError;

/// Where an engine listens when nothing is said.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// Of one call, in seconds; a slow engine under load answers within it.
const TIMEOUT_SECONDS: u64 = 120;
/// An image may take this long to be pulled.
const PULL_TIMEOUT: Duration = Duration::from_secs(3600);
/// Images pulled at once; the others wait, and often need no pull any more.
const PARALLEL_PULLS: usize = 4;
/// Longest engine message that is passed on.
const MAX_MESSAGE: usize = 1024;

/// A connection to a container engine. Cheap to clone.
#[derive(Clone)]
pub(super) struct Engine {
    docker: Docker,
    permits: Arc<Semaphore>,
    pulls: Arc<Semaphore>,
    /// Whether it is podman, which differs in small ways.
    pub(super) podman: bool,
    /// Whether a part of a volume can be mounted by the API itself (Docker 26, API 1.45).
    pub(super) volume_subpath: bool,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub(super) struct EngineError {
    /// What was tried, as an infinitive.
    pub(super) action: &'static str,
    /// On what.
    pub(super) subject: String,
    /// HTTP status of the answer; none = there was no answer.
    pub(super) status: Option<u16>,
    /// What the engine said.
    pub(super) message: String,
}

impl EngineError {
    fn new(action: &'static str, subject: &str, error: ApiError) -> Self {
        let (status, mut message) = match error {
            ApiError::DockerResponseServerError { status_code, message } => (Some(status_code), message),
            ApiError::DockerStreamError { error } => (None, error),
            other => (None, with_sources(&other)),
        };
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE)
                .rev()
                .find(|&i| message.is_char_boundary(i))
                .unwrap_or(0);
            message.truncate(end);
            message.push('…');
        }
        Self {
            action,
            subject: subject.to_owned(),
            status,
            message,
        }
    }

    /// A failure found here rather than by the engine.
    pub(super) fn local(action: &'static str, subject: &str, message: impl Into<String>) -> Self {
        Self {
            action,
            subject: subject.to_owned(),
            status: None,
            message: message.into(),
        }
    }

    /// The engine does not know what was named.
    pub(super) fn is_not_found(&self) -> bool {
        // podman calls some of what is gone an internal error.
        let gone = ["no such volume", "no such container"];
        self.status == Some(404) || gone.iter().any(|words| self.message.contains(words))
    }

    /// The name is taken, or the state forbids it.
    pub(super) fn is_conflict(&self) -> bool {
        // podman calls a name that only its storage knows an internal error.
        self.status == Some(409) || self.message.contains("is already in use by")
    }
}

/// An error and what caused it, for libraries whose messages leave the cause to `source`.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.subject, self.message)
    }
}

impl From<EngineError> for RuntimeError {
    fn from(error: EngineError) -> Self {
        Self::Engine {
            action: error.action,
            message: format!("{}: {}", error.subject, error.message),
        }
    }
}

/// Ignores that something is gone already.
pub(super) fn unless_gone(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

impl Engine {
    /// Connects to `host` (`unix://`, `tcp://`, `http://` or `npipe://`; none = `DOCKER_HOST`, else Docker's usual socket) and asks what it is.
    pub(super) async fn connect(host: Option<&str>, parallel: usize) -> Result<Self, EngineError> {
        let named = host.map(str::to_owned).or_else(|| std::env::var("DOCKER_HOST").ok());
        let host = named.as_deref().filter(|host| !host.is_empty()).unwrap_or(DEFAULT_HOST);
        let failed = |error| {
            let mut error = EngineError::new("reach the container engine at", host, error);
            error
                .message
                .push_str(" (DOCKER_HOST names the engine, such as unix:///var/run/docker.sock)");
            error
        };
        let docker = match host.split_once("://") {
            Some(("tcp" | "http", _)) => Docker::connect_with_http(host, TIMEOUT_SECONDS, API_DEFAULT_VERSION),
            _ => Docker::connect_with_host(host),
        }
        .map_err(failed)?;
        let docker = docker.negotiate_version().await.map_err(failed)?;
        let version = docker.version().await.map_err(failed)?;
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|part| part.name.to_lowercase().contains("podman"));
        let api = docker.client_version();
        Ok(Self {
            podman,
            volume_subpath: !podman && (api.major_version, api.minor_version) >= (1, 45),
            docker,
            permits: Arc::new(Semaphore::new(parallel.max(1))),
            pulls: Arc::new(Semaphore::new(PARALLEL_PULLS)),
        })
    }

    /// The client itself, for streams that last; they do not count against the bound.
    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Room for one pull. Pulls take minutes and do not count against the bound of all other calls.
    pub(super) async fn pull_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.pulls.acquire().await.ok()
    }

    /// Pulls an image; call it with a [`Engine::pull_permit`].
    pub(super) async fn pull(&self, reference: &str, login: Option<DockerCredentials>) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let docker = self.docker.clone().with_timeout(PULL_TIMEOUT);
        let mut stream = std::pin::pin!(docker.create_image(Some(options), None, login));
        while let Some(progress) = stream.next().await {
            progress.map_err(|error| EngineError::new("pull image", reference, error))?;
        }
        Ok(())
    }

    /// Runs one call when there is room for it.
    pub(super) async fn call<T>(
        &self,
        action: &'static str,
        subject: &str,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, EngineError> {
        let _permit = self.permits.acquire().await;
        call.await.map_err(|error| EngineError::new(action, subject, error))
    }

    /// Makes a container; answers its id.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, EngineError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = self
            .call(
                "create container",
                name,
                self.docker.create_container(Some(options), body),
            )
            .await?;
        Ok(made.id)
    }

    /// Starts a container that was made.
    pub(super) async fn start(&self, name: &str) -> Result<(), EngineError> {
        self.call("start container", name, self.docker.start_container(name, None))
            .await
    }

    /// Everything about one container.
    pub(super) async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, EngineError> {
        self.call("inspect container", name, self.docker.inspect_container(name, None))
            .await
    }

    /// Sends a signal (`SIGTERM` or `15`) to the first process of a container.
    pub(super) async fn kill(&self, name: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        self.call(
            "signal container",
            name,
            self.docker.kill_container(name, Some(options)),
        )
        .await
    }

    /// Removes a container, running or not; fine when it is gone.
    pub(super) async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        unless_gone(
            self.call(
                "remove container",
                name,
                self.docker.remove_container(name, Some(options)),
            )
            .await,
        )
    }

    /// All containers, stopped ones too, that carry `label` (`key=value`).
    pub(super) async fn list(&self, label: &str) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        self.call(
            "list containers with label",
            label,
            self.docker.list_containers(Some(options)),
        )
        .await
    }

    /// Unpacks a tar archive into a folder of a container, running or not.
    pub(super) async fn upload(&self, name: &str, folder: &str, archive: Vec<u8>) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let body = bollard::body_full(archive.into());
        self.call(
            "write files into",
            name,
            self.docker.upload_to_container(name, Some(options), body),
        )
        .await
    }

    /// Reads a file or folder of a container, running or not, as a tar archive.
    pub(super) async fn download(&self, name: &str, path: &str) -> Result<Bytes, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        self.call("read files of", name, async {
            let mut stream = Box::pin(self.docker.download_from_container(name, Some(options)));
            let mut all = BytesMut::new();
            while let Some(chunk) = stream.next().await {
                all.extend_from_slice(&chunk?);
            }
            Ok(all.freeze())
        })
        .await
    }

    /// The last `limit` bytes of a file of a container, running or not.
    pub(super) async fn end_of_file(&self, name: &str, path: &str, limit: usize) -> Result<Vec<u8>, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        self.call("read a file of", name, async {
            let mut stream = Box::pin(self.docker.download_from_container(name, Some(options)));
            let mut end = FileEnd::new(limit);
            while let Some(chunk) = stream.next().await {
                if end.push(&chunk?)? {
                    break;
                }
            }
            Ok(end.finish())
        })
        .await
    }

    /// What the engine holds of an image; none = nothing.
    pub(super) async fn image(&self, image: &str) -> Result<Option<ImageInspect>, EngineError> {
        match self
            .call("inspect image", image, self.docker.inspect_image(image))
            .await
        {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a volume.
    pub(super) async fn create_volume(&self, request: VolumeCreateRequest) -> Result<Volume, EngineError> {
        let name = request.name.clone().unwrap_or_default();
        self.call("create volume", &name, self.docker.create_volume(request))
            .await
    }

    /// Everything about one volume.
    pub(super) async fn volume(&self, name: &str) -> Result<Volume, EngineError> {
        self.call("inspect volume", name, self.docker.inspect_volume(name))
            .await
    }

    /// All volumes that carry `label`.
    pub(super) async fn volumes(&self, label: &str) -> Result<Vec<Volume>, EngineError> {
        let options = ListVolumesOptionsBuilder::default()
            .filters(&HashMap::from([("label", vec![label])]))
            .build();
        let found = self
            .call(
                "list volumes with label",
                label,
                self.docker.list_volumes(Some(options)),
            )
            .await?;
        Ok(found.volumes.unwrap_or_default())
    }

    /// Removes a volume that no container uses; fine when it is gone.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveVolumeOptionsBuilder::default().build();
        unless_gone(
            self.call("remove volume", name, self.docker.remove_volume(name, Some(options)))
                .await,
        )
    }

    /// Runs a command in a running container, attached to its standard streams.
    pub(super) async fn attach(&self, name: &str, command: Vec<String>) -> Result<StartExecResults, EngineError> {
        let config = ExecConfig {
            cmd: Some(command),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let created = self.call("run a command in", name, self.docker.create_exec(name, config));
        let id = created.await?.id;
        self.call("run a command in", name, self.docker.start_exec(&id, None))
            .await
    }

    /// Runs a command in a running container; answers its exit code and the end of its output, both streams together.
    pub(super) async fn exec(&self, name: &str, command: Vec<String>) -> Result<(i64, String), EngineError> {
        let config = ExecConfig {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let id = self
            .call("run a command in", name, self.docker.create_exec(name, config))
            .await?
            .id;
        // Commands may last as long as their own deadline: their output is awaited without a permit.
        let started = self
            .call("run a command in", name, self.docker.start_exec(&id, None))
            .await?;
        let mut kept = BytesMut::new();
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                let Ok(chunk) = chunk else { break };
                kept.extend_from_slice(chunk.as_ref());
                let surplus = kept.len().saturating_sub(MAX_MESSAGE);
                let _ = kept.split_to(surplus);
            }
        }
        let done = self
            .call("run a command in", name, self.docker.inspect_exec(&id))
            .await?;
        let code = done
            .exit_code
            .ok_or_else(|| EngineError::local("run a command in", name, "no exit code"))?;
        Ok((code, String::from_utf8_lossy(&kept).trim().to_owned()))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("podman", &self.podman)
            .finish_non_exhaustive()
    }
}
