//! DescribeContainerLog.

use std::time::Duration;

use crate::bed::Bed;

async fn log(bed: &Bed, id: &str, params: &[(&str, &str)]) -> String {
    let mut all = vec![("ContainerGroupId", id), ("ContainerName", "c")];
    all.extend_from_slice(params);
    let answer = bed.call("DescribeContainerLog", &all).await.ok();
    assert_eq!(answer["ContainerName"], "c");
    answer["Content"].as_str().expect("text").to_owned()
}

#[tokio::test(start_paused = true)]
async fn lines_come_with_time() {
    let bed = Bed::new().await;
    let id = bed.create("logs", &[]).await;
    assert_eq!(log(&bed, &id, &[]).await, "", "before it runs there is nothing");
    bed.until(&id, "Running").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let lines = ["c of logs started", "c of logs: line 1", "c of logs: line 2"];
    assert_eq!(log(&bed, &id, &[]).await.lines().collect::<Vec<_>>(), lines);
    assert_eq!(log(&bed, &id, &[("Tail", "1")]).await.trim_end(), lines[2]);
    assert_eq!(log(&bed, &id, &[("LimitBytes", "7")]).await, "c of lo");
    assert_eq!(log(&bed, &id, &[("SinceSeconds", "1")]).await.trim_end(), lines[2]);
    assert_eq!(log(&bed, &id, &[("StartTime", "2199-01-01T00:00:00Z")]).await, "");
    let stamped = log(&bed, &id, &[("Timestamps", "true"), ("Tail", "1")]).await;
    let (time, rest) = stamped.split_once(' ').expect("a time and a line");
    assert_eq!((time.len(), rest.trim_end()), (30, lines[2]), "{time}");
}

#[tokio::test(start_paused = true)]
async fn at_most_two_thousand_lines() {
    let bed = Bed::new().await;
    let id = bed.create("long", &[]).await;
    bed.until(&id, "Running").await;
    tokio::time::sleep(Duration::from_secs(5_000)).await;
    let all = log(&bed, &id, &[("Tail", "100000")]).await;
    assert_eq!(all.lines().count(), 2_000);
    assert_eq!(log(&bed, &id, &[]).await.lines().count(), 500, "and 500 unless told");
}

#[tokio::test(start_paused = true)]
async fn the_instance_before() {
    let bed = Bed::new().await;
    let id = bed.create("restarted", &[]).await;
    bed.until(&id, "Running").await;
    let simulated = bed.app().simulated().expect("simulated");
    assert!(simulated.log(&id, "c", &["last words".to_owned()]));
    assert_eq!(log(&bed, &id, &[("LastTime", "true")]).await, "");
    assert!(simulated.exit(
        &id,
        "c",
        mock_eci::runtime::Exit {
            code: 1,
            ..Default::default()
        }
    ));
    bed.until_that(&id, "a restart", |g| g["Containers"][0]["RestartCount"] == 1)
        .await;
    assert!(!log(&bed, &id, &[]).await.contains("last words"));
    assert!(log(&bed, &id, &[("LastTime", "true")]).await.contains("last words"));
}

#[tokio::test(start_paused = true)]
async fn logs_stay_after_the_end() {
    let bed = Bed::new().await;
    let job = [
        ("RestartPolicy", "Never"),
        ("Tag.1.Key", "mock-eci/exit-after-ms"),
        ("Tag.1.Value", "1500"),
    ];
    let id = bed.create("job", &job).await;
    bed.until(&id, "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(log(&bed, &id, &[]).await.lines().count(), 2, "and do not grow any more");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there() {
    let bed = Bed::new().await;
    let id = bed.create("here", &[]).await;
    let reply = bed
        .call(
            "DescribeContainerLog",
            &[("ContainerGroupId", "eci-nowhere"), ("ContainerName", "c")],
        )
        .await;
    assert_eq!((reply.status, reply.code()), (404, "InvalidContainerGroupId.NotFound"));
    let reply = bed
        .call(
            "DescribeContainerLog",
            &[("ContainerGroupId", &id), ("ContainerName", "d")],
        )
        .await;
    assert_eq!((reply.status, reply.code()), (404, "InvalidContainerName.NotFound"));
}
