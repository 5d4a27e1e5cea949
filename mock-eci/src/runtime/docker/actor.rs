//! The task behind each group: takes its commands in order, keeps what it knows in one place, reports what happens.
//!
//! Work on the engine (launch, start) runs beside the inbox, one piece at a time, so that an exit is reported and a stop
//! obeyed while an image is being pulled.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    ending::{self, End, Ending},
    files::Volumes,
    group::{Group, Sandbox},
    handlers,
    launch::{self, LaunchError},
    names, probes,
    start::{self, StartError, Started},
    update, usage,
};
use crate::{
    runtime::{ContainerEvent, Launch, Record, RuntimeEventKind},
    spec::Handler,
};

/// A postStart hook has no deadline of its own in Kubernetes; this one only keeps a lost command from staying forever.
const POST_START_TIMEOUT: Duration = Duration::from_secs(3600);
/// Between attempts to remove a group.
const PURGE_RETRY: Duration = Duration::from_secs(2);

/// What an actor is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Start an instance.
    Start { container: String, instance: u32 },
    /// Take on another spec.
    Update(Launch),
    /// End everything.
    Stop { grace: Duration },
    /// End one container.
    StopContainer { container: String, grace: Duration },
    /// Remove everything and end the actor; the sender is dropped when that is done.
    Remove { done: oneshot::Sender<()> },
    /// This instance may have ended.
    Check { container: String, instance: u32 },
    /// Outcome of a check.
    Examined {
        container: String,
        instance: u32,
        end: Option<End>,
    },
    /// A probe or hook has something to say about an instance, if it still runs.
    Observed {
        container: String,
        instance: u32,
        event: ContainerEvent,
    },
    /// Replace the domain's record.
    Keep { record: Record },
    /// Tell when the newest record is with the engine: the sender is dropped then.
    Flush { done: oneshot::Sender<()> },
    /// The pause container was stopped.
    SandboxStopped,
}

/// Work that waits for its turn.
pub(super) enum Todo {
    Launch(Record),
    Update(Launch),
    Start { container: String, instance: u32 },
}

/// Work that is done.
enum Outcome {
    Launched(Result<Sandbox, LaunchError>),
    /// The group with its new spec, and its volumes where they could be brought in step.
    Updated(Arc<Group>, Option<Volumes>),
    Started {
        container: String,
        instance: u32,
        result: Result<Started, StartError>,
    },
    /// A postStart hook is done, with what went wrong.
    Hooked {
        container: String,
        instance: u32,
        failed: Option<String>,
    },
}

/// An instance that runs.
struct Instance {
    number: u32,
    stop_signal: String,
    started_at: Timestamp,
    /// Its start, until that is reported: with the kubelet a container does not run before its postStart hook is done.
    unreported: Option<ContainerEvent>,
    /// When it is killed; none = nobody asked it to end.
    deadline: Option<watch::Sender<Instant>>,
    ended: CancellationToken,
    /// Its probes.
    probes: Option<AbortHandle>,
    /// A check is under way; true = something happened meanwhile, check again.
    checking: Option<bool>,
}

/// See the module.
pub(super) struct Actor {
    group: Arc<Group>,
    inbox: mpsc::UnboundedReceiver<Command>,
    todo: VecDeque<Todo>,
    work: Option<BoxFuture<'static, Outcome>>,
    /// Cancels the work when the group is stopped or removed.
    cancel: CancellationToken,
    sandbox: Option<Sandbox>,
    running: BTreeMap<String, Instance>,
    /// Checks of instances whose start is not reported yet.
    early: HashSet<(String, u32)>,
    /// When everything is killed; none = nobody asked.
    stopping: Option<Instant>,
    /// The pause container is being stopped.
    closing: bool,
    /// The newest record that is not with the engine yet.
    record: Arc<Mutex<Option<Record>>>,
    /// One record is written at a time.
    keeping: Arc<tokio::sync::Mutex<()>>,
    tasks: JoinSet<()>,
}

impl Actor {
    pub(super) fn new(group: Arc<Group>, inbox: mpsc::UnboundedReceiver<Command>) -> Self {
        Self {
            group,
            inbox,
            todo: VecDeque::new(),
            work: None,
            cancel: CancellationToken::new(),
            sandbox: None,
            running: BTreeMap::new(),
            early: HashSet::new(),
            stopping: None,
            closing: false,
            record: Arc::default(),
            keeping: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// A group that is to be made.
    pub(super) fn launching(mut self, record: Record) -> Self {
        self.todo.push_back(Todo::Launch(record));
        self
    }

    /// A group that an earlier process made; `running` are container, instance and stop signal of what still runs.
    pub(super) fn adopted(mut self, sandbox: Option<Sandbox>, running: Vec<(String, u32, String, Timestamp)>) -> Self {
        self.sandbox = sandbox;
        for (container, number, stop_signal, started_at) in running {
            self.watch(&container, number, stop_signal, started_at, None);
            self.probe(&container);
        }
        self.guard();
        self
    }

    /// Runs until the group is removed or the runtime is gone; in the latter case its containers run on.
    pub(super) async fn run(mut self) {
        loop {
            self.next_work();
            let outcome = async {
                match &mut self.work {
                    Some(work) => work.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                outcome = outcome => {
                    self.work = None;
                    self.worked(outcome);
                }
                command = self.inbox.recv() => match command {
                    None => return,
                    Some(Command::Remove { done }) => return self.remove(done).await,
                    Some(command) => self.obey(command),
                },
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    fn next_work(&mut self) {
        if self.work.is_some() {
            return;
        }
        if self.stopping.is_some() {
            if self.running.is_empty() && !self.closing {
                self.closing = true;
                let group = Arc::clone(&self.group);
                self.tasks.spawn(async move {
                    let pause = names::pause(&group.id);
                    if let Err(error) = group.engine().kill(&pause, "SIGKILL").await {
                        // There may be none, or it may be down already.
                        tracing::debug!(group = %group.id, %error, "pause container not killed");
                    }
                    group.tell(Command::SandboxStopped);
                });
            }
            return;
        }
        let Some(todo) = self.todo.pop_front() else { return };
        let (group, cancel) = (Arc::clone(&self.group), self.cancel.clone());
        self.work = Some(match todo {
            Todo::Launch(record) => Box::pin(async move {
                let launched = launch::launch(&group, &record, &cancel).await;
                if matches!(launched, Err(LaunchError::Failed(_)))
                    && let Err(error) = group.purge().await
                {
                    tracing::warn!(group = %group.id, %error, "left behind until the group is removed");
                }
                Outcome::Launched(launched)
            }),
            Todo::Update(update) => Box::pin(async move {
                let (group, volumes) = update::update(&group, update).await;
                Outcome::Updated(group, volumes)
            }),
            Todo::Start { container, instance } => {
                let sandbox = self.sandbox.clone();
                Box::pin(async move {
                    let result = start::start(&group, sandbox.as_ref(), &container, instance, &cancel).await;
                    Outcome::Started {
                        container,
                        instance,
                        result,
                    }
                })
            }
        });
    }

    fn worked(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Launched(Ok(sandbox)) => {
                let ip = sandbox.ip;
                self.sandbox = Some(sandbox);
                self.keep(None);
                if self.stopping.is_none() {
                    self.group.emit(RuntimeEventKind::SandboxReady { ip });
                    self.guard();
                }
            }
            Outcome::Launched(Err(LaunchError::Failed(message))) => {
                tracing::warn!(group = %self.group.id, message, "launch failed");
                let reason = "FailedCreatePodSandBox".to_owned();
                self.group.emit(RuntimeEventKind::LaunchFailed { reason, message });
            }
            Outcome::Launched(Err(LaunchError::Interrupted)) => {}
            Outcome::Updated(group, volumes) => {
                self.group = group;
                if let (Some(sandbox), Some(volumes)) = (&mut self.sandbox, volumes) {
                    sandbox.volumes = volumes;
                }
            }
            Outcome::Started {
                container,
                instance,
                result,
            } => {
                let early = self.early.remove(&(container.clone(), instance));
                match result {
                    Ok(started) => self.started(container, instance, started, early),
                    Err(StartError::Failed { reason, message }) => {
                        tracing::info!(group = %self.group.id, container, instance, reason, message, "start failed");
                        let event = ContainerEvent::StartFailed {
                            reason: reason.to_owned(),
                            message,
                        };
                        self.group.emit_container(&container, instance, event);
                    }
                    Err(StartError::Interrupted) => {}
                }
            }
            Outcome::Hooked {
                container,
                instance,
                failed,
            } => self.hooked(&container, instance, failed),
        }
    }

    fn started(&mut self, container: String, instance: u32, started: Started, early: bool) {
        let Started {
            container_id,
            image_id,
            stop_signal,
        } = started;
        let event = ContainerEvent::Started { container_id, image_id };
        let now = self.group.shared.clock.now();
        self.watch(&container, instance, stop_signal, now, Some(event));
        let hook = self.group.spec.container(&container).and_then(|c| c.post_start.clone());
        match (hook, &self.sandbox) {
            (Some(hook), Some(sandbox)) if self.stopping.is_none() => {
                self.group.emit_container(&container, instance, ContainerEvent::Hooking);
                self.work = Some(self.hook(container.clone(), instance, hook, sandbox.ip));
            }
            _ => self.report(&container),
        }
        if let Some(old) = instance.checked_sub(2) {
            // Logs of the newest two instances are kept.
            let group = Arc::clone(&self.group);
            let name = names::container(&self.group.id, &container, old);
            self.tasks.spawn(async move { start::remove(&group, &name).await });
        }
        if let Some(deadline) = self.stopping {
            self.end(&container, deadline);
        }
        if early {
            self.check(&container, instance);
        }
    }

    /// Runs a postStart hook. As with the kubelet, no other container is started meanwhile.
    fn hook(&self, container: String, instance: u32, hook: Handler, ip: IpAddr) -> BoxFuture<'static, Outcome> {
        let (group, cancel) = (Arc::clone(&self.group), self.cancel.clone());
        let ended = self.running.get(&container).map(|running| running.ended.clone());
        Box::pin(async move {
            let name = names::container(&group.id, &container, instance);
            let ended = ended.unwrap_or_default();
            let done = tokio::select! {
                done = handlers::hook(&group, ip, &name, &hook, POST_START_TIMEOUT) => done,
                () = cancel.cancelled() => Ok(()),
                () = ended.cancelled() => Ok(()),
            };
            Outcome::Hooked {
                container,
                instance,
                failed: done.err(),
            }
        })
    }

    fn hooked(&mut self, container: &str, instance: u32, failed: Option<String>) {
        if self
            .running
            .get(container)
            .is_none_or(|running| running.number != instance)
        {
            return;
        }
        let Some(why) = failed else {
            return self.report(container);
        };
        tracing::info!(group = %self.group.id, container, instance, why, "postStart hook failed");
        let note = |warning, reason, message: &str| {
            let message = message.to_owned();
            let event = ContainerEvent::Noted {
                warning,
                reason,
                message,
            };
            self.group.emit_container(container, instance, event);
        };
        note(true, "FailedPostStartHook", "PostStartHook failed");
        note(false, "Killing", "FailedPostStartHook");
        // Its start is reported together with its end: it never counted as running.
        self.end(container, Instant::now() + self.group.spec.termination_grace);
    }

    /// Takes an instance that runs into the books; `unreported` is its start, where that is still to be reported.
    fn watch(
        &mut self,
        container: &str,
        number: u32,
        stop_signal: String,
        started_at: Timestamp,
        unreported: Option<ContainerEvent>,
    ) {
        let instance = Instance {
            number,
            stop_signal,
            started_at,
            unreported,
            deadline: None,
            ended: CancellationToken::new(),
            probes: None,
            checking: None,
        };
        self.running.insert(container.to_owned(), instance);
    }

    /// Reports that an instance runs, and begins to probe it.
    fn report(&mut self, container: &str) {
        let Some(instance) = self.running.get_mut(container) else {
            return;
        };
        if let Some(event) = instance.unreported.take() {
            // Its end may not come before it.
            instance.started_at = self.group.shared.clock.now();
            let kind = RuntimeEventKind::Container {
                name: container.to_owned(),
                instance: instance.number,
                event,
            };
            self.group.emit_at(instance.started_at, kind);
        }
        if instance.deadline.is_none() {
            self.probe(container);
        }
    }

    fn probe(&mut self, container: &str) {
        let (Some(spec), Some(sandbox), Some(instance)) = (
            self.group.spec.container(container).cloned(),
            &self.sandbox,
            self.running.get_mut(container),
        ) else {
            return;
        };
        if spec.liveness_probe.is_some() || spec.readiness_probe.is_some() {
            let name = names::container(&self.group.id, container, instance.number);
            let group = Arc::clone(&self.group);
            let probes = probes::run(group, sandbox.ip, spec, name, instance.number);
            instance.probes = Some(self.tasks.spawn(probes));
        }
    }

    /// Watches over what is limited for the group as a whole.
    fn guard(&mut self) {
        if usage::is_limited(&self.group.spec) {
            self.tasks
                .spawn(usage::run(Arc::clone(&self.group), self.cancel.clone()));
        }
    }

    /// Writes the newest record, if it is not with the engine yet; `done` is dropped when that has been tried.
    fn keep(&mut self, done: Option<oneshot::Sender<()>>) {
        let (group, record, keeping) = (
            Arc::clone(&self.group),
            Arc::clone(&self.record),
            Arc::clone(&self.keeping),
        );
        let newest = move || record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let written = Arc::clone(&self.record);
        self.tasks.spawn(async move {
            let _done = done;
            let _turn = keeping.lock().await;
            let Some(record) = newest() else { return };
            if let Err(error) = launch::keep(&group, &record).await {
                tracing::debug!(group = %group.id, %error, "the record is kept once there is something to keep it with");
                return;
            }
            let mut slot = written.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.as_ref() == Some(&record) {
                *slot = None;
            }
        });
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { container, instance } => {
                if self.running.contains_key(&container) {
                    tracing::warn!(group = %self.group.id, container, instance, "not started: an earlier instance runs");
                    return;
                }
                if self.stopping.is_none() {
                    self.todo.push_back(Todo::Start { container, instance });
                }
            }
            Command::Update(update) => {
                if self.stopping.is_none() {
                    self.todo.push_back(Todo::Update(update));
                }
            }
            Command::Stop { grace } => self.stop(grace),
            Command::StopContainer { container, grace } => self.end(&container, Instant::now() + grace),
            Command::Check { container, instance } => self.check(&container, instance),
            Command::Examined {
                container,
                instance,
                end,
            } => self.examined(&container, instance, end),
            Command::Observed {
                container,
                instance,
                event,
            } => {
                if self
                    .running
                    .get(&container)
                    .is_some_and(|running| running.number == instance)
                {
                    self.group.emit_container(&container, instance, event);
                }
            }
            Command::Keep { record } => {
                *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
                self.keep(None);
            }
            Command::Flush { done } => self.keep(Some(done)),
            Command::SandboxStopped => {
                self.sandbox = None;
                self.stopping = None;
                self.closing = false;
                self.group.emit(RuntimeEventKind::Stopped);
            }
            // Taken by `run`.
            Command::Remove { .. } => {}
        }
    }

    fn stop(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let deadline = self.stopping.map_or(deadline, |earlier| earlier.min(deadline));
        self.stopping = Some(deadline);
        self.todo.clear();
        self.cancel.cancel();
        let names: Vec<String> = self.running.keys().cloned().collect();
        for container in names {
            self.end(&container, deadline);
        }
    }

    /// Asks an instance to end, or brings its end forward.
    fn end(&mut self, container: &str, deadline: Instant) {
        let Some(instance) = self.running.get_mut(container) else {
            return;
        };
        if let Some(current) = &instance.deadline {
            current.send_if_modified(|current| {
                let earlier = deadline < *current;
                if earlier {
                    *current = deadline;
                }
                earlier
            });
            return;
        }
        if let Some(probes) = instance.probes.take() {
            probes.abort();
        }
        let (sender, receiver) = watch::channel(deadline);
        instance.deadline = Some(sender);
        let ending = Ending {
            group: Arc::clone(&self.group),
            container: container.to_owned(),
            instance: instance.number,
            stop_signal: instance.stop_signal.clone(),
            deadline: receiver,
            ended: instance.ended.clone(),
        };
        self.tasks
            .spawn(ending.run(self.sandbox.as_ref().map(|sandbox| sandbox.ip)));
    }

    fn check(&mut self, container: &str, number: u32) {
        let Some(instance) = self
            .running
            .get_mut(container)
            .filter(|running| running.number == number)
        else {
            if self.work.is_some() {
                self.early.insert((container.to_owned(), number));
            }
            return;
        };
        if let Some(again) = &mut instance.checking {
            *again = true;
            return;
        }
        let Some(spec) = self.group.spec.container(container) else {
            return;
        };
        instance.checking = Some(false);
        let (group, spec) = (Arc::clone(&self.group), spec.clone());
        self.tasks.spawn(async move {
            let end = ending::examine(&group, &spec, number).await;
            group.tell(Command::Examined {
                container: spec.name,
                instance: number,
                end,
            });
        });
    }

    fn examined(&mut self, container: &str, number: u32, end: Option<End>) {
        let Some(instance) = self
            .running
            .get_mut(container)
            .filter(|running| running.number == number)
        else {
            return;
        };
        let again = instance.checking.take().unwrap_or_default();
        let Some(end) = end else {
            if again {
                self.check(container, number);
            }
            return;
        };
        instance.ended.cancel();
        if let Some(probes) = instance.probes.take() {
            probes.abort();
        }
        if let Some(event) = instance.unreported.take() {
            let kind = RuntimeEventKind::Container {
                name: container.to_owned(),
                instance: number,
                event,
            };
            self.group.emit_at(instance.started_at, kind);
        }
        // A short life may end before its start was reported.
        let shared = &self.group.shared;
        let at = shared
            .by_our_clock(end.at)
            .min(shared.clock.now())
            .max(instance.started_at);
        self.running.remove(container);
        let event = ContainerEvent::Exited(end.exit);
        self.group.emit_at(
            at,
            RuntimeEventKind::Container {
                name: container.to_owned(),
                instance: number,
                event,
            },
        );
    }

    async fn remove(mut self, done: oneshot::Sender<()>) {
        self.group.muted.store(true, Ordering::Release);
        self.cancel.cancel();
        self.tasks.shutdown().await;
        if let Some(work) = self.work.take() {
            // Cut off, it might still create something after the removal.
            work.await;
        }
        // Should this process die half-way, the next one goes on.
        if let Err(error) = launch::keep(&self.group, &Record::default()).await {
            tracing::debug!(group = %self.group.id, %error, "not marked as removed");
        }
        while let Err(error) = self.group.purge().await {
            tracing::warn!(group = %self.group.id, %error, "trying again to remove the group");
            tokio::time::sleep(PURGE_RETRY).await;
        }
        drop(done);
    }
}
