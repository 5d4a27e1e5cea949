//! RestartContainerGroup and UpdateContainerGroup, seen through the API.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::bed::Bed;

/// Containers take five seconds to end, so that what happens meanwhile can be seen.
const SLOW_STOP: [(&str, &str); 2] = [("Tag.1.Key", "mock-eci/stop-ms"), ("Tag.1.Value", "5000")];

async fn restart(bed: &Bed, id: &str) {
    let restarted = bed.call("RestartContainerGroup", &[("ContainerGroupId", id)]).await;
    restarted.ok();
}

async fn update(bed: &Bed, id: &str, params: &[(&str, &str)]) {
    try_update(bed, id, params).await.ok();
}

async fn try_update(bed: &Bed, id: &str, params: &[(&str, &str)]) -> crate::bed::Reply {
    let mut all = vec![("ContainerGroupId", id)];
    all.extend_from_slice(params);
    bed.call("UpdateContainerGroup", &all).await
}

fn container<'a>(group: &'a Value, name: &str) -> &'a Value {
    let containers = group["Containers"].as_array().expect("containers");
    let found = containers.iter().find(|c| c["Name"] == name);
    found.unwrap_or_else(|| panic!("no container {name:?} in {containers:?}"))
}

fn restarts(group: &Value, name: &str) -> u64 {
    container(group, name)["RestartCount"].as_u64().expect("a count")
}

/// A group of the containers `c` and `d`.
async fn two(bed: &Bed, params: &[(&str, &str)]) -> String {
    let mut all = vec![("Container.2.Name", "d"), ("Container.2.Image", "busybox:1")];
    all.extend_from_slice(params);
    let id = bed.create("two", &all).await;
    bed.until(&id, "Running").await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_all_containers_and_starts_them_anew() {
    let bed = Bed::new().await;
    let mut params = SLOW_STOP.to_vec();
    params.extend([("InitContainer.1.Name", "init"), ("InitContainer.1.Image", "i")]);
    let id = bed.create("again", &params).await;
    let before = bed.until(&id, "Running").await;
    restart(&bed, &id).await;
    let during = bed.describe(&id).await.expect("the group");
    assert_eq!(during["Status"], "Restarting");
    let pod = bed.pod_status(&id).await.expect("the group");
    assert_eq!(pod["PodStatus"]["Phase"], "Running", "as before");
    let again = bed.call("RestartContainerGroup", &[("ContainerGroupId", &id)]).await;
    assert_eq!((again.status, again.code()), (400, "IncorrectStatus"));

    let after = bed.until(&id, "Running").await;
    assert_eq!((restarts(&after, "c"), restarts(&before, "c")), (1, 0));
    assert_eq!(
        after["InitContainers"][0]["RestartCount"], 1,
        "init containers run again"
    );
    assert_eq!(after["IntranetIp"], before["IntranetIp"]);
    let previous = &container(&after, "c")["PreviousState"];
    assert_eq!((&previous["ExitCode"], &previous["Signal"]), (&json!(143), &json!(15)));
    let bill = &bed.app().ledger()[0];
    assert_eq!(
        (bill.billing_end, bill.segments.len()),
        (None, 1),
        "it is billed throughout"
    );
    let states: Vec<_> = bill.states.iter().map(|s| s.status.as_str()).collect();
    assert_eq!(states, ["Scheduling", "Pending", "Running", "Restarting", "Running"]);
}

#[tokio::test(start_paused = true)]
async fn only_pending_and_running_groups_are_restarted() {
    let bed = Bed::new().await;
    let late = [("Tag.1.Key", "mock-eci/schedule-ms"), ("Tag.1.Value", "60000")];
    let id = bed.create("late", &late).await;
    for action in ["RestartContainerGroup", "UpdateContainerGroup"] {
        let refused = bed.call(action, &[("ContainerGroupId", &id)]).await;
        assert_eq!((refused.status, refused.code()), (400, "IncorrectStatus"), "{action}");
        let unknown = bed.call(action, &[("ContainerGroupId", "eci-none")]).await;
        assert_eq!(
            (unknown.status, unknown.code()),
            (404, "InvalidContainerGroupId.NotFound")
        );
        let missing = bed.call(action, &[]).await;
        assert_eq!((missing.status, missing.code()), (400, "MissingParameter"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_carried_out_once_per_token() {
    let bed = Bed::new().await;
    let id = bed.create("once", &[]).await;
    bed.until(&id, "Running").await;
    for _ in 0..2 {
        let params = [("ContainerGroupId", id.as_str()), ("ClientToken", "t")];
        bed.call("RestartContainerGroup", &params).await.ok();
        let group = bed.until(&id, "Running").await;
        assert_eq!(restarts(&group, "c"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_obeyed_whatever_the_policy() {
    let bed = Bed::new().await;
    let id = bed.create("job", &[("RestartPolicy", "Never")]).await;
    bed.until(&id, "Running").await;
    restart(&bed, &id).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(restarts(&group, "c"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_being_restarted_can_be_deleted() {
    let bed = Bed::new().await;
    let id = bed.create("gone", &SLOW_STOP).await;
    bed.until(&id, "Running").await;
    restart(&bed, &id).await;
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
    bed.until_gone(&id).await;
}

#[tokio::test(start_paused = true)]
async fn an_update_restarts_what_changes_and_nothing_else() {
    let bed = Bed::new().await;
    let id = two(&bed, &SLOW_STOP).await;
    let change = [
        ("UpdateType", "IncrementalUpdate"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "busybox:2"),
    ];
    update(&bed, &id, &change).await;
    let during = bed.describe(&id).await.expect("the group");
    assert_eq!(during["Status"], "Updating");
    let after = bed.until(&id, "Running").await;
    assert_eq!((restarts(&after, "c"), restarts(&after, "d")), (1, 0));
    assert_eq!(container(&after, "c")["Image"], "busybox:2");
    let changed = "Container c definition changed, will be restarted";
    let events = after["Events"].as_array().expect("events");
    assert!(events.iter().any(|e| e["Message"] == changed), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn increments_merge_and_renewals_replace() {
    let bed = Bed::new().await;
    let env = [
        ("Container.1.EnvironmentVar.1.Key", "A"),
        ("Container.1.EnvironmentVar.1.Value", "1"),
        ("Container.1.EnvironmentVar.2.Key", "B"),
        ("Container.1.EnvironmentVar.2.Value", "2"),
        ("Container.1.WorkingDir", "/work"),
        ("Tag.1.Key", "kept"),
        ("Tag.1.Value", "yes"),
    ];
    let id = two(&bed, &env).await;
    let increment = [
        ("UpdateType", "IncrementalUpdate"),
        ("Container.1.Name", "c"),
        ("Container.1.EnvironmentVar.1.Key", "B"),
        ("Container.1.EnvironmentVar.1.Value", "3"),
        ("Tag.1.Key", "new"),
        ("Tag.1.Value", "also"),
        ("RestartPolicy", "OnFailure"),
    ];
    update(&bed, &id, &increment).await;
    let group = bed.until(&id, "Running").await;
    let c = container(&group, "c");
    assert_eq!(
        c["EnvironmentVars"],
        json!([{"Key": "A", "Value": "1"}, {"Key": "B", "Value": "3"}])
    );
    assert_eq!((&c["WorkingDir"], &c["Image"]), (&json!("/work"), &json!("busybox:1")));
    assert_eq!(
        group["Tags"],
        json!([{"Key": "kept", "Value": "yes"}, {"Key": "new", "Value": "also"}])
    );
    assert_eq!(group["RestartPolicy"], "OnFailure");

    let renewal = [
        ("Container.1.Name", "c"),
        ("Container.1.Image", "busybox:1"),
        ("Container.2.Name", "e"),
        ("Container.2.Image", "busybox:1"),
        ("Tag.1.Key", "only"),
        ("Tag.1.Value", "this"),
    ];
    update(&bed, &id, &renewal).await;
    let group = bed.until(&id, "Running").await;
    let names: Vec<_> = group["Containers"]
        .as_array()
        .expect("containers")
        .iter()
        .map(|c| &c["Name"])
        .collect();
    assert_eq!(names, ["c", "e"], "d is not in the renewed list");
    assert_eq!(container(&group, "c")["EnvironmentVars"], json!([]));
    assert_eq!(group["Tags"], json!([{"Key": "only", "Value": "this"}]));
    let incomplete = try_update(&bed, &id, &[("Container.1.Name", "c")]).await;
    assert_eq!((incomplete.status, incomplete.code()), (400, "MissingParameter"));
}

#[tokio::test(start_paused = true)]
async fn hooks_of_updates_spell_their_headers_in_the_plural() {
    let bed = Bed::new().await;
    let id = two(&bed, &[]).await;
    let hook = [
        ("UpdateType", "IncrementalUpdate"),
        ("Container.1.Name", "c"),
        ("Container.1.LifecyclePostStartHandlerHttpGetPort", "80"),
        ("Container.1.LifecyclePostStartHandlerHttpGetHttpHeaders.1.Name", "X"),
        ("Container.1.LifecyclePostStartHandlerHttpGetHttpHeaders.1.Value", "y"),
    ];
    update(&bed, &id, &hook).await;
    let cloud = bed.app().cloud();
    let spec = cloud.state().group(&id).expect("the group").spec.clone();
    let Some(mock_eci::spec::Handler::HttpGet { headers, .. }) = &spec.containers[0].post_start else {
        panic!("no hook: {:?}", spec.containers[0].post_start);
    };
    assert_eq!(headers, &[("X".to_owned(), "y".to_owned())]);
    let entry = bed.app().journal().entries(Some("UpdateContainerGroup")).pop();
    assert_eq!(
        entry.expect("an entry").unknown,
        Vec::<String>::new(),
        "all of it was read"
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_update_cannot_change_is_refused() {
    let bed = Bed::new().await;
    let id = two(&bed, &[]).await;
    for (name, value) in [
        ("ContainerGroupName", "other"),
        ("VSwitchId", "vsw-2"),
        ("ZoneId", "cn-hangzhou-i"),
        ("SpotStrategy", "SpotAsPriceGo"),
        ("EipInstanceId", "eip-1"),
        ("RamRoleName", "role"),
        ("EphemeralStorage", "10"),
        ("UpdateType", "Sideways"),
    ] {
        let refused = try_update(&bed, &id, &[(name, value)]).await;
        assert_eq!((refused.status, refused.code()), (400, "InvalidParameter"), "{name}");
        assert!(refused.body["Message"].as_str().is_some_and(|m| m.contains(name)));
    }
    let disk = [("Volume.1.Name", "v"), ("Volume.1.Type", "DiskVolume")];
    assert_eq!(try_update(&bed, &id, &disk).await.code(), "InvalidParameter");
    let moved = [
        ("InitContainer.1.Name", "d"),
        ("InitContainer.1.Image", "i"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "busybox:1"),
    ];
    assert_eq!(try_update(&bed, &id, &moved).await.code(), "InvalidParameter");
    let group = bed.describe(&id).await.expect("the group");
    assert_eq!((&group["Status"], restarts(&group, "c")), (&json!("Running"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_new_size_is_rounded_billed_for_its_time_and_within_the_quota() {
    let bed = Bed::new().await;
    let id = two(&bed, &[("Cpu", "1"), ("Memory", "2")]).await;
    bed.app().advance(Duration::from_secs(100));
    update(&bed, &id, &[("Cpu", "1.5"), ("Memory", "3")]).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!((&group["Cpu"], &group["Memory"]), (&json!(2.0), &json!(4.0)));
    assert_eq!(restarts(&group, "c"), 1, "it shares the size of the group");
    bed.app().advance(Duration::from_secs(50));
    let bill = &bed.app().ledger()[0];
    assert_eq!((bill.milli_cpu, bill.memory_mib), (2_000, 4_096));
    let sizes: Vec<u64> = bill.segments.iter().map(|s| s.milli_cpu).collect();
    assert_eq!(sizes, [1_000, 2_000]);
    assert!((100..=102).contains(&bill.segments[0].billed_seconds), "{bill:?}");
    assert!((50..=52).contains(&bill.segments[1].billed_seconds), "{bill:?}");
    assert_eq!(bill.segments[0].to, bill.segments[1].from);
    let amount = bill.segments[0].billed_seconds * 61_260 + bill.segments[1].billed_seconds * 122_520;
    assert_eq!(bill.amount_nano, amount);

    assert_eq!(bed.app().cloud().state().used_milli_cpu(), 2_000);
    bed.app().set_max_milli_cpu(3_000);
    let refused = try_update(&bed, &id, &[("Cpu", "4"), ("Memory", "8")]).await;
    assert_eq!((refused.status, refused.code()), (403, "QuotaExceeded"));
    bed.app().set_max_milli_cpu(1_000);
    update(&bed, &id, &[("Cpu", "1"), ("Memory", "2")]).await;
    assert_eq!(
        bed.app().cloud().state().used_milli_cpu(),
        1_000,
        "less is always possible"
    );
}

#[tokio::test(start_paused = true)]
async fn config_files_restart_who_mounts_them_unless_told_otherwise() {
    let bed = Bed::new().await;
    let (old, new) = (STANDARD.encode("old"), STANDARD.encode("new"));
    let volume = |content: &'static str| {
        vec![
            ("Volume.1.Name", "files"),
            ("Volume.1.Type", "ConfigFileVolume"),
            ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path", "a"),
            ("Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content", content),
        ]
    };
    let mut create = volume(old.leak());
    create.extend([
        ("Container.1.VolumeMount.1.Name", "files"),
        ("Container.1.VolumeMount.1.MountPath", "/etc/app"),
    ]);
    let id = two(&bed, &create).await;
    let new: &'static str = new.leak();
    update(&bed, &id, &volume(new)).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!((restarts(&group, "c"), restarts(&group, "d")), (1, 0));
    assert_eq!(
        group["Volumes"][0]["ConfigFileVolumeConfigFileToPaths"][0]["Content"],
        new
    );

    bed.app().cloud().state().config_files_restart = false;
    let newer: &'static str = STANDARD.encode("newer").leak();
    update(&bed, &id, &volume(newer)).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(restarts(&group, "c"), 1, "the files are refreshed in place");
    assert_eq!(
        group["Volumes"][0]["ConfigFileVolumeConfigFileToPaths"][0]["Content"],
        newer
    );
}

#[tokio::test(start_paused = true)]
async fn with_policy_never_what_must_change_is_not_started_again() {
    let bed = Bed::new().await;
    let id = two(&bed, &[("RestartPolicy", "Never")]).await;
    let image = |name: &'static str| {
        [
            ("UpdateType", "IncrementalUpdate"),
            ("Container.1.Name", name),
            ("Container.1.Image", "busybox:2"),
        ]
    };
    update(&bed, &id, &image("c")).await;
    let group = bed.until(&id, "Running").await;
    let ended = &container(&group, "c")["CurrentState"];
    assert_eq!(
        (&ended["State"], &ended["ExitCode"]),
        (&json!("Terminated"), &json!(143))
    );
    update(&bed, &id, &image("d")).await;
    bed.until(&id, "Failed").await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_updated_away() {
    let bed = Bed::new().await;
    let broken = [
        ("Container.1.EnvironmentVar.1.Key", "MOCK_ECI_START_ERROR"),
        ("Container.1.EnvironmentVar.1.Value", "ErrImagePull"),
    ];
    let id = bed.create("broken", &broken).await;
    bed.until_that(&id, "a failed pull", |g| {
        g["Containers"][0]["CurrentState"]["DetailStatus"] == "ErrImagePull"
    })
    .await;
    // Still broken: the group is Pending again and can be updated once more.
    let worse = [
        ("UpdateType", "IncrementalUpdate"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "busybox:3"),
    ];
    update(&bed, &id, &worse).await;
    bed.until(&id, "Pending").await;
    let fixed = [
        ("UpdateType", "IncrementalUpdate"),
        ("Container.1.Name", "c"),
        ("Container.1.EnvironmentVar.1.Key", "MOCK_ECI_START_ERROR"),
        ("Container.1.EnvironmentVar.1.Value", ""),
    ];
    update(&bed, &id, &fixed).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(restarts(&group, "c"), 0, "nothing ever ran before");
}
