//! `/pods` from a scripted API server.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::running::RunningContainer;
use super::*;
use crate::scripted_api::{Answer, scripted};

/// An API server with so many pods, whose answers come in pages, and a count of the calls.
fn with_pods(count: usize, filler: usize) -> (BoundPods, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let client = scripted(move |_, path, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        assert!(
            path.starts_with("/api/v1/pods?") && path.contains("fieldSelector=spec.nodeName%3Dnode"),
            "{path}"
        );
        assert!(path.contains("limit=50"), "{path}");
        let from = path.split("continue=").nth(1).map_or(0, |token| {
            token
                .split('&')
                .next()
                .and_then(|t| t.parse().ok())
                .expect("a token of ours")
        });
        let to = count.min(from + 50);
        let items: Vec<Value> = (from..to)
            .map(|n| json!({ "metadata": { "name": format!("pod-{n}") }, "spec": { "x": "y".repeat(filler) } }))
            .collect();
        let next = if to < count { to.to_string() } else { String::new() };
        Answer::ok(json!({ "kind": "PodList", "metadata": { "continue": next }, "items": items }))
    });
    (BoundPods::new(client, "node".to_owned()), calls)
}

async fn read(pods: &BoundPods) -> Vec<Bytes> {
    pods.list().await.expect("a list").try_collect().await.expect("whole")
}

fn names(pieces: &[Bytes]) -> Vec<String> {
    let list: Value = serde_json::from_slice(&pieces.concat()).expect("JSON");
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
    let items = list["items"].as_array().expect("a list").iter();
    items
        .map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_one_list() {
    for count in [0, 1, 50, 51, 120] {
        let (pods, _) = with_pods(count, 0);
        let pieces = read(&pods).await;
        let wanted: Vec<String> = (0..count).map(|n| format!("pod-{n}")).collect();
        assert_eq!(names(&pieces), wanted);
        assert_eq!(pieces.len(), count.div_ceil(50).max(1), "a piece a page");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_list_serves_who_asks_shortly_after() {
    let (pods, calls) = with_pods(60, 0);
    let first = read(&pods).await;
    assert_eq!(read(&pods).await.concat(), first.concat());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    tokio::time::advance(KEPT_FOR).await;
    read(&pods).await;
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_large_one_is_not_kept() {
    let (pods, calls) = with_pods(100, KEPT_BYTES / 60);
    read(&pods).await;
    read(&pods).await;
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert!(pods.0.kept.lock().expect("no panics").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_once_is_an_error_and_one_later_breaks_off() {
    let pods = |pages: usize| {
        let calls = AtomicUsize::new(0);
        let client = scripted(move |_, _, _| {
            if calls.fetch_add(1, Ordering::Relaxed) < pages {
                return Answer::ok(json!({ "metadata": { "continue": "1" }, "items": [{}] }));
            }
            Answer::error(410, "Expired", "the token is too old")
        });
        BoundPods::new(client, "node".to_owned())
    };
    assert!(matches!(pods(0).list().await.err(), Some(PodsError::Kube(_))));
    let pieces: Vec<_> = pods(1).list().await.expect("begins").collect().await;
    assert_eq!(pieces.len(), 2);
    assert!(pieces[0].is_ok() && pieces[1].is_err());
}

#[test]
fn running_pods_are_as_a_kubelet_writes_them() {
    let pod = RunningPod {
        namespace: "default".into(),
        name: "two".into(),
        uid: "21aae169-1b04-4d78-82d2-c60e982664da".into(),
        group_id: Arc::from("eci-1"),
        started: None,
        containers: vec![RunningContainer {
            name: "two".into(),
            image: "busybox:1".into(),
            started: None,
            restart_count: 0,
        }],
    };
    let expected = concat!(
        r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"two","namespace":"default","#,
        r#""uid":"21aae169-1b04-4d78-82d2-c60e982664da"},"spec":{"containers":[{"name":"two","image":"busybox:1","#,
        r#""resources":{}}]},"status":{}}]}"#,
        "\n"
    );
    assert_eq!(running_pods(&[pod]), expected);
    assert_eq!(
        running_pods(&[]),
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}\n"
    );
}
