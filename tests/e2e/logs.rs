//! `kubectl logs`, through the API server and the agent's kubelet API.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::cluster::Cluster;
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

    let mut kubectl = Command::new("kubectl")
        .args(["--namespace", &namespace.name, "logs", "--follow", "talks"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl runs");
    let seen = Arc::new(Mutex::new(String::new()));
    let (mut out, text) = (kubectl.stdout.take().expect("piped"), seen.clone());
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = out.read(&mut buffer).await {
            let part = String::from_utf8_lossy(&buffer[..count]);
            text.lock().expect("no panic while locked").push_str(&part);
        }
    });
    let shown = async || seen.lock().expect("no panic while locked").clone();
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
    let ended = tokio::time::timeout(crate::cluster::PATIENCE, kubectl.wait()).await;
    let status = ended
        .unwrap_or_else(|_| panic!("kubectl still follows"))
        .expect("it ran");
    assert!(status.success(), "{status}");
    reading.await.expect("read to its end");
    assert_eq!(shown().await, whole);
    // The container has ended, its log stays.
    namespace.phase("talks", "Succeeded").await;
    assert_eq!(namespace.kubectl(&["logs", "talks"]).await.ok(), whole);
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
