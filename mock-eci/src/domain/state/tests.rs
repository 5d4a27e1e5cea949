//! Whatever a runtime reports and a caller asks, in whatever order: the state stays sound.

mod world;

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, ready};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::State;
use crate::{
    config::Currency,
    domain::lifecycle::Status,
    runtime::{
        AdoptedGroup, ContainerEvent, Exit, Launch, LogLine, LogQuery, Runtime, RuntimeError, RuntimeEvent,
        RuntimeEventKind,
    },
    spec::{ContainerSpec, GroupId, GroupSpec, RestartPolicy, Size},
};

/// Obeys and says nothing.
struct Silent;

impl Runtime for Silent {
    fn launch(&self, _: Launch) {}
    fn start(&self, _: &GroupId, _: &str, _: u32) {}
    fn stop(&self, _: &GroupId, _: Duration) {}
    fn stop_container(&self, _: &GroupId, _: &str, _: Duration) {}
    fn update(&self, _: Launch) {}
    fn remove(&self, _: &GroupId) {}
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

/// One step of a world that follows no protocol.
#[derive(Clone, Debug)]
enum Move {
    /// A new group, and so many steps of the usual way to Running.
    Create(RestartPolicy, usize),
    Report(usize, RuntimeEventKind),
    Delete(usize, bool),
    /// Time passes, and with it whatever is due.
    Pass(i64),
}

fn moves() -> impl Strategy<Value = Move> {
    let policy = prop_oneof![
        Just(RestartPolicy::Always),
        Just(RestartPolicy::OnFailure),
        Just(RestartPolicy::Never)
    ];
    let exit = (0..3).prop_map(|code| {
        ContainerEvent::Exited(Exit {
            code,
            ..Exit::default()
        })
    });
    let event = prop_oneof![
        4 => Just(ContainerEvent::Started { container_id: String::new(), image_id: String::new() }),
        4 => exit,
        1 => any::<bool>().prop_map(ContainerEvent::Ready),
        1 => Just(ContainerEvent::StartFailed { reason: "ErrImagePull".into(), message: String::new() }),
    ];
    let container = (prop_oneof!["init", "a", "b", "stranger"], 0..3_u32, event)
        .prop_map(|(name, instance, event)| RuntimeEventKind::Container { name, instance, event });
    let kind = prop_oneof![
        2 => Just(RuntimeEventKind::Scheduled),
        2 => Just(RuntimeEventKind::PullStarted),
        2 => Just(RuntimeEventKind::SandboxReady { ip: [10, 0, 0, 1].into() }),
        1 => Just(RuntimeEventKind::LaunchFailed { reason: "NoStock".into(), message: String::new() }),
        12 => container,
        1 => Just(RuntimeEventKind::Stopped),
    ];
    prop_oneof![
        2 => (policy, 0..9_usize).prop_map(|(policy, steps)| Move::Create(policy, steps)),
        20 => (0..4_usize, kind).prop_map(|(n, kind)| Move::Report(n, kind)),
        2 => (0..4_usize, any::<bool>()).prop_map(|(n, force)| Move::Delete(n, force)),
        2 => (0..4_000_i64).prop_map(Move::Pass),
    ]
}

fn spec(restart_policy: RestartPolicy) -> GroupSpec {
    let container = |name: &str| ContainerSpec {
        name: name.to_owned(),
        ..ContainerSpec::default()
    };
    GroupSpec {
        size: Size {
            milli_cpu: 500,
            memory_mib: 1_024,
        },
        restart_policy,
        active_deadline: Some(Duration::from_secs(7_200)),
        init_containers: vec![container("init")],
        containers: vec![container("a"), container("b")],
        ..GroupSpec::default()
    }
}

/// What a runtime reports of a group that comes to run.
fn usual_way() -> Vec<RuntimeEventKind> {
    let container = |name: &str, event| RuntimeEventKind::Container {
        name: name.to_owned(),
        instance: 0,
        event,
    };
    let started = || ContainerEvent::Started {
        container_id: String::new(),
        image_id: String::new(),
    };
    vec![
        RuntimeEventKind::Scheduled,
        RuntimeEventKind::PullStarted,
        RuntimeEventKind::SandboxReady {
            ip: [10, 0, 0, 1].into(),
        },
        container("init", started()),
        container("init", ContainerEvent::Exited(Exit::default())),
        container("a", started()),
        container("b", started()),
    ]
}

fn check(state: &State, now: Timestamp) {
    let live = state.groups.values().filter(|g| !g.status.is_final()).count();
    assert_eq!(state.used_milli_cpu(), 500 * live as u64, "the quota is of live groups");
    assert_eq!(state.by_age.len(), state.groups.len());
    assert_eq!(state.by_change.len(), state.groups.len());
    for group in state.groups.values() {
        assert_eq!(state.by_age.get(&group.seq), Some(&group.id));
        assert_eq!(state.by_change.get(&group.changed), Some(&group.id));
        let bill = state.ledger.bill(&group.id, now).expect("every group has a bill");
        let ended = group.status.is_final();
        assert!(
            bill.billing_start.is_none() || bill.billing_end.is_some() == ended,
            "{:?}: {bill:?}",
            group.status
        );
        assert_eq!(group.finished_at.is_some(), ended);
        if group.status == Status::Running {
            assert!(
                group.apps().all(|(_, c)| c.ever_started),
                "Running means that all were started"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_stays_sound(moves in prop::collection::vec(moves(), 0..150)) {
        let mut state = State::new(1, Currency::Cny, u64::MAX, crate::domain::resources::Quotas::NONE);
        let mut now = Timestamp::UNIX_EPOCH;
        let mut made: Vec<GroupId> = Vec::new();
        for step in moves {
            now += SignedDuration::from_millis(1);
            match step {
                Move::Create(policy, steps) => {
                    let group = state.add(None, Arc::new(spec(policy)), now);
                    for kind in usual_way().into_iter().take(steps) {
                        state.on_runtime_event(RuntimeEvent { group: group.clone(), at: now, kind }, &Silent);
                    }
                    made.push(group);
                }
                Move::Report(n, kind) => {
                    if let Some(group) = made.iter().rev().nth(n).cloned() {
                        state.on_runtime_event(RuntimeEvent { group, at: now, kind }, &Silent);
                    }
                }
                Move::Delete(n, force) => {
                    if let Some(group) = made.iter().rev().nth(n) {
                        state.delete(group.as_str(), force, now, &Silent);
                    }
                }
                Move::Pass(seconds) => {
                    now += SignedDuration::from_secs(seconds);
                    while let Some(timer) = state.timers.pop_due(now) {
                        state.on_timer(timer, now, &Silent);
                    }
                }
            }
            check(&state, now);
        }
        // All have a deadline: in the end nothing lives but what is being deleted.
        now += SignedDuration::from_hours(36);
        while let Some(timer) = state.timers.pop_due(now) {
            state.on_timer(timer, now, &Silent);
        }
        check(&state, now);
        prop_assert!(state.groups().all(|g| g.status.is_final() || g.status == Status::Terminating));
    }
}
