//! Where events become changes: what a runtime reports, timers that are due, and deletes go through the tables of
//! [`lifecycle`] and [`container`](crate::domain::container), and what those say is done.

use std::time::Duration;

use jiff::Timestamp;

use super::{KEPT_FOR, SCHEDULE_FAILED_KEPT, State, Timer};
use crate::{
    domain::{
        container::{Container, ERR_IMAGE_PULL, Restart, State as ContainerState},
        events::{Detail, Source},
        group::{Ending, Group},
        lifecycle::{self, Effect, Event, Status},
        switches::Switches,
    },
    runtime::{ContainerEvent, Exit, Runtime, RuntimeEvent, RuntimeEventKind},
    spec::{ContainerSpec, GroupId, GroupSpec},
    timers::after,
};

impl State {
    /// Takes in what a runtime reported.
    pub fn on_runtime_event(&mut self, event: RuntimeEvent, runtime: &dyn Runtime) {
        let RuntimeEvent { group: id, at, kind } = event;
        if !self.groups.contains_key(&id) {
            return;
        }
        match kind {
            RuntimeEventKind::Scheduled => {
                self.with(&id, |g| g.scheduled_at = Some(at));
                self.step(&id, Event::Scheduled, at, runtime);
            }
            RuntimeEventKind::PullStarted => self.step(&id, Event::PullStarted, at, runtime),
            RuntimeEventKind::SandboxReady { ip } => {
                self.with(&id, |g| {
                    g.ip = Some(ip);
                    if g.spec.init_containers.is_empty() {
                        g.initialized_at = Some(at);
                    }
                });
                self.step(&id, Event::SandboxReady, at, runtime);
            }
            RuntimeEventKind::LaunchFailed { reason, message } => {
                self.with(&id, |g| {
                    let text = Detail::Text(message.as_str().into());
                    g.events.add(Source::Service, true, known_failure(&reason), text, at);
                    g.failure = Some((reason, message));
                });
                self.step(&id, Event::LaunchFailed, at, runtime);
            }
            RuntimeEventKind::Evicted { message } => {
                self.with(&id, |g| {
                    let text = Detail::Text(message.as_str().into());
                    g.events.add(Source::Agent, true, "Evicted", text, at);
                    g.failure = Some(("Evicted".to_owned(), message));
                });
                self.step(&id, Event::LaunchFailed, at, runtime);
            }
            RuntimeEventKind::Container { name, instance, event } => {
                self.on_container_event(&id, &name, instance, event, at, runtime);
            }
            RuntimeEventKind::Stopped => self.step(&id, Event::Stopped, at, runtime),
        }
    }

    fn on_container_event(
        &mut self,
        id: &GroupId,
        name: &str,
        instance: u32,
        event: ContainerEvent,
        at: Timestamp,
        runtime: &dyn Runtime,
    ) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let Some(index) = group.index_of(name) else {
            return self.on_leaving_event(id, name, instance, event, at, runtime);
        };
        note_container_event(group, index, &event, at);
        let exited = matches!(event, ContainerEvent::Exited(_));
        let spec = group.spec.clone();
        let event = overlooked(&spec, index, event);
        let Some(context) = group.context(&spec, id.as_str(), index) else {
            return;
        };
        let failed = matches!(event, ContainerEvent::StartFailed { .. });
        let container = &mut group.containers[index];
        let ran = container.is_running();
        let restart = container.apply(event, instance, at, context);
        // Its start was under way when it was told to make room.
        let began = container.is_running() && !ran;
        let unwanted = container.makes_room() && began;
        let pull_failed = container.is_waiting_for(ERR_IMAGE_PULL);
        match restart {
            Some(Restart { instance, after: wait }) if pull_failed => {
                let timer = Timer::PullBackOff(id.clone(), name.into(), instance);
                self.timers.add(after(at, wait / 2), timer);
            }
            Some(Restart { after: wait, .. }) if exited && !wait.is_zero() => {
                group
                    .events
                    .add(Source::Agent, true, "BackOff", Detail::Container(index), at);
            }
            _ => {}
        }
        let ready = group.all_ready();
        if ready != group.readiness.0 {
            group.readiness = (ready, at);
        }
        let init_done = context.is_init && group.containers[index].ended() == Some(true) && !group.is_ending();
        if init_done && group.is_initialized() {
            group.initialized_at = Some(at);
        }
        let sidecars = sidecars_to_end(group, index, exited, began, at);
        let (progress, changing) = (group.progress(), group.change.is_some());
        if let Some(Restart { instance, after: wait }) = restart.filter(|r| !r.after.is_zero()) {
            group.containers[index].back_off(instance);
            let name = name.into();
            self.timers
                .add(after(at, wait), Timer::Start(id.clone(), name, instance));
        }
        self.touch(id, at);
        if changing {
            if unwanted {
                runtime.stop_container(id, name, spec.termination_grace);
            }
            self.go_on(id, at, runtime);
        } else {
            self.step(id, Event::Progress(progress), at, runtime);
            if failed {
                self.step(id, Event::StartFailed, at, runtime);
            }
        }
        if let Some(Restart { instance, .. }) = restart.filter(|r| r.after.is_zero()) {
            self.start(id, index, instance, runtime);
        }
        for sidecar in sidecars {
            runtime.stop_container(id, &sidecar, spec.termination_grace);
        }
        let Some(group) = self.groups.get(id) else { return };
        let in_order = group.status == Status::Terminating && !group.forced && group.ends_in_order();
        if exited && in_order {
            self.end_next(id, runtime);
        } else if !changing && (init_done || group.waits_for_others()) {
            let next = group.next_to_start();
            self.start_containers(id, next, runtime);
        }
    }

    /// Ends the containers of the highest exit priority; when none runs any more, all that is left.
    fn end_next(&mut self, id: &GroupId, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get(id) else { return };
        let grace = group.spec.termination_grace;
        // One whose start is under way is in no order.
        let settled = group.containers.iter().all(|c| c.is_quiet() || c.is_running());
        match group.next_to_end() {
            next if settled && !next.is_empty() => {
                for name in next {
                    runtime.stop_container(id, &name, grace);
                }
            }
            _ => runtime.stop(id, grace),
        }
    }

    /// Takes in that a timer's time has come.
    pub fn on_timer(&mut self, timer: Timer, now: Timestamp, runtime: &dyn Runtime) {
        match timer {
            Timer::Start(id, name, instance) => {
                let group = self.groups.get(&id);
                let index = group.and_then(|g| g.index_of(&name).filter(|i| g.containers[*i].backs_off(instance)));
                if let Some(index) = index {
                    self.start(&id, index, instance, runtime);
                }
            }
            Timer::PullBackOff(id, name, instance) => self.pull_backs_off(&id, &name, instance, now),
            Timer::Deadline(id) => {
                self.with(&id, |g| {
                    if !g.is_ending() {
                        let message = "Pod was active on the node longer than the specified deadline";
                        g.events.add(
                            Source::Agent,
                            true,
                            "DeadlineExceeded",
                            Detail::Text(message.into()),
                            now,
                        );
                        g.failure = Some(("DeadlineExceeded".to_owned(), message.to_owned()));
                    }
                });
                self.step(&id, Event::DeadlineExceeded, now, runtime);
            }
            Timer::Pending(id) => {
                let pending = |g: &Group| matches!(g.status, Status::Scheduling | Status::Pending);
                if self.groups.get(&id).is_some_and(pending) {
                    let message = "The container group was pending longer than MaxPendingMinute";
                    self.with(&id, |g| {
                        let text = Detail::Text(message.into());
                        g.events.add(Source::Service, true, "FailedScheduling", text, now);
                        g.failure = Some(("PendingTimeout".to_owned(), message.to_owned()));
                    });
                    self.step(&id, Event::PendingTooLong, now, runtime);
                }
            }
            Timer::SpotCheck(id, due) => self.check_spot(&id, due, now),
            Timer::SpotRelease(id, due) => {
                let group = self.groups.get(&id).filter(|g| g.release_at == Some(due));
                // After a jump in time it may be late, and something may have happened since.
                if let Some(at) = group.map(|g| due.max(g.changed.0)) {
                    self.release(&id, at, runtime);
                }
            }
            Timer::NoStock(id) => self.find_no_stock(&id, now, runtime),
            Timer::Retention => self.forget_old(now, runtime),
            Timer::Forget(id) => {
                if self.groups.get(&id).is_some_and(|g| g.status.is_final()) {
                    self.remove(&id, now);
                    runtime.remove(&id);
                }
            }
        }
    }

    /// Takes up the life of an adopted group: restarts by policy what ended meanwhile, starts what comes next, or ends it.
    pub fn resume(&mut self, id: &GroupId, has_network: bool, now: Timestamp, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if !has_network {
            group.containers.iter_mut().for_each(|c| c.lost(now));
            let message = "The group's network is gone: the machine below it was restarted";
            let text = Detail::Text(message.into());
            group
                .events
                .add(Source::Service, true, "SystemFailureReboot", text, now);
            group.failure = Some(("SystemFailureReboot".to_owned(), message.to_owned()));
            return self.step(id, Event::LaunchFailed, now, runtime);
        }
        let spec = group.spec.clone();
        let inits_done = group.is_initialized();
        let mut start = Vec::new();
        for index in 0..group.containers.len() {
            let Some(context) = group.context(&spec, id.as_str(), index) else {
                continue;
            };
            let container = &mut group.containers[index];
            container.awaiting = matches!(container.state, ContainerState::Waiting { .. });
            container.ready = container.is_running() && !context.is_init && !context.has_readiness_probe;
            match container.state.clone() {
                ContainerState::Terminated(ended) => {
                    // As if the end were reported now: the policy decides, with a fresh back-off.
                    if let Some(started_at) = ended.started_at {
                        container.state = ContainerState::Running { started_at };
                    }
                    if let Some(restart) = container.apply(
                        ContainerEvent::Exited(ended.exit),
                        container.instance,
                        ended.finished_at,
                        context,
                    ) {
                        start.push((index, restart.instance));
                    }
                }
                ContainerState::Waiting { .. } if inits_done || context.is_init => {
                    start.push((index, container.instance))
                }
                _ => {}
            }
        }
        // Init containers go one by one: only the first one that is not done may start. Containers that were started before do
        // not wait for others again.
        let next = group.next_to_start();
        let inits = spec.init_containers.len();
        start.retain(|(index, _)| next.contains(index) || (*index >= inits && !group.containers[*index].awaiting));
        group.readiness = (group.all_ready(), now);
        let sidecars = end_sidecars(group, now);
        let progress = group.progress();
        self.touch(id, now);
        self.step(id, Event::Progress(progress), now, runtime);
        for sidecar in sidecars {
            runtime.stop_container(id, &sidecar, spec.termination_grace);
        }
        for (index, instance) in start {
            self.start(id, index, instance, runtime);
        }
    }

    /// Puts an adopted group that was over, or on its way there, back where it was.
    pub fn restore(&mut self, id: &GroupId, was: Ending, now: Timestamp, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get_mut(id) else { return };
        group.failure = was.failure;
        if !was.status.is_final() {
            group.status = was.status_before_delete.unwrap_or(group.status);
            self.delete(id.as_str(), was.forced, now, runtime);
            return;
        }
        let before = group.status;
        let at = was.at.unwrap_or(now);
        group.status = was.status;
        group.finished_at = Some(at);
        self.on_status(id, before, Some(was.status), at);
        self.touch(id, now);
        self.carry_out(id, Effect::EndBilling, at, runtime);
        self.carry_out(id, Effect::Kill, at, runtime);
    }

    /// Deletes a group; false = there is none of this id.
    pub fn delete(&mut self, id: &str, force: bool, now: Timestamp, runtime: &dyn Runtime) -> bool {
        let Some(group) = self.groups.get_mut(id) else {
            return false;
        };
        let id = group.id.clone();
        group.forced |= force;
        group.status_before_delete.get_or_insert(group.status);
        self.step(&id, Event::DeleteRequested, now, runtime);
        true
    }

    /// Asks the table and does what it says.
    pub(super) fn step(&mut self, id: &GroupId, event: Event, at: Timestamp, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let before = group.status;
        let step = lifecycle::step(before, event);
        let changed = step.next != Some(before);
        if let Some(next) = step.next.filter(|next| *next != before) {
            group.status = next;
            if next.is_final() {
                group.finished_at = Some(at);
                if group.readiness.0 {
                    group.readiness = (false, at);
                }
            }
        }
        if changed {
            self.on_status(id, before, step.next, at);
            self.touch(id, at);
            self.keep(id, runtime);
        }
        for effect in step.effects {
            self.carry_out(id, *effect, at, runtime);
        }
    }

    /// Has the runtime keep what an adopted group could not be seen to be: over, or being deleted.
    fn keep(&self, id: &GroupId, runtime: &dyn Runtime) {
        if let Some(record) = self
            .groups
            .get(id)
            .filter(|g| g.is_ending() && runtime.survives())
            .and_then(Group::record)
        {
            runtime.keep(id, record);
        }
    }

    /// Keeps indexes, quota and ledger in step with a status.
    fn on_status(&mut self, id: &GroupId, before: Status, next: Option<Status>, at: Timestamp) {
        let Some(group) = self.groups.get(id) else { return };
        if let Some(status) = next {
            self.ledger.with(id, |entry| entry.states.push((status, at)));
        }
        let was_live = !before.is_final();
        if was_live && next.is_none_or(Status::is_final) {
            self.used_milli_cpu = self.used_milli_cpu.saturating_sub(group.spec.size.milli_cpu);
        }
        match next {
            Some(Status::ScheduleFailed) => {
                self.timers
                    .add(after(at, SCHEDULE_FAILED_KEPT), Timer::Forget(id.clone()));
            }
            Some(status) if status.is_final() => {
                self.finished.insert((at, group.seq), id.clone());
                let due = |since: Timestamp| since.saturating_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
                self.timers.add(due(at), Timer::Retention);
                // It may push the oldest one out of the newest hundred right now.
                let oldest = self.finished.first_key_value();
                if oldest.is_some_and(|((oldest, _), _)| due(*oldest) <= at) {
                    self.timers.add(at, Timer::Retention);
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, id: &GroupId, effect: Effect, at: Timestamp, runtime: &dyn Runtime) {
        match effect {
            Effect::StartBilling => self.ledger.with(id, |entry| {
                entry.billing_start.get_or_insert(at);
            }),
            Effect::EndBilling => self.ledger.with(id, |entry| {
                if let Some(start) = entry.billing_start {
                    entry.billing_end.get_or_insert(at.max(start));
                }
            }),
            Effect::StartContainers => {
                if let Some(next) = self.groups.get(id).map(Group::next_to_start) {
                    self.start_containers(id, next, runtime);
                }
            }
            Effect::Replace => self.replace(id, at, runtime),
            Effect::Stop => {
                let Some(group) = self.groups.get_mut(id) else { return };
                let grace = if group.forced {
                    Duration::ZERO
                } else {
                    group.spec.termination_grace
                };
                // No restart that is still waiting may come after this.
                group.containers.iter_mut().for_each(Container::give_up);
                group.change = None;
                note_killing(group, at);
                if !group.forced && group.ends_in_order() {
                    self.end_next(id, runtime);
                } else {
                    runtime.stop(id, grace);
                }
            }
            Effect::Kill => {
                if let Some(group) = self.groups.get_mut(id) {
                    group.containers.iter_mut().for_each(Container::give_up);
                    group.change = None;
                    note_killing(group, at);
                }
                runtime.stop(id, Duration::ZERO);
            }
            Effect::Remove => {
                self.remove(id, at);
                runtime.remove(id);
            }
        }
    }

    /// Starts those of these containers that wait for it.
    pub(super) fn start_containers(&mut self, id: &GroupId, indexes: Vec<usize>, runtime: &dyn Runtime) {
        for index in indexes {
            let container = self.groups.get(id).and_then(|g| g.containers.get(index));
            if let Some(instance) = container.filter(|c| c.awaiting).map(|c| c.instance) {
                self.start(id, index, instance, runtime);
            }
        }
    }

    fn start(&mut self, id: &GroupId, index: usize, instance: u32, runtime: &dyn Runtime) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.is_ending() {
            return;
        }
        let Some(container) = group.containers.get_mut(index) else {
            return;
        };
        container.starting(instance);
        if let Some(spec) = group.container_spec(index) {
            runtime.start(id, &spec.name, instance);
        }
    }
}

impl State {
    fn pull_backs_off(&mut self, id: &GroupId, name: &str, instance: u32, now: Timestamp) {
        let Some(group) = self.groups.get_mut(id).filter(|g| !g.is_ending()) else {
            return;
        };
        let Some(index) = group.index_of(name) else { return };
        let Some(image) = group.container_spec(index).map(|c| c.image.clone()) else {
            return;
        };
        if group
            .containers
            .get_mut(index)
            .is_some_and(|c| c.pull_backs_off(instance, &image))
        {
            let mut note = |warning, reason, text: String| {
                group
                    .events
                    .add(Source::Agent, warning, reason, Detail::Text(text.into()), now);
            };
            note(false, "BackOff", format!("Back-off pulling image \"{image}\""));
            note(true, "Failed", "Error: ImagePullBackOff".to_owned());
            self.touch(id, now);
        }
    }
}

/// An end that does not count is one that went well, and says how it really was.
fn overlooked(spec: &GroupSpec, index: usize, event: ContainerEvent) -> ContainerEvent {
    let ignores = || spec_of(spec, index).is_some_and(|container| Switches::of(container).ignore_exit_code);
    match event {
        ContainerEvent::Exited(exit) if exit.code != 0 && index >= spec.init_containers.len() && ignores() => {
            let Exit { code, message, .. } = exit;
            ContainerEvent::Exited(Exit {
                message: format!("exit code {code} is ignored; {message}"),
                ..Exit::default()
            })
        }
        other => other,
    }
}

/// Names of the sidecars to end, now that the container at `index` has ended or begun: all that run when the last other
/// container has ended for good, and those whose start came too late for that.
fn sidecars_to_end(group: &mut Group, index: usize, exited: bool, began: bool, at: Timestamp) -> Vec<String> {
    let is_sidecar = group.is_sidecar(index);
    if (exited && !is_sidecar) || (began && is_sidecar) {
        end_sidecars(group, at)
    } else {
        Vec::new()
    }
}

/// Names of the sidecars to end, if nothing else is left.
fn end_sidecars(group: &mut Group, at: Timestamp) -> Vec<String> {
    if group.is_ending() || group.change.is_some() || !group.is_over_but_for_sidecars() {
        return Vec::new();
    }
    let mut running = Vec::new();
    for index in 0..group.containers.len() {
        if !group.is_sidecar(index) {
            continue;
        }
        group.containers[index].give_up();
        if group.containers[index].is_running() {
            group
                .events
                .add(Source::Agent, false, "Killing", Detail::Container(index), at);
            running.extend(group.container_spec(index).map(|spec| spec.name.clone()));
        }
    }
    running
}

/// What was asked for of a container, by index.
pub(super) fn spec_of(spec: &GroupSpec, index: usize) -> Option<&ContainerSpec> {
    spec.init_containers.iter().chain(&spec.containers).nth(index)
}

/// Notes for people that what runs is ended.
fn note_killing(group: &mut Group, at: Timestamp) {
    for index in 0..group.containers.len() {
        if group.containers[index].is_running() {
            group
                .events
                .add(Source::Agent, false, "Killing", Detail::Container(index), at);
        }
    }
}

/// Notes for people what a container did.
fn note_container_event(group: &mut Group, index: usize, event: &ContainerEvent, at: Timestamp) {
    let hooked = group.containers[index].hooked;
    let mut note = |warning, reason, detail| group.events.add(Source::Agent, warning, reason, detail, at);
    match event {
        ContainerEvent::Pulling => note(false, "Pulling", Detail::Container(index)),
        ContainerEvent::Pulled { took } => note(false, "Pulled", Detail::Pulled(index, *took)),
        // Said already when its hook began.
        ContainerEvent::Started { .. } if hooked => {}
        ContainerEvent::Hooking | ContainerEvent::Started { .. } => {
            note(false, "Created", Detail::Container(index));
            note(false, "Started", Detail::Container(index));
        }
        ContainerEvent::StartFailed { reason, message } => {
            // What went wrong has an event of its own where the kubelet has a word for it, and one that names the word.
            let own = match reason.as_str() {
                ERR_IMAGE_PULL => Some("Failed"),
                "ErrImageNeverPull" => Some("ErrImageNeverPull"),
                "InvalidImageName" => Some("InspectFailed"),
                _ => None,
            };
            if let Some(own) = own {
                note(true, own, Detail::Text(message.as_str().into()));
            }
            let error = if own.is_some() { reason } else { message };
            note(true, "Failed", Detail::Text(format!("Error: {error}").into()));
        }
        ContainerEvent::Noted {
            warning,
            reason,
            message,
        } => note(*warning, reason, Detail::Text(message.as_str().into())),
        ContainerEvent::Unhealthy { message } => note(true, "Unhealthy", Detail::Text(message.as_str().into())),
        ContainerEvent::Ready(_) | ContainerEvent::Exited(_) => {}
    }
}

/// ECI's words for a group that could not be made; anything else becomes the general one.
fn known_failure(reason: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "NoStock",
        "StockExhaust",
        "StockClose",
        "InsufficientBalance",
        "FailedScheduling",
        "Throttling",
        "DiskCapacityQuotaFull",
        "CpuOptionsNotSupported",
        "CpuOptionsNotValid",
        "FailedCreatePodSandBox",
    ];
    KNOWN.into_iter().find(|k| *k == reason).unwrap_or("UnknownError")
}
