//! The record of one group: what was asked for, where it is, and its containers.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    container::{Container, Context},
    events::{Detail, GroupEvents, Source},
    lifecycle::{Progress, Status},
    switches::Switches,
};
use crate::{
    runtime,
    spec::{ContainerSpec, GroupId, GroupSpec, Size},
};

/// One group.
#[derive(Debug)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Order of creation, unique.
    pub seq: u64,
    /// What was asked for.
    pub spec: Arc<GroupSpec>,
    /// Where it is.
    pub status: Status,
    /// The status it had when it was deleted: its pod phase stays that one's.
    pub status_before_delete: Option<Status>,
    /// The status it had when it was restarted or updated.
    pub status_before_change: Option<Status>,
    /// The restart or update under way, as long as containers are ending for it.
    pub change: Option<Change>,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// Init containers, then containers, as in the spec.
    pub containers: Vec<Container>,
    /// Why it failed as a whole: reason and message.
    pub failure: Option<(String, String)>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When resources were found.
    pub scheduled_at: Option<Timestamp>,
    /// When all init containers had succeeded.
    pub initialized_at: Option<Timestamp>,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// Whether all containers are ready, and since when that holds.
    pub readiness: (bool, Timestamp),
    /// Key of its newest change among all groups' changes.
    pub changed: (Timestamp, u64),
    /// What happened, for people.
    pub events: GroupEvents,
    /// Whether it is being deleted without grace.
    pub forced: bool,
    /// When its spot resources are taken back, once that was announced.
    pub release_at: Option<Timestamp>,
    /// Sizes it had and until when, before the present one.
    pub past_sizes: Vec<(Timestamp, Size)>,
    /// Token and hash of the parameters it was created with, where its record outlives this process.
    pub token: Option<Box<(String, String)>>,
    /// A slot for whoever renders it; every change empties it.
    pub rendered: Option<Arc<str>>,
}

/// A restart or an update while containers are ending for it.
#[derive(Debug, Default)]
pub struct Change {
    /// Whether the runtime has to be told a new spec.
    pub update: bool,
    /// Containers that the new spec has no more.
    pub leaving: Vec<(String, Container)>,
}

impl Group {
    /// A new group, before its launch.
    pub fn new(id: GroupId, seq: u64, spec: Arc<GroupSpec>, now: Timestamp) -> Self {
        let inits = spec.init_containers.len();
        let first = if inits == 0 {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        let containers = (0..inits + spec.containers.len())
            .map(|_| Container::new(first))
            .collect();
        Self {
            id,
            seq,
            spec,
            status: Status::Scheduling,
            status_before_delete: None,
            status_before_change: None,
            change: None,
            ip: None,
            containers,
            failure: None,
            created_at: now,
            scheduled_at: None,
            initialized_at: None,
            finished_at: None,
            readiness: (false, now),
            changed: (now, 0),
            events: GroupEvents::default(),
            forced: false,
            release_at: None,
            past_sizes: Vec::new(),
            token: None,
            rendered: None,
        }
    }

    /// Index of the container of this name, init containers first.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let specs = self.spec.init_containers.iter().chain(&self.spec.containers);
        specs.zip(0..).find(|(c, _)| c.name == name).map(|(_, i)| i)
    }

    /// What was asked for of a container, by index.
    pub fn container_spec(&self, index: usize) -> Option<&ContainerSpec> {
        let inits = self.spec.init_containers.len();
        match index.checked_sub(inits) {
            None => self.spec.init_containers.get(index),
            Some(index) => self.spec.containers.get(index),
        }
    }

    /// Records and specs of the init containers.
    pub fn inits(&self) -> impl Iterator<Item = (&ContainerSpec, &Container)> {
        self.spec.init_containers.iter().zip(&self.containers)
    }

    /// Records and specs of the containers.
    pub fn apps(&self) -> impl Iterator<Item = (&ContainerSpec, &Container)> {
        self.spec
            .containers
            .iter()
            .zip(&self.containers[self.spec.init_containers.len()..])
    }

    /// What a container is part of.
    pub fn context<'a>(&self, spec: &'a GroupSpec, uid: &'a str, index: usize) -> Option<Context<'a>> {
        let inits = spec.init_containers.len();
        let container = match index.checked_sub(inits) {
            None => spec.init_containers.get(index),
            Some(index) => spec.containers.get(index),
        }?;
        Some(Context {
            policy: spec.restart_policy,
            is_init: index < inits,
            ending: self.is_ending() || (self.is_sidecar(index) && self.is_over_but_for_sidecars()),
            has_readiness_probe: container.readiness_probe.is_some(),
            name: &container.name,
            image: &container.image,
            pod: &spec.name,
            uid,
        })
    }

    /// Whether nothing is started any more.
    pub fn is_ending(&self) -> bool {
        self.status == Status::Terminating || self.status.is_final()
    }

    /// Notes that it got a larger size than it asked for.
    pub fn note_rounding(&mut self, at: Timestamp) {
        let Size { milli_cpu, memory_mib } = self.spec.size;
        let text = format!(
            "The best matched instanceType for current instance is {}-{}Gi",
            milli_cpu as f64 / 1000.0,
            memory_mib as f64 / 1024.0
        );
        let detail = Detail::Text(text.into());
        self.events
            .add(Source::Service, false, "AutoInstanceTypeMatch", detail, at);
    }

    /// The status its pod phase follows: that of before a delete, restart or update.
    pub fn phase_status(&self) -> Status {
        let changing = |status: Status| match status {
            Status::Restarting | Status::Updating => self.status_before_change.unwrap_or(Status::Running),
            other => other,
        };
        match changing(self.status) {
            Status::Terminating => changing(self.status_before_delete.unwrap_or(Status::Running)),
            other => other,
        }
    }

    /// Whether a container, by index, is a sidecar.
    pub fn is_sidecar(&self, index: usize) -> bool {
        index >= self.spec.init_containers.len()
            && self
                .container_spec(index)
                .is_some_and(|spec| Switches::of(spec).sidecar)
    }

    /// Whether it has containers other than sidecars, and all of them have ended for good.
    pub fn is_over_but_for_sidecars(&self) -> bool {
        let mut others = self.apps().filter(|(spec, _)| !Switches::of(spec).sidecar).peekable();
        others.peek().is_some() && others.all(|(_, container)| container.ended().is_some())
    }

    /// Whether its containers end in an order.
    pub fn ends_in_order(&self) -> bool {
        self.apps().any(|(spec, _)| Switches::of(spec).exit != 0)
    }

    /// Names of the containers to end next: those that run and have the highest exit priority of all that run.
    pub fn next_to_end(&self) -> Vec<String> {
        let running = || {
            let apps = self.apps().filter(|(_, container)| container.is_running());
            apps.map(|(spec, _)| (Switches::of(spec).exit, spec.name.as_str()))
        };
        let first = running().map(|(exit, _)| exit).max();
        let next = running().filter(|(exit, _)| Some(*exit) == first);
        next.map(|(_, name)| name.to_owned()).collect()
    }

    /// How far its containers are.
    pub fn progress(&self) -> Progress {
        if self.change.is_some() {
            return Progress::Starting;
        }
        for (_, init) in self.inits() {
            match init.ended() {
                Some(true) => {}
                Some(false) => return Progress::Ended { success: false },
                None => return Progress::Starting,
            }
        }
        let mut success = true;
        let (mut all_started, mut all_ended) = (true, true);
        let over = self.is_over_but_for_sidecars();
        for (spec, container) in self.apps() {
            all_started &= container.ever_started;
            match container.ended() {
                Some(ok) => success &= ok,
                // A sidecar that does not run is not started any more.
                None if over && container.is_quiet() && Switches::of(spec).sidecar => {}
                None => all_ended = false,
            }
        }
        match (all_ended, all_started) {
            (true, _) => Progress::Ended { success },
            (false, true) => Progress::Running,
            (false, false) => Progress::Starting,
        }
    }

    /// Whether all init containers have succeeded.
    pub fn is_initialized(&self) -> bool {
        self.inits().all(|(_, container)| container.ended() == Some(true))
    }

    /// The containers to start next: the first init container that has not succeeded; once none is left, all containers that
    /// need not wait for one of a higher launch priority.
    pub fn next_to_start(&self) -> Vec<usize> {
        let inits = self.spec.init_containers.len();
        if let Some(index) = self.inits().position(|(_, c)| c.ended() != Some(true)) {
            return vec![index];
        }
        let passed = |spec: &ContainerSpec, container: &Container| {
            let started = container.ever_started && spec.readiness_probe.is_none();
            started || container.ready || container.ended().is_some()
        };
        let bar = self
            .apps()
            .filter(|(spec, container)| !passed(spec, container))
            .map(|(spec, _)| Switches::of(spec).launch)
            .max();
        let launch = |spec| Some(Switches::of(spec).launch);
        let next = self.apps().zip(inits..).filter(|((spec, _), _)| launch(spec) >= bar);
        next.map(|(_, index)| index).collect()
    }

    /// Whether containers wait for others of a higher launch priority.
    pub fn waits_for_others(&self) -> bool {
        self.is_initialized() && self.apps().any(|(_, container)| container.awaiting)
    }

    /// Whether all containers run and are ready.
    pub fn all_ready(&self) -> bool {
        let ready = |(spec, container): (&ContainerSpec, &Container)| {
            (container.ready && container.is_running()) || Switches::of(spec).ignore_ready
        };
        !self.status.is_final() && self.apps().all(ready)
    }

    /// What to keep with the runtime, to know the group again after a restart.
    pub fn record(&self) -> Option<runtime::Record> {
        let (client_token, fingerprint) = self.token.as_deref().cloned().unzip();
        let ending = self.is_ending().then(|| Ending {
            status: self.status,
            at: self.finished_at,
            failure: self.failure.clone(),
            status_before_delete: self.status_before_delete,
            forced: self.forced,
        });
        let record = Record {
            spec: (*self.spec).clone(),
            created_at: self.created_at,
            client_token,
            fingerprint,
            ending,
            past_sizes: self.past_sizes.clone(),
        };
        let text = serde_json::to_string(&record).ok()?;
        Some(runtime::Record(text.into()))
    }
}

/// A group as it is kept with a runtime that outlives this process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// What was asked for.
    pub spec: GroupSpec,
    /// When.
    pub created_at: Timestamp,
    /// With which token.
    pub client_token: Option<String>,
    /// And which parameters, hashed.
    pub fingerprint: Option<String>,
    /// Sizes it had and until when.
    #[serde(default)]
    pub past_sizes: Vec<(Timestamp, Size)>,
    /// None while it lives.
    #[serde(default)]
    pub ending: Option<Ending>,
}

/// A group that is over, or being deleted, in its record.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ending {
    /// A final status, or Terminating.
    pub status: Status,
    /// When it became final.
    pub at: Option<Timestamp>,
    /// Why it failed as a whole.
    pub failure: Option<(String, String)>,
    /// The status it had when it was deleted.
    pub status_before_delete: Option<Status>,
    /// Whether it is being deleted without grace.
    pub forced: bool,
}
