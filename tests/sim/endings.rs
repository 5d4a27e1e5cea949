//! Ends that neither the pod's containers nor its user bring about: deadlines, and groups that never start.

use serde_json::{Value, json};

use crate::harness::{Sim, pod};
use crate::steering::steer;
use crate::support::until::until;

fn waiting_reason(pod: &Value) -> String {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    waiting["reason"].as_str().unwrap_or_default().to_owned()
}

/// A pod whose image cannot be pulled.
fn without_image(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["env"] = json!([{ "name": "MOCK_ECI_START_ERROR", "value": "ErrImagePull" }]);
    pod
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_for_stock_fails_at_its_deadline() {
    let sim = Sim::new().await;
    sim.cloud.app().faults().add(mock_eci::faults::Plan::error(
        "CreateContainerGroup",
        1_000,
        "OperationDenied.NoStock",
        403,
    ));
    let _agent = sim.agent();
    let mut late = pod("late");
    late["spec"]["activeDeadlineSeconds"] = json!(4);
    let uid = sim.api.create_pod(late);
    sim.phase("late", "Failed").await;
    let status = &sim.api.pod("late").expect("it stays")["status"];
    assert_eq!(status["reason"], "DeadlineExceeded", "{status}");
    assert_eq!(sim.groups_ever(&uid), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_runs_beyond_its_deadline_ends_though_the_cloud_has_no_clock() {
    let sim = Sim::new().await;
    // From here on the cloud's time stands still: it will not end the group by itself.
    steer(&sim, "clock", json!({ "mode": "stepped" })).await;
    let _agent = sim.agent();
    let mut late = pod("late");
    late["spec"]["activeDeadlineSeconds"] = json!(1);
    let uid = sim.api.create_pod(late);
    until("its group", || sim.groups_ever(&uid), |n| *n == 1).await;
    steer(&sim, "advance", json!({ "millis": 900 })).await;
    sim.phase("late", "Running").await;
    let deleted = || sim.cloud.app().journal().entries(Some("DeleteContainerGroup")).len();
    until("the group's end to be asked for", deleted, |n| *n > 0).await;
    steer(&sim, "clock", json!({ "mode": "running" })).await;
    sim.phase("late", "Failed").await;
    let status = &sim.api.pod("late").expect("it stays")["status"];
    assert_eq!(status["reason"], "DeadlineExceeded", "{status}");
    sim.no_groups().await;
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_shows_as_with_a_kubelet() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let uid = sim.api.create_pod(without_image("a"));
    until(
        "the reason",
        || waiting_reason(&sim.api.pod("a").expect("it stays")),
        |reason| reason == "ErrImagePull" || reason == "ImagePullBackOff",
    )
    .await;
    assert_eq!(sim.api.phase("a"), "Pending");
    let backs_off = |events: &Vec<(String, String)>| events.iter().any(|(reason, _)| reason == "BackOff");
    let mut told = until("both Events", || sim.api.events(), backs_off).await;
    told.sort();
    let reasons: Vec<&str> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["BackOff", "Failed"], "each once");
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_pending_too_long_is_made_again_or_fails_as_its_user_wants() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let annotated = |name: &str, strategy: &str| {
        let mut pod = without_image(name);
        pod["metadata"]["annotations"] = json!({
            "k8s.aliyun.com/eci-max-pending-minute": "10",
            "k8s.aliyun.com/eci-fail-strategy": strategy,
        });
        pod
    };
    let back = sim.api.create_pod(annotated("back", "fail-back"));
    let fast = sim.api.create_pod(annotated("fast", "fail-fast"));
    for uid in [&back, &fast] {
        until("its group", || sim.groups_ever(uid), |n| *n == 1).await;
    }
    for name in ["back", "fast"] {
        until(
            "its reason",
            || waiting_reason(&sim.api.pod(name).expect("it stays")),
            |reason| reason.contains("ImagePull"),
        )
        .await;
    }
    steer(&sim, "advance", json!({ "seconds": 601 })).await;
    sim.phase("fast", "Failed").await;
    let status = &sim.api.pod("fast").expect("it stays")["status"];
    assert_eq!(status["reason"], "ContainerInstanceScheduleFailed", "{status}");
    assert!(status["message"].to_string().contains("MaxPendingMinute"), "{status}");
    until("another group for the other", || sim.groups_ever(&back), |n| *n == 2).await;
    assert_eq!(sim.api.phase("back"), "Pending");
    assert_eq!((sim.groups_ever(&fast), sim.groups()[&back].len()), (1, 1));
}
