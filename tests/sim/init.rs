//! Init containers, which the cheap status call never reports.

use serde_json::json;

use crate::harness::{Sim, pod};
use crate::support::until::until;

/// A pod whose init container fails so often, and whose cheap status does not change meanwhile.
fn with_failing_init(name: &str, times: u32) -> serde_json::Value {
    let mut pod = pod(name);
    pod["spec"]["initContainers"] = json!([{
        "name": "init",
        "image": "busybox",
        "env": [
            { "name": "MOCK_ECI_EXIT_AFTER_MS", "value": "0" },
            { "name": "MOCK_ECI_EXIT_CODE", "value": "3" },
            { "name": "MOCK_ECI_EXIT_COUNT", "value": times.to_string() },
        ],
    }]);
    pod
}

#[tokio::test]
async fn failures_of_an_init_container_are_told_while_the_pod_waits() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    sim.api.create_pod(with_failing_init("a", 1000));
    let restarts = || {
        let pod = sim.api.pod("a").unwrap_or_default();
        pod["status"]["initContainerStatuses"][0]["restartCount"]
            .as_i64()
            .unwrap_or_default()
    };
    until("the init container to be tried again", restarts, |n| *n >= 1).await;
    let seen = sim.api.pod("a").expect("it waits");
    assert_eq!(seen["status"]["phase"], "Pending");
    let init = &seen["status"]["initContainerStatuses"][0];
    let ended = &init["lastState"]["terminated"];
    assert_eq!(ended["exitCode"], 3, "{init}");
    assert!(
        seen["status"]["containerStatuses"][0]["state"]["waiting"].is_object(),
        "nothing else has started"
    );
}

#[tokio::test]
async fn an_init_container_that_fails_for_good_fails_the_pod() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let mut pod = with_failing_init("a", 1000);
    pod["spec"]["restartPolicy"] = json!("Never");
    sim.api.create_pod(pod);
    sim.phase("a", "Failed").await;
    let exit = || {
        let pod = sim.api.pod("a").unwrap_or_default();
        pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"].as_i64()
    };
    until("its exit code", exit, |code| *code == Some(3)).await;
    let seen = sim.api.pod("a").expect("it stays");
    assert!(seen["status"]["containerStatuses"][0]["state"]["waiting"].is_object());
}
