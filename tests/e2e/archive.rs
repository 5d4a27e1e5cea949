//! Logs that outlive their container groups, through the API server, the agent and a real S3 store.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::{CONTAINER, Namespace, pod};

/// A pod whose logs are kept.
fn driver(name: &str) -> Value {
    let mut driver = pod(name);
    driver["metadata"]["labels"] = json!({ "spark-role": "driver" });
    driver["spec"]["restartPolicy"] = "Never".into();
    driver
}

/// Where the store keeps what it has of a run.
fn folder(cluster: &Cluster, namespace: &Namespace<'_>, pod: &str, uid: &str) -> PathBuf {
    cluster.file(&format!(
        "s3/logs/archive/testbed/{}/{pod}/{uid}/{CONTAINER}/0",
        namespace.name
    ))
}

/// Waits until the archive has all of it.
async fn archived(cluster: &Cluster, folder: &Path) {
    let end = async || std::fs::read_to_string(folder.join("end.json")).unwrap_or_default();
    let complete = |text: &String| text.contains("\"complete\":true");
    cluster.eventually("the log to be archived", end, complete).await;
}

#[tokio::test]
async fn a_drivers_log_is_there_when_the_cloud_has_forgotten_it_also_after_a_restart() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "archive").await;
    let (uid, group) = namespace.running(driver("driver")).await;
    let (_, other) = namespace
        .running({
            let mut other = pod("other");
            other["spec"]["restartPolicy"] = "Never".into();
            other
        })
        .await;
    let mut written = String::new();
    // More than the cloud returns of it.
    for burst in 0..3 {
        let lines: Vec<String> = (burst * 900..burst * 900 + 900)
            .map(|n| format!("result {n}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        written.push_str(&format!("{}\n", lines.join("\n")));
        cluster.cloud.log(&group, CONTAINER, &lines).await;
        let last = format!("result {}\n", burst * 900 + 899);
        let kept = async || {
            let mut parts: Vec<PathBuf> = std::fs::read_dir(folder(&cluster, &namespace, "driver", &uid))
                .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                .unwrap_or_default();
            parts.sort();
            let parts = parts.iter().filter_map(|part| std::fs::read_to_string(part).ok());
            parts.collect::<String>()
        };
        cluster
            .eventually("the lines to be kept", kept, |text| text.ends_with(&last))
            .await;
    }
    for group in [&group, &other] {
        cluster.cloud.exit(group, CONTAINER, 0).await;
    }
    for name in ["driver", "other"] {
        namespace.phase(name, "Succeeded").await;
    }
    archived(&cluster, &folder(&cluster, &namespace, "driver", &uid)).await;
    let whole = namespace.kubectl(&["logs", "driver"]).await.ok();
    assert!(whole.ends_with(&written) && whole.lines().count() == 2_701, "all of it");

    for group in [&group, &other] {
        cluster.cloud.forget(group).await;
    }
    let all = async || namespace.kubectl(&["logs", "driver"]).await.ok();
    assert!(all().await == whole, "when the cloud has forgotten");
    let refusal = namespace.kubectl(&["logs", "other"]).await.refusal();
    assert!(
        refusal.contains("unable to retrieve container logs for eci://") && refusal.contains("s3://logs/archive"),
        "{refusal}"
    );
    cluster.control(&["restart", "agent"]).await;
    assert!(all().await == whole, "after a restart");
    let tail = namespace.kubectl(&["logs", "driver", "--tail=2"]).await.ok();
    assert_eq!(tail, "result 2698\nresult 2699\n");
    let stamped = namespace
        .kubectl(&["logs", "driver", "--timestamps", "--tail=1"])
        .await
        .ok();
    let since = format!("--since-time={}", stamped.split(' ').next().unwrap_or_default());
    let since = namespace.kubectl(&["logs", "driver", &since]).await.ok();
    assert!(
        since.ends_with("result 2699\n") && since.lines().count() >= 900,
        "the last burst"
    );
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_holds_up_no_pod_for_long() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "store-away").await;
    let (uid, group) = namespace.running(driver("driver")).await;
    let (_, doomed) = namespace.running(driver("doomed")).await;
    cluster.control(&["kill", "store"]).await;
    for group in [&group, &doomed] {
        cluster.cloud.log(group, CONTAINER, &["last words"]).await;
        cluster.cloud.exit(group, CONTAINER, 0).await;
    }
    for name in ["driver", "doomed"] {
        namespace.phase(name, "Succeeded").await;
    }
    let events = namespace.path("events", "");
    let told = |events: &Value| {
        let events = events["items"].as_array().into_iter().flatten();
        let of_driver = |event: &&Value| event["involvedObject"]["name"] == "driver";
        events
            .filter(of_driver)
            .any(|event| event["reason"] == "LogsNotArchived")
    };
    let events = events.trim_end_matches('/').to_owned();
    cluster.until("an Event", &events, told).await;
    // The cloud still has them.
    let logs = namespace.kubectl(&["logs", "driver"]).await.ok();
    assert!(logs.ends_with("last words\n"), "{logs}");
    namespace.kubectl(&["delete", "pod", "doomed"]).await.ok();
    assert_eq!(cluster.cloud.status(&doomed).await, "", "its group went with it");
    cluster.control(&["start", "store"]).await;
    archived(&cluster, &folder(&cluster, &namespace, "driver", &uid)).await;
    cluster.cloud.forget(&group).await;
    assert_eq!(namespace.kubectl(&["logs", "driver"]).await.ok(), logs);
}
