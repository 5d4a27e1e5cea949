//! A server that starts finds the groups an earlier one left with its runtime, and goes on where that one stopped.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, ready};
use jiff::{SignedDuration, Timestamp};
use mock_eci::{
    clock::{Clock, Mode},
    config::{Currency, Limits},
    domain::{
        cloud::{Cloud, Refused},
        lifecycle::Status,
        tokens::Fingerprint,
    },
    runtime::{
        AdoptedContainer, AdoptedGroup, Exit, Launch, LogLine, LogQuery, Record, Runtime, RuntimeError, RuntimeEvent,
        RuntimeEventKind,
    },
    spec::{ContainerSpec, GroupId, GroupSpec, RestartPolicy, Size},
};

/// Remembers what it is told and does nothing.
#[derive(Default)]
struct Recorder {
    held: Mutex<Vec<AdoptedGroup>>,
    told: Mutex<Vec<String>>,
    launched: Mutex<Vec<Launch>>,
    kept: Mutex<Option<Record>>,
}

impl Recorder {
    fn tell(&self, what: String) {
        self.told.lock().expect("no panic").push(what);
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().expect("no panic"))
    }
}

impl Runtime for Recorder {
    fn launch(&self, launch: Launch) {
        self.launched.lock().expect("no panic").push(launch);
    }

    fn start(&self, _: &GroupId, container: &str, instance: u32) {
        self.tell(format!("start {container} {instance}"));
    }

    fn stop(&self, _: &GroupId, grace: Duration) {
        self.tell(format!("stop {}", grace.as_secs()));
    }

    fn stop_container(&self, _: &GroupId, _: &str, _: Duration) {}

    fn keep(&self, _: &GroupId, record: Record) {
        *self.kept.lock().expect("no panic") = Some(record);
    }

    fn update(&self, update: Launch) {
        self.tell(format!("update {}", update.spec.name));
        let mut held = self.held.lock().expect("no panic");
        for group in held.iter_mut().filter(|group| group.id == update.id) {
            group.record = update.record.clone();
        }
    }

    fn remove(&self, group: &GroupId) {
        self.tell(format!("remove {group}"));
    }

    fn logs<'a>(
        &'a self,
        _: &'a GroupId,
        _: &'a str,
        _: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<AdoptedGroup>, RuntimeError>> {
        Box::pin(ready(Ok(self.held.lock().expect("no panic").clone())))
    }

    fn reset(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(ready(Ok(())))
    }
}

fn cloud(runtime: &Arc<Recorder>) -> Cloud {
    Cloud::new(
        Clock::new(Mode::Auto),
        runtime.clone(),
        1,
        Currency::Cny,
        Limits::Documented,
    )
}

fn spec(policy: RestartPolicy) -> GroupSpec {
    let container = |name: &str| ContainerSpec {
        name: name.to_owned(),
        image: "i".to_owned(),
        ..Default::default()
    };
    GroupSpec {
        name: "kept".to_owned(),
        size: Size {
            milli_cpu: 1_000,
            memory_mib: 2_048,
        },
        restart_policy: policy,
        init_containers: vec![container("init")],
        containers: vec![container("a"), container("b")],
        ..GroupSpec::default()
    }
}

fn token() -> (&'static str, Fingerprint) {
    ("t-1", Fingerprint::of([("a", "1")].into_iter()))
}

/// Creates a group in one cloud and gives it to the next one in this state.
async fn handed_over(
    policy: RestartPolicy,
    containers: Vec<AdoptedContainer>,
    network: bool,
) -> (Cloud, Arc<Recorder>, GroupId) {
    let runtime = Arc::new(Recorder::default());
    let created = cloud(&runtime).create(spec(policy), Some(token())).expect("created");
    let record = runtime.launched.lock().expect("no panic")[0].record.clone();
    let ip = network.then(|| "10.0.0.7".parse().expect("an address"));
    *runtime.held.lock().expect("no panic") = vec![AdoptedGroup {
        id: created.id.clone(),
        record,
        ip,
        containers,
    }];
    runtime.told();
    let next = cloud(&runtime);
    assert_eq!(next.adopt().await.expect("adopted"), 1);
    (next, runtime, created.id)
}

fn container(name: &str, instance: u32, exited: Option<i32>) -> AdoptedContainer {
    let ended = |code| {
        (
            Timestamp::now(),
            Exit {
                code,
                ..Exit::default()
            },
        )
    };
    AdoptedContainer {
        name: name.to_owned(),
        instance,
        container_id: format!("id-{name}-{instance}"),
        image_id: "sha".to_owned(),
        started_at: Some(Timestamp::now() - SignedDuration::from_secs(5)),
        exited: exited.map(ended),
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_group_runs_on() {
    let containers = vec![
        container("init", 0, Some(0)),
        container("a", 2, None),
        container("b", 0, None),
    ];
    let (cloud, runtime, id) = handed_over(RestartPolicy::Always, containers, true).await;
    assert_eq!(
        runtime.told(),
        Vec::<String>::new(),
        "nothing is started, nothing is stopped"
    );
    let state = cloud.state();
    let group = state.group(id.as_str()).expect("the group");
    assert_eq!((group.status, group.readiness.0), (Status::Running, true));
    assert_eq!(group.containers[1].restart_count(), 2);
    assert_eq!(state.used_milli_cpu(), 1_000);
    assert!(
        state
            .ledger
            .bill(&id, Timestamp::now())
            .expect("a bill")
            .billing_start
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn its_token_is_remembered() {
    let containers = vec![
        container("init", 0, Some(0)),
        container("a", 0, None),
        container("b", 0, None),
    ];
    let (cloud, _, id) = handed_over(RestartPolicy::Always, containers, true).await;
    let again = cloud
        .create(spec(RestartPolicy::Always), Some(token()))
        .expect("the same");
    assert_eq!(again.id, id);
    let other = Fingerprint::of([("a", "2")].into_iter());
    let refused = cloud.create(spec(RestartPolicy::Always), Some(("t-1", other)));
    assert_eq!(refused.expect_err("other parameters"), Refused::TokenMismatch);
}

#[tokio::test(start_paused = true)]
async fn what_ended_meanwhile_is_judged_by_the_policy() {
    let ended = || {
        vec![
            container("init", 0, Some(0)),
            container("a", 0, Some(1)),
            container("b", 0, None),
        ]
    };
    let (cloud, runtime, id) = handed_over(RestartPolicy::Always, ended(), true).await;
    assert_eq!(runtime.told(), ["start a 1"]);
    assert_eq!(cloud.status(id.as_str()), Some(Status::Running));

    let (cloud, runtime, id) = handed_over(RestartPolicy::Never, ended(), true).await;
    assert_eq!(runtime.told(), Vec::<String>::new());
    assert_eq!(cloud.status(id.as_str()), Some(Status::Running), "b still runs");

    let all = vec![
        container("init", 0, Some(0)),
        container("a", 0, Some(0)),
        container("b", 0, Some(0)),
    ];
    let (cloud, _, id) = handed_over(RestartPolicy::Never, all, true).await;
    assert_eq!(cloud.status(id.as_str()), Some(Status::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_started_yet_is() {
    let (cloud, runtime, id) = handed_over(RestartPolicy::Always, vec![container("init", 0, Some(0))], true).await;
    assert_eq!(runtime.told(), ["start a 0", "start b 0"]);
    assert_eq!(cloud.status(id.as_str()), Some(Status::Pending));

    let (_, runtime, _) = handed_over(RestartPolicy::Always, Vec::new(), true).await;
    assert_eq!(runtime.told(), ["start init 0"], "init containers first");
}

#[tokio::test(start_paused = true)]
async fn a_group_without_its_network_has_failed() {
    let containers = vec![
        container("init", 0, Some(0)),
        container("a", 0, None),
        container("b", 0, None),
    ];
    let (cloud, _, id) = handed_over(RestartPolicy::Always, containers, false).await;
    assert_eq!(cloud.status(id.as_str()), Some(Status::Failed));
    let state = cloud.state();
    assert!(
        state
            .group(id.as_str())
            .expect("the group")
            .containers
            .iter()
            .all(|c| !c.is_running())
    );
}

/// A group to which `change` happened, as the next cloud finds it.
async fn handed_over_after(change: impl FnOnce(&Cloud, &Arc<Recorder>, &GroupId)) -> (Cloud, Arc<Recorder>, GroupId) {
    let runtime = Arc::new(Recorder::default());
    let first = cloud(&runtime);
    let id = first
        .create(spec(RestartPolicy::Always), Some(token()))
        .expect("created")
        .id;
    change(&first, &runtime, &id);
    let record = runtime.kept.lock().expect("no panic").take().expect("a newer record");
    *runtime.held.lock().expect("no panic") = vec![AdoptedGroup {
        id: id.clone(),
        record,
        ip: Some([10, 0, 0, 7].into()),
        containers: vec![container("init", 0, Some(0)), container("a", 0, None)],
    }];
    runtime.told();
    let next = cloud(&runtime);
    assert_eq!(next.adopt().await.expect("adopted"), 1);
    (next, runtime, id)
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_over_stays_over() {
    let (cloud, runtime, id) = handed_over_after(|cloud, runtime, id| {
        for kind in [
            RuntimeEventKind::Scheduled,
            RuntimeEventKind::PullStarted,
            RuntimeEventKind::Evicted {
                message: "too much".into(),
            },
        ] {
            let at = Timestamp::now();
            let event = RuntimeEvent {
                group: id.clone(),
                at,
                kind,
            };
            cloud.state().on_runtime_event(event, &**runtime);
        }
        assert_eq!(cloud.status(id.as_str()), Some(Status::Failed));
    })
    .await;
    assert_eq!(runtime.told(), ["stop 0"], "what still runs of it is ended");
    let state = cloud.state();
    let group = state.group(id.as_str()).expect("the group");
    assert_eq!(group.status, Status::Failed);
    assert_eq!(group.failure, Some(("Evicted".into(), "too much".into())));
    assert!(group.finished_at.is_some_and(|at| at <= Timestamp::now()));
    assert_eq!(state.used_milli_cpu(), 0);
    let bill = state.ledger.bill(&id, Timestamp::now()).expect("a bill");
    assert_eq!(bill.billing_end, group.finished_at);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_being_deleted_still_is() {
    let (cloud, runtime, id) = handed_over_after(|cloud, _, id| {
        assert!(cloud.delete(id.as_str(), true));
    })
    .await;
    assert_eq!(runtime.told(), ["stop 0"]);
    assert_eq!(cloud.status(id.as_str()), Some(Status::Terminating));
    let again = cloud.create(spec(RestartPolicy::Always), Some(token())).expect("same");
    assert_eq!(again.id, id, "its token is known");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_removed() {
    let runtime = Arc::new(Recorder::default());
    let (id, record) = (GroupId::from("eci-old"), Record("not a record".into()));
    *runtime.held.lock().expect("no panic") = vec![AdoptedGroup {
        id,
        record,
        ip: None,
        containers: Vec::new(),
    }];
    assert_eq!(cloud(&runtime).adopt().await.expect("adopted"), 0);
    assert_eq!(runtime.told(), ["remove eci-old"]);
}
