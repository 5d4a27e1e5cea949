//! Long forms.

use std::collections::BTreeSet;

use super::jobs::{Jobs, PATIENCE, count, places};
use super::{WORKER, names, split};
use crate::burst::bursting;
use crate::cluster::{Cluster, NODE, say};
use crate::kubectl::kubectl;
use crate::namespace::Namespace;
use crate::recorder::Recorder;

/// A minute of work, in 2,400 pieces.
const INPUT_BYTES: usize = 60_000_000;

#[tokio::test]
#[ignore = "needs a real worker, and minutes: make mixed-long"]
async fn a_job_outlives_a_drain_of_the_pool_and_the_death_of_the_agent_in_it() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "spark-long").await;
    let mut agent = bursting(&cluster).await;
    let jobs = Jobs::new(&cluster, &namespace, INPUT_BYTES).await;
    let recorder = Recorder::nodes(&cluster, &namespace.name).await;
    let settings = [
        "spark.scheduler.minRegisteredResourcesRatio=1.0",
        "spark.sql.files.maxPartitionBytes=25000",
        "spark.decommission.enabled=true",
        "spark.storage.decommission.enabled=true",
        "spark.storage.decommission.shuffleBlocks.enabled=true",
        // It looks that often whether all has been handed on; 30 s by default.
        "spark.storage.decommission.replicationReattemptInterval=1s",
        "spark.kubernetes.executor.terminationGracePeriodSeconds=60",
    ];
    let arguments = ["--properties-file", "/examples/spark/burst.conf"];
    jobs.submit("long", &arguments, &settings.map(str::to_owned)).await;

    // The pool's executors are at work, and hold shuffle data.
    let executors = async || namespace.pods("spark-role=executor").await;
    let log = async || namespace.kubectl(&["logs", "long-driver"]).await.out;
    let finished_on_pool = |log: &String| {
        let finished = log.lines().filter(|line| line.contains("Finished task"));
        finished.filter(|line| line.contains(" on 10.88.")).count() >= 2
    };
    cluster
        .within(PATIENCE, "the pool's executors to have worked", log, finished_on_pool)
        .await;
    let drained = names(&executors().await, NODE, "Running");
    assert_eq!(drained.len(), 2, "two overflowed");

    // They are told to go, and the agent dies meanwhile.
    let drain = async {
        let options = [
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=150s",
        ];
        let arguments: Vec<&str> = ["drain", NODE].into_iter().chain(options).collect();
        kubectl(&arguments).await.ok();
    };
    let kill = async {
        let leaving = async || {
            let pods = executors().await;
            pods.iter().any(|pod| pod["metadata"]["deletionTimestamp"].is_string())
        };
        cluster
            .eventually("an executor to be on its way out", leaving, |leaving| *leaving)
            .await;
        agent.kill();
        agent.start();
    };
    tokio::join!(drain, kill);
    let bills = namespace.bills().await;
    assert!(
        bills.len() == 2 && bills.iter().all(|bill| bill["BillingEnd"].is_string()),
        "{bills:?}"
    );

    // Others take their place as soon as they may.
    let told = async || namespace.events("", "BurstNotPossible").await.len();
    cluster
        .eventually("their successors to wait", told, |told| *told > 0)
        .await;
    kubectl(&["uncordon", NODE]).await.ok();
    let back = |pods: &Vec<_>| names(pods, NODE, "Running").difference(&drained).count() == 2;
    cluster
        .within(PATIENCE, "two others to run on the pool", executors, back)
        .await;

    jobs.succeeded("long").await;
    jobs.check_counts("long");
    let log = log().await;
    assert!(
        !log.contains("caused by one of the running tasks"),
        "no failure of the application's"
    );
    let handed_on: BTreeSet<&str> = log
        .lines()
        .filter(|line| line.contains("is decommissioned after"))
        .collect();
    say(&handed_on.into_iter().collect::<Vec<_>>().join("\n"));
    let all = places(&recorder, "long");
    assert_eq!((count(&all, WORKER), count(&all, NODE)), (3, 4), "{all:?}");
    assert_eq!(namespace.bills().await.len(), 4, "one group for each pod of the pool");
    let application = jobs.forget("long").await;
    split::check(&cluster, &namespace, (&application, "long"), &all).await;
    agent.terminate().await;
}
