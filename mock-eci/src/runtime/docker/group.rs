//! What all that works for one group shares: who it is, how it reports, how it is removed.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::{
    Config,
    bodies::Frame,
    engine::{Engine, EngineError},
    files::Volumes,
    names,
};
use crate::{
    clock::Clock,
    runtime::{ContainerEvent, Events, RuntimeEvent, RuntimeEventKind},
    spec::{GroupId, GroupSpec, Secret},
};

use super::actor::Command;

/// What all groups share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) events: Events,
}

/// Offsets between clocks are rounded to this, so that one moment of the engine gets one time however often it is asked
/// for: log lines are recognised by their times.
const CLOCK_STEP: SignedDuration = SignedDuration::from_millis(100);

impl Shared {
    /// A time of the engine by the server's clock. The two differ where steering moved the clock.
    pub(super) fn by_our_clock(&self, time: Timestamp) -> Timestamp {
        time.saturating_add(self.clock_offset()).unwrap_or(time)
    }

    /// The other way round.
    pub(super) fn by_engines_clock(&self, time: Timestamp) -> Timestamp {
        time.saturating_sub(self.clock_offset()).unwrap_or(time)
    }

    fn clock_offset(&self) -> SignedDuration {
        let exact = self.clock.now().duration_since(self.clock.wall());
        let round = jiff::SignedDurationRound::new().smallest(jiff::Unit::Millisecond);
        let step = i64::try_from(CLOCK_STEP.as_millis()).unwrap_or(1);
        exact.round(round.increment(step)).unwrap_or(exact)
    }
}

/// One group, as the tasks that work for it see it.
pub(super) struct Group {
    pub(super) shared: Arc<Shared>,
    pub(super) id: GroupId,
    pub(super) spec: Arc<GroupSpec>,
    /// To the group's own actor; weak, so that the actor ends with the runtime.
    pub(super) inbox: mpsc::WeakUnboundedSender<Command>,
    /// Set when the group is removed: no event follows.
    pub(super) muted: Arc<AtomicBool>,
}

/// A group's network and files.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub(super) ip: IpAddr,
    pub(super) volumes: Volumes,
}

impl Group {
    /// The same group with another spec.
    pub(super) fn with_spec(&self, spec: GroupSpec) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            id: self.id.clone(),
            spec: Arc::new(spec),
            inbox: self.inbox.clone(),
            muted: Arc::clone(&self.muted),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        let shared = &*self.shared;
        Frame {
            owner: &shared.config.owner,
            id: &self.id,
            spec: &self.spec,
            podman: shared.engine.podman,
        }
    }

    /// Reports something that happened now.
    pub(super) fn emit(&self, kind: RuntimeEventKind) {
        self.emit_at(self.shared.clock.now(), kind);
    }

    /// Reports something that happened at `at`.
    pub(super) fn emit_at(&self, at: Timestamp, kind: RuntimeEventKind) {
        if !self.muted.load(Ordering::Acquire) {
            let _ = self.shared.events.send(RuntimeEvent {
                group: self.id.clone(),
                at,
                kind,
            });
        }
    }

    /// Reports something that happened to a container now.
    pub(super) fn emit_container(&self, name: &str, instance: u32, event: ContainerEvent) {
        self.emit(RuntimeEventKind::Container {
            name: name.to_owned(),
            instance,
            event,
        });
    }

    /// Tells the group's actor.
    pub(super) fn tell(&self, command: Command) {
        if let Some(inbox) = self.inbox.upgrade() {
            let _ = inbox.send(command);
        }
    }

    /// An engine's message without the values of the group's environment, should it have quoted one.
    pub(super) fn redact(&self, mut message: String) -> String {
        use crate::spec::EnvValue;
        for container in self.spec.init_containers.iter().chain(&self.spec.containers) {
            for variable in &container.env {
                // Short values are words that occur everywhere.
                if let EnvValue::Literal(Secret(value)) = &variable.value
                    && value.len() >= 8
                    && message.contains(value.as_str())
                {
                    message = message.replace(value.as_str(), "<redacted>");
                }
            }
        }
        message
    }

    /// Removes all the engine holds of the group.
    pub(super) async fn purge(&self) -> Result<(), EngineError> {
        purge(self.engine(), &self.id).await
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group").field(&self.id).finish()
    }
}

/// Removes all the engine holds of a group: containers, then the pause container they depend on, then volumes.
pub(super) async fn purge(engine: &Engine, group: &GroupId) -> Result<(), EngineError> {
    let filter = names::group_filter(group);
    let containers = engine.list(&filter).await?;
    let names = containers.into_iter().filter_map(|found| {
        let name = found
            .names
            .into_iter()
            .flatten()
            .next()
            .map(|name| name.trim_start_matches('/').to_owned());
        name.or(found.id)
    });
    let pause = names::pause(group);
    let (mut pauses, others): (Vec<_>, Vec<_>) = names.partition(|name| *name == pause);
    if pauses.is_empty() {
        // podman does not list what it has only half made.
        pauses.push(pause);
    }
    for batch in [others, pauses] {
        future::try_join_all(batch.iter().map(|name| engine.remove(name))).await?;
    }
    let volumes = engine.volumes(&filter).await?;
    future::try_join_all(volumes.iter().map(|volume| engine.remove_volume(&volume.name))).await?;
    Ok(())
}
