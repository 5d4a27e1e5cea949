//! The life of groups, seen through the API alone.

use std::time::Duration;

use mock_eci::{Config, clock, runtime::Exit};
use serde_json::{Value, json};

use crate::bed::Bed;

fn state(group: &Value) -> &Value {
    &group["Containers"][0]["CurrentState"]
}

#[tokio::test(start_paused = true)]
async fn a_group_runs_until_it_is_deleted() {
    let bed = Bed::new().await;
    let id = bed.create("life", &[]).await;
    let fresh = bed.describe(&id).await.expect("the group");
    assert_eq!(
        (&fresh["Status"], &fresh["IntranetIp"]),
        (&json!("Scheduling"), &json!(""))
    );
    assert_eq!(state(&fresh)["DetailStatus"], "ContainerCreating");

    let running = bed.until(&id, "Running").await;
    assert_eq!(
        (&state(&running)["State"], &running["Containers"][0]["Ready"]),
        (&json!("Running"), &json!(true))
    );
    let status = bed.pod_status(&id).await.expect("the group");
    assert_eq!(status["PodStatus"]["Phase"], "Running");
    assert_eq!(status["PodStatus"]["PodIp"], running["IntranetIp"]);
    assert!(status["PodStatus"]["ContainerStatuses"][0]["State"]["Running"]["StartedAtstartedAt"].is_string());
    let conditions = status["PodStatus"]["Conditions"].as_array().expect("conditions");
    assert!(conditions.iter().all(|c| c["status"] == "True"), "{conditions:?}");

    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    bed.until_gone(&id).await;
    let again = bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)]).await;
    assert_eq!((again.status, again.code()), (404, "InvalidContainerGroupId.NotFound"));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_group_is_terminating_for_its_grace() {
    let bed = Bed::new().await;
    let slow = [
        ("TerminationGracePeriodSeconds", "20"),
        ("Tag.1.Key", "mock-eci/stop-ms"),
        ("Tag.1.Value", "60000"),
    ];
    let id = bed.create("slow", &slow).await;
    bed.until(&id, "Running").await;
    let deleted = tokio::time::Instant::now();
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    let group = bed.describe(&id).await.expect("the group");
    assert_eq!(group["Status"], "Terminating");
    assert_eq!(
        bed.pod_status(&id).await.expect("the group")["PodStatus"]["Phase"],
        "Running"
    );
    bed.until_gone(&id).await;
    let took = deleted.elapsed();
    assert!(
        (Duration::from_secs(20)..Duration::from_secs(21)).contains(&took),
        "{took:?}"
    );

    let id = bed.create("forced", &slow).await;
    bed.until(&id, "Running").await;
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id), ("Force", "true")])
        .await
        .ok();
    let deleted = tokio::time::Instant::now();
    bed.until_gone(&id).await;
    assert!(deleted.elapsed() < Duration::from_secs(1), "{:?}", deleted.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_group_deleted_before_it_runs_goes_at_once() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "early",
            &[("Tag.1.Key", "mock-eci/schedule-ms"), ("Tag.1.Value", "60000")],
        )
        .await;
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    bed.until_gone(&id).await;
    let bill = &bed.app().ledger()[0];
    assert_eq!((bill.billed_seconds, bill.billing_start), (0, None));
}

#[tokio::test(start_paused = true)]
async fn groups_end_as_their_containers_do() {
    let bed = Bed::new().await;
    for (policy, code, status, reason) in [
        ("Never", "0", "Succeeded", "Completed"),
        ("Never", "3", "Failed", "Error"),
        ("OnFailure", "0", "Succeeded", "Completed"),
    ] {
        let id = bed
            .create(
                "job",
                &[
                    ("RestartPolicy", policy),
                    ("Tag.1.Key", "mock-eci/exit-after-ms"),
                    ("Tag.1.Value", "5000"),
                    ("Tag.2.Key", "mock-eci/exit-code"),
                    ("Tag.2.Value", code),
                ],
            )
            .await;
        let group = bed.until(&id, status).await;
        let ended = state(&group);
        assert_eq!(
            (&ended["State"], &ended["Reason"]),
            (&json!("Terminated"), &json!(reason))
        );
        assert_eq!(ended["ExitCode"].to_string(), code);
        assert_eq!(
            bed.pod_status(&id).await.expect("the group")["PodStatus"]["Phase"],
            status
        );
        assert!(
            group[format!("{status}Time")]
                .as_str()
                .is_some_and(|t| t.ends_with('Z'))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn crashing_containers_are_restarted_with_back_off() {
    let bed = Bed::new().await;
    let crash = [
        ("Container.1.EnvironmentVar.1.Key", "MOCK_ECI_EXIT_AFTER_MS"),
        ("Container.1.EnvironmentVar.1.Value", "100"),
        ("Container.1.EnvironmentVar.2.Key", "MOCK_ECI_EXIT_CODE"),
        ("Container.1.EnvironmentVar.2.Value", "7"),
        ("Container.1.EnvironmentVar.3.Key", "MOCK_ECI_EXIT_COUNT"),
        ("Container.1.EnvironmentVar.3.Value", "3"),
    ];
    let id = bed.create("crash", &crash).await;
    let waiting = bed
        .until_that(&id, "a back-off", |g| state(g)["DetailStatus"] == "CrashLoopBackOff")
        .await;
    assert_eq!(
        waiting["Status"], "Running",
        "a group whose containers will run again runs"
    );
    assert_eq!(waiting["Containers"][0]["PreviousState"]["ExitCode"], 7);
    let calm = bed
        .until_that(&id, "the fourth instance", |g| {
            g["Containers"][0]["RestartCount"] == 3 && state(g)["State"] == "Running"
        })
        .await;
    assert_eq!(calm["Status"], "Running");
    let events = calm["Events"].as_array().expect("events");
    let back_off = events.iter().find(|e| e["Reason"] == "BackOff").expect("an event");
    assert_eq!((&back_off["Type"], &back_off["Count"]), (&json!("Warning"), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_one_by_one_and_first() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "init",
            &[
                ("InitContainer.1.Name", "one"),
                ("InitContainer.1.Image", "i"),
                ("InitContainer.1.EnvironmentVar.1.Key", "MOCK_ECI_EXIT_AFTER_MS"),
                ("InitContainer.1.EnvironmentVar.1.Value", "3000"),
                ("InitContainer.2.Name", "two"),
                ("InitContainer.2.Image", "i"),
                ("InitContainer.2.EnvironmentVar.1.Key", "MOCK_ECI_EXIT_AFTER_MS"),
                ("InitContainer.2.EnvironmentVar.1.Value", "3000"),
            ],
        )
        .await;
    let init = |g: &Value, n: usize| g["InitContainers"][n]["CurrentState"]["State"].clone();
    let first = bed.until_that(&id, "the first", |g| init(g, 0) == "Running").await;
    assert_eq!(
        (init(&first, 1), &first["Status"]),
        (json!("Waiting"), &json!("Pending"))
    );
    assert_eq!(state(&first)["DetailStatus"], "PodInitializing");
    let second = bed.until_that(&id, "the second", |g| init(g, 1) == "Running").await;
    assert_eq!(
        (init(&second, 0), &second["Status"]),
        (json!("Terminated"), &json!("Pending"))
    );
    let running = bed.until(&id, "Running").await;
    assert_eq!(init(&running, 1), json!("Terminated"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_init_container_fails_a_group_that_never_restarts() {
    let bed = Bed::new().await;
    let init = [
        ("RestartPolicy", "Never"),
        ("InitContainer.1.Name", "one"),
        ("InitContainer.1.Image", "i"),
        ("InitContainer.1.EnvironmentVar.1.Key", "MOCK_ECI_EXIT_CODE"),
        ("InitContainer.1.EnvironmentVar.1.Value", "1"),
    ];
    let id = bed.create("init-fails", &init).await;
    let group = bed.until(&id, "Failed").await;
    assert_eq!(
        state(&group)["DetailStatus"],
        "PodInitializing",
        "the container itself never ran"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fails_a_group() {
    let bed = Bed::new().await;
    let id = bed.create("deadline", &[("ActiveDeadlineSeconds", "30")]).await;
    let group = bed.until(&id, "Failed").await;
    assert!(
        group["Events"]
            .as_array()
            .is_some_and(|e| e.iter().any(|e| e["Reason"] == "DeadlineExceeded"))
    );
    let ended = bed
        .until_that(&id, "its container's end", |g| state(g)["State"] == "Terminated")
        .await;
    assert_eq!(state(&ended)["ExitCode"], 137);
}

#[tokio::test(start_paused = true)]
async fn failed_launches_and_pulls() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "no-stock",
            &[("Tag.1.Key", "mock-eci/launch-error"), ("Tag.1.Value", "NoStock")],
        )
        .await;
    bed.until(&id, "ScheduleFailed").await;
    let status = bed.pod_status(&id).await.expect("the group");
    assert_eq!(status["PodStatus"]["Phase"], "Failed");
    let conditions = status["PodStatus"]["Conditions"].as_array().expect("conditions");
    let created = conditions
        .iter()
        .find(|c| c["type"] == "ContainerInstanceCreated")
        .expect("the condition");
    assert_eq!(
        (&created["status"], &created["Reason"]),
        (&json!("False"), &json!("NoStock"))
    );

    let pull = [("Tag.1.Key", "mock-eci/start-error"), ("Tag.1.Value", "ErrImagePull")];
    let id = bed.create("no-image", &pull).await;
    let group = bed
        .until_that(&id, "a failed pull", |g| state(g)["DetailStatus"] == "ErrImagePull")
        .await;
    assert_eq!(group["Status"], "Pending");
    bed.until_that(&id, "back-off", |g| state(g)["DetailStatus"] == "ImagePullBackOff")
        .await;
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_probe() {
    let bed = Bed::new().await;
    let probe = [
        ("Container.1.ReadinessProbe.TcpSocket.Port", "80"),
        ("Container.1.ReadinessProbe.InitialDelaySeconds", "5"),
    ];
    let id = bed.create("probe", &probe).await;
    let running = bed.until(&id, "Running").await;
    assert_eq!(running["Containers"][0]["Ready"], false);
    bed.until_that(&id, "readiness", |g| g["Containers"][0]["Ready"] == true)
        .await;
    assert!(bed.app().simulated().expect("simulated").set_ready(&id, "c", false));
    bed.until_that(&id, "unreadiness", |g| g["Containers"][0]["Ready"] == false)
        .await;
}

#[tokio::test(start_paused = true)]
async fn spot_groups_can_be_taken_back() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "spot",
            &[("SpotStrategy", "SpotAsPriceGo"), ("Cpu", "1"), ("Memory", "2")],
        )
        .await;
    bed.until(&id, "Running").await;
    assert!(bed.app().cloud().reclaim(&id, Duration::ZERO));
    let group = bed.until(&id, "Expired").await;
    assert!(group["ExpiredTime"].as_str().is_some_and(|t| !t.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn steered_exits_carry_what_they_are_told() {
    let bed = Bed::new().await;
    let id = bed.create("steered", &[("RestartPolicy", "Never")]).await;
    bed.until(&id, "Running").await;
    let exit = Exit {
        code: 137,
        signal: 9,
        oom: true,
        message: "out of memory".into(),
    };
    assert!(bed.app().simulated().expect("simulated").exit(&id, "c", exit));
    let group = bed.until(&id, "Failed").await;
    let ended = state(&group);
    assert_eq!(
        (&ended["Reason"], &ended["Message"]),
        (&json!("OOMKilled"), &json!("out of memory"))
    );
    assert_eq!((&ended["ExitCode"], &ended["Signal"]), (&json!(137), &json!(9)));
}

#[tokio::test(start_paused = true)]
async fn finished_groups_are_kept_an_hour_and_then_the_newest_hundred() {
    let bed = Bed::with(Config {
        limits: mock_eci::config::Limits::None,
        ..Config::default()
    })
    .await;
    let job = [
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/exit-after-ms"),
        ("Tag.1.Value", "1"),
    ];
    let first = bed.create("job", &job).await;
    bed.until(&first, "Succeeded").await;
    for _ in 0..120 {
        bed.create("job", &job).await;
    }
    let slow = [("Tag.2.Key", "mock-eci/schedule-ms"), ("Tag.2.Value", "1000")];
    let last = bed.create("job", &[&job[..], &slow].concat()).await;
    bed.until(&last, "Succeeded").await;
    assert_eq!(bed.app().group_ids().len(), 122, "within the hour all are kept");
    bed.app().advance(Duration::from_secs(3_601));
    bed.until_gone(&first).await;
    assert_eq!(bed.app().group_ids().len(), 100);
    assert!(bed.describe(&last).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stepped_clock_moves_by_steering_alone() {
    let bed = Bed::with(Config {
        clock: clock::Mode::Stepped,
        ..Config::default()
    })
    .await;
    let id = bed
        .create(
            "stepped",
            &[("Tag.1.Key", "mock-eci/schedule-ms"), ("Tag.1.Value", "1000")],
        )
        .await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(bed.describe(&id).await.expect("the group")["Status"], "Scheduling");
    bed.app().advance(Duration::from_millis(999));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.describe(&id).await.expect("the group")["Status"], "Scheduling");
    bed.app().advance(Duration::from_millis(1));
    bed.until(&id, "Running").await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_life() {
    let mut lives = Vec::new();
    for _ in 0..2 {
        let bed = Bed::new().await;
        let mut life = Vec::new();
        for _ in 0..3 {
            let id = bed.create("seeded", &[]).await;
            bed.until(&id, "Running").await;
            let bill = bed.app().ledger().pop().expect("a bill");
            let scheduled = bill.states[1].since.duration_since(bill.creation_time).as_millis();
            life.push((id, scheduled));
        }
        lives.push(life);
    }
    assert_eq!(lives[0], lives[1]);
    assert!(
        lives[0].iter().all(|(_, millis)| (10..=51).contains(millis)),
        "{lives:?}"
    );
}
