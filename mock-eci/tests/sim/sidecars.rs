//! Environment variables by which ECI knows sidecars and the order in which containers start and end.

use serde_json::{Value, json};

use crate::bed::Bed;

/// Parameters of container number `n` with this environment.
fn container(n: usize, name: &str, env: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut params = vec![
        (format!("Container.{n}.Name"), name.to_owned()),
        (format!("Container.{n}.Image"), "busybox:1".to_owned()),
    ];
    for (i, (key, value)) in env.iter().enumerate() {
        let i = i + 1;
        params.push((format!("Container.{n}.EnvironmentVar.{i}.Key"), (*key).to_owned()));
        params.push((format!("Container.{n}.EnvironmentVar.{i}.Value"), (*value).to_owned()));
    }
    params
}

async fn create(bed: &Bed, containers: &[Vec<(String, String)>], more: &[(&str, &str)]) -> String {
    let params: Vec<(&str, &str)> = containers
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain(more.iter().copied())
        .chain([("ContainerGroupName", "sidecars")])
        .collect();
    let created = bed.call("CreateContainerGroup", &params).await.ok();
    created["ContainerGroupId"].as_str().expect("an id").to_owned()
}

fn state<'a>(group: &'a Value, name: &str) -> &'a Value {
    let containers = group["Containers"].as_array().expect("containers");
    &containers.iter().find(|c| c["Name"] == name).expect("the container")["CurrentState"]
}

fn text<'a>(group: &'a Value, name: &str, member: &str) -> &'a str {
    state(group, name)[member].as_str().expect(member)
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_ends_with_the_last_other_container_and_its_end_counts() {
    let bed = Bed::new().await;
    let main = container(
        1,
        "main",
        &[("MOCK_ECI_EXIT_AFTER_MS", "5000"), ("MOCK_ECI_EXIT_CODE", "0")],
    );
    let sidecar = container(2, "proxy", &[("ECI_CONTAINER_TYPE", "sidecar")]);
    for policy in ["Never", "OnFailure"] {
        let id = create(&bed, &[main.clone(), sidecar.clone()], &[("RestartPolicy", policy)]).await;
        let ended = bed.until(&id, "Failed").await;
        assert_eq!(state(&ended, "main")["ExitCode"], 0);
        assert_eq!(state(&ended, "proxy")["State"], "Terminated");
        assert_ne!(state(&ended, "proxy")["ExitCode"], 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ignored_exit_code_is_told_and_does_not_count() {
    let bed = Bed::new().await;
    let main = container(
        1,
        "main",
        &[("MOCK_ECI_EXIT_AFTER_MS", "5000"), ("MOCK_ECI_EXIT_CODE", "0")],
    );
    let switches = [
        ("ECI_CONTAINER_TYPE", "sidecar"),
        ("ECI_CONTAINER_IGNORE_EXIT_CODE", "true"),
    ];
    let id = create(
        &bed,
        &[main, container(2, "proxy", &switches)],
        &[("RestartPolicy", "Never")],
    )
    .await;
    let ended = bed.until(&id, "Succeeded").await;
    assert_eq!(state(&ended, "proxy")["ExitCode"], 0);
    assert!(text(&ended, "proxy", "Message").contains("exit code"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_ends_early_does_not_end_the_group() {
    let bed = Bed::new().await;
    let sidecar = container(
        2,
        "proxy",
        &[("ECI_SIDECAR_CONTAINER", "true"), ("MOCK_ECI_EXIT_AFTER_MS", "1000")],
    );
    let id = create(
        &bed,
        &[container(1, "main", &[]), sidecar],
        &[("RestartPolicy", "Never")],
    )
    .await;
    let group = bed
        .until_that(&id, "the sidecar's end", |group| {
            state(group, "proxy")["State"] == "Terminated"
        })
        .await;
    assert_eq!(
        (&group["Status"], &state(&group, "main")["State"]),
        (&json!("Running"), &json!("Running"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_higher_launch_priority_starts_first_and_is_ready_first() {
    let bed = Bed::new().await;
    let mut first = container(
        3,
        "first",
        &[("ECI_CONTAINER_LAUNCH_PRIORITY", "2"), ("MOCK_ECI_READY_MS", "4000")],
    );
    first.push(("Container.3.ReadinessProbe.TcpSocket.Port".to_owned(), "80".to_owned()));
    let second = container(1, "second", &[("ECI_CONTAINER_LAUNCH_PRIORITY", "1")]);
    let id = create(&bed, &[second, container(2, "main", &[]), first], &[]).await;
    let waiting = bed
        .until_that(&id, "the first's start", |group| {
            state(group, "first")["State"] == "Running"
        })
        .await;
    assert_eq!(waiting["Status"], "Pending");
    assert_eq!(state(&waiting, "second")["State"], "Waiting");
    let running = bed.until(&id, "Running").await;
    let started = |name| text(&running, name, "StartTime");
    assert!(started("first") < started("second"), "{running}");
    assert!(started("second") <= started("main"), "{running}");
}

#[tokio::test(start_paused = true)]
async fn a_higher_exit_priority_ends_first() {
    let bed = Bed::new().await;
    let slow = [("Tag.1.Key", "mock-eci/stop-ms"), ("Tag.1.Value", "3000")];
    let containers = [
        container(1, "main", &[]),
        container(2, "last", &[("ECI_CONTAINER_EXIT_PRIORITY", "-2")]),
        container(3, "next", &[("ECI_CONTAINER_EXIT_PRIORITY", "-1")]),
    ];
    let id = create(&bed, &containers, &slow).await;
    bed.until(&id, "Running").await;
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    for (ended, runs) in [("main", "next"), ("next", "last")] {
        let group = bed
            .until_that(&id, ended, |group| state(group, ended)["State"] == "Terminated")
            .await;
        assert_eq!(state(&group, runs)["State"], "Running", "{ended}");
    }
    bed.until_gone(&id).await;
}
