//! One Spark job by three policies: what is where, and what goes between both sides.

use serde_json::Value;

use super::jobs::{Jobs, PATIENCE, count, gated, of_pool, of_worker, places};
use super::{WORKER, split};
use crate::burst::bursting;
use crate::cluster::{Cluster, NODE, say};
use crate::namespace::Namespace;
use crate::recorder::Recorder;

/// Size of the input.
const INPUT_BYTES: usize = 2_000_000;

#[tokio::test]
#[ignore = "needs a real worker: make mixed"]
async fn a_job_fills_the_worker_and_overflows_stays_off_it_or_never_leaves_it_as_its_policy_says() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "spark").await;
    let mut agent = bursting(&cluster).await;
    let jobs = Jobs::new(&cluster, &namespace, INPUT_BYTES).await;
    let recorder = Recorder::nodes(&cluster, &namespace.name).await;
    let all_registered = "spark.scheduler.minRegisteredResourcesRatio=1.0".to_owned();

    // Workers first.
    let arguments = ["--properties-file", "/examples/spark/burst.conf"];
    jobs.submit("ecs-first", &arguments, std::slice::from_ref(&all_registered))
        .await;
    jobs.succeeded("ecs-first").await;
    jobs.check_counts("ecs-first");
    let all = places(&recorder, "ecs-first");
    assert_eq!(
        (count(&all, WORKER), count(&all, NODE)),
        (3, 2),
        "the worker is full, the rest overflowed: {all:?}"
    );
    assert_eq!(namespace.bills().await.len(), 2);
    let log = jobs.events("ecs-first");
    assert_eq!(
        (log.executors().len(), log.at_work()),
        (4, log.executors()),
        "all have worked: {log:?}"
    );
    for (side, hosts) in [("the worker", of_worker as fn(&str) -> bool), ("the pool", of_pool)] {
        let fetched = log.fetched_by(hosts);
        say(&format!(
            "ecs-first: {} tasks on {side} fetched shuffle blocks of the other side, {} bytes from other executors",
            fetched.tasks, fetched.remote_bytes
        ));
        assert!(fetched.tasks >= 2, "{side} has what the other side wrote: {log:?}");
    }
    let application = jobs.forget("ecs-first").await;
    split::check(&cluster, &namespace, (&application, "ecs-first"), &all).await;

    // The pool only, with an empty worker.
    let mut settings = gated("eci-only");
    settings.push(all_registered);
    let before = namespace.bills().await.len();
    jobs.submit("eci-only", &[], &settings).await;
    jobs.succeeded("eci-only").await;
    jobs.check_counts("eci-only");
    let all = places(&recorder, "eci-only");
    assert_eq!(
        (count(&all, WORKER), count(&all, NODE)),
        (0, 5),
        "the worker stayed empty: {all:?}"
    );
    assert_eq!(namespace.bills().await.len(), before + 5);
    let log = jobs.events("eci-only");
    assert_eq!(
        log.executors().iter().filter(|host| of_pool(host)).count(),
        4,
        "{log:?}"
    );
    let application = jobs.forget("eci-only").await;
    split::check(&cluster, &namespace, (&application, "eci-only"), &all).await;

    // Workers only: it begins with the two executors that there is room for, and the others wait.
    let mut settings = gated("ecs-only");
    settings.push("spark.scheduler.minRegisteredResourcesRatio=0.5".to_owned());
    let before = namespace.bills().await.len();
    jobs.submit("ecs-only", &[], &settings).await;
    let look = async || {
        let pods = namespace.pods("spark-role=executor").await;
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        let waits = |pod: &&Value| pod["status"]["conditions"].to_string().contains("Unschedulable");
        (running, pods.iter().filter(waits).count())
    };
    cluster
        .within(PATIENCE, "two executors to run and two to wait", look, |seen| {
            *seen == (2, 2)
        })
        .await;
    jobs.succeeded("ecs-only").await;
    jobs.check_counts("ecs-only");
    let all = places(&recorder, "ecs-only");
    assert_eq!(count(&all, NODE), 0, "nobody was ever on the pool: {all:?}");
    assert_eq!(namespace.bills().await.len(), before, "nor has anybody a group");
    let log = jobs.events("ecs-only");
    assert_eq!(
        log.at_work().iter().filter(|host| of_worker(host)).count(),
        2,
        "{log:?}"
    );
    assert_eq!(log.at_work().len(), 2, "{log:?}");
    let application = jobs.forget("ecs-only").await;
    split::check(&cluster, &namespace, (&application, "ecs-only"), &all).await;
    agent.terminate().await;
}
