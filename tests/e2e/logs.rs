//! `kubectl logs`, through the API server and the agent's kubelet API.

use std::ops::Range;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, PATIENCE};
use crate::namespace::{CONTAINER, Namespace, pod};

#[tokio::test]
async fn every_option_is_heeded() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "logs").await;
    let (_, group) = namespace.running(pod("talks")).await;
    let logs = async |options: &[&str]| {
        let mut all = vec!["logs", "talks"];
        all.extend(options);
        namespace.kubectl(&all).await.ok()
    };
    cluster.cloud.log(&group, CONTAINER, &["one", "two", "three"]).await;
    let first = first_line(&namespace, "talks");
    assert_eq!(logs(&[]).await, format!("{first}one\ntwo\nthree\n"));
    assert_eq!(
        logs(&["--container", CONTAINER]).await,
        format!("{first}one\ntwo\nthree\n")
    );
    assert_eq!(logs(&["--tail=2"]).await, "two\nthree\n");
    assert_eq!(logs(&["--tail=0"]).await, "");
    assert_eq!(logs(&["--limit-bytes=4"]).await, first[..4]);

    let stamped = logs(&["--timestamps", "--tail=1"]).await;
    let (time, line) = stamped.split_once(' ').expect("a time before the line");
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{stamped}");
    assert_eq!(line, "three\n");

    // With a later line, and a window that has moved past the earlier ones.
    let recent = async || logs(&["--since=5s"]).await;
    cluster
        .eventually("the lines to be old", recent, String::is_empty)
        .await;
    cluster.cloud.log(&group, CONTAINER, &["four"]).await;
    assert_eq!(recent().await, "four\n");
    assert_eq!(
        logs(&["--since=1h", "--tail=-1"]).await,
        format!("{first}one\ntwo\nthree\nfour\n")
    );
    let stamped = logs(&["--timestamps", "--tail=1"]).await;
    let since = format!("--since-time={}", stamped.split(' ').next().unwrap_or_default());
    assert_eq!(logs(&[&since]).await, "four\n");

    let refusal = namespace.kubectl(&["logs", "talks", "--previous"]).await.refusal();
    assert!(refusal.contains("previous terminated container"), "{refusal}");
    let refusal = namespace
        .kubectl(&["logs", "talks", "--container", "nobody"])
        .await
        .refusal();
    assert!(refusal.contains("nobody"), "{refusal}");
}

#[tokio::test]
async fn a_follower_sees_lines_as_they_come_and_ends_with_the_container() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "follow").await;
    let mut talker = pod("talks");
    talker["spec"]["restartPolicy"] = "Never".into();
    let (_, group) = namespace.running(talker).await;

    let mut follower = Follower::of(&namespace, "talks");
    let shown = async || follower.shown();
    let mut whole = first_line(&namespace, "talks");
    cluster.eventually("the first line", shown, |text| *text == whole).await;
    for lines in [["one", "two"], ["two", "three"], ["three", "three"]] {
        cluster.cloud.log(&group, CONTAINER, &lines).await;
        whole.push_str(&format!("{}\n{}\n", lines[0], lines[1]));
        cluster
            .eventually("the new lines, once each", shown, |text| text.len() >= whole.len())
            .await;
        assert_eq!(shown().await, whole);
    }
    cluster.cloud.log(&group, CONTAINER, &["last words"]).await;
    cluster.cloud.exit(&group, CONTAINER, 0).await;
    whole.push_str("last words\n");
    assert_eq!(follower.end().await, whole);
    // The container has ended, its log stays.
    namespace.phase("talks", "Succeeded").await;
    assert_eq!(namespace.kubectl(&["logs", "talks"]).await.ok(), whole);
}

/// More than ECI returns at once may not come between two readings: 2,000 lines.
const WITHIN: usize = 1_999;

#[tokio::test]
async fn twenty_thousand_lines_in_bursts_while_twenty_others_are_followed() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "bursts").await;
    let names: Vec<String> = (0..20).map(|n| format!("quiet-{n}")).collect();
    let quiet = join_all(names.iter().map(|name| namespace.running(pod(name)))).await;
    let mut driver = pod("driver");
    driver["spec"]["restartPolicy"] = "Never".into();
    let (_, group) = namespace.running(driver).await;
    let followers: Vec<Follower> = names.iter().map(|name| Follower::of(&namespace, name)).collect();
    let (mut follower, mut second) = (Follower::of(&namespace, "driver"), Follower::of(&namespace, "driver"));
    for (follower, name) in followers.iter().zip(&names) {
        let first = first_line(&namespace, name);
        let shown = async || follower.shown();
        cluster.eventually("the first line", shown, |text| *text == first).await;
    }
    let mut whole = first_line(&namespace, "driver");
    for follower in [&follower, &second] {
        let shown = async || follower.shown();
        cluster.eventually("the first line", shown, |text| *text == whole).await;
    }

    // Each burst is within the limits, as the one before it was read when it begins.
    for begin in (0..20_000).step_by(WITHIN) {
        let burst = numbered(begin..(begin + WITHIN).min(20_000));
        write(&cluster, &group, &burst).await;
        whole.push_str(&burst);
        for follower in [&follower, &second] {
            let length = async || follower.length();
            cluster
                .eventually("the burst", length, |length| *length >= whole.len())
                .await;
        }
    }
    assert!(follower.shown() == whole, "each line once");
    assert!(second.shown() == whole, "each line once, to the other too");

    // Too many at once: the newest are there, and what is missing is told where it is missing.
    write(&cluster, &group, &numbered(20_000..22_500)).await;
    let newest = numbered(20_500..22_500);
    let shown = async || follower.shown();
    let ends = |text: &String| text.ends_with(&newest);
    let text = cluster.eventually("the newest lines", shown, ends).await;
    let notice = text[whole.len()..].strip_suffix(&newest).unwrap_or_default();
    assert!(
        notice.contains("lines are missing here, their number is unknown") && notice.matches('\n').count() == 1,
        "{notice}"
    );
    let whole = format!("{whole}{notice}{newest}after the gap\n");
    cluster.cloud.log(&group, CONTAINER, &["after the gap"]).await;
    cluster.cloud.exit(&group, CONTAINER, 0).await;
    assert!(follower.end().await == whole && second.end().await == whole);

    // Those who had nothing to tell all the time are still heard.
    for (_, group) in &quiet {
        cluster.cloud.log(group, CONTAINER, &["at last"]).await;
    }
    for (follower, name) in followers.iter().zip(&names) {
        let all = format!("{}at last\n", first_line(&namespace, name));
        let shown = async || follower.shown();
        cluster.eventually("the second line", shown, |text| *text == all).await;
    }
}

/// Lines with these numbers.
fn numbered(numbers: Range<usize>) -> String {
    numbers
        .map(|number| format!("line {number} of the driver, of some length\n"))
        .collect()
}

/// Writes lines to a container's log, all at once.
async fn write(cluster: &Cluster, group: &str, lines: &str) {
    let lines: Vec<&str> = lines.lines().collect();
    cluster.cloud.log(group, CONTAINER, &lines).await;
}

/// `kubectl logs --follow`, and what it has shown.
pub struct Follower {
    kubectl: Child,
    seen: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows the log of `pod`.
    pub fn of(namespace: &Namespace<'_>, pod: &str) -> Self {
        let mut kubectl = Command::new("kubectl")
            .args(["--namespace", &namespace.name, "logs", "--follow", pod])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl runs");
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut out, text) = (kubectl.stdout.take().expect("piped"), seen.clone());
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = out.read(&mut buffer).await {
                let part = String::from_utf8_lossy(&buffer[..count]);
                text.lock().expect("no panic while locked").push_str(&part);
            }
        });
        Self {
            kubectl,
            seen,
            reading: Some(reading),
        }
    }

    /// What it has shown so far.
    pub fn shown(&self) -> String {
        self.seen.lock().expect("no panic while locked").clone()
    }

    /// How many bytes that is.
    pub fn length(&self) -> usize {
        self.seen.lock().expect("no panic while locked").len()
    }

    /// All it has shown when it ended by itself, without an error.
    pub async fn end(&mut self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.kubectl.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("kubectl still follows"))
            .expect("it ran");
        assert!(status.success(), "{status}");
        if let Some(reading) = self.reading.take() {
            reading.await.expect("read to its end");
        }
        self.shown()
    }
}

#[tokio::test]
async fn previous_is_the_log_of_the_run_before() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "previous").await;
    let (_, group) = namespace.running(pod("crashes")).await;
    cluster.cloud.log(&group, CONTAINER, &["last words"]).await;
    cluster.cloud.exit(&group, CONTAINER, 1).await;
    let restarted = |pod: &serde_json::Value| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    };
    let pod = cluster
        .until("a restart", &namespace.path("pods", "crashes"), restarted)
        .await;
    let before = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(before["exitCode"], 1, "{before}");
    cluster.cloud.log(&group, CONTAINER, &["new words"]).await;
    let previous = namespace.kubectl(&["logs", "crashes", "--previous"]).await.ok();
    assert!(previous.ends_with("last words\n"), "{previous}");
    let current = namespace.kubectl(&["logs", "crashes"]).await.ok();
    assert!(
        current.ends_with("new words\n") && !current.contains("last words"),
        "{current}"
    );
}

/// What every simulated container writes first.
fn first_line(namespace: &Namespace<'_>, pod: &str) -> String {
    format!("{CONTAINER} of {}-{pod} started\n", namespace.name)
}

/// What kubectl says when the logs of a pod are refused for a reason that contains `word`.
pub async fn refusal_of_logs(cluster: &Cluster, namespace: &Namespace<'_>, pod: &str, word: &str) -> String {
    let look = async || namespace.kubectl(&["logs", pod]).await;
    let what = format!("logs to be refused with {word}");
    cluster
        .eventually(&what, look, |said| !said.success && said.err.contains(word))
        .await
        .refusal()
}
