//! Commands in containers, and what they use.

use serde_json::json;

use crate::bed::Bed;

pub(super) async fn send(bed: &Bed) {
    let id = bed.create("maximal-exec", &[]).await;
    bed.until(&id, "Running").await;
    for (tty, sync) in [("true", "false"), ("false", "true")] {
        let exec = [
            ("ContainerGroupId", &*id),
            ("ContainerName", "c"),
            ("Command", "[\"true\"]"),
            ("TTY", tty),
            ("Stdin", "true"),
            ("Sync", sync),
        ];
        bed.call("ExecContainerCommand", &exec).await.ok();
    }
    let now = bed.app().clock().now();
    let (start, end) = ((now - jiff::SignedDuration::from_mins(5)).to_string(), now.to_string());
    let metric = [
        ("ContainerGroupId", &*id),
        ("StartTime", &*start),
        ("EndTime", &*end),
        ("Period", "60"),
    ];
    bed.call("DescribeContainerGroupMetric", &metric).await.ok();
    let ids = json!([id]).to_string();
    let metrics = [
        ("ContainerGroupIds", &*ids),
        ("MetricType", "summary"),
        ("ResourceGroupId", "rg-default"),
    ];
    bed.call("DescribeMultiContainerGroupMetric", &metrics).await.ok();
}
