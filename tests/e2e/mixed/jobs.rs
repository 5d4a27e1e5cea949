//! Spark jobs: the driver by spark-submit in cluster mode, executors by the driver, four of them where the worker holds two beside the
//! driver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::WORKER;
use super::event_log::EventLog;
use crate::chance::Chance;
use crate::cloud::text;
use crate::cluster::{Cluster, NODE, say};
use crate::kubectl::run;
use crate::namespace::Namespace;
use crate::recorder::Recorder;

const SPARK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/spark/spark.sh");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/demo/wordcount.py");
const BUCKET: &str = "mixed";
/// How long a job may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(400);

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
pub type Places = BTreeMap<String, String>;

/// Jobs in a namespace, over one input.
pub struct Jobs<'a> {
    cluster: &'a Cluster,
    namespace: &'a Namespace<'a>,
    image: String,
    input_bytes: usize,
    counts: BTreeMap<String, usize>,
}

impl<'a> Jobs<'a> {
    /// With so much input; the image is in both runtimes then.
    pub async fn new(cluster: &'a Cluster, namespace: &'a Namespace<'a>, input_bytes: usize) -> Self {
        let image = run(SPARK, &["load"], "").await.ok();
        run(
            "env",
            &[&format!("JOB_NAMESPACE={}", namespace.name), SPARK, "prepare"],
            "",
        )
        .await
        .ok();
        bucket(cluster, BUCKET).await;
        let (text, counts) = words(input_bytes);
        let input = cluster.file("words");
        std::fs::write(&input, text).expect("the input can be written");
        put(&input, "input").await;
        put(Path::new(PROGRAM), "wordcount.py").await;
        Self {
            cluster,
            namespace,
            image,
            input_bytes,
            counts,
        }
    }

    /// Submits a job with settings of its own.
    pub async fn submit(&self, name: &str, arguments: &[&str], settings: &[String]) {
        // A bucket's root is a folder, which the event log needs to find.
        let events = format!("{name}-events");
        bucket(self.cluster, &events).await;
        let mut own = vec![
            format!("spark.eventLog.dir=s3a://{events}/"),
            format!("spark.sql.files.maxPartitionBytes={}", self.input_bytes / 4 + 100),
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
    pub async fn succeeded(&self, name: &str) {
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
    pub fn check_counts(&self, name: &str) {
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

    /// Ends what is left of a job: its driver, and with it all that is the driver's. Returns Spark's id of it.
    pub async fn forget(&self, name: &str) -> String {
        let driver = self.namespace.pod(&format!("{name}-driver")).await;
        self.namespace
            .kubectl(&["delete", "pod", &format!("{name}-driver")])
            .await
            .ok();
        let look = async || self.namespace.pods("spark-role").await.len();
        self.cluster
            .eventually("no pod to be left", look, |left| *left == 0)
            .await;
        self.namespace.no_groups().await;
        text(&driver["metadata"]["labels"]["spark-app-selector"])
    }

    /// What Spark logged of a job that is over.
    pub fn events(&self, name: &str) -> EventLog {
        EventLog::read(&self.cluster.file(&format!("s3/{name}-events")))
    }
}

/// Words in an order drawn by chance, 10 a line, and how often each is there.
fn words(bytes: usize) -> (String, BTreeMap<String, usize>) {
    let mut chance = Chance::new("words");
    let (mut text, mut counts) = (String::new(), BTreeMap::new());
    for number in 1.. {
        if text.len() >= bytes {
            break;
        }
        let word = format!("word{:05}", chance.below(20_000));
        text.push_str(&word);
        text.push(if number % 10 == 0 { '\n' } else { ' ' });
        *counts.entry(word).or_default() += 1;
    }
    (text, counts)
}

/// Makes a bucket, which is a folder of the store's. One of an earlier run goes.
async fn bucket(cluster: &Cluster, name: &str) {
    let _ = std::fs::remove_dir_all(cluster.file(&format!("s3/{name}")));
    run(SPARK, &["bucket", name], "").await.ok();
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
pub fn places(recorder: &Recorder, name: &str) -> Places {
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

/// How many of them are on a node.
pub fn count(places: &Places, node: &str) -> usize {
    places.values().filter(|place| *place == node).count()
}

/// Whether an address is a pod's of the worker.
pub fn of_worker(host: &str) -> bool {
    host.starts_with("10.90.")
}

/// Whether an address is a container group's.
pub fn of_pool(host: &str) -> bool {
    host.starts_with("10.88.")
}

/// A policy of driver and executors, each held by the gate until it is set.
pub fn gated(policy: &str) -> Vec<String> {
    let of = |role: &str| {
        [
            format!("spark.kubernetes.{role}.podTemplateFile=/examples/spark/gated-template.yaml"),
            format!("spark.kubernetes.{role}.label.k8s.aliyun.com/eci-burst-policy={policy}"),
        ]
    };
    ["driver", "executor"].iter().flat_map(|role| of(role)).collect()
}
