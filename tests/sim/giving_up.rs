//! Pods that cannot run here, and pods for which there is no stock.

use serde_json::{Value, json};

use crate::harness::{Sim, pod};
use crate::steering::steer;
use crate::support::until::until;

const REFUSAL: &str = "OperationDenied.NoStock";
const FAIL_STRATEGY: &str = "k8s.aliyun.com/eci-fail-strategy";
const USE_SPECS: &str = "k8s.aliyun.com/eci-use-specs";
const ZONE: &str = "cn-hangzhou-h";

fn annotated(name: &str, annotations: &Value) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["annotations"] = annotations.clone();
    pod
}

/// A pod that no cloud would take.
fn impossible(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["volumes"] = json!([{ "name": "host", "hostPath": { "path": "/etc" } }]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "host", "mountPath": "/host" }]);
    pod
}

/// The pod's ContainerInstanceCreated condition: its status and reason.
fn created(pod: &Value) -> Option<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let conditions = pod["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == "ContainerInstanceCreated")?;
    Some((text(&condition["status"]), text(&condition["reason"])))
}

fn fault(times: u32, code: &str) -> mock_eci::faults::Plan {
    mock_eci::faults::Plan::error("CreateContainerGroup", times, code, 403)
}

#[tokio::test(start_paused = true)]
async fn a_daemonset_pod_waits_without_a_group_and_says_why_once() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let mut daemon = pod("daemon");
    daemon["metadata"]["ownerReferences"] = json!([
        { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d-1", "controller": true },
    ]);
    daemon["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    let uid = sim.api.create_pod(daemon);
    let events = until("an Event", || sim.api.events(), |e| !e.is_empty()).await;
    assert!(events[0].1.contains("metadata.ownerReferences"), "{events:?}");
    // Another pod's whole life passes, and nothing more is said or done.
    sim.running(pod("another")).await;
    assert_eq!(sim.api.events().len(), 1);
    assert_eq!(
        (sim.api.phase("daemon").as_str(), sim.groups_ever(&uid)),
        ("Pending", 0)
    );
    // It does not hold up a drain or its DaemonSet's end.
    sim.api.delete_pod("daemon", 30);
    sim.gone("daemon").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_can_never_run_fails_only_where_nothing_would_make_the_next_or_its_user_says_so() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let mut alone = impossible("alone");
    alone["spec"]["restartPolicy"] = json!("Never");
    sim.api.create_pod(alone);
    let mut fast = impossible("fast");
    fast["metadata"]["annotations"] = json!({ FAIL_STRATEGY: "fail-fast" });
    sim.api.create_pod(fast);
    sim.api.create_pod(impossible("waits"));
    for name in ["alone", "fast"] {
        sim.phase(name, "Failed").await;
        let status = sim.api.pod(name).expect("it stays")["status"].clone();
        assert_eq!(status["reason"], "ProviderFailed", "{status}");
        assert!(
            status["message"].to_string().contains("spec.volumes[0].hostPath"),
            "{status}"
        );
        assert!(
            status["containerStatuses"][0]["state"]["waiting"].is_object(),
            "nothing ran: {status}"
        );
    }
    assert_eq!(sim.api.phase("waits"), "Pending");
    assert!(sim.groups().is_empty());
}

#[tokio::test(start_paused = true)]
async fn fail_fast_means_failed_when_every_way_was_refused() {
    let sim = Sim::new().await;
    sim.cloud.app().faults().add(fault(2, REFUSAL));
    let _agent = sim.agent();
    let annotations = json!({ FAIL_STRATEGY: "fail-fast", USE_SPECS: "1-2Gi,2-4Gi" });
    let uid = sim.api.create_pod(annotated("fast", &annotations));
    sim.phase("fast", "Failed").await;
    let pod = sim.api.pod("fast").expect("it stays");
    assert_eq!(pod["status"]["reason"], "ContainerInstanceScheduleFailed");
    assert_eq!(created(&pod), Some(("False".to_owned(), "NoStock".to_owned())));
    assert_eq!(sim.groups_ever(&uid), 0);
    // Both were asked for, each under a token of its own.
    let calls = sim.cloud.app().journal().entries(Some("CreateContainerGroup"));
    let tokens: std::collections::HashSet<_> = calls
        .iter()
        .flat_map(|call| call.parameters.iter().filter(|(name, _)| name == "ClientToken"))
        .collect();
    assert_eq!((calls.len(), tokens.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_next_size_is_tried_when_the_call_finds_no_stock() {
    let sim = Sim::new().await;
    sim.cloud.app().faults().add(fault(1, REFUSAL));
    let _agent = sim.agent();
    sim.running(annotated("a", &json!({ USE_SPECS: "1-2Gi,2-4Gi" }))).await;
    let pod = sim.api.pod("a").expect("it runs");
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["k8s.aliyun.com/eci-instance-spec"], "2.0-4.0Gi");
    assert_eq!(annotations["k8s.aliyun.com/eci-create-attempt"], "1");
}

#[tokio::test(start_paused = true)]
async fn the_next_way_is_tried_when_no_stock_is_found_after_the_call() {
    let sim = Sim::new().await;
    steer(
        &sim,
        "stock",
        json!({ "zone": ZONE, "instance-type": "ecs.c6.large", "milli-cpu": 0, "told": "later" }),
    )
    .await;
    let agent = sim.agent();
    let uid = sim
        .api
        .create_pod(annotated("a", &json!({ USE_SPECS: "ecs.c6.large,2-4Gi" })));
    until("the first attempt", || sim.groups_ever(&uid), |n| *n == 1).await;
    // Which way was tried is known after a restart, too.
    agent.kill().await;
    let _agent = sim.agent();
    sim.phase("a", "Running").await;
    assert_eq!(sim.groups_ever(&uid), 2);
    assert_eq!(sim.groups()[&uid].len(), 1, "the first one is gone");
}

#[tokio::test(start_paused = true)]
async fn spot_falls_back_to_pay_as_you_go() {
    let sim = Sim::new().await;
    sim.cloud.app().faults().add(fault(1, REFUSAL));
    let _agent = sim.agent();
    let annotations = json!({
        "k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo",
        "k8s.aliyun.com/eci-spot-fallback": "true",
    });
    sim.running(annotated("a", &annotations)).await;
    let calls = sim.cloud.app().journal().entries(Some("CreateContainerGroup"));
    let spot: Vec<bool> = calls
        .iter()
        .map(|call| {
            call.parameters
                .iter()
                .any(|(name, value)| name == "SpotStrategy" && value == "SpotAsPriceGo")
        })
        .collect();
    assert_eq!(spot, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn no_stock_is_a_condition_and_one_event_and_ends_with_the_group() {
    let sim = Sim::new().await;
    // The first call, and that after ten seconds.
    sim.cloud.app().faults().add(fault(1, REFUSAL));
    let _agent = sim.agent();
    sim.api.create_pod(pod("a"));
    let pod = until(
        "the condition",
        || sim.api.pod("a").expect("it stays"),
        |p| created(p).is_some(),
    )
    .await;
    assert_eq!(created(&pod), Some(("False".to_owned(), "NoStock".to_owned())));
    let events = until("an Event", || sim.api.events(), |e| !e.is_empty()).await;
    assert_eq!(events[0].0, "NoStock");
    sim.phase("a", "Running").await;
    let pod = sim.api.pod("a").expect("it runs");
    assert_eq!(created(&pod), Some(("True".to_owned(), String::new())));
    assert_eq!(sim.api.events().len(), 1);
}
