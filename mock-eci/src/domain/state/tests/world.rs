//! The state and a runtime that keeps its promises, in a world where everything takes as long as it likes: restarts, updates,
//! deletes, reclaims, crashes and jumps in time, in any order. What is ordered of the runtime must make sense, and in the end
//! everything comes to rest.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, ready};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::super::State;
use crate::{
    config::Currency,
    domain::{lifecycle::Status, resources::Quotas},
    runtime::{
        AdoptedGroup, ContainerEvent, Exit, Launch, LogLine, LogQuery, Runtime, RuntimeError, RuntimeEvent,
        RuntimeEventKind,
    },
    spec::{ConfigFile, ContainerSpec, GroupId, GroupSpec, Mount, RestartPolicy, Size, VolumeSource, VolumeSpec},
};

/// A group as the runtime has it.
struct Held {
    spec: Arc<GroupSpec>,
    /// How many of the steps of a launch are done.
    launched: usize,
    /// Starts that were ordered and are not done: container and instance.
    starting: BTreeMap<String, u32>,
    /// Instances that run, and whether they were told to end.
    running: BTreeMap<String, (u32, bool)>,
    stopping: bool,
}

/// Keeps its promises and checks its orders.
#[derive(Default)]
struct World(Mutex<BTreeMap<GroupId, Held>>);

impl World {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<GroupId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that may happen next, in a fixed order.
    fn possible(&self) -> Vec<(GroupId, Happening)> {
        let mut possible = Vec::new();
        for (id, held) in self.groups().iter() {
            let mut may = |what| possible.push((id.clone(), what));
            if held.launched < 3 && !held.stopping {
                may(Happening::Launch);
            }
            for name in held.starting.keys() {
                may(Happening::Started(name.clone()));
            }
            for (name, (_, told)) in &held.running {
                may(Happening::Ended(name.clone(), *told));
            }
            if held.stopping && held.running.is_empty() {
                may(Happening::Stopped);
            }
        }
        possible
    }

    /// Lets it happen; gives what is reported.
    fn happen(&self, id: &GroupId, what: &Happening, code: i32) -> Option<RuntimeEventKind> {
        let mut groups = self.groups();
        let held = groups.get_mut(id)?;
        let report = |name: &String, instance, event| RuntimeEventKind::Container {
            name: name.clone(),
            instance,
            event,
        };
        Some(match what {
            Happening::Launch => {
                held.launched += 1;
                match held.launched {
                    1 => RuntimeEventKind::Scheduled,
                    2 => RuntimeEventKind::PullStarted,
                    _ => RuntimeEventKind::SandboxReady {
                        ip: [10, 0, 0, 1].into(),
                    },
                }
            }
            Happening::Started(name) => {
                let instance = held.starting.remove(name)?;
                // A third of the starts fail.
                let event = match code {
                    2 => ContainerEvent::StartFailed {
                        reason: "ErrImagePull".into(),
                        message: String::new(),
                    },
                    _ => {
                        held.running.insert(name.clone(), (instance, held.stopping));
                        ContainerEvent::Started {
                            container_id: String::new(),
                            image_id: String::new(),
                        }
                    }
                };
                report(name, instance, event)
            }
            Happening::Ended(name, told) => {
                let (instance, _) = held.running.remove(name)?;
                let code = if *told { 143 } else { code };
                let exit = Exit {
                    code,
                    ..Exit::default()
                };
                report(name, instance, ContainerEvent::Exited(exit))
            }
            Happening::Stopped => {
                held.stopping = false;
                // Stopped for good: nothing is launched or started after it.
                held.launched = 3;
                RuntimeEventKind::Stopped
            }
        })
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Launch,
    Started(String),
    /// And whether it was told to.
    Ended(String, bool),
    Stopped,
}

impl Runtime for World {
    fn launch(&self, launch: Launch) {
        let held = Held {
            spec: launch.spec,
            launched: 0,
            starting: BTreeMap::new(),
            running: BTreeMap::new(),
            stopping: false,
        };
        self.groups().insert(launch.id, held);
    }

    fn start(&self, group: &GroupId, container: &str, instance: u32) {
        let mut groups = self.groups();
        let held = groups.get_mut(group).expect("a group that was launched");
        assert_eq!(held.launched, 3, "nothing starts without a network");
        assert!(
            held.spec.container(container).is_some(),
            "the runtime knows {container}"
        );
        assert!(!held.running.contains_key(container), "{container} runs");
        let twice = held.starting.insert(container.to_owned(), instance);
        assert_eq!(twice, None, "{container} is being started");
        if held.stopping {
            held.starting.clear();
        }
    }

    fn stop(&self, group: &GroupId, _: Duration) {
        if let Some(held) = self.groups().get_mut(group) {
            held.stopping = true;
            held.starting.clear();
            held.running.values_mut().for_each(|(_, told)| *told = true);
        }
    }

    fn stop_container(&self, group: &GroupId, container: &str, _: Duration) {
        let mut groups = self.groups();
        let held = groups.get_mut(group).expect("a group that was launched");
        let (_, told) = held.running.get_mut(container).expect("a container that runs");
        *told = true;
    }

    fn update(&self, update: Launch) {
        let mut groups = self.groups();
        let held = groups.get_mut(&update.id).expect("a group that was launched");
        for name in held.running.keys().chain(held.starting.keys()) {
            assert_eq!(
                held.spec.container(name),
                update.spec.container(name),
                "{name} runs on and must not change"
            );
        }
        held.spec = update.spec;
    }

    fn remove(&self, group: &GroupId) {
        self.groups().remove(group);
    }

    fn logs<'a>(
        &'a self,
        _: &'a GroupId,
        _: &'a str,
        _: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        Box::pin(ready(Err(RuntimeError::NotFound)))
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<AdoptedGroup>, RuntimeError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(ready(Ok(())))
    }
}

/// One step.
#[derive(Clone, Debug)]
enum Move {
    /// A new group of this policy, spot or not.
    Create(RestartPolicy, bool),
    /// One of the things that may happen does, with this exit code.
    Happen(usize, i32),
    Restart(usize),
    Update(usize, Change),
    Delete(usize, bool),
    Reclaim(usize, u64),
    /// Time passes, and with it whatever is due.
    Pass(i64),
}

/// What an update changes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Tags,
    Image,
    Init,
    Size(u64),
    File(u8),
    AddContainer,
    DropContainer,
    Swap,
}

impl Change {
    fn apply(self, spec: &mut GroupSpec) {
        let bump = |c: &mut ContainerSpec| c.image.push('x');
        match self {
            Self::Nothing => {}
            Self::Tags => spec.tags.push(("a".into(), "b".into())),
            Self::Image => spec.containers.first_mut().into_iter().for_each(bump),
            Self::Init => spec.init_containers.first_mut().into_iter().for_each(bump),
            Self::Size(milli_cpu) => spec.size.milli_cpu = milli_cpu,
            Self::File(content) => {
                spec.volumes[0].source = VolumeSource::ConfigFile {
                    files: vec![ConfigFile {
                        path: "f".into(),
                        content: vec![content].into(),
                        mode: 0o644,
                    }],
                };
            }
            Self::AddContainer if spec.container("extra").is_none() => spec.containers.push(container("extra")),
            Self::AddContainer => {}
            Self::DropContainer if spec.containers.len() > 1 => drop(spec.containers.remove(0)),
            Self::DropContainer => {}
            Self::Swap => spec.containers.reverse(),
        }
    }
}

fn moves() -> impl Strategy<Value = Move> {
    let policy = prop::sample::select(vec![
        RestartPolicy::Always,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ]);
    let change = prop_oneof![
        Just(Change::Nothing),
        Just(Change::Tags),
        Just(Change::Image),
        Just(Change::Init),
        prop::sample::select(vec![250_u64, 500, 4_000]).prop_map(Change::Size),
        any::<u8>().prop_map(Change::File),
        Just(Change::AddContainer),
        Just(Change::DropContainer),
        Just(Change::Swap),
    ];
    prop_oneof![
        3 => (policy, any::<bool>()).prop_map(|(policy, spot)| Move::Create(policy, spot)),
        40 => (any::<prop::sample::Index>(), 0..3).prop_map(|(n, code)| Move::Happen(n.index(1 << 20), code)),
        3 => (0..3_usize).prop_map(Move::Restart),
        6 => (0..3_usize, change).prop_map(|(n, change)| Move::Update(n, change)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(n, force)| Move::Delete(n, force)),
        1 => (0..3_usize, 0..400_u64).prop_map(|(n, notice)| Move::Reclaim(n, notice)),
        4 => (0..4_000_i64).prop_map(Move::Pass),
    ]
}

fn container(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: "i".to_owned(),
        ..ContainerSpec::default()
    }
}

fn spec(restart_policy: RestartPolicy, spot: bool) -> GroupSpec {
    let mount = Mount {
        volume: "files".into(),
        ..Mount::default()
    };
    GroupSpec {
        size: Size {
            milli_cpu: 500,
            memory_mib: 1_024,
        },
        zone_id: "z".into(),
        spot_strategy: if spot { "SpotAsPriceGo" } else { "NoSpot" }.into(),
        restart_policy,
        init_containers: vec![container("init")],
        containers: vec![
            ContainerSpec {
                mounts: vec![mount],
                ..container("a")
            },
            container("b"),
        ],
        volumes: vec![VolumeSpec {
            name: "files".into(),
            source: VolumeSource::ConfigFile { files: Vec::new() },
        }],
        ..GroupSpec::default()
    }
}

fn check(state: &State, world: &World, last: &mut BTreeMap<GroupId, Status>) {
    let live = state.groups.values().filter(|g| !g.status.is_final());
    let used: u64 = live.map(|g| g.spec.size.milli_cpu).sum();
    assert_eq!(
        state.used_milli_cpu(),
        used,
        "the quota is of live groups at their present size"
    );
    assert_eq!(state.by_age.len(), state.groups.len());
    assert_eq!(state.by_change.len(), state.groups.len());
    for group in state.groups.values() {
        let before = last.insert(group.id.clone(), group.status);
        if let Some(before) = before.filter(|status| status.is_final()) {
            assert_eq!(group.status, before, "a final status stays");
        }
        assert_eq!(
            group.containers.len(),
            group.spec.init_containers.len() + group.spec.containers.len()
        );
        let changing = matches!(group.status, Status::Restarting | Status::Updating);
        assert!(
            group.change.is_none() || changing,
            "{:?} with a change under way",
            group.status
        );
        if group.status == Status::Running {
            assert!(
                group.apps().all(|(_, c)| c.ever_started),
                "Running means that all were started"
            );
        }
    }
    for (id, held) in world.groups().iter() {
        let group = state
            .group(id.as_str())
            .expect("what the runtime holds the state knows");
        for name in held.running.keys() {
            let known = group.index_of(name).map(|index| group.containers[index].is_running());
            let leaving = group.change.iter().flat_map(|c| &c.leaving).any(|(n, _)| n == name);
            assert!(
                known == Some(true) || leaving || group.is_ending(),
                "{name} runs, and the state does not know it"
            );
        }
    }
}

/// Segments are contiguous, do not overlap, and last as long as the group was in billed statuses since its first pull.
fn check_bill(state: &State, id: &GroupId, now: Timestamp) {
    let bill = state.ledger.bill(id, now).expect("every group has a bill");
    assert_eq!(
        bill.billed_seconds,
        bill.segments.iter().map(|s| s.billed_seconds).sum::<u64>()
    );
    assert_eq!(
        bill.amount_nano,
        bill.segments.iter().map(|s| s.amount_nano).sum::<u64>()
    );
    for pair in bill.segments.windows(2) {
        assert_eq!(pair[0].to, pair[1].from, "no gap and no overlap: {bill:?}");
    }
    for segment in &bill.segments {
        assert!(segment.from < segment.to, "{segment:?}");
    }
    let Some(start) = bill.billing_start else {
        return assert!(bill.segments.is_empty());
    };
    let left = bill
        .states
        .windows(2)
        .find(|pair| pair[0].status.is_billed() && !pair[1].status.is_billed());
    let end = left.map_or(bill.removal_time.unwrap_or(now), |pair| pair[1].since);
    let billed = end.as_second() - start.as_second();
    assert_eq!(
        bill.billed_seconds,
        u64::try_from(billed).expect("time goes on"),
        "{bill:?}"
    );
    let pull = bill
        .states
        .iter()
        .rev()
        .find(|s| s.since <= start)
        .expect("it had a status");
    assert!(pull.status.is_billed(), "{bill:?}");
}

fn pass(state: &mut State, world: &World, now: Timestamp) {
    while let Some(timer) = state.timers.pop_due(now) {
        state.on_timer(timer, now, world);
    }
}

/// Lets things happen until nothing can but by itself: starts succeed, and containers end only where they were told to.
fn settle(state: &mut State, world: &World, now: &mut Timestamp) {
    for _ in 0..2_000 {
        *now += SignedDuration::from_secs(1);
        pass(state, world, *now);
        let possible = world.possible();
        let next = possible
            .into_iter()
            .find(|(_, what)| !matches!(what, Happening::Ended(name, false) if name != "init"));
        let Some((group, what)) = next else { break };
        if let Some(kind) = world.happen(&group, &what, 0) {
            state.on_runtime_event(RuntimeEvent { group, at: *now, kind }, world);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_makes_sense_and_comes_to_rest(moves in prop::collection::vec(moves(), 0..120)) {
        let world = World::default();
        let mut state = State::new(1, Currency::Cny, u64::MAX, Quotas::NONE);
        let mut now = Timestamp::UNIX_EPOCH;
        let mut made: Vec<GroupId> = Vec::new();
        let mut last = BTreeMap::new();
        let nth = |made: &[GroupId], n: usize| made.iter().rev().nth(n).cloned();
        for (n, step) in moves.into_iter().enumerate() {
            now += SignedDuration::from_millis(500);
            pass(&mut state, &world, now);
            match step {
                Move::Create(policy, spot) => {
                    let spec = Arc::new(spec(policy, spot));
                    let id = state.add(None, spec.clone(), now);
                    world.launch(Launch { id: id.clone(), spec, record: Default::default(), cached_images: Vec::new() });
                    made.push(id);
                }
                Move::Happen(n, code) => {
                    let possible = world.possible();
                    if !possible.is_empty() {
                        let (group, what) = &possible[n % possible.len()];
                        if let Some(kind) = world.happen(group, what, code) {
                            state.on_runtime_event(RuntimeEvent { group: group.clone(), at: now, kind }, &world);
                        }
                    }
                }
                Move::Restart(n) => {
                    if let Some(id) = nth(&made, n) {
                        let may = state.changeable(id.as_str()).is_ok();
                        prop_assert_eq!(state.restart(id.as_str(), now, &world).is_ok(), may);
                    }
                }
                Move::Update(n, change) => {
                    if let Some(id) = nth(&made, n)
                        && let Ok(group) = state.changeable(id.as_str())
                    {
                        let mut spec = (*group.spec).clone();
                        change.apply(&mut spec);
                        prop_assert!(state.update(id.as_str(), spec, now, &world).is_ok());
                    }
                }
                Move::Delete(n, force) => {
                    if let Some(id) = nth(&made, n) {
                        state.delete(id.as_str(), force, now, &world);
                    }
                }
                Move::Reclaim(n, notice) => {
                    if let Some(id) = nth(&made, n) {
                        state.reclaim(id.as_str(), Duration::from_secs(notice), now, &world);
                    }
                }
                Move::Pass(seconds) => {
                    now += SignedDuration::from_secs(seconds);
                    pass(&mut state, &world, now);
                }
            }
            check(&state, &world, &mut last);
            // Bills of spot groups are the dear part.
            if n % 16 == 0 {
                state.groups().for_each(|group| check_bill(&state, &group.id, now));
            }
        }

        // Everything comes to rest where it should: back-offs are over, and nothing fails any more.
        for _ in 0..20 {
            settle(&mut state, &world, &mut now);
            now += SignedDuration::from_secs(301);
            pass(&mut state, &world, now);
        }
        check(&state, &world, &mut last);
        for group in state.groups() {
            let at_rest = group.status.is_final() || group.status == Status::Running;
            prop_assert!(at_rest, "{} is {:?}: {:?}", group.id, group.status, group.containers);
        }
        // A group that is deleted goes away.
        for id in &made {
            state.delete(id.as_str(), false, now, &world);
        }
        settle(&mut state, &world, &mut now);
        prop_assert!(state.is_empty(), "{:?}", state.groups().map(|g| g.status).collect::<Vec<_>>());
        prop_assert_eq!(state.used_milli_cpu(), 0);
        prop_assert!(world.groups().is_empty(), "the runtime holds nothing");
        for id in &made {
            check_bill(&state, id, now);
        }
    }
}
