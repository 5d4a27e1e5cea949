//! Files of running groups: renewed where the pod asks for it, and nowhere else.

use serde_json::{Value, json};

use crate::harness::{Sim, pod_with_config};
use crate::support::until::until;

const LIVE_UPDATE: &str = "k8s.aliyun.com/eci-live-update";

fn live(name: &str, policy: &str) -> Value {
    let mut pod = pod_with_config(name, "conf");
    pod["spec"]["restartPolicy"] = json!(policy);
    pod["metadata"]["annotations"] = json!({ LIVE_UPDATE: "true" });
    pod
}

fn put(sim: &Sim, value: &str) {
    sim.api.put("serviceaccounts", "default", Some(json!({})));
    sim.api
        .put("configmaps", "conf", Some(json!({ "data": { "a": value } })));
}

fn updates(sim: &Sim) -> usize {
    sim.cloud.app().journal().entries(Some("UpdateContainerGroup")).len()
}

#[tokio::test(start_paused = true)]
async fn a_changed_configmap_reaches_the_groups_that_asked_for_it_and_no_others() {
    let sim = Sim::new().await;
    put(&sim, "1");
    let agent = sim.agent();
    sim.running(live("live", "Always")).await;
    let mut still = pod_with_config("still", "conf");
    still["spec"]["restartPolicy"] = json!("Always");
    sim.running(still).await;
    sim.running(live("never", "Never")).await;
    put(&sim, "2");
    until("an update", || updates(&sim), |n| *n == 1).await;
    let told = |events: &Vec<(String, String)>| events.iter().any(|(reason, _)| reason == "FilesRenewed");
    until("that it is told", || sim.api.events(), told).await;
    assert!(
        sim.api
            .events()
            .iter()
            .any(|(reason, note)| reason == "FieldDoubtful" && note.contains(LIVE_UPDATE))
    );
    let digest =
        || sim.api.pod("live").expect("it runs")["metadata"]["annotations"]["k8s.aliyun.com/eci-live-files"].clone();
    let first = until("what it has to be written", digest, |d| d.is_string()).await;

    // What is changed while no agent runs is found by the next; what is not is left alone.
    agent.kill().await;
    put(&sim, "3");
    let agent = sim.agent();
    until("another update", || updates(&sim), |n| *n == 2).await;
    until("that to be written", digest, |d| *d != first).await;
    agent.kill().await;
    let agent = sim.agent();
    sim.running(pod_with_config("last", "conf")).await;
    until("many complete lists", || agent.store.lock().lists, |n| *n >= 100).await;
    assert_eq!(updates(&sim), 2);
    for name in ["live", "still", "never"] {
        assert_eq!(sim.api.phase(name), "Running");
    }
}
