//! Groups without containers: their life follows a [`Scenario`], drawn from a seed, for tens of thousands of them.
//!
//! All groups share one queue of timers and one task. Logs are not stored but computed from the time an instance started,
//! but for lines that steering adds.

mod logs;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::Notify;

use self::logs::SimLog;
use super::{
    AdoptedGroup, ContainerEvent, Events, Exit, Launch, LogLine, LogQuery, Runtime, RuntimeError, RuntimeEvent,
    RuntimeEventKind,
};
use crate::{
    clock::Clock,
    scenario::{Overrides, Range, Scenario},
    spec::{ContainerSpec, GroupId, GroupSpec},
    timers::{Timers, after},
};

/// The first address given out, and how many there are before they repeat: 10.200.0.0/13 without its ends.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 200, 0, 10]);
const ADDRESSES: u32 = 500_000;

/// The simulated runtime; clones are the same one.
#[derive(Clone)]
pub struct Simulated(Arc<Inner>);

struct Inner {
    clock: Clock,
    events: Events,
    sim: Mutex<Sim>,
    /// An earlier timer was added.
    earlier: Notify,
}

struct Sim {
    scenario: Scenario,
    random: StdRng,
    groups: HashMap<GroupId, SimGroup>,
    timers: Timers<Due>,
    launched: u32,
    starts: u64,
}

struct SimGroup {
    spec: Arc<GroupSpec>,
    containers: Vec<SimContainer>,
    launched: bool,
    /// Set by stop: when the last container has ended, `Stopped` is reported.
    stopping: bool,
}

struct SimContainer {
    name: Arc<str>,
    running: Option<Instance>,
    /// Logs of the newest two instances, oldest first.
    logs: Vec<(u32, SimLog)>,
}

#[derive(Clone, Copy)]
struct Instance {
    number: u32,
    /// Tells it from any other instance ever: a number starts anew after a reset.
    serial: u64,
    stopping: bool,
}

/// What a timer is for.
enum Due {
    Scheduled(GroupId),
    Launched(GroupId),
    Started(GroupId, usize, u32),
    Ready(GroupId, usize, u64),
    Exit(GroupId, usize, u64, Exit),
}

impl Simulated {
    /// A runtime without groups that reports to `events`. Its task ends when nobody receives
    /// them any more.
    pub fn start(scenario: Scenario, seed: u64, clock: Clock, events: Events) -> Self {
        let sim = Sim {
            scenario,
            // Another stream than the ids', which come from the same seed.
            random: StdRng::seed_from_u64(seed ^ 0x5eed_0f51_0000_0001),
            groups: HashMap::new(),
            timers: Timers::default(),
            launched: 0,
            starts: 0,
        };
        let inner = Arc::new(Inner {
            clock,
            events,
            sim: Mutex::new(sim),
            earlier: Notify::new(),
        });
        tokio::spawn(run(inner.clone()));
        Self(inner)
    }

    /// Groups launched from now on behave like this.
    pub fn set_scenario(&self, scenario: Scenario) {
        self.0.sim().scenario = scenario;
    }

    /// Ends a running container as if by itself; false = no such container runs.
    pub fn exit(&self, group: &str, container: &str, exit: Exit) -> bool {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let Some((id, index)) = sim.find(group, container) else {
            return false;
        };
        let running = sim
            .groups
            .get(&id)
            .and_then(|g| g.containers.get(index))
            .and_then(|c| c.running);
        match running {
            Some(instance) => {
                self.0.exited(&mut sim, &id, index, instance.serial, exit, now);
                true
            }
            None => false,
        }
    }

    /// Changes the outcome of a running container's readiness; false = no such container runs.
    pub fn set_ready(&self, group: &str, container: &str, ready: bool) -> bool {
        let now = self.0.clock.now();
        let sim = self.0.sim();
        let Some((id, index)) = sim.find(group, container) else {
            return false;
        };
        let Some(record) = sim.groups.get(&id).and_then(|g| g.containers.get(index)) else {
            return false;
        };
        let Some(instance) = record.running else { return false };
        self.0
            .report_container(&id, &record.name, instance.number, ContainerEvent::Ready(ready), now);
        true
    }

    /// Adds lines to the log of a container's newest instance; false = no such container ever ran.
    pub fn log(&self, group: &str, container: &str, lines: &[String]) -> bool {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let Some((id, index)) = sim.find(group, container) else {
            return false;
        };
        let log = sim
            .groups
            .get_mut(&id)
            .and_then(|g| g.containers.get_mut(index))
            .and_then(|c| c.logs.last_mut());
        match log {
            Some((_, log)) => {
                log.push(lines, now);
                true
            }
            None => false,
        }
    }

    /// The cloud takes a group's resources back; false = no such group.
    pub fn reclaim(&self, group: &str) -> bool {
        let now = self.0.clock.now();
        let sim = self.0.sim();
        let Some((id, _)) = sim.groups.get_key_value(group) else {
            return false;
        };
        self.0.report(id, RuntimeEventKind::Reclaimed, now);
        true
    }
}

/// Works the timers off, until nobody receives events any more.
async fn run(inner: Arc<Inner>) {
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
    fn draw(&mut self, range: Range) -> Duration {
        let millis = if range.min >= range.max {
            range.min
        } else {
            self.random.random_range(range.min..=range.max)
        };
        Duration::from_millis(millis)
    }

    fn find(&self, group: &str, container: &str) -> Option<(GroupId, usize)> {
        let (id, found) = self.groups.get_key_value(group)?;
        let index = found.containers.iter().position(|c| &*c.name == container)?;
        Some((id.clone(), index))
    }
}

impl Inner {
    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, group: &GroupId, kind: RuntimeEventKind, at: Timestamp) {
        // Nobody listens any more: the server is going down.
        let _ = self.events.send(RuntimeEvent {
            group: group.clone(),
            at,
            kind,
        });
    }

    fn report_container(&self, group: &GroupId, name: &str, instance: u32, event: ContainerEvent, at: Timestamp) {
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

    fn later(&self, sim: &mut Sim, at: Timestamp, due: Due) {
        if sim.timers.add(at, due) {
            self.earlier.notify_one();
        }
    }

    fn due(&self, sim: &mut Sim, due: Due, now: Timestamp) {
        match due {
            Due::Scheduled(id) => self.scheduled(sim, id, now),
            Due::Launched(id) => self.launched(sim, &id, now),
            Due::Started(id, index, instance) => self.started(sim, &id, index, instance, now),
            Due::Ready(id, index, serial) => {
                let container = sim.groups.get(&id).and_then(|g| g.containers.get(index));
                if let Some(container) = container
                    && let Some(instance) = container.running.filter(|i| i.serial == serial)
                {
                    self.report_container(&id, &container.name, instance.number, ContainerEvent::Ready(true), now);
                }
            }
            Due::Exit(id, index, serial, exit) => self.exited(sim, &id, index, serial, exit, now),
        }
    }

    fn scheduled(&self, sim: &mut Sim, id: GroupId, now: Timestamp) {
        let Some(group) = sim.groups.get(&id) else { return };
        let overrides = Overrides::of(&group.spec, None);
        let unlucky = sim.scenario.no_stock_per_mille;
        let unlucky = unlucky > 0 && sim.random.random_range(0..1000) < unlucky;
        let error = overrides.launch_error.or_else(|| unlucky.then(|| "NoStock".to_owned()));
        if let Some(reason) = error {
            let message = format!("{reason}: the requested resources are not available in this zone");
            return self.report(&id, RuntimeEventKind::LaunchFailed { reason, message }, now);
        }
        self.report(&id, RuntimeEventKind::Scheduled, now);
        self.report(&id, RuntimeEventKind::PullStarted, now);
        let range = sim.scenario.pull_ms;
        match overrides.pull.unwrap_or_else(|| sim.draw(range)) {
            Duration::ZERO => self.launched(sim, &id, now),
            pull => self.later(sim, after(now, pull), Due::Launched(id)),
        }
    }

    fn launched(&self, sim: &mut Sim, id: &GroupId, now: Timestamp) {
        let Some(group) = sim.groups.get_mut(id).filter(|g| !g.stopping) else {
            return;
        };
        group.launched = true;
        let address = Ipv4Addr::from(FIRST_ADDRESS + sim.launched % ADDRESSES);
        sim.launched = sim.launched.wrapping_add(1);
        self.report(
            id,
            RuntimeEventKind::SandboxReady {
                ip: IpAddr::V4(address),
            },
            now,
        );
    }

    fn started(&self, sim: &mut Sim, id: &GroupId, index: usize, instance: u32, now: Timestamp) {
        sim.starts += 1;
        let serial = sim.starts;
        let (scenario_exit, log_every) = (sim.scenario.exit, Duration::from_millis(sim.scenario.log_every_ms));
        let Some(group) = sim.groups.get_mut(id).filter(|g| !g.stopping) else {
            return;
        };
        let is_init = index < group.spec.init_containers.len();
        let Some(spec) = spec_of(&group.spec, index) else {
            return;
        };
        let overrides = Overrides::of(&group.spec, Some(spec));
        let Some(container) = group.containers.get_mut(index) else {
            return;
        };
        if let Some(reason) = overrides
            .start_error
            .filter(|_| overrides.start_error_count.is_none_or(|n| instance < n))
        {
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
        let plan = scenario_exit.filter(|_| !is_init);
        let exits = overrides.exit_count.is_none_or(|n| instance < n);
        let after_start = overrides.exit_after.map(|d| Range::from([d.as_millis() as u64; 2]));
        let exit_after = after_start
            .or(plan.map(|p| p.after_ms))
            .or(is_init.then(Range::default))
            .filter(|_| exits);
        let code = overrides.exit_code.or(plan.map(|p| p.code)).unwrap_or(0);
        if let Some(delay) = probe {
            self.later(sim, after(now, delay), Due::Ready(id.clone(), index, serial));
        }
        if let Some(range) = exit_after {
            let exit = match overrides.oom {
                true => Exit {
                    code: 137,
                    signal: 9,
                    oom: true,
                    message: String::new(),
                },
                false => Exit {
                    code,
                    ..Exit::default()
                },
            };
            let delay = sim.draw(range);
            self.later(sim, after(now, delay), Due::Exit(id.clone(), index, serial, exit));
        }
    }

    fn exited(&self, sim: &mut Sim, id: &GroupId, index: usize, serial: u64, exit: Exit, now: Timestamp) {
        let Some(group) = sim.groups.get_mut(id) else { return };
        let Some(container) = group.containers.get_mut(index) else {
            return;
        };
        let Some(instance) = container.running.filter(|i| i.serial == serial) else {
            return;
        };
        container.running = None;
        if let Some((_, log)) = container.logs.last_mut() {
            log.end(now);
        }
        self.report_container(id, &container.name, instance.number, ContainerEvent::Exited(exit), now);
        if group.stopping && group.containers.iter().all(|c| c.running.is_none()) {
            self.report(id, RuntimeEventKind::Stopped, now);
        }
    }

    /// Ends one running container within its grace.
    fn terminate(&self, sim: &mut Sim, id: &GroupId, index: usize, grace: Duration, now: Timestamp) {
        let range = sim.scenario.stop_ms;
        let drawn = sim.draw(range);
        let Some(group) = sim.groups.get_mut(id) else { return };
        let stop = match spec_of(&group.spec, index) {
            Some(spec) => Overrides::of(&group.spec, Some(spec)).stop.unwrap_or(drawn),
            None => drawn,
        };
        let Some(instance) = group.containers.get_mut(index).and_then(|c| c.running.as_mut()) else {
            return;
        };
        let serial = instance.serial;
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
            delay => self.later(sim, after(now, delay), Due::Exit(id.clone(), index, serial, exit)),
        }
    }
}

fn spec_of(spec: &GroupSpec, index: usize) -> Option<&ContainerSpec> {
    spec.init_containers.iter().chain(&spec.containers).nth(index)
}

impl Runtime for Simulated {
    fn launch(&self, launch: Launch) {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let range = sim.scenario.schedule_ms;
        let drawn = sim.draw(range);
        let delay = Overrides::of(&launch.spec, None).schedule.unwrap_or(drawn);
        let names = launch.spec.init_containers.iter().chain(&launch.spec.containers);
        let containers = names
            .map(|c| SimContainer {
                name: c.name.as_str().into(),
                running: None,
                logs: Vec::new(),
            })
            .collect();
        let group = SimGroup {
            spec: launch.spec,
            containers,
            launched: false,
            stopping: false,
        };
        sim.groups.insert(launch.id.clone(), group);
        self.0.later(&mut sim, after(now, delay), Due::Scheduled(launch.id));
    }

    fn start(&self, group: &GroupId, container: &str, instance: u32) {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let Some((_, index)) = sim.find(group.as_str(), container) else {
            return;
        };
        let range = sim.scenario.start_ms;
        let drawn = sim.draw(range);
        let Some(found) = sim.groups.get(group).filter(|g| g.launched && !g.stopping) else {
            return;
        };
        let delay = spec_of(&found.spec, index)
            .and_then(|c| Overrides::of(&found.spec, Some(c)).start)
            .unwrap_or(drawn);
        match delay {
            Duration::ZERO => self.0.started(&mut sim, group, index, instance, now),
            delay => self.0.later(
                &mut sim,
                after(now, delay),
                Due::Started(group.clone(), index, instance),
            ),
        }
    }

    fn stop(&self, group: &GroupId, grace: Duration) {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let Some(found) = sim.groups.get_mut(group) else {
            return self.0.report(group, RuntimeEventKind::Stopped, now);
        };
        found.stopping = true;
        let running: Vec<usize> = found
            .containers
            .iter()
            .enumerate()
            .filter(|(_, c)| c.running.is_some())
            .map(|(i, _)| i)
            .collect();
        if running.is_empty() {
            return self.0.report(group, RuntimeEventKind::Stopped, now);
        }
        for index in running {
            self.0.terminate(&mut sim, group, index, grace, now);
        }
    }

    fn stop_container(&self, group: &GroupId, container: &str, grace: Duration) {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        if let Some((id, index)) = sim.find(group.as_str(), container) {
            self.0.terminate(&mut sim, &id, index, grace, now);
        }
    }

    fn remove(&self, group: &GroupId) {
        self.0.sim().groups.remove(group);
    }

    fn logs<'a>(
        &'a self,
        group: &'a GroupId,
        container: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        let now = self.0.clock.now();
        let sim = self.0.sim();
        let lines = sim.find(group.as_str(), container).and_then(|(id, index)| {
            let logs = &sim.groups.get(&id)?.containers.get(index)?.logs;
            let (_, log) = logs.iter().find(|(instance, _)| *instance == query.instance)?;
            Some(log.lines(query, now))
        });
        Box::pin(std::future::ready(lines.ok_or(RuntimeError::NotFound)))
    }

    fn survives(&self) -> bool {
        false
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<AdoptedGroup>, RuntimeError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        let mut sim = self.0.sim();
        sim.groups.clear();
        sim.timers.clear();
        Box::pin(std::future::ready(Ok(())))
    }
}
