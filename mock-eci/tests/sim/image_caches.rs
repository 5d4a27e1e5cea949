//! Image caches over the wire, and the groups that use them.

use std::time::Duration;

use mock_eci::{Config, scenario::Scenario};
use serde_json::Value;

use crate::bed::Bed;

/// Between two looks, by the server's clock.
const POLL: Duration = Duration::from_millis(100);

async fn describe(bed: &Bed, params: &[(&str, &str)]) -> Vec<Value> {
    let answer = bed.call("DescribeImageCaches", params).await.ok();
    let caches = answer["ImageCaches"].as_array().expect("a list").clone();
    assert_eq!(answer["TotalCount"], caches.len());
    caches
}

async fn until(bed: &Bed, id: &str, status: &str) -> Value {
    let mut last = None;
    for _ in 0..10_000 {
        last = describe(bed, &[("ImageCacheId", id)]).await.pop();
        if let Some(cache) = last.as_ref().filter(|c| c["Status"] == status) {
            return cache.clone();
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{id} did not become {status}; last seen: {last:?}");
}

async fn create(bed: &Bed, name: &str, params: &[(&str, &str)]) -> String {
    let mut all = vec![("ImageCacheName", name)];
    all.extend_from_slice(params);
    let created = bed.call("CreateImageCache", &all).await.ok();
    assert!(created["ContainerGroupId"].as_str().expect("an id").starts_with("eci-"));
    created["ImageCacheId"].as_str().expect("an id").to_owned()
}

fn names(caches: &[Value]) -> Vec<&str> {
    caches
        .iter()
        .map(|c| c["ImageCacheName"].as_str().expect("a name"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_made_described_changed_and_deleted() {
    let bed = Bed::new().await;
    let id = create(
        &bed,
        "first",
        &[
            ("Image.1", "nginx:1.25"),
            ("ImageRegistryCredential.1.Server", "registry.test"),
            ("ImageRegistryCredential.1.UserName", "u"),
            ("ImageRegistryCredential.1.Password", "hunter2"),
            ("ImageCacheSize", "30"),
            ("RetentionDays", "7"),
            ("EliminationStrategy", "LRU"),
            ("Tag.1.Key", "team"),
            ("Tag.1.Value", "a"),
            ("ResourceGroupId", "rg-1"),
        ],
    )
    .await;
    let cache = until(&bed, &id, "Ready").await;
    assert!(!cache.to_string().contains("hunter2"));
    assert_eq!(cache["ImageCacheSize"], 30);
    assert_eq!(cache["Images"], serde_json::json!(["nginx:1.25"]));
    assert_eq!(
        (&cache["Progress"], &cache["EliminationStrategy"]),
        (&"100%".into(), &"LRU".into())
    );
    assert!(cache["SnapshotId"].as_str().expect("an id").starts_with("s-"));
    assert_eq!(cache["Tags"], serde_json::json!([{"Key": "team", "Value": "a"}]));
    let reasons: Vec<&str> = cache["Events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| e["Reason"].as_str().expect("a word"))
        .collect();
    assert_eq!(reasons, ["Pulling", "Pulled", "Ready"]);
    assert_ne!(cache["ExpireDateTime"], "");

    let change = [
        ("ImageCacheId", id.as_str()),
        ("Image.1", "nginx:1.27"),
        ("ImageCacheName", "second"),
    ];
    bed.call("UpdateImageCache", &change).await.ok();
    let again = bed.call("UpdateImageCache", &change).await;
    assert_eq!((again.status, again.code()), (400, "IncorrectStatus"));
    let cache = until(&bed, &id, "Ready").await;
    assert_eq!(
        (&cache["ImageCacheName"], &cache["Images"][0]),
        (&"second".into(), &"nginx:1.27".into())
    );
    assert_eq!(cache["ImageCacheSize"], 30, "what is not given stays");

    let usage = bed.call("ListUsage", &[]).await.ok();
    assert_eq!(usage["Attributes"]["UsedImageCacheCount"], 1);
    bed.call("DeleteImageCache", &[("ImageCacheId", &id)]).await.ok();
    assert!(describe(&bed, &[]).await.is_empty());
    let again = bed.call("DeleteImageCache", &[("ImageCacheId", &id)]).await;
    assert_eq!((again.status, again.code()), (404, "InvalidImageCacheId.NotFound"));
}

#[tokio::test(start_paused = true)]
async fn filters_combine_and_pages_follow() {
    let bed = Bed::new().await;
    create(
        &bed,
        "a",
        &[
            ("Image.1", "x:1"),
            ("Image.2", "y:1"),
            ("Tag.1.Key", "k"),
            ("Tag.1.Value", "1"),
        ],
    )
    .await;
    create(
        &bed,
        "b",
        &[("Image.1", "x:1"), ("Tag.1.Key", "k"), ("Tag.1.Value", "2")],
    )
    .await;
    create(&bed, "c", &[("Image.1", "z"), ("ResourceGroupId", "rg-2")]).await;
    for (params, expected) in [
        (vec![("Image", "x:1")], vec!["a", "b"]),
        (vec![("Image", "z:latest")], vec!["c"]),
        (vec![("ImageCacheName", "b"), ("Image", "y:1")], vec![]),
        (vec![("MatchImage.1", "x:1"), ("MatchImage.2", "y:1")], vec!["a", "b"]),
        (
            vec![
                ("MatchImage.1", "x:1"),
                ("MatchImage.2", "y:1"),
                ("ImageFullMatch", "true"),
            ],
            vec!["a"],
        ),
        (
            vec![
                ("MatchImage.1", "x:1"),
                ("MatchImage.2", "y:1"),
                ("ImageMatchCountRequest", "2"),
            ],
            vec!["a"],
        ),
        (vec![("Tag.1.Key", "k"), ("Tag.1.Value", "2")], vec!["b"]),
        (vec![("Tag.1.Key", "k")], vec!["a", "b"]),
        (vec![("ResourceGroupId", "rg-2")], vec!["c"]),
    ] {
        assert_eq!(names(&describe(&bed, &params).await), expected, "{params:?}");
    }
    let first = bed.call("DescribeImageCaches", &[("Limit", "2")]).await.ok();
    assert_eq!(
        (first["ImageCaches"].as_array().map(Vec::len), &first["TotalCount"]),
        (Some(2), &3.into())
    );
    let token = first["NextToken"].as_str().expect("a token");
    let second = bed
        .call("DescribeImageCaches", &[("Limit", "2"), ("NextToken", token)])
        .await
        .ok();
    assert_eq!(
        (&second["ImageCaches"][0]["ImageCacheName"], &second["NextToken"]),
        (&"c".into(), &"".into())
    );
    for wrong in [("Limit", "0"), ("Limit", "101"), ("NextToken", "guess")] {
        assert_eq!(
            bed.call("DescribeImageCaches", &[wrong]).await.code(),
            "InvalidParameter",
            "{wrong:?}"
        );
    }
    bed.app().set_may_list(false);
    assert!(describe(&bed, &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_makes_one_cache() {
    let bed = Bed::new().await;
    let call = async |image: &str| {
        let params = [("ImageCacheName", "n"), ("Image.1", image), ("ClientToken", "t")];
        bed.call("CreateImageCache", &params).await
    };
    let (first, second) = (call("a").await.ok(), call("a").await.ok());
    assert_eq!(first["ImageCacheId"], second["ImageCacheId"]);
    assert_eq!(first["ContainerGroupId"], second["ContainerGroupId"]);
    assert_ne!(first["RequestId"], second["RequestId"]);
    assert_eq!(call("b").await.code(), "IdempotentParameterMismatch");
    assert_eq!(describe(&bed, &[]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_cache_says_why_and_is_gone_after_a_day() {
    let bed = Bed::new().await;
    let fails = [
        ("Image.1", "a"),
        ("Tag.1.Key", "mock-eci/launch-error"),
        ("Tag.1.Value", "ErrImagePull"),
    ];
    let id = create(&bed, "bad", &fails).await;
    let cache = until(&bed, &id, "Failed").await;
    let last = cache["Events"].as_array().and_then(|e| e.last()).expect("an event");
    assert_eq!(
        (&last["Type"], &last["Reason"]),
        (&"Warning".into(), &"ErrImagePull".into())
    );
    bed.app().advance(Duration::from_secs(24 * 3600));
    for _ in 0..1_000 {
        if describe(&bed, &[]).await.is_empty() {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{id} is still there");
}

#[tokio::test(start_paused = true)]
async fn a_group_with_a_cache_needs_no_pull() {
    let slow = Scenario {
        pull_ms: mock_eci::scenario::Range {
            min: 60_000,
            max: 60_000,
        },
        schedule_ms: Default::default(),
        start_ms: Default::default(),
        ..Scenario::load("fast").expect("built in")
    };
    let bed = Bed::with(Config {
        scenario: slow,
        ..Config::default()
    })
    .await;
    let named = async |cache: &str| {
        let params = [
            ("ContainerGroupName", "g1"),
            ("Container.1.Name", "c"),
            ("Container.1.Image", "busybox:1"),
            ("ImageSnapshotId", cache),
        ];
        bed.call("CreateContainerGroup", &params).await
    };
    let unknown = named("imc-none").await;
    assert_eq!((unknown.status, unknown.code()), (404, "ImageSnapshot.NotFound"));
    let cache = create(&bed, "n", &[("Image.1", "busybox:1")]).await;
    let early = named(&cache).await;
    assert_eq!((early.status, early.code()), (400, "ImageSnapshot.IncorrectStatus"));
    let described = until(&bed, &cache, "Ready").await;
    assert_eq!(described["LastMatchedTime"], "");

    let start = bed.app().clock().now();
    let seconds = || bed.app().clock().now().duration_since(start).as_secs();
    let created = named(&cache).await.ok();
    let group = bed
        .until(created["ContainerGroupId"].as_str().expect("an id"), "Running")
        .await;
    assert!(seconds() < 5, "it took {} s", seconds());
    let hit = |group: &Value| {
        let events = group["Events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|e| {
            e["Reason"] == "SuccessfulHitImageCache" && e["Message"].as_str().is_some_and(|m| m.contains(&cache))
        })
    };
    assert!(hit(&group), "{group}");
    assert_ne!(until(&bed, &cache, "Ready").await["LastMatchedTime"], "");

    let matched = bed.create("g2", &[("AutoMatchImageCache", "true")]).await;
    assert!(hit(&bed.until(&matched, "Running").await));
    let by_snapshot = named(described["SnapshotId"].as_str().expect("an id")).await.ok();
    bed.until(by_snapshot["ContainerGroupId"].as_str().expect("an id"), "Running")
        .await;
    assert!(seconds() < 10, "it took {} s", seconds());

    let other = bed
        .call(
            "CreateContainerGroup",
            &[
                ("ContainerGroupName", "g4"),
                ("Container.1.Name", "c"),
                ("Container.1.Image", "other:1"),
                ("AutoMatchImageCache", "true"),
            ],
        )
        .await
        .ok();
    let other = bed
        .until(other["ContainerGroupId"].as_str().expect("an id"), "Running")
        .await;
    assert!(seconds() >= 60, "it had to pull");
    let events = other["Events"].as_array().expect("a list");
    assert!(events.iter().any(|e| e["Reason"] == "ImageCacheMissed"));
}
