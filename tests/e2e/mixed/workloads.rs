//! Deployments and Jobs that overflow, and come home.

use serde_json::json;

use super::{ROOM_MIB, UNTIL_ENOUGH, WORKER, names, spec};
use crate::burst::{bursting, deployment};
use crate::cluster::{Cluster, NODE};
use crate::namespace::Namespace;

const BURST: (&str, &str) = ("alibabacloud.com/burst-resource", "eci");

#[tokio::test]
#[ignore = "needs a real worker: make mixed"]
async fn of_a_deployment_that_is_scaled_down_exactly_the_pools_pods_go() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "scaled").await;
    let mut agent = bursting(&cluster).await;
    namespace
        .create(deployment("web", 9, BURST, &spec(ROOM_MIB / 6, 1, "sleep 100000")))
        .await;
    let look = async || namespace.pods("app=web").await;
    let running = |count: usize| {
        move |pods: &Vec<_>| {
            pods.len() == count && names(pods, WORKER, "Running").len() + names(pods, NODE, "Running").len() == count
        }
    };
    let pods = cluster.eventually("nine pods to run", look, running(9)).await;
    let home = names(&pods, WORKER, "Running");
    assert_eq!((home.len(), names(&pods, NODE, "Running").len()), (6, 3));
    // As old as those of the worker, and as ready: nothing but the cost of their deletion tells them apart.
    namespace
        .kubectl(&["scale", "deployment", "web", "--replicas=6"])
        .await
        .ok();
    let pods = cluster.eventually("six pods", look, running(6)).await;
    assert_eq!(names(&pods, WORKER, "Running"), home, "those of the worker stay");
    assert_eq!(namespace.bills().await.len(), 3);
    namespace.no_groups().await;
    agent.terminate().await;
}

#[tokio::test]
#[ignore = "needs a real worker: make mixed"]
async fn new_pods_of_a_job_go_home_when_a_worker_has_room() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "job").await;
    let mut agent = bursting(&cluster).await;
    let mut template = spec(ROOM_MIB / 2, 1, UNTIL_ENOUGH);
    template["restartPolicy"] = json!("Never");
    let labels = json!({ "app": "job", BURST.0: BURST.1 });
    namespace
        .create(json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job" },
            "spec": { "parallelism": 4, "completions": 10, "template": { "metadata": { "labels": labels }, "spec": template } },
        }))
        .await;
    let look = async || namespace.pods("app=job").await;
    let enough = async |pods: &std::collections::BTreeSet<String>| {
        for pod in pods {
            namespace
                .kubectl(&["exec", pod, "--", "touch", "/tmp/enough"])
                .await
                .ok();
        }
    };
    let running = |home: usize, pool: usize, ended: usize| {
        move |pods: &Vec<serde_json::Value>| {
            let over = pods.iter().filter(|pod| pod["status"]["phase"] == "Succeeded").count();
            (
                names(pods, WORKER, "Running").len(),
                names(pods, NODE, "Running").len(),
                over,
            ) == (home, pool, ended)
        }
    };
    let pods = cluster
        .eventually("four pods to run, two of them on the pool", look, running(2, 2, 0))
        .await;
    let (first_home, first_pool) = (names(&pods, WORKER, "Running"), names(&pods, NODE, "Running"));

    // The worker's end: what follows them runs there, and what is on the pool runs on.
    enough(&first_home).await;
    let pods = cluster
        .eventually("two more on the worker", look, running(2, 2, 2))
        .await;
    let second_home = names(&pods, WORKER, "Running");
    assert!(second_home.is_disjoint(&first_home), "{second_home:?}");
    assert_eq!(
        names(&pods, NODE, "Running"),
        first_pool,
        "those of the pool stay until they end"
    );
    assert_eq!(namespace.bills().await.len(), 2, "nobody else was there");

    // The pool's end while the worker is full: what follows overflows again.
    enough(&first_pool).await;
    let pods = cluster.eventually("two more on the pool", look, running(2, 2, 4)).await;
    assert_eq!(names(&pods, WORKER, "Running"), second_home);
    assert!(names(&pods, NODE, "Running").is_disjoint(&first_pool));

    // The worker's end again: the last two go home.
    enough(&second_home).await;
    let pods = cluster
        .eventually("the last two on the worker", look, running(2, 2, 6))
        .await;
    let last = &names(&pods, WORKER, "Running") | &names(&pods, NODE, "Running");
    enough(&last).await;
    cluster.eventually("ten pods to be over", look, running(0, 0, 10)).await;
    namespace
        .kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", "job/job"])
        .await
        .ok();
    assert_eq!(
        namespace.bills().await.len(),
        4,
        "one group for each pod that overflowed"
    );
    namespace.kubectl(&["delete", "job", "job"]).await.ok();
    namespace.no_groups().await;
    agent.terminate().await;
}
