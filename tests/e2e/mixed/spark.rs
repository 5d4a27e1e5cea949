//! Spark jobs on a worker and the pool together: the driver by spark-submit in cluster mode, executors by the driver, four of them where
//! the worker holds two beside the driver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::WORKER;
use super::event_log::EventLog;
use crate::burst::bursting;
use crate::chance::Chance;
use crate::cluster::{Cluster, NODE, say};
use crate::kubectl::run;
use crate::namespace::Namespace;
use crate::recorder::Recorder;

const SPARK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/spark/spark.sh");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/demo/wordcount.py");
const BUCKET: &str = "mixed";
/// How long a job may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);
/// Size of the input: a split for each executor.
const INPUT_BYTES: usize = 2_000_000;
const SPLIT_BYTES: usize = INPUT_BYTES / 4 + 100;

/// What all jobs have: 896 MiB a pod, of which the worker holds three; one wave of four tasks a stage, one an executor.
const SETTINGS: [&str; 17] = [
    "spark.kubernetes.executor.deleteOnTermination=true",
    "spark.executor.instances=4",
    "spark.driver.memory=512m",
    "spark.executor.memory=512m",
    "spark.kubernetes.driver.request.cores=500m",
    "spark.kubernetes.executor.request.cores=500m",
    "spark.kubernetes.driver.limit.cores=1",
    "spark.kubernetes.executor.limit.cores=1",
    "spark.scheduler.maxRegisteredResourcesWaitingTime=300s",
    "spark.sql.adaptive.enabled=false",
    "spark.sql.shuffle.partitions=4",
    "spark.locality.wait=0s",
    "spark.shuffle.reduceLocality.enabled=false",
    "spark.eventLog.enabled=true",
    "spark.eventLog.compress=false",
    "spark.driver.cores=1",
    "spark.executor.cores=1",
];

/// Where the pods of a job ran, by their names; the driver among them.
type Places = BTreeMap<String, String>;

/// Jobs in a namespace, over one input.
struct Jobs<'a> {
    cluster: &'a Cluster,
    namespace: &'a Namespace<'a>,
    image: String,
    counts: BTreeMap<String, usize>,
}

impl<'a> Jobs<'a> {
    async fn new(cluster: &'a Cluster, namespace: &'a Namespace<'a>) -> Self {
        let image = run(SPARK, &["load"], "").await.ok();
        run(
            "env",
            &[&format!("JOB_NAMESPACE={}", namespace.name), SPARK, "prepare"],
            "",
        )
        .await
        .ok();
        run(SPARK, &["bucket", BUCKET], "").await.ok();
        let (text, counts) = words();
        let input = cluster.file("words");
        std::fs::write(&input, text).expect("the input can be written");
        put(&input, "input").await;
        put(Path::new(PROGRAM), "wordcount.py").await;
        Self {
            cluster,
            namespace,
            image,
            counts,
        }
    }

    /// Submits a job with settings of its own.
    async fn submit(&self, name: &str, arguments: &[&str], settings: &[String]) {
        // A bucket's root is a folder, which the event log needs to find.
        let events = format!("{name}-events");
        run(SPARK, &["bucket", &events], "").await.ok();
        let mut own = vec![
            format!("spark.eventLog.dir=s3a://{events}/"),
            format!("spark.sql.files.maxPartitionBytes={SPLIT_BYTES}"),
        ];
        own.extend(SETTINGS.map(str::to_owned));
        own.extend_from_slice(settings);
        let home = format!("JOB_NAMESPACE={}", self.namespace.name);
        let mut all = vec![home.as_str(), SPARK, "submit", &self.image, name];
        all.extend(arguments);
        all.extend(own.iter().flat_map(|setting| ["--conf", setting]));
        let urls = ["wordcount.py", "input", &format!("{name}-counts")].map(|key| format!("s3a://{BUCKET}/{key}"));
        all.extend(urls.iter().map(String::as_str));
        run("env", &all, "").await.ok();
    }

    /// Waits until the driver has succeeded.
    async fn succeeded(&self, name: &str) {
        let driver = format!("{name}-driver");
        let look = async || self.namespace.pod(&driver).await["status"]["phase"].clone();
        let over = |phase: &Value| phase == "Succeeded" || phase == "Failed";
        let began = Instant::now();
        let phase = self.cluster.within(PATIENCE, "the driver to end", look, over).await;
        say(&format!(
            "{name}: its driver ended after {} s more",
            began.elapsed().as_secs()
        ));
        if phase == "Failed" {
            let log = self.namespace.kubectl(&["logs", &driver, "--tail=60"]).await;
            panic!("{driver} failed:\n{}{}", log.out, log.err);
        }
    }

    /// Whether the counts are those of an independent count.
    fn check_counts(&self, name: &str) {
        let folder = self.cluster.file(&format!("s3/{BUCKET}/{name}-counts"));
        assert!(folder.join("_SUCCESS").exists(), "{name} has committed its output");
        let mut counts = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).expect("the counts") {
            let path = entry.expect("an entry").path();
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("part-"))
            {
                for line in std::fs::read_to_string(&path).expect("text").lines() {
                    let (word, count) = line.split_once('\t').unwrap_or_else(|| panic!("{line:?}"));
                    let count = count.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
                    assert!(
                        counts.insert(word.to_owned(), count).is_none(),
                        "{word} is counted twice"
                    );
                }
            }
        }
        assert!(
            counts == self.counts,
            "{name}: {} words, not {}",
            counts.len(),
            self.counts.len()
        );
    }

    /// Ends what is left of a job: its driver, and with it all that is the driver's.
    async fn forget(&self, name: &str) {
        self.namespace
            .kubectl(&["delete", "pod", &format!("{name}-driver")])
            .await
            .ok();
        let look = async || self.namespace.pods("spark-role").await.len();
        self.cluster
            .eventually("no pod to be left", look, |left| *left == 0)
            .await;
        self.namespace.no_groups().await;
    }

    fn events(&self, name: &str) -> EventLog {
        EventLog::read(&self.cluster.file(&format!("s3/{name}-events")))
    }
}

/// Words in an order drawn by chance, 10 a line, and how often each is there.
fn words() -> (String, BTreeMap<String, usize>) {
    let mut chance = Chance::new("words");
    let (mut text, mut counts) = (String::new(), BTreeMap::new());
    for number in 1.. {
        if text.len() >= INPUT_BYTES {
            break;
        }
        let word = format!("word{:05}", chance.below(20_000));
        text.push_str(&word);
        text.push(if number % 10 == 0 { '\n' } else { ' ' });
        *counts.entry(word).or_default() += 1;
    }
    (text, counts)
}

/// Stores a file in the bucket. Its size is sent first, so that it cannot come by a pipe.
async fn put(file: &Path, key: &str) {
    let command = "exec \"$1\" put \"$2\" <\"$3\"";
    let file = file.to_string_lossy();
    run(
        "bash",
        &["-c", command, "put", SPARK, &format!("{BUCKET}/{key}"), &file],
        "",
    )
    .await
    .ok();
}

/// Nodes on which pods of a job were at any time, by the watch.
fn places(recorder: &Recorder, name: &str) -> Places {
    let names = recorder
        .names()
        .into_iter()
        .filter(|pod| pod.starts_with(&format!("{name}-")));
    let place = |pod: String| {
        let nodes: BTreeSet<String> = recorder
            .of(&pod)
            .into_iter()
            .filter(|node| node == WORKER || node == NODE)
            .collect();
        assert!(nodes.len() < 2, "{pod}: {nodes:?}");
        nodes.into_iter().next().map(|node| (pod, node))
    };
    names.filter_map(place).collect()
}

fn count(places: &Places, node: &str) -> usize {
    places.values().filter(|place| *place == node).count()
}

fn of_worker(host: &str) -> bool {
    host.starts_with("10.90.")
}

fn of_pool(host: &str) -> bool {
    host.starts_with("10.88.")
}

/// A policy of driver and executors, each held by the gate until it is set.
fn gated(policy: &str) -> Vec<String> {
    let of = |role: &str| {
        [
            format!("spark.kubernetes.{role}.podTemplateFile=/examples/spark-gated-template.yaml"),
            format!("spark.kubernetes.{role}.label.k8s.aliyun.com/eci-burst-policy={policy}"),
        ]
    };
    ["driver", "executor"].iter().flat_map(|role| of(role)).collect()
}

#[tokio::test]
#[ignore = "needs a real worker: make mixed"]
async fn a_job_fills_the_worker_and_overflows_stays_off_it_or_never_leaves_it_as_its_policy_says() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "spark").await;
    let mut agent = bursting(&cluster).await;
    let jobs = Jobs::new(&cluster, &namespace).await;
    let recorder = Recorder::nodes(&cluster, &namespace.name).await;
    let all_registered = "spark.scheduler.minRegisteredResourcesRatio=1.0".to_owned();

    // Workers first.
    let arguments = ["--properties-file", "/examples/spark-burst.properties"];
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
    jobs.forget("ecs-first").await;

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
    jobs.forget("eci-only").await;

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
    jobs.forget("ecs-only").await;
    agent.terminate().await;
}
