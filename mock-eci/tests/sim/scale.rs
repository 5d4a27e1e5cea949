//! What asking costs must not grow with what is not asked for.

use std::time::Instant;

use mock_eci::{Config, config::Limits};

use crate::bed::Bed;

/// Least time of three rounds of 100 calls each: what else the machine does only adds to it.
#[expect(clippy::disallowed_methods, reason = "paused time does not measure work")]
async fn cost(bed: &Bed, params: &[(&str, &str)]) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        for _ in 0..100 {
            bed.call("DescribeContainerGroupStatus", params).await.ok();
        }
        least = least.min(started.elapsed().as_secs_f64());
    }
    least
}

#[tokio::test(start_paused = true)]
async fn polling_costs_what_it_returns() {
    let (mut costs, mut since) = (Vec::new(), Vec::new());
    for groups in [200, 4_000] {
        let bed = Bed::with(Config {
            limits: Limits::None,
            journal_entries: 0,
            ..Config::default()
        })
        .await;
        let mut made = Vec::new();
        for _ in 0..groups {
            made.push(bed.create("many", &[]).await);
        }
        bed.until(&made[groups - 1], "Running").await;
        bed.app().advance(std::time::Duration::from_secs(3_000));
        let moving = serde_json::json!(made[..20]).to_string();
        let by_id = [("ContainerGroupIds", moving.as_str())];
        costs.push(cost(&bed, &by_id).await);
        since.push(cost(&bed, &[("SinceSecond", "60")]).await);
    }
    // Twenty times the groups: a scan would cost near twenty times as much. The bound leaves room for a busy machine.
    assert!(costs[1] < 8.0 * costs[0], "by id: {costs:?}");
    assert!(since[1] < 8.0 * since[0], "by time: {since:?}");
}
