//! A pod's life without faults.

use provider::annotations;
use serde_json::json;

use crate::harness::{Sim, pod, pod_with_config};
use crate::support::until::until;

#[tokio::test(start_paused = true)]
async fn a_pod_runs_in_one_write_and_goes_with_its_group() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let uid = sim.running(pod("a")).await;
    let seen = sim.api.pod("a").expect("it runs");
    let status = &seen["status"];
    assert_eq!(
        sim.api.writes("status"),
        1,
        "phase, Ready, IPs and annotations go out together: {status}"
    );
    let ready = status["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .find(|c| c["type"] == "Ready");
    assert_eq!(ready.expect("Ready")["status"], "True");
    assert_eq!(status["podIP"], status["podIPs"][0]["ip"]);
    assert_eq!(status["hostIP"], "10.0.0.1");
    let ids = &sim.groups()[&uid];
    assert_eq!(seen["metadata"]["annotations"][annotations::INSTANCE_ID], ids[0]);
    assert_eq!(
        seen["metadata"]["annotations"][annotations::INSTANCE_SPEC],
        "0.25-0.5Gi"
    );
    assert_eq!(seen["metadata"]["annotations"][annotations::VSWITCH], "vsw-1");
    assert!(seen["metadata"]["annotations"][annotations::REQUEST_ID].is_string());

    sim.api.delete_pod("a", 30);
    sim.gone("a").await;
    sim.no_groups().await;
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn that_groups_are_gone_is_seen_and_not_asked_for_by_another_delete() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    sim.running(pod("stays")).await;
    let names: Vec<String> = (0..40).map(|i| format!("p-{i}")).collect();
    for name in &names {
        sim.api.create_pod(pod(name));
    }
    for name in &names {
        sim.phase(name, "Running").await;
    }
    for name in &names {
        sim.api.delete_pod(name, 30);
    }
    for name in &names {
        sim.gone(name).await;
    }
    // Deletes have a limit of their own, which those that end something need.
    let calls = sim.cloud.app().journal().entries(Some("DeleteContainerGroup"));
    assert_eq!(calls.len(), names.len());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_run_and_go_and_cost_three_writes_each() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let names: Vec<String> = (0..100).map(|i| format!("p-{i}")).collect();
    for name in &names {
        sim.api.create_pod(pod(name));
    }
    for name in &names {
        sim.phase(name, "Running").await;
    }
    assert_eq!(sim.groups().len(), 100);
    for name in &names {
        sim.api.delete_pod(name, 30);
    }
    for name in &names {
        sim.gone(name).await;
    }
    sim.no_groups().await;
    assert_eq!(sim.api.writes("delete"), 100);
    let deletes = sim.cloud.app().journal().entries(Some("DeleteContainerGroup"));
    let forced = ("Force".to_owned(), "true".to_owned());
    assert!(!deletes.is_empty());
    assert!(
        deletes.iter().all(|call| !call.parameters.contains(&forced)),
        "{deletes:?}"
    );
    let statuses = sim.api.writes("status");
    assert!(
        (100..=200).contains(&statuses),
        "Running, and at most one terminal status each: {statuses}"
    );
    assert_eq!(sim.api.events(), [], "nothing is said on the success path");
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_a_sidecar_succeeds_with_its_main_container() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let mut job = pod("job");
    job["spec"]["restartPolicy"] = json!("Never");
    job["spec"]["initContainers"] = json!([{ "name": "proxy", "image": "envoy", "restartPolicy": "Always" }]);
    job["spec"]["containers"][0]["env"] = json!([
        { "name": "MOCK_ECI_EXIT_AFTER_MS", "value": "200" },
        { "name": "MOCK_ECI_EXIT_CODE", "value": "0" },
    ]);
    sim.api.create_pod(job);
    sim.phase("job", "Succeeded").await;
    let status = &sim.api.pod("job").expect("it is there")["status"];
    let proxy = &status["initContainerStatuses"][0];
    assert_eq!(proxy["name"], "proxy");
    assert!(
        proxy["state"]["terminated"]["exitCode"]
            .as_i64()
            .is_some_and(|code| code > 0),
        "ended by ECI: {status}"
    );
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
}

#[tokio::test(start_paused = true)]
async fn an_exit_code_becomes_the_pods_and_its_group_stays_for_its_logs() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let mut job = pod("job");
    job["spec"]["restartPolicy"] = json!("Never");
    let uid = sim.running(job).await;
    let id = sim.groups()[&uid][0].clone();
    let exit = mock_eci::runtime::Exit {
        code: 7,
        signal: 0,
        oom: false,
        message: String::new(),
    };
    assert!(sim.cloud.app().simulated().expect("simulated").exit(&id, "main", exit));
    sim.phase("job", "Failed").await;
    let seen = sim.api.pod("job").expect("it stays");
    assert_eq!(
        seen["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        7
    );
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_driver_whose_configmap_comes_later_waits_for_it() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let uid = sim.api.create_pod(pod_with_config("driver", "conf"));
    until("the token to be asked for", || sim.api.writes("token"), |n| *n > 0).await;
    assert_eq!(sim.groups_ever(&uid), 0);
    sim.api.put(
        "configmaps",
        "conf",
        Some(json!({ "data": { "spark.properties": "a=b" } })),
    );
    sim.phase("driver", "Running").await;
    assert_eq!(sim.groups_ever(&uid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_can_never_run_says_why_once_and_stays_pending() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let mut refused = pod("refused");
    refused["spec"]["volumes"] = json!([{ "name": "host", "hostPath": { "path": "/etc" } }]);
    refused["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "host", "mountPath": "/host" }]);
    sim.api.create_pod(refused);
    let seen = until(
        "a status",
        || sim.api.pod("refused").expect("it stays"),
        |p| p["status"]["containerStatuses"].is_array(),
    )
    .await;
    assert_eq!(seen["status"]["phase"], "Pending");
    assert_eq!(
        seen["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "CreateContainerConfigError"
    );
    let events = until("an Event", || sim.api.events(), |e| !e.is_empty()).await;
    assert_eq!(events.len(), 1);
    assert!(events[0].1.contains("spec.volumes[0].hostPath"), "{events:?}");
    assert!(sim.groups().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_status_that_others_wrote_is_put_right() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    sim.running(pod("a")).await;
    sim.api.set_not_ready("a");
    let ready = || {
        let pod = sim.api.pod("a").expect("it runs");
        pod["status"]["conditions"]
            .as_array()
            .expect("conditions")
            .iter()
            .find(|c| c["type"] == "Ready")
            .expect("Ready")["status"]
            .clone()
    };
    until("Ready to be True again", ready, |status| status == "True").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_before_its_group_exists_never_gets_one_or_loses_it() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    for i in 0..50 {
        let name = format!("p-{i}");
        sim.api.create_pod(pod(&name));
        sim.api.delete_pod(&name, 30);
    }
    for i in 0..50 {
        sim.gone(&format!("p-{i}")).await;
    }
    sim.no_groups().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_of_an_old_name_gets_a_group_of_its_own() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let first = sim.running(pod("web-0")).await;
    sim.api.delete_pod("web-0", 0);
    let second = sim.running(pod("web-0")).await;
    assert_ne!(first, second);
    until(
        "the first's group to go",
        || sim.groups(),
        |groups| !groups.contains_key(&first),
    )
    .await;
    assert_eq!(sim.groups()[&second].len(), 1);
    assert_eq!(sim.api.phase("web-0"), "Running");
}
