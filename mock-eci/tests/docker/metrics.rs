//! What real containers use.

use std::time::Duration;

use mock_eci::runtime::{Runtime, metrics::Sample};

use crate::bed::{Bed, group, on_bed, shell};

/// The newest sample; the clock is moved on, so that nobody waits for the next one.
async fn sample(bed: &Bed, holds: impl Fn(&Sample) -> bool) -> Sample {
    let wanted = async {
        loop {
            let found = bed
                .runtime
                .samples(&bed.group, &[bed.clock.now()], Duration::from_secs(60));
            if let Some(sample) = found.unwrap().pop().filter(&holds) {
                return sample;
            }
            bed.clock.advance(Duration::from_secs(15));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), wanted)
        .await
        .expect("a sample")
}

#[test]
fn metrics_of_a_busy_container_are_the_engines() {
    on_bed(async |mut bed| {
        let busy = shell("busy", "dd if=/dev/zero of=/tmp/x bs=1M count=8; while :; do :; done");
        let idle = shell("idle", "exec sleep 100000");
        bed.launch(group(vec![busy, idle])).await;
        bed.start("busy", 0).await;
        bed.start("idle", 0).await;
        let all = |sample: &Sample| sample.containers.len() == 2 && sample.cpu.nano_cores > 0;
        let first = sample(&bed, all).await;
        let (busy, idle) = (&first.containers[0], &first.containers[1]);
        assert_eq!((&*busy.name, &*idle.name), ("busy", "idle"));
        assert!(busy.cpu.core_nanoseconds > idle.cpu.core_nanoseconds, "{first:?}");
        assert!(busy.memory.usage > 0 && idle.memory.usage > 0, "{first:?}");
        assert!(
            first.cpu.core_nanoseconds >= busy.cpu.core_nanoseconds + idle.cpu.core_nanoseconds,
            "with the pause"
        );
        assert_eq!(first.interfaces.len(), 1, "{first:?}");

        let later = sample(&bed, |sample| sample.at > first.at && all(sample)).await;
        assert!(later.cpu.core_nanoseconds > first.cpu.core_nanoseconds);
        assert!(later.interfaces[0].received.bytes >= first.interfaces[0].received.bytes);
        let since = bed
            .runtime
            .samples(&bed.group, &[first.at, later.at], Duration::from_secs(15))
            .unwrap();
        assert_eq!(since, [first.clone(), later.clone()], "both are kept");

        bed.runtime.stop_container(&bed.group, "busy", Duration::ZERO);
        bed.exit("busy", 0).await;
        let ended = sample(&bed, |sample| sample.at > later.at && sample.containers.len() == 1).await;
        assert!(
            ended.cpu.core_nanoseconds >= later.cpu.core_nanoseconds,
            "what ended counts on"
        );
        bed.runtime.remove(&bed.group);
        assert!(
            bed.runtime
                .samples(&bed.group, &[bed.clock.now()], Duration::from_secs(60))
                .is_err()
        );
    });
}
