//! Thousands of groups, and what lists cost with them there: counted in records looked at and rendered, never in time.

use std::{collections::HashSet, time::Duration};

use mock_eci::{Config, config::Limits, runtime::Exit};

use crate::bed::Bed;

const GROUPS: usize = 2_000;
/// Enough for some to be kept and some not.
const FINISHED: usize = 300;
/// A page of DescribeContainerGroupStatus.
const PAGE: usize = 200;
const CHANGED: usize = 150;

/// What one call made the server do.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    shown: usize,
    looked_at: u64,
    rendered: usize,
}

/// Calls DescribeContainerGroupStatus; ids and statuses it shows, the next token, and what it cost.
async fn list(bed: &Bed, params: &[(&str, &str)]) -> (Vec<(String, String)>, String, Cost) {
    let state = || {
        let state = bed.app().cloud().state();
        let fresh = state.groups().filter(|g| g.rendered.is_none()).count();
        (state.looked_at(), fresh)
    };
    let before = state();
    let answer = bed.call("DescribeContainerGroupStatus", params).await.ok();
    let after = state();
    let groups: Vec<_> = answer["Data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| {
            let text = |name: &str| group[name].as_str().expect(name).to_owned();
            (text("ContainerGroupId"), text("Status"))
        })
        .collect();
    let cost = Cost {
        shown: groups.len(),
        looked_at: after.0 - before.0,
        rendered: before.1 - after.1,
    };
    (groups, answer["NextToken"].as_str().expect("a token").to_owned(), cost)
}

#[tokio::test(start_paused = true)]
async fn a_list_costs_what_it_shows_and_not_what_exists() {
    let bed = Bed::with(Config {
        limits: Limits::None,
        seed: 7,
        ..Config::default()
    })
    .await;
    let mut ids = HashSet::new();
    for n in 0..GROUPS {
        ids.insert(bed.create(&format!("group-{n}"), &[]).await);
    }
    assert_eq!(ids.len(), GROUPS, "ids are unique");
    // By Tokio's clock, which stands still until all wait.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let (mut seen, mut token) = (HashSet::new(), String::new());
    loop {
        let (groups, next, cost) = list(&bed, &[("NextToken", &token)]).await;
        assert!(groups.iter().all(|(_, status)| status == "Running"), "{groups:?}");
        let more = u64::from(!next.is_empty());
        let expected = Cost {
            shown: PAGE,
            // One more tells that there is a next page.
            looked_at: PAGE as u64 + more,
            rendered: PAGE,
        };
        assert_eq!(cost, expected);
        seen.extend(groups.into_iter().map(|(id, _)| id));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids, "each group is on one page");

    bed.app().advance(Duration::from_secs(120));
    let narrow = [("SinceSecond", "60")];
    let nothing = Cost {
        shown: 0,
        looked_at: 0,
        rendered: 0,
    };
    assert_eq!(list(&bed, &narrow).await.2, nothing);
    let changed: HashSet<_> = ids.iter().take(CHANGED).cloned().collect();
    for id in &changed {
        let simulated = bed.app().simulated().expect("simulated groups");
        assert!(simulated.exit(id, "c", Exit::default()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for rendered in [CHANGED, 0] {
        let (groups, _, cost) = list(&bed, &narrow).await;
        let looked_at = CHANGED as u64;
        assert_eq!(
            cost,
            Cost {
                shown: CHANGED,
                looked_at,
                rendered
            }
        );
        assert_eq!(groups.into_iter().map(|(id, _)| id).collect::<HashSet<_>>(), changed);
    }
    let asked: Vec<&String> = ids.iter().take(20).collect();
    let asked = serde_json::to_string(&asked).expect("JSON");
    let (_, _, cost) = list(&bed, &[("ContainerGroupIds", &asked)]).await;
    assert_eq!((cost.shown, cost.looked_at), (20, 20));

    for id in &ids {
        bed.call("DeleteContainerGroup", &[("ContainerGroupId", id)]).await.ok();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(bed.app().cloud().state().is_empty());
    assert_eq!(list(&bed, &[]).await.2, nothing);
}

#[tokio::test(start_paused = true)]
async fn finished_groups_go_after_an_hour_but_for_the_newest_hundred() {
    let bed = Bed::with(Config {
        limits: Limits::None,
        ..Config::default()
    })
    .await;
    let finished = [
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/exit-after-ms"),
        ("Tag.1.Value", "1"),
    ];
    let mut ids = Vec::new();
    for n in 0..FINISHED {
        ids.push(bed.create(&format!("group-{n}"), &finished).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Those a caller deletes leave room for others.
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &ids[FINISHED - 1])])
        .await
        .ok();
    assert_eq!(bed.app().cloud().state().len(), FINISHED - 1);
    bed.app().advance(Duration::from_secs(3_700));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.app().cloud().state().len(), 100);
}
