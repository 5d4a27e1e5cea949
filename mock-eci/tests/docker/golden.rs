//! Groups driven through the product API on a real engine, and what a caller sees of them, held against files.
//!
//! ```text
//! golden/<case>/about.md    what it shows, and why a kubelet would do so
//! golden/<case>/request     parameters of CreateContainerGroup, one a line; {image} and {registry} are filled in
//! golden/<case>/statuses    per group, pod and container the distinct states, in order
//! golden/<case>/events      distinct events, in order
//! golden/<case>/log         the log of its first container, where the case reads it
//! ```
//! `UPDATE_GOLDEN=1` rewrites all but the first two. Only the order of states is compared, never their times. A state that
//! may pass between two looks is marked with `?` in the file by hand (marks survive rewriting where the line was seen).

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use mock_eci::{
    Config,
    config::{Limits, RuntimeKind},
    runtime::docker,
};
use serde_json::{Value, json};

use crate::{api, bed, registry};

/// Between looks: shorter than any engine needs to start or end a container.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for any one state; an engine that is busy with all tests at once is slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// One case.
pub(crate) struct Case {
    pub(crate) bed: api::Bed,
    pub(crate) id: String,
    seen: Arc<Mutex<Seen>>,
}

/// Runs a case and compares what was seen; whatever becomes of it, its containers are removed.
pub(crate) fn golden<F: Future<Output = ()>>(name: &str, steps: impl FnOnce(Arc<Case>) -> F) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/docker/golden")
        .join(name);
    assert!(folder.join("about.md").exists(), "{name} has no about.md");
    let request = std::fs::read_to_string(folder.join("request")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bed = bed_of_one().await;
        let request = request
            .replace("{image}", &bed::image())
            .replace("{registry}", registry::ADDRESS);
        let params: Vec<(&str, &str)> = request.lines().filter_map(|line| line.split_once('=')).collect();
        let created = bed.call("CreateContainerGroup", &params).await.ok();
        let case = Arc::new(Case {
            id: created["ContainerGroupId"].as_str().unwrap().to_owned(),
            bed,
            seen: Arc::default(),
        });
        let outcome = AssertUnwindSafe(async {
            tokio::select! {
                () = case.look() => {}
                () = steps(Arc::clone(&case)) => {}
            }
            case.note().await;
        })
        .catch_unwind()
        .await;
        case.bed.app().reset().await.unwrap();
        if let Err(panic) = outcome {
            eprintln!("{name}, seen so far:\n{}", case.seen().statuses());
            std::panic::resume_unwind(panic);
        }
        let seen = case.seen();
        compare(&folder.join("statuses"), &seen.statuses(), &case.id);
        compare(&folder.join("events"), &seen.events(), &case.id);
        if let Some(log) = &seen.log {
            compare(&folder.join("log"), log, &case.id);
        }
    });
}

async fn bed_of_one() -> api::Bed {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    assert!(
        std::env::var("DOCKER_HOST").is_ok(),
        "these tests need a container engine: set DOCKER_HOST (see tests/docker.rs; `make up` prints one)"
    );
    let seed = (u64::from(std::process::id()) << 16) + COUNT.fetch_add(1, Ordering::Relaxed);
    api::Bed::with(Config {
        runtime: RuntimeKind::Docker(docker::Config {
            network: std::env::var("MOCK_ECI_TEST_NETWORK").unwrap_or_else(|_| "bridge".to_owned()),
            pause_image: bed::image(),
            owner: format!("golden-{seed}"),
            ..docker::Config::default()
        }),
        limits: Limits::None,
        seed,
        ..Config::default()
    })
    .await
}

impl Case {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for ever.
    async fn look(&self) {
        loop {
            self.note().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn note(&self) {
        let (group, pod) = (self.bed.describe(&self.id).await, self.bed.pod_status(&self.id).await);
        self.seen().note(group.as_ref(), pod.as_ref());
    }

    /// Waits until this holds for the group in full.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                if let Some(group) = self.bed.describe(&self.id).await.filter(|group| holds(group)) {
                    return group;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(group) => group,
            Err(_) => panic!("not {what}: {:#?}", self.bed.describe(&self.id).await),
        }
    }

    /// Waits for a status of the group.
    pub(crate) async fn until_status(&self, status: &str) -> Value {
        self.until(status, |group| group["Status"] == status).await
    }

    /// Waits until the newest line of one subject (`group`, `pod`, `container NAME`, `init NAME`) begins like this, and
    /// that as often as `times` says.
    pub(crate) async fn until_seen(&self, subject: &str, begin: &str, times: usize) {
        let wait = async {
            loop {
                if self.seen().count(subject, begin) >= times {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{subject} was not {begin:?} {times} times:\n{}", self.seen().statuses());
        }
    }

    /// Deletes the group and waits until it is gone.
    pub(crate) async fn delete(&self) {
        let params = [("ContainerGroupId", self.id.as_str())];
        self.bed.call("DeleteContainerGroup", &params).await.ok();
        let gone = async {
            while self.bed.describe(&self.id).await.is_some() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("it stays");
    }

    /// The log of a container.
    pub(crate) async fn log(&self, container: &str, params: &[(&str, &str)]) -> String {
        let mut all = vec![("ContainerGroupId", self.id.as_str()), ("ContainerName", container)];
        all.extend_from_slice(params);
        let answer = self.bed.call("DescribeContainerLog", &all).await.ok();
        answer["Content"].as_str().unwrap().to_owned()
    }

    /// Reads a container's log for the case's `log` file.
    pub(crate) async fn keep_log(&self, container: &str) {
        let log = self.log(container, &[]).await;
        self.seen().log = Some(log);
    }
}

/// Distinct states of everything, in order.
#[derive(Default)]
struct Seen {
    subjects: Vec<(String, Vec<String>)>,
    events: Vec<String>,
    log: Option<String>,
}

impl Seen {
    fn note(&mut self, group: Option<&Value>, pod: Option<&Value>) {
        let Some(group) = group else { return };
        self.add("group", text(&group["Status"]));
        if let Some(pod) = pod {
            self.add("pod", pod_line(&pod["PodStatus"]));
        }
        for (word, list) in [("init", "InitContainers"), ("container", "Containers")] {
            for container in group[list].as_array().into_iter().flatten() {
                let line = container_line(container, word == "init");
                self.add(&format!("{word} {}", text(&container["Name"])), line);
            }
        }
        for event in group["Events"].as_array().into_iter().flatten() {
            let line = format!(
                "{} {} {}",
                text(&event["Type"]),
                text(&event["Reason"]),
                text(&event["Message"])
            );
            if !self.events.contains(&line) {
                self.events.push(line);
            }
        }
    }

    fn add(&mut self, subject: &str, line: String) {
        let index = match self.subjects.iter().position(|(name, _)| name == subject) {
            Some(index) => index,
            None => {
                self.subjects.push((subject.to_owned(), Vec::new()));
                self.subjects.len() - 1
            }
        };
        let lines = &mut self.subjects[index].1;
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }

    fn count(&self, subject: &str, begin: &str) -> usize {
        let lines = self.subjects.iter().find(|(name, _)| name == subject);
        lines.map_or(0, |(_, lines)| {
            lines.iter().filter(|line| line.starts_with(begin)).count()
        })
    }

    fn statuses(&self) -> String {
        let mut out = String::new();
        for (name, lines) in &self.subjects {
            out.push_str(&format!("{name}\n"));
            for line in lines {
                out.push_str(&format!("  {line}\n"));
            }
        }
        out
    }

    fn events(&self) -> String {
        self.events.iter().map(|line| format!("{line}\n")).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `Pending, Initialized, ContainersReady, Ready`: the phase and the conditions that hold.
fn pod_line(pod: &Value) -> String {
    let conditions = pod["Conditions"].as_array().into_iter().flatten();
    let holding = conditions
        .filter(|condition| condition["status"] == "True")
        .map(|condition| text(&condition["type"]))
        .filter(|kind| ["Initialized", "Ready"].contains(&kind.as_str()));
    std::iter::once(text(&pod["Phase"]))
        .chain(holding)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `Terminated OOMKilled 137 restarts=1 "message"`.
fn container_line(container: &Value, init: bool) -> String {
    let state = &container["CurrentState"];
    let mut line = text(&state["State"]);
    match line.as_str() {
        "Running" if container["Ready"] == json!(true) => line.push_str(" ready"),
        "Running" if !init => line.push_str(" not ready"),
        "Terminated" => line.push_str(&format!(" {} {}", text(&state["Reason"]), state["ExitCode"])),
        "Waiting" => line.push_str(&format!(" {}", text(&state["Reason"]))),
        _ => {}
    }
    if container["RestartCount"] != json!(0) {
        line.push_str(&format!(" restarts={}", container["RestartCount"]));
    }
    if let Some(message) = state["Message"].as_str().filter(|message| !message.is_empty()) {
        line.push_str(&format!(" {message:?}"));
    }
    line
}

/// Times, ids and addresses differ from run to run, and so do the words of engines.
fn normal(text: &str, id: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line
            .replace(id, "<id>")
            .replace(&bed::image(), "<image>")
            .replace(registry::ADDRESS, "<registry>");
        if let Some((begin, _)) = line.split_once("Failed to pull image ")
            && let Some(end) = line[begin.len()..].find(": ")
        {
            let quote = if line.ends_with('"') { "\"" } else { "" };
            line = format!("{}: <the engine's words>{quote}", &line[..begin.len() + end]);
        }
        if let Some((begin, rest)) = line.split_once("Successfully pulled image ")
            && let Some((image, _)) = rest.split_once(" in ")
        {
            line = format!("{begin}Successfully pulled image {image} in <time>");
        }
        out.push_str(&addresses(&line));
        out.push('\n');
    }
    out
}

/// Replaces IPv4 addresses of groups.
fn addresses(line: &str) -> String {
    let Some(start) = line.find("10.88.").or_else(|| line.find("172.17.")) else {
        return line.to_owned();
    };
    let end = line[start..]
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .map_or(line.len(), |length| start + length);
    format!("{}<ip>{}", &line[..start], addresses(&line[end..]))
}

fn compare(file: &std::path::Path, seen: &str, id: &str) {
    let seen = normal(seen, id);
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    if matches(&expected, &seen) {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let marked: Vec<&str> = expected.lines().filter(|line| line.ends_with('?')).collect();
        let text: String = seen
            .lines()
            .map(|line| {
                let optional = marked.iter().any(|known| known.trim_end_matches([' ', '?']) == line);
                format!("{line}{}\n", if optional { " ?" } else { "" })
            })
            .collect();
        std::fs::write(file, text).unwrap();
        return;
    }
    panic!(
        "not as in {} (UPDATE_GOLDEN=1 rewrites it); expected:\n{expected}\nseen:\n{seen}",
        file.display()
    );
}

/// Line by line; expected lines that end in `?` may be missing.
fn matches(expected: &str, seen: &str) -> bool {
    let mut seen = seen.lines().peekable();
    for line in expected.lines() {
        let optional = line.strip_suffix('?').map(str::trim_end);
        match optional {
            Some(line) => {
                if seen.peek() == Some(&line) {
                    seen.next();
                }
            }
            None => {
                if seen.next() != Some(line) {
                    return false;
                }
            }
        }
    }
    seen.next().is_none()
}

#[test]
fn lines_that_may_be_missing_may_be_missing() {
    assert!(matches("a\nb ?\nc\n", "a\nb\nc\n"));
    assert!(matches("a\nb ?\nc\n", "a\nc\n"));
    assert!(!matches("a\nb ?\nc\n", "a\nb\n"));
    assert!(!matches("a\nb ?\nc\n", "a\nb\nc\nd\n"));
}
