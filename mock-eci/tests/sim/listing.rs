//! Listing actions: filters, pages, increments, rights.

use std::{collections::BTreeSet, time::Duration};

use mock_eci::{Config, config::Limits};
use serde_json::Value;

use crate::bed::Bed;

fn ids(list: &Value) -> Vec<String> {
    let items = list.as_array().expect("a list");
    items
        .iter()
        .map(|i| i["ContainerGroupId"].as_str().expect("an id").to_owned())
        .collect()
}

/// All pages of an action.
async fn pages(bed: &Bed, action: &str, list: &str, params: &[(&str, &str)]) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let mut all = params.to_vec();
        all.push(("NextToken", &token));
        let page = bed.call(action, &all).await.ok();
        pages.push(ids(&page[list]));
        token = page["NextToken"].as_str().expect("a token").to_owned();
        if token.is_empty() {
            return pages;
        }
    }
}

async fn unlimited() -> Bed {
    Bed::with(Config {
        limits: Limits::None,
        ..Config::default()
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn pages_hold_every_group_once() {
    let bed = unlimited().await;
    let mut made = Vec::new();
    for _ in 0..45 {
        made.push(bed.create("paged", &[]).await);
    }
    let lists = pages(&bed, "DescribeContainerGroups", "ContainerGroups", &[]).await;
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 5]);
    assert_eq!(lists.concat(), made, "in the order of creation");
    let lists = pages(&bed, "DescribeContainerGroupStatus", "Data", &[("Limit", "15")]).await;
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [15, 15, 15]);
    let first = bed.call("DescribeContainerGroupStatus", &[("Limit", "15")]).await.ok();
    assert_eq!(first["TotalCount"], 45);
}

#[tokio::test(start_paused = true)]
async fn groups_that_change_while_pages_are_read_are_not_missed() {
    let bed = unlimited().await;
    let mut made = BTreeSet::new();
    for _ in 0..30 {
        made.insert(bed.create("moving", &[]).await);
    }
    let (mut seen, mut token) = (BTreeSet::new(), String::new());
    loop {
        let params = [("SinceSecond", "3600"), ("Limit", "7"), ("NextToken", token.as_str())];
        let page = bed.call("DescribeContainerGroupStatus", &params).await.ok();
        seen.extend(ids(&page["Data"]));
        token = page["NextToken"].as_str().expect("a token").to_owned();
        if token.is_empty() {
            break;
        }
        // Every page, some groups come to run.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(seen, made);
}

#[tokio::test(start_paused = true)]
async fn since_second_shows_what_changed() {
    let bed = unlimited().await;
    let old = bed.create("old", &[]).await;
    bed.until(&old, "Running").await;
    bed.app().advance(Duration::from_secs(100));
    let new = bed.create("new", &[]).await;
    bed.until(&new, "Running").await;
    let changed = async |since: &str| {
        let page = bed
            .call("DescribeContainerGroupStatus", &[("SinceSecond", since)])
            .await
            .ok();
        ids(&page["Data"])
    };
    assert_eq!(changed("60").await, vec![new.clone()]);
    assert_eq!(changed("200").await, [old.clone(), new.clone()]);
    bed.app()
        .simulated()
        .expect("simulated")
        .exit(&old, "c", mock_eci::runtime::Exit::default());
    bed.until_that(&old, "a restart", |g| g["Containers"][0]["RestartCount"] == 1)
        .await;
    assert_eq!(changed("60").await, [new, old]);
    for bad in ["59", "3601", "-1", "x"] {
        let reply = bed.call("DescribeContainerGroupStatus", &[("SinceSecond", bad)]).await;
        assert_eq!(reply.code(), "InvalidParameter", "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters_are_joined_by_and() {
    let bed = unlimited().await;
    let a = bed
        .create(
            "a-1",
            &[
                ("Tag.1.Key", "node"),
                ("Tag.1.Value", "n1"),
                ("ZoneId", "cn-hangzhou-h"),
            ],
        )
        .await;
    let b = bed
        .create(
            "b-1",
            &[
                ("Tag.1.Key", "node"),
                ("Tag.1.Value", "n2"),
                ("ZoneId", "cn-hangzhou-i"),
            ],
        )
        .await;
    let list =
        async |params: &[(&str, &str)]| ids(&bed.call("DescribeContainerGroups", params).await.ok()["ContainerGroups"]);
    assert_eq!(
        list(&[("Tag.1.Key", "node"), ("Tag.1.Value", "n1")]).await,
        vec![a.clone()]
    );
    assert_eq!(
        list(&[("Tag.1.Key", "node")]).await,
        [a.clone(), b.clone()],
        "a key alone matches any value"
    );
    assert_eq!(list(&[("ContainerGroupName", "b-1")]).await, vec![b.clone()]);
    assert_eq!(list(&[("ZoneId", "cn-hangzhou-i")]).await, vec![b.clone()]);
    assert!(
        list(&[
            ("ZoneId", "cn-hangzhou-i"),
            ("Tag.1.Key", "node"),
            ("Tag.1.Value", "n1")
        ])
        .await
        .is_empty()
    );
    let both = serde_json::json!([b, "eci-unknown", a]).to_string();
    assert_eq!(
        list(&[("ContainerGroupIds", &both)]).await,
        [b.clone(), a],
        "unknown ids are left out"
    );
    assert!(list(&[("Status", "Succeeded")]).await.is_empty());
    let reply = bed.call("DescribeContainerGroups", &[("Status", "Sleeping")]).await;
    assert_eq!(reply.code(), "InvalidParameter");
    let many: Vec<String> = (0..21).map(|n| format!("eci-{n}")).collect();
    let many = serde_json::json!(many).to_string();
    let reply = bed
        .call("DescribeContainerGroups", &[("ContainerGroupIds", &many)])
        .await;
    assert_eq!(reply.code(), "InvalidParameter");
    let reply = bed.call("DescribeContainerGroups", &[("Limit", "21")]).await;
    assert_eq!(reply.code(), "InvalidParameter");
    let reply = bed
        .call("DescribeContainerGroupStatus", &[("NextToken", "made-up")])
        .await;
    assert_eq!(reply.code(), "InvalidParameter");
}

#[tokio::test(start_paused = true)]
async fn without_rights_lists_are_empty_and_no_error() {
    let bed = unlimited().await;
    let id = bed.create("hidden", &[]).await;
    bed.app().set_may_list(false);
    assert!(bed.describe(&id).await.is_none());
    assert!(bed.pod_status(&id).await.is_none());
    let all = bed.call("DescribeContainerGroups", &[]).await.ok();
    assert_eq!(all["TotalCount"], 0);
    bed.app().set_may_list(true);
    assert!(bed.describe(&id).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_story() {
    let bed = unlimited().await;
    let id = bed.create("story", &[]).await;
    bed.until(&id, "Running").await;
    let by_id = serde_json::json!([id]).to_string();
    let reasons = async |params: &[(&str, &str)]| -> Vec<String> {
        let mut all = vec![("ContainerGroupIds", by_id.as_str())];
        all.extend_from_slice(params);
        let page = bed.call("DescribeContainerGroupEvents", &all).await.ok();
        let events = page["Data"][0]["Events"].as_array().expect("events").clone();
        events
            .iter()
            .map(|e| e["Reason"].as_str().expect("a reason").to_owned())
            .collect()
    };
    assert_eq!(reasons(&[]).await, ["Created", "Started"]);
    assert!(reasons(&[("EventSource", "EciService")]).await.is_empty());
    assert_eq!(
        bed.call("DescribeContainerGroupEvents", &[("EventSource", "Else")])
            .await
            .code(),
        "InvalidParameter"
    );
}

#[tokio::test(start_paused = true)]
async fn regions_are_the_one_there_is() {
    let bed = Bed::new().await;
    let regions = bed.call("DescribeRegions", &[]).await.ok();
    assert_eq!(regions["Regions"][0]["RegionId"], "cn-hangzhou");
    assert_eq!(regions["Regions"][0]["RegionEndpoint"], "eci.test");
}
