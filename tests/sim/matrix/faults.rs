//! What goes wrong meanwhile: each fault begins with its scenario, and is over after a while.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use mock_eci::faults::{Plan, When as CloudWhen};

use super::world::World;
use crate::support::api_server::faults::{Fault as Failure, Plan as ApiPlan};
use crate::support::api_server::kinds::Kind;
use crate::support::api_server::refusal::Refusal;
use crate::wires::When;

/// A fault: a name and what goes wrong, for as long as it goes wrong.
pub struct Fault {
    pub name: &'static str,
    pub strike: fn(&World) -> LocalBoxFuture<'_, ()>,
}

macro_rules! faults {
    ($($name:ident)*) => {
        /// All of them.
        pub const ALL: &[Fault] = &[$(Fault { name: stringify!($name), strike: |world| $name(world).boxed_local() }),*];
    };
}

faults! {
    none
    create_lost_before
    create_lost_after
    create_unanswered
    delete_lost
    throttled
    cloud_errors
    cloud_slow
    cloud_away
    blind
    stale
    credentials
    api_away
    api_errors
    api_slow
    watch_closed
    watch_expired
    status_conflict
    status_lost
    removal_lost
    killed
    storm
}

const CREATE: &str = "CreateContainerGroup";

/// How many in a thousand calls fail while a cloud is bad.
pub fn some(per_mille: u16, plan: Plan) -> Plan {
    Plan {
        times: Plan::ALWAYS,
        per_mille,
        ..plan
    }
}

/// The same, of calls of any kind.
pub fn any(per_mille: u16, plan: Plan) -> Plan {
    Plan {
        action: None,
        ..some(per_mille, plan)
    }
}

async fn a_while(world: &World) {
    tokio::time::sleep(world.some_time(5_000, 60_000)).await;
}

async fn none(_: &World) {}

async fn create_lost_before(world: &World) {
    let times = world.some(1, 8) as u32;
    world
        .sim
        .cloud
        .app()
        .faults()
        .add(Plan::disconnect(CREATE, times, CloudWhen::Before));
    a_while(world).await;
}

async fn create_lost_after(world: &World) {
    let times = world.some(1, 8) as u32;
    world
        .sim
        .cloud
        .app()
        .faults()
        .add(Plan::disconnect(CREATE, times, CloudWhen::After));
    a_while(world).await;
}

/// The answer never comes; most of them took effect.
async fn create_unanswered(world: &World) {
    let faults = world.sim.cloud.app().faults();
    faults.add(Plan::timeout(CREATE, world.some(1, 5) as u32, CloudWhen::After));
    faults.add(Plan::timeout(CREATE, 1, CloudWhen::Before));
    a_while(world).await;
}

async fn delete_lost(world: &World) {
    let faults = world.sim.cloud.app().faults();
    faults.add(Plan::disconnect(
        "DeleteContainerGroup",
        world.some(1, 4) as u32,
        CloudWhen::After,
    ));
    faults.add(Plan::timeout("DeleteContainerGroup", 1, CloudWhen::Before));
    a_while(world).await;
}

async fn throttled(world: &World) {
    world
        .sim
        .cloud
        .app()
        .faults()
        .add(any(700, Plan::error("", 1, "Throttling.User", 400)));
    a_while(world).await;
}

async fn cloud_errors(world: &World) {
    world
        .sim
        .cloud
        .app()
        .faults()
        .add(any(600, Plan::error("", 1, "InternalError", 500)));
    a_while(world).await;
}

/// Slower than a call may be: it is given up, and takes effect.
async fn cloud_slow(world: &World) {
    world
        .sim
        .cloud
        .app()
        .faults()
        .add(any(300, Plan::slow("", 1, Duration::from_secs(20))));
    a_while(world).await;
}

async fn cloud_away(world: &World) {
    tokio::time::sleep(world.some_time(0, 3_000)).await;
    world
        .sim
        .cloud
        .app()
        .faults()
        .add(any(1_000, Plan::disconnect("", 1, CloudWhen::Before)));
    a_while(world).await;
}

/// The right to list is withdrawn: lists are empty, and no error.
async fn blind(world: &World) {
    tokio::time::sleep(world.some_time(0, 3_000)).await;
    world.sim.cloud.app().set_may_list(false);
    tokio::time::sleep(world.some_time(60_000, 180_000)).await;
}

/// Lists lag behind by up to eight seconds.
async fn stale(world: &World) {
    world.sim.replica.follow();
    for _ in 0..6 {
        tokio::time::sleep(world.some_time(500, 4_000)).await;
        world.sim.replica.set_lags(true);
        tokio::time::sleep(world.some_time(1_000, 8_000)).await;
        world.sim.replica.set_lags(false);
    }
}

async fn credentials(world: &World) {
    tokio::time::sleep(world.some_time(0, 3_000)).await;
    world.sim.cloud.app().credentials().remove("testid");
    a_while(world).await;
}

async fn api_away(world: &World) {
    tokio::time::sleep(world.some_time(0, 3_000)).await;
    world.sim.api.set_away(true);
    a_while(world).await;
}

fn of_api(what: &'static str, per_mille: u16, fault: Failure) -> ApiPlan {
    ApiPlan {
        per_mille,
        ..ApiPlan::new(what, u32::MAX, fault)
    }
}

async fn api_errors(world: &World) {
    let refusal = Refusal::new(
        500,
        "InternalError",
        "Internal error occurred: etcdserver: request timed out",
    );
    world.sim.api.fault(of_api("", 500, Failure::Refused(refusal)));
    a_while(world).await;
}

async fn api_slow(world: &World) {
    world
        .sim
        .api
        .fault(of_api("", 300, Failure::Slow(Duration::from_secs(20))));
    a_while(world).await;
}

async fn watch_closed(world: &World) {
    for _ in 0..20 {
        tokio::time::sleep(world.some_time(100, 3_000)).await;
        world.sim.api.close_watches();
    }
}

async fn watch_expired(world: &World) {
    for _ in 0..20 {
        tokio::time::sleep(world.some_time(100, 3_000)).await;
        world.sim.api.compact();
    }
}

/// A conflict that names a pod with `uid` in its name is no proof of another UID.
async fn status_conflict(world: &World) {
    let conflict = Refusal::modified(Kind::of_plural("pods"), "squid");
    world
        .sim
        .api
        .fault(of_api("patch pods/status", 600, Failure::Refused(conflict.clone())));
    world
        .sim
        .api
        .fault(of_api("delete pods", 600, Failure::Refused(conflict)));
    a_while(world).await;
}

async fn status_lost(world: &World) {
    world
        .sim
        .api
        .fault(of_api("patch pods/status", 300, Failure::Cut(When::Before)));
    world
        .sim
        .api
        .fault(of_api("patch pods/status", 600, Failure::Cut(When::After)));
    a_while(world).await;
}

async fn removal_lost(world: &World) {
    world
        .sim
        .api
        .fault(of_api("delete pods", 300, Failure::Cut(When::Before)));
    world
        .sim
        .api
        .fault(of_api("delete pods", 700, Failure::Cut(When::After)));
    a_while(world).await;
}

/// The agent dies of one request after the other, before or after it takes effect.
async fn killed(world: &World) {
    world.let_agents_die(|world| {
        let when = if world.some(0, 1) == 0 {
            When::Before
        } else {
            When::After
        };
        (world.some(2, 40), when)
    });
    world.restart_agent().await;
    let keep = world.keep_agent();
    let over = a_while(world);
    tokio::select! {
        () = keep => {}
        () = over => {}
    }
}

/// Everything at once.
async fn storm(world: &World) {
    let faults = world.sim.cloud.app().faults();
    faults.add(Plan {
        per_mille: 200,
        ..Plan::disconnect(CREATE, Plan::ALWAYS, CloudWhen::After)
    });
    faults.add(any(100, Plan::error("", 1, "Throttling.User", 400)));
    faults.add(any(100, Plan::error("", 1, "InternalError", 500)));
    world.sim.api.fault(of_api("", 100, Failure::Cut(When::After)));
    let refusal = Refusal::new(
        500,
        "InternalError",
        "Internal error occurred: etcdserver: request timed out",
    );
    world.sim.api.fault(of_api("", 100, Failure::Refused(refusal)));
    let watches = async {
        loop {
            tokio::time::sleep(world.some_time(500, 6_000)).await;
            world.sim.api.compact();
        }
    };
    tokio::select! {
        () = killed(world) => {}
        () = watches => {}
    }
}

/// All is well again.
pub async fn end(world: &World) {
    let app = world.sim.cloud.app();
    app.faults().clear();
    app.set_may_list(true);
    app.credentials().reset();
    world.sim.replica.set_lags(false);
    world.sim.api.clear_faults();
    world.sim.api.set_away(false);
    world.mend_agent().await;
}
