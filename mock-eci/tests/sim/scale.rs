//! What asking costs must not grow with what is not asked for.

use std::time::Instant;

use mock_eci::{Config, config::Limits};

use crate::bed::Bed;

/// Time of `calls` calls, by the machine's clock: paused time does not measure work.
async fn cost(bed: &Bed, calls: usize, params: &[(&str, &str)]) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        bed.call("DescribeContainerGroupStatus", params).await.ok();
    }
    started.elapsed().as_secs_f64()
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
        cost(&bed, 20, &by_id).await;
        costs.push(cost(&bed, 200, &by_id).await);
        since.push(cost(&bed, 200, &[("SinceSecond", "60")]).await);
    }
    // Twenty times the groups: a scan would cost near twenty times as much. The bound leaves room for a busy machine.
    assert!(costs[1] < 8.0 * costs[0], "by id: {costs:?}");
    assert!(since[1] < 8.0 * since[0], "by time: {since:?}");
}
