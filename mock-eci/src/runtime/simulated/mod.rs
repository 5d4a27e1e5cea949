//! Groups without containers: their life follows a [`Scenario`], drawn from a seed, for tens of thousands of them.
//!
//! All groups share one queue of timers and one task. Logs are not stored but computed from the time an instance started,
//! but for lines that steering adds.

mod dice;
mod engine;
mod exec;
mod logs;
mod metrics;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Notify;

pub use self::metrics::Told;
use self::{
    dice::{Decides, Dice},
    engine::{Due, Inner, Sim, SimContainer, SimGroup, run, spec_of},
};
use super::{
    AdoptedGroup, ContainerEvent, Events, Exit, ImagePull, Launch, LogLine, LogQuery, PullFailed, Runtime,
    RuntimeError, RuntimeEventKind,
    exec::{ExecRequest, ExecStreams, pair},
    metrics::Sample,
};
use crate::{
    clock::Clock,
    scenario::{Overrides, Scenario},
    spec::{GroupId, GroupSpec},
    timers::{Timers, after},
};

/// The simulated runtime; clones are the same one.
#[derive(Clone)]
pub struct Simulated(Arc<Inner>);

impl Simulated {
    /// A runtime without groups that reports to `events`. Its task ends when nobody receives
    /// them any more.
    pub fn start(scenario: Scenario, seed: u64, clock: Clock, events: Events) -> Self {
        let sim = Sim {
            scenario,
            dice: Dice::new(seed),
            orders: 0,
            groups: HashMap::new(),
            timers: Timers::default(),
            launched: 0,
            starts: 0,
            execs: exec::Running::default(),
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

    /// Has a running container use this much from now on; false = no such container runs.
    pub fn tell_use(&self, group: &str, container: &str, told: Told) -> bool {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let Some((id, index)) = sim.find(group, container) else {
            return false;
        };
        let found = sim.groups.get_mut(&id).and_then(|g| g.containers.get_mut(index));
        match found.filter(|c| c.running.is_some()).and_then(|c| c.runs.last_mut()) {
            Some(run) => {
                run.tell(told, now);
                true
            }
            None => false,
        }
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
}

impl Runtime for Simulated {
    fn launch(&self, launch: Launch) {
        let now = self.0.clock.now();
        let mut sim = self.0.sim();
        let range = sim.scenario.schedule_ms;
        sim.orders += 1;
        let dice = sim.dice.of(sim.orders);
        let drawn = || dice.draw(Decides::Schedule, range);
        let delay = Overrides::of(&launch.spec, None).schedule.unwrap_or_else(drawn);
        let containers = containers(&launch.spec, Vec::new());
        let group = SimGroup {
            spec: launch.spec,
            containers,
            dice,
            cached: launch.cached_images,
            launched: false,
            up: None,
            spent: 0,
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
        let Some(found) = sim.groups.get(group).filter(|g| g.launched && !g.stopping) else {
            return;
        };
        let delay = spec_of(&found.spec, index)
            .and_then(|c| Overrides::of(&found.spec, Some(c)).start)
            .unwrap_or_else(|| {
                let dice = found.dice.of_name(container).of(instance.into());
                dice.draw(Decides::Start, range)
            });
        match delay {
            Duration::ZERO => self.0.started(&mut sim, group, index, instance, now),
            delay => self.0.later(
                &mut sim,
                after(now, delay),
                Due::Started(group.clone(), container.into(), instance),
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

    fn update(&self, update: Launch) {
        let mut sim = self.0.sim();
        if let Some(group) = sim.groups.get_mut(&update.id) {
            let gone = group
                .containers
                .iter()
                .filter(|c| update.spec.container(&c.name).is_none());
            group.spent += gone.map(metrics::spent).sum::<u64>();
            group.containers = containers(&update.spec, std::mem::take(&mut group.containers));
            group.spec = update.spec;
        }
    }

    fn remove(&self, group: &GroupId) {
        let mut sim = self.0.sim();
        let removed = sim.groups.remove(group);
        for instance in removed.iter().flat_map(|g| &g.containers).filter_map(|c| c.running) {
            sim.execs.end(instance.serial);
        }
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

    fn exec<'a>(
        &'a self,
        group: &'a GroupId,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStreams, RuntimeError>> {
        let mut sim = self.0.sim();
        let found = sim.find(group.as_str(), &request.container).and_then(|(id, index)| {
            let group = sim.groups.get(&id)?;
            let running = group.containers.get(index)?.running;
            let instance = running.filter(|i| i.number == request.instance)?;
            let surroundings = exec::Surroundings::of(&group.spec, spec_of(&group.spec, index)?);
            Some((instance.serial, surroundings))
        });
        let started = found.ok_or(RuntimeError::NotFound).map(|(serial, surroundings)| {
            let (streams, peer) = pair(request.stdin);
            let ended = sim.execs.join(serial);
            tokio::spawn(exec::run(request, peer, surroundings, self.0.clock.clone(), ended));
            streams
        });
        Box::pin(std::future::ready(started))
    }

    fn samples(&self, group: &GroupId, times: &[Timestamp], _: Duration) -> Result<Vec<Sample>, RuntimeError> {
        let sim = self.0.sim();
        let found = sim.groups.get(group).ok_or(RuntimeError::NotFound)?;
        Ok(metrics::samples(group, found, times))
    }

    fn pull_images(&self, pull: ImagePull) -> BoxFuture<'static, Result<(), PullFailed>> {
        let drawn = {
            let sim = self.0.sim();
            let range = sim.scenario.pull_ms;
            let dice = pull.images.iter().fold(sim.dice, |dice, image| dice.of_name(image));
            let by_size = sim.scenario.images.as_ref();
            let images = pull.images.iter().map(String::as_str).collect();
            by_size.map_or(Duration::ZERO, |sizes| sizes.pull(images)) + dice.draw(Decides::Pull, range)
        };
        let overrides = Overrides::of_tags(&pull.tags);
        let took = match pull.images.is_empty() {
            true => Duration::ZERO,
            false => overrides.pull.unwrap_or(drawn),
        };
        // From the order on: a clock that is moved before the task first runs has moved for it, too.
        let clock = self.0.clock.clone();
        let done = after(clock.now(), took);
        Box::pin(async move {
            clock.sleep_until(done).await;
            match overrides.launch_error {
                None => Ok(()),
                Some(reason) => Err(PullFailed {
                    message: format!("simulated {reason} of image \"{}\"", pull.images.join("\", \"")),
                    reason,
                }),
            }
        })
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
        sim.execs.clear();
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The containers of a spec; those that are known already, by name, stay what they are.
fn containers(spec: &GroupSpec, mut known: Vec<SimContainer>) -> Vec<SimContainer> {
    let all = spec.init_containers.iter().chain(&spec.containers);
    all.map(|c| match known.iter().position(|k| *k.name == *c.name) {
        Some(at) => known.swap_remove(at),
        None => SimContainer {
            name: c.name.as_str().into(),
            running: None,
            logs: Vec::new(),
            runs: Vec::new(),
            spent: 0,
        },
    })
    .collect()
}
