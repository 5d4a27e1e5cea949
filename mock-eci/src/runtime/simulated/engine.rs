//! What simulated groups do by themselves: one queue of timers for all of them, worked off by one task.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{
    dice::{Decides, Dice},
    exec::Running,
    logs::SimLog,
    metrics::Run,
};
use crate::{
    clock::Clock,
    runtime::{ContainerEvent, Events, Exit, RuntimeEvent, RuntimeEventKind},
    scenario::{ExitPlan, Overrides, Range, Scenario},
    spec::{ContainerSpec, GroupId, GroupSpec},
    timers::{Timers, after},
};

pub(super) struct Inner {
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) sim: Mutex<Sim>,
    /// An earlier timer was added.
    pub(super) earlier: Notify,
}

pub(super) struct Sim {
    pub(super) scenario: Scenario,
    pub(super) dice: Dice,
    /// Groups launched so far; with the seed it decides the fate of the next.
    pub(super) orders: u64,
    pub(super) groups: HashMap<GroupId, SimGroup>,
    pub(super) timers: Timers<Due>,
    pub(super) launched: u32,
    pub(super) starts: u64,
    pub(super) execs: Running,
}

pub(super) struct SimGroup {
    pub(super) spec: Arc<GroupSpec>,
    pub(super) containers: Vec<SimContainer>,
    pub(super) dice: Dice,
    pub(super) launched: bool,
    /// Since when it has a network, and uses something.
    pub(super) up: Option<Timestamp>,
    /// Processor time of containers that an update took away.
    pub(super) spent: u64,
    /// Those of its images that an image cache holds.
    pub(super) cached: Vec<String>,
    /// Set by stop: when the last container has ended, `Stopped` is reported.
    pub(super) stopping: bool,
}

impl SimGroup {
    /// Place of the container that runs as this instance; an update can move it.
    fn index_of_instance(&self, serial: u64) -> Option<usize> {
        let is = |c: &SimContainer| c.running.is_some_and(|i| i.serial == serial);
        self.containers.iter().position(is)
    }
}

pub(super) struct SimContainer {
    pub(super) name: Arc<str>,
    pub(super) running: Option<Instance>,
    /// Logs of the newest two instances, oldest first.
    pub(super) logs: Vec<(u32, SimLog)>,
    /// What those use.
    pub(super) runs: Vec<Run>,
    /// Processor time of instances before those.
    pub(super) spent: u64,
}

#[derive(Clone, Copy)]
pub(super) struct Instance {
    pub(super) number: u32,
    /// Tells it from any other instance ever: a number starts anew after a reset.
    pub(super) serial: u64,
    pub(super) stopping: bool,
}

/// What a timer is for.
pub(super) enum Due {
    Scheduled(GroupId),
    Launched(GroupId),
    Started(GroupId, Arc<str>, u32),
    Ready(GroupId, u64),
    Exit(GroupId, u64, Exit),
}

/// Bytes of a termination message, as for a kubelet.
const MAX_MESSAGE: usize = 4_096;
/// The first address given out, and how many there are before they repeat: 10.200.0.0/13 without its ends.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 200, 0, 10]);
const ADDRESSES: u32 = 500_000;

/// Works the timers off, until nobody receives events any more.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        let next = inner.sim().timers.next();
        let timer = async {
            match next {
                Some(at) => inner.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => {
                let now = inner.clock.now();
                let mut sim = inner.sim();
                while let Some(due) = sim.timers.pop_due(now) {
                    inner.due(&mut sim, due, now);
                }
            }
            () = inner.earlier.notified() => {}
            () = inner.events.closed() => return,
        }
    }
}

impl Sim {
    pub(super) fn find(&self, group: &str, container: &str) -> Option<(GroupId, usize)> {
        let (id, found) = self.groups.get_key_value(group)?;
        let index = found.containers.iter().position(|c| &*c.name == container)?;
        Some((id.clone(), index))
    }
}

impl Inner {
    pub(super) fn sim(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self, group: &GroupId, kind: RuntimeEventKind, at: Timestamp) {
        // Nobody listens any more: the server is going down.
        let _ = self.events.send(RuntimeEvent {
            group: group.clone(),
            at,
            kind,
        });
    }

    pub(super) fn report_container(
        &self,
        group: &GroupId,
        name: &str,
        instance: u32,
        event: ContainerEvent,
        at: Timestamp,
    ) {
        self.report(
            group,
            RuntimeEventKind::Container {
                name: name.to_owned(),
                instance,
                event,
            },
            at,
        );
    }

    pub(super) fn later(&self, sim: &mut Sim, at: Timestamp, due: Due) {
        if sim.timers.add(at, due) {
            self.earlier.notify_one();
        }
    }

    fn due(&self, sim: &mut Sim, due: Due, now: Timestamp) {
        match due {
            Due::Scheduled(id) => self.scheduled(sim, id, now),
            Due::Launched(id) => self.launched(sim, &id, now),
            Due::Started(id, name, instance) => {
                if let Some((_, index)) = sim.find(id.as_str(), &name) {
                    self.started(sim, &id, index, instance, now);
                }
            }
            Due::Ready(id, serial) => {
                let container = sim
                    .groups
                    .get(&id)
                    .and_then(|g| g.containers.get(g.index_of_instance(serial)?));
                if let Some(container) = container
                    && let Some(instance) = container.running
                {
                    self.report_container(&id, &container.name, instance.number, ContainerEvent::Ready(true), now);
                }
            }
            Due::Exit(id, serial, exit) => {
                let group = sim.groups.get(&id);
                if let Some(index) = group.and_then(|g| g.index_of_instance(serial)) {
                    self.exited(sim, &id, index, serial, exit, now);
                }
            }
        }
    }

    fn scheduled(&self, sim: &mut Sim, id: GroupId, now: Timestamp) {
        let Some(group) = sim.groups.get(&id) else { return };
        let overrides = Overrides::of(&group.spec, None);
        let share = sim.scenario.no_stock_per_mille;
        let (spec, dice) = (group.spec.clone(), group.dice);
        // Taken: it pulls once.
        let cached = sim.groups.get_mut(&id).map(|g| std::mem::take(&mut g.cached));
        let unlucky = dice.is_one_of(Decides::NoStock, share);
        let error = overrides.launch_error.or_else(|| unlucky.then(|| "NoStock".to_owned()));
        if let Some(reason) = error {
            let message = format!("{reason}: the requested resources are not available in this zone");
            return self.report(&id, RuntimeEventKind::LaunchFailed { reason, message }, now);
        }
        self.report(&id, RuntimeEventKind::Scheduled, now);
        self.report(&id, RuntimeEventKind::PullStarted, now);
        // What an image cache holds needs no pull, and what is left takes its share.
        let all = spec.init_containers.iter().chain(&spec.containers);
        let mut images: Vec<&str> = all.map(|c| c.image.as_str()).collect();
        let of = images.len().max(1);
        images.retain(|image| !cached.iter().flatten().any(|cached| cached == image));
        let (left, range) = (images.len(), sim.scenario.pull_ms);
        let by_size = sim.scenario.images.as_ref();
        let by_size = by_size.map_or(Duration::ZERO, |sizes| sizes.pull(images));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let share = |pull: Duration| pull.saturating_mul(count(left)) / count(of);
        let pull = match overrides.pull {
            Some(pull) => share(pull),
            None => share(dice.draw(Decides::Pull, range)) + by_size,
        };
        match pull {
            Duration::ZERO => self.launched(sim, &id, now),
            pull => self.later(sim, after(now, pull), Due::Launched(id)),
        }
    }

    fn launched(&self, sim: &mut Sim, id: &GroupId, now: Timestamp) {
        let Some(group) = sim.groups.get_mut(id).filter(|g| !g.stopping) else {
            return;
        };
        group.launched = true;
        group.up = Some(now);
        let address = group.spec.network.private_ip;
        let address = address.unwrap_or_else(|| {
            let next = Ipv4Addr::from(FIRST_ADDRESS + sim.launched % ADDRESSES);
            sim.launched = sim.launched.wrapping_add(1);
            next
        });
        self.report(
            id,
            RuntimeEventKind::SandboxReady {
                ip: IpAddr::V4(address),
            },
            now,
        );
    }

    pub(super) fn started(&self, sim: &mut Sim, id: &GroupId, index: usize, instance: u32, now: Timestamp) {
        sim.starts += 1;
        let serial = sim.starts;
        let log_every = Duration::from_millis(sim.scenario.log_every_ms);
        let Some(group) = sim.groups.get_mut(id).filter(|g| !g.stopping) else {
            return;
        };
        let is_init = index < group.spec.init_containers.len();
        let Some(spec) = spec_of(&group.spec, index) else {
            return;
        };
        let dice = group.dice.of_name(&spec.name).of(instance.into());
        let luck = Luck::draw(dice, &sim.scenario);
        let overrides = Overrides::of(&group.spec, Some(spec));
        let Some(container) = group.containers.get_mut(index) else {
            return;
        };
        let start_error = overrides
            .start_error
            .filter(|_| overrides.start_error_count.is_none_or(|n| instance < n));
        if let Some(reason) = start_error.or(luck.start_error) {
            let message = format!("simulated {reason} of image \"{}\"", spec.image);
            let event = ContainerEvent::StartFailed { reason, message };
            return self.report_container(id, &container.name, instance, event, now);
        }
        container.running = Some(Instance {
            number: instance,
            serial,
            stopping: false,
        });
        if container.logs.len() >= 2 {
            container.logs.remove(0);
        }
        if container.runs.len() >= 2 {
            container.spent += container.runs.remove(0).spent();
        }
        container.runs.push(Run::new(id, &group.spec, spec, now));
        let log = SimLog::new(
            &spec.name,
            &group.spec.name,
            now,
            overrides.log_every.unwrap_or(log_every),
        );
        container.logs.push((instance, log));
        let event = ContainerEvent::Started {
            container_id: format!("simulated://{}/{}/{instance}", id, spec.name),
            image_id: spec.image.clone(),
        };
        self.report_container(id, &container.name, instance, event, now);

        let probe = spec
            .readiness_probe
            .as_ref()
            .map(|p| overrides.ready.unwrap_or(p.initial_delay));
        let plan = luck.exit.filter(|_| !is_init);
        let exits = overrides.exit_count.is_none_or(|n| instance < n);
        let exit_after = overrides
            .exit_after
            .map(Range::exactly)
            .or(plan.map(|p| p.after_ms))
            .or(is_init.then(Range::default))
            .filter(|_| exits);
        let oom = overrides.oom || (luck.oom && plan.is_some());
        let signal = overrides.exit_signal.unwrap_or(0);
        let by_signal = (signal > 0).then(|| signal.saturating_add(128));
        let code = overrides.exit_code.or(by_signal).or(plan.map(|p| p.code)).unwrap_or(0);
        if let Some(delay) = probe {
            self.later(sim, after(now, delay), Due::Ready(id.clone(), serial));
        }
        if let Some(range) = exit_after {
            let mut message = overrides.exit_message.unwrap_or_default();
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            let (code, signal) = if oom { (137, 9) } else { (code, signal) };
            let exit = Exit {
                code,
                signal,
                oom,
                message,
            };
            let delay = dice.draw(Decides::ExitAfter, range);
            self.later(sim, after(now, delay), Due::Exit(id.clone(), serial, exit));
        }
    }

    pub(super) fn exited(&self, sim: &mut Sim, id: &GroupId, index: usize, serial: u64, exit: Exit, now: Timestamp) {
        let Some(group) = sim.groups.get_mut(id) else { return };
        let Some(container) = group.containers.get_mut(index) else {
            return;
        };
        let Some(instance) = container.running.filter(|i| i.serial == serial) else {
            return;
        };
        container.running = None;
        sim.execs.end(serial);
        if let Some((_, log)) = container.logs.last_mut() {
            log.end(now);
        }
        if let Some(run) = container.runs.last_mut() {
            run.end(now);
        }
        self.report_container(id, &container.name, instance.number, ContainerEvent::Exited(exit), now);
        if group.stopping && group.containers.iter().all(|c| c.running.is_none()) {
            self.report(id, RuntimeEventKind::Stopped, now);
        }
    }

    /// Ends one running container within its grace.
    pub(super) fn terminate(&self, sim: &mut Sim, id: &GroupId, index: usize, grace: Duration, now: Timestamp) {
        let range = sim.scenario.stop_ms;
        let Some(group) = sim.groups.get_mut(id) else { return };
        let Some(spec) = spec_of(&group.spec, index) else {
            return;
        };
        let own = Overrides::of(&group.spec, Some(spec)).stop;
        let dice = group.dice.of_name(&spec.name);
        let Some(instance) = group.containers.get_mut(index).and_then(|c| c.running.as_mut()) else {
            return;
        };
        let serial = instance.serial;
        let drawn = dice.of(instance.number.into()).draw(Decides::Stop, range);
        let stop = own.unwrap_or(drawn);
        // A second order may only end it earlier; the later timer of the first then finds it gone.
        instance.stopping = true;
        let (delay, exit) = if grace.is_zero() || stop > grace {
            (
                grace,
                Exit {
                    code: 137,
                    signal: 9,
                    ..Exit::default()
                },
            )
        } else {
            (
                stop,
                Exit {
                    code: 143,
                    signal: 15,
                    ..Exit::default()
                },
            )
        };
        match delay {
            Duration::ZERO => self.exited(sim, id, index, serial, exit, now),
            delay => self.later(sim, after(now, delay), Due::Exit(id.clone(), serial, exit)),
        }
    }
}

/// What the scenario has in store for one start of a container.
struct Luck {
    start_error: Option<String>,
    exit: Option<ExitPlan>,
    oom: bool,
}

impl Luck {
    fn draw(dice: Dice, scenario: &Scenario) -> Self {
        let fails = dice.is_one_of(Decides::StartError, scenario.start_error_per_mille);
        let reason = scenario.start_error.as_deref().unwrap_or("ErrImagePull");
        let exit = scenario
            .exit
            .filter(|plan| dice.is_one_of(Decides::Exit, plan.per_mille));
        Self {
            start_error: fails.then(|| reason.to_owned()),
            exit,
            oom: exit.is_some_and(|plan| dice.is_one_of(Decides::OutOfMemory, plan.oom_per_mille)),
        }
    }
}

pub(super) fn spec_of(spec: &GroupSpec, index: usize) -> Option<&ContainerSpec> {
    spec.init_containers.iter().chain(&spec.containers).nth(index)
}
