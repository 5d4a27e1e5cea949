//! Every form of the figures, held against files and against a real kubelet's names; and the routes.
//!
//! `golden/kubelet-*.txt` are the names that a real kubelet of Kubernetes 1.35 gave for one pod in this project's testbed: families,
//! labels, and which series carry a time, or the members of the summary. `make figures` asks one again.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use provider::response::{GroupMetrics, MetricsAnswer};
use provider::units::MilliCpu;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::exposition::Family;
use super::running::{RunningContainer, RunningPod};
use super::sampler::{SampleError, SampleSource, Samples};
use super::summary::Scope;
use super::*;
use crate::metrics::Metrics;
use crate::scripted_api::{Answer, scripted};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_700_000 + second).expect("in range")
}

/// An answer of ECI about two groups.
fn answer() -> Vec<GroupMetrics> {
    let answer: MetricsAnswer = serde_json::from_str(include_str!("golden/answer.json")).expect("an answer");
    answer.groups
}

fn container(name: &str, restart_count: i32, second: i64) -> RunningContainer {
    RunningContainer {
        name: name.into(),
        image: format!("registry.example.com/{name}:1").into(),
        started: Some(at(second)),
        restart_count,
    }
}

fn running() -> Vec<RunningPod> {
    vec![
        RunningPod {
            namespace: "spark".into(),
            name: "pi-driver".into(),
            uid: "0f0e0d0c-0001-4000-8000-000000000001".into(),
            group_id: Arc::from("eci-driver"),
            started: Some(at(0)),
            containers: vec![container("spark", 1, 20), container("sidecar", 0, 2)],
        },
        RunningPod {
            namespace: "default".into(),
            name: "web".into(),
            uid: "0f0e0d0c-0002-4000-8000-000000000002".into(),
            group_id: Arc::from("eci-web"),
            started: Some(at(10)),
            containers: vec![container("web", 0, 11)],
        },
        // Nothing was measured yet.
        RunningPod {
            namespace: "default".into(),
            name: "new".into(),
            uid: "0f0e0d0c-0003-4000-8000-000000000003".into(),
            group_id: Arc::from("eci-new"),
            started: Some(at(58)),
            containers: vec![container("new", 0, 59)],
        },
    ]
}

fn snapshot() -> Arc<Snapshot> {
    let facts = NodeFacts {
        name: "virtual-kubelet-cn-hangzhou-h".to_owned(),
        since: at(-3_600),
        milli_cpu: 1_000_000,
        memory_bytes: 8_000 << 30,
    };
    let samples = Samples {
        by_group: answer()
            .into_iter()
            .map(|group| {
                let id = Arc::from(group.group_id.as_str());
                (id, Arc::new(group.newest().expect("a record")))
            })
            .collect(),
        failed: false,
    };
    let mut ledger = Ledger::default();
    Arc::new(Snapshot::build(facts, running(), &samples, &mut ledger, at(61)))
}

/// Holds `text` against a file; `UPDATE_GOLDEN=1` writes it.
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/kubelet/figures/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).expect("it can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{name} differs; UPDATE_GOLDEN=1 rewrites it:\n{text}");
}

fn written(families: &'static [Family]) -> String {
    exposition::pieces(snapshot(), families).collect()
}

#[test]
fn metrics_of_resources() {
    golden("resource.txt", &written(resource::FAMILIES));
}

#[test]
fn metrics_of_cadvisor() {
    golden("cadvisor.txt", &written(cadvisor::FAMILIES));
}

fn summary_of(scope: Scope) -> Value {
    let text: String = summary::pieces(snapshot(), scope).collect();
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn summaries() {
    for (name, scope) in [
        ("summary.json", Scope::All),
        ("summary-cpu-and-memory.json", Scope::CpuAndMemory),
    ] {
        let text = serde_json::to_string_pretty(&summary_of(scope)).expect("JSON") + "\n";
        golden(name, &text);
    }
}

/// Families, and the labels of their series: what `golden/kubelet-*.txt` hold.
fn names(exposition: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in exposition.lines() {
        if line.starts_with('#') {
            names.insert(line.to_owned());
            continue;
        }
        let (series, rest) = match line.split_once('}') {
            Some((series, rest)) => (series, rest),
            None => line.split_at(line.find(' ').expect("a value")),
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels: Vec<&str> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once("=\"")?.0))
            .collect();
        let timed = if rest.split_whitespace().count() > 1 {
            " timestamp"
        } else {
            ""
        };
        names.insert(format!("{name}{{{}}}{timed}", labels.join(",")));
    }
    names
}

#[test]
fn metrics_of_resources_have_a_kubelets_names() {
    let kubelets: BTreeSet<String> = include_str!("golden/kubelet-resource.txt")
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(names(&written(resource::FAMILIES)), kubelets);
}

#[test]
fn metrics_of_cadvisor_are_among_a_kubelets() {
    let kubelets: BTreeSet<&str> = include_str!("golden/kubelet-cadvisor.txt").lines().collect();
    let ours = names(&written(cadvisor::FAMILIES));
    let unknown: Vec<&String> = ours.iter().filter(|name| !kubelets.contains(name.as_str())).collect();
    // Counted where the kernel has block devices for control groups, which that of the recorded kubelet had not.
    assert!(
        unknown
            .iter()
            .all(|name| name.contains("container_fs_reads_bytes_total")
                || name.contains("container_fs_writes_bytes_total")),
        "{unknown:#?}"
    );
}

/// Paths of all members.
fn members(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                members(value, &format!("{path}{dot}{key}"), all);
            }
        }
        Value::Array(list) => {
            for value in list {
                members(value, &format!("{path}[]"), all);
            }
        }
        _ => {
            all.insert(path.to_owned());
        }
    }
}

#[test]
fn summaries_have_a_kubelets_members() {
    for (scope, kubelets) in [
        (Scope::All, include_str!("golden/kubelet-summary.txt")),
        (
            Scope::CpuAndMemory,
            include_str!("golden/kubelet-summary-cpu-and-memory.txt"),
        ),
    ] {
        let kubelets: BTreeSet<String> = kubelets.lines().map(str::to_owned).collect();
        let mut ours = BTreeSet::new();
        members(&summary_of(scope), "", &mut ours);
        let unknown: Vec<&String> = ours.difference(&kubelets).collect();
        // Of a pod's network the recorded kubelet knew nothing; the API has it.
        let allowed = |name: &&&String| {
            name.starts_with("pods[].network.")
                || **name == "pods[].swap.swapAvailableBytes"
                || **name == "pods[].containers[].memory.availableBytes"
        };
        assert!(unknown.iter().all(|name| allowed(&name)), "{unknown:#?}");
        // And what metrics-server, autoscalers and dashboards read is there.
        for part in ["node", "pods[]", "pods[].containers[]"] {
            for figure in [
                "cpu.time",
                "cpu.usageNanoCores",
                "cpu.usageCoreNanoSeconds",
                "memory.time",
                "memory.usageBytes",
                "memory.workingSetBytes",
                "memory.rssBytes",
                "startTime",
            ] {
                let path = format!("{part}.{figure}");
                assert!(ours.contains(&path) && kubelets.contains(&path), "{path}");
            }
        }
    }
}

#[test]
fn many_pods_are_written_in_pieces() {
    let mut running = Vec::new();
    let mut by_group = HashMap::new();
    let sample = Arc::new(answer().remove(0).newest().expect("a record"));
    for n in 0..1_000 {
        let mut pod = self::running().remove(0);
        pod.name = format!("pod-{n}").into();
        pod.group_id = Arc::from(format!("eci-{n}"));
        by_group.insert(pod.group_id.clone(), sample.clone());
        running.push(pod);
    }
    let facts = snapshot().node.facts.clone();
    let samples = Samples { by_group, failed: true };
    let snapshot = Arc::new(Snapshot::build(
        facts,
        running,
        &samples,
        &mut Ledger::default(),
        at(61),
    ));
    let pieces: Vec<String> = exposition::pieces(snapshot.clone(), resource::FAMILIES).collect();
    let largest = pieces.iter().map(String::len).max().unwrap_or_default();
    assert!(largest < 100_000, "{largest}");
    let whole = pieces.concat();
    assert_eq!(whole.matches("# TYPE pod_cpu_usage_seconds_total ").count(), 1);
    assert_eq!(whole.matches("\npod_cpu_usage_seconds_total{").count(), 1_000);
    assert!(whole.ends_with("\nresource_scrape_error 1\n"));
    let text: String = summary::pieces(snapshot, Scope::All).collect();
    let summary: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(summary["pods"].as_array().map(Vec::len), Some(1_000));
}

/// A node and its cloud, both unchanging.
struct Still;

impl RunningPods for Still {
    fn running(&self) -> Vec<RunningPod> {
        running()
    }
}

impl SampleSource for Still {
    fn newest(&self, _: Vec<String>) -> BoxFuture<'static, Result<Vec<GroupMetrics>, SampleError>> {
        async { Ok(answer()) }.boxed()
    }
}

/// Figures of a node that does not change, for tests of what is around them.
pub(in crate::kubelet) fn figures() -> Figures {
    let metrics = Metrics::new().expect("registers");
    let capacity = Capacity {
        cpu: MilliCpu(8_000),
        allocatable_cpu: MilliCpu(4_000),
        pods: 32,
    };
    Figures::new(
        "node".to_owned(),
        watch::channel(capacity).1,
        Arc::new(Still),
        Sampler::new(Arc::new(Still), metrics.clone()),
        scripted(|_, _, _| Answer::ok(json!({ "metadata": {}, "items": [{ "metadata": { "name": "p" } }] }))),
        metrics.registry().clone(),
    )
}

async fn ask(path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let routes: axum::Router = routes(figures());
    routes.oneshot(request).await.expect("infallible")
}

async fn body(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn every_form_has_its_type_and_its_content() {
    for (path, type_, content) in [
        (
            "/metrics/resource",
            TEXT,
            "node_cpu_usage_seconds_total 42.500001 17957000",
        ),
        (
            "/metrics/cadvisor",
            TEXT,
            "machine_cpu_cores{boot_id=\"\",machine_id=\"\",system_uuid=\"\"} 8\n",
        ),
        ("/metrics", TEXT, "virtual_node_build_info{"),
        ("/stats/summary", "application/json", r#""ephemeral-storage":{"#),
        ("/pods", "application/json", r#""items":[{"metadata":{"name":"p"}}]"#),
        (
            "/runningpods/",
            "application/json",
            r#"{"name":"web","image":"registry.example.com/web:1""#,
        ),
    ] {
        let response = ask(path).await;
        assert_eq!(response.headers()["content-type"], type_, "{path}");
        let body = body(response).await;
        assert!(body.contains(content), "{path}: {body}");
    }
    let bare = body(ask("/stats/summary?only_cpu_and_memory=true").await).await;
    assert!(
        !bare.contains("ephemeral-storage") && !bare.contains("network"),
        "{bare}"
    );
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
