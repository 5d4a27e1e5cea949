//! Restarts and updates: which containers make room, and what takes their place once they have ended.

use std::sync::Arc;

use jiff::Timestamp;

use super::{State, react::spec_of};
use crate::{
    domain::{
        container::Container,
        events::{Detail, Source},
        group::{Change, Group},
        lifecycle::{Event, Status},
        update::Update,
    },
    runtime::{ContainerEvent, Launch, Runtime},
    spec::{GroupId, GroupSpec, RestartPolicy},
};

/// Why a group is not restarted or updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchangeable {
    /// There is none of this id.
    NoGroup,
    /// It is neither Pending nor Running.
    Status(Status),
    /// The vCPU quota would be exceeded.
    Quota,
}

impl State {
    /// Whether a group may be restarted or updated now.
    ///
    /// # Errors
    /// [`Unchangeable`].
    pub fn changeable(&self, id: &str) -> Result<&Group, Unchangeable> {
        let group = self.groups.get(id).ok_or(Unchangeable::NoGroup)?;
        match group.status {
            Status::Pending | Status::Running => Ok(group),
            other => Err(Unchangeable::Status(other)),
        }
    }

    /// Ends all containers of a group within their grace and starts it anew, init containers first, whatever its policy.
    ///
    /// # Errors
    /// [`Unchangeable`].
    pub fn restart(&mut self, id: &str, now: Timestamp, runtime: &dyn Runtime) -> Result<(), Unchangeable> {
        let id = self.changeable(id)?.id.clone();
        self.with(&id, |group| {
            group.containers.iter_mut().for_each(|c| c.make_room(false));
            group.change = Some(Change::default());
            group.status_before_change = Some(group.status);
        });
        self.step(&id, Event::RestartRequested, now, runtime);
        Ok(())
    }

    /// Makes a group what this spec says and restarts what that changes.
    ///
    /// # Errors
    /// [`Unchangeable`].
    pub fn update(
        &mut self,
        id: &str,
        spec: GroupSpec,
        now: Timestamp,
        runtime: &dyn Runtime,
    ) -> Result<(), Unchangeable> {
        let group = self.changeable(id)?;
        let (id, old) = (group.id.clone(), group.spec.clone());
        let used = self.used_milli_cpu.saturating_sub(old.size.milli_cpu) + spec.size.milli_cpu;
        if spec.size.milli_cpu > old.size.milli_cpu && used > self.max_milli_cpu {
            return Err(Unchangeable::Quota);
        }
        self.used_milli_cpu = used;
        if spec.size != old.size {
            self.ledger.with(&id, |entry| {
                entry.past_sizes.push((now, entry.size));
                entry.size = spec.size;
            });
        }
        self.ledger.with(&id, |entry| entry.tags.clone_from(&spec.tags));
        let config_files_restart = self.config_files_restart;
        self.with(&id, |group| {
            if spec.size != old.size {
                group.past_sizes.push((now, old.size));
            }
            group.status_before_change = Some(group.status);
            take_on(group, &old, Arc::new(spec), config_files_restart);
        });
        self.step(&id, Event::UpdateRequested, now, runtime);
        Ok(())
    }

    /// Ends what makes room.
    pub(super) fn replace(&mut self, id: &GroupId, at: Timestamp, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let grace = group.spec.termination_grace;
        let update = group.change.as_ref().is_some_and(|change| change.update);
        let mut stop = Vec::new();
        for index in 0..group.containers.len() {
            let container = &group.containers[index];
            if !container.makes_room() || !container.is_running() {
                continue;
            }
            let Some(spec) = spec_of(&group.spec, index) else {
                continue;
            };
            let detail = match update {
                true => Detail::Text(format!("Container {} definition changed, will be restarted", spec.name).into()),
                false => Detail::Container(index),
            };
            stop.push(spec.name.clone());
            group.events.add(Source::Agent, false, "Killing", detail, at);
        }
        for (name, container) in group.change.iter().flat_map(|change| &change.leaving) {
            if container.is_running() {
                let text = Detail::Text(format!("Stopping container {name}").into());
                group.events.add(Source::Agent, false, "Killing", text, at);
                stop.push(name.clone());
            }
        }
        for name in stop {
            runtime.stop_container(id, &name, grace);
        }
        self.go_on(id, at, runtime);
    }

    /// Starts what takes the place of containers that have ended, once all have.
    pub(super) fn go_on(&mut self, id: &GroupId, at: Timestamp, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let Some(change) = &group.change else { return };
        if group.is_ending() {
            group.change = None;
            return;
        }
        let mut makes_room = group.containers.iter().filter(|c| c.makes_room());
        if !makes_room.all(Container::is_quiet) || !change.leaving.iter().all(|(_, c)| c.is_quiet()) {
            return;
        }
        let update = change.update;
        group.change = None;
        let inits = group.spec.init_containers.len();
        let first = if inits == 0 {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        for index in 0..group.containers.len() {
            let is_init = index < inits;
            let renewed = group.containers[index].renew(if is_init { "ContainerCreating" } else { first });
            if renewed && is_init {
                group.initialized_at = None;
            }
        }
        group.readiness = match (group.all_ready(), group.readiness) {
            (ready, (before, since)) if ready == before => (ready, since),
            (ready, _) => (ready, at),
        };
        let (progress, next, has_network) = (group.progress(), group.next_to_start(), group.ip.is_some());
        let stuck = group.containers.iter().any(Container::fails_to_start);
        if update {
            let record = group.record().filter(|_| runtime.survives());
            runtime.update(Launch {
                // It has what it pulled.
                cached_images: Vec::new(),
                id: id.clone(),
                spec: group.spec.clone(),
                record: record.unwrap_or_default(),
            });
        }
        self.touch(id, at);
        self.step(id, Event::Progress(progress), at, runtime);
        if stuck {
            self.step(id, Event::StartFailed, at, runtime);
        }
        if has_network {
            self.start_containers(id, next, runtime);
        }
    }

    /// Takes in what happened to a container that the group's spec has no more.
    pub(super) fn on_leaving_event(
        &mut self,
        id: &GroupId,
        name: &str,
        instance: u32,
        event: ContainerEvent,
        at: Timestamp,
        runtime: &dyn Runtime,
    ) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let grace = group.spec.termination_grace;
        let context = crate::domain::container::Context {
            policy: RestartPolicy::Never,
            is_init: false,
            ending: true,
            has_readiness_probe: false,
            name,
            image: "",
            pod: "",
            uid: "",
        };
        let leaving = group.change.iter_mut().flat_map(|change| &mut change.leaving);
        let Some((_, container)) = leaving.into_iter().find(|(leaving, _)| leaving == name) else {
            return;
        };
        container.apply(event, instance, at, context);
        if container.is_running() {
            runtime.stop_container(id, name, grace);
        }
        self.go_on(id, at, runtime);
    }
}

/// Gives a group another spec: containers keep their records by name, and those that change are told to make room.
fn take_on(group: &mut Group, old: &GroupSpec, spec: Arc<GroupSpec>, config_files_restart: bool) {
    // Places of containers may change, and with them what events mean.
    group.events.write_out(old, group.id.as_str());
    let update = Update {
        old,
        new: &spec,
        config_files_restart,
    };
    let never = spec.restart_policy == RestartPolicy::Never;
    let names = |spec: &GroupSpec| -> Vec<String> {
        let all = spec.init_containers.iter().chain(&spec.containers);
        all.map(|c| c.name.clone()).collect()
    };
    let mut known: Vec<(String, Container)> = names(old).into_iter().zip(group.containers.drain(..)).collect();
    let inits = spec.init_containers.len();
    for (index, container) in spec.init_containers.iter().chain(&spec.containers).enumerate() {
        let restarts = match index < inits {
            true => update.restarts_all(),
            false => update.restarts(container),
        };
        let record = match known.iter().position(|(name, _)| *name == container.name) {
            Some(at) => {
                let mut record = known.swap_remove(at).1;
                if restarts {
                    record.make_room(never);
                }
                record
            }
            None => Container::new("ContainerCreating"),
        };
        group.containers.push(record);
    }
    group.change = Some(Change {
        update: true,
        leaving: known,
    });
    group.spec = spec;
}
