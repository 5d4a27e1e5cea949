//! The golden cases: what each group is is in its folder, what is done to it here.

use std::time::Duration;

use crate::{golden::golden, registry};

#[test]
fn probe_recovers() {
    golden("probe-recovers", async |case| {
        case.until_seen("container main", "Running ready", 2).await;
        case.until_seen("pod", "Running, Initialized, Ready", 2).await;
    });
}

#[test]
fn liveness_lost() {
    golden("liveness-lost", async |case| {
        case.until_seen("container main", "Running ready restarts=1", 1).await;
    });
}

#[test]
fn init_fails() {
    golden("init-fails", async |case| {
        case.until_status("Failed").await;
    });
}

#[test]
fn init_recovers() {
    golden("init-recovers", async |case| {
        case.until_status("Succeeded").await;
        case.keep_log("main").await;
    });
}

#[test]
fn out_of_memory() {
    golden("out-of-memory", async |case| {
        case.until_status("Failed").await;
    });
}

#[test]
fn sigterm_ignored() {
    golden("sigterm-ignored", async |case| {
        case.until_seen("container main", "Running ready", 1).await;
        case.delete().await;
    });
}

#[test]
fn restart_back_off() {
    golden("restart-back-off", async |case| {
        for (times, seconds) in [(1, 10), (2, 20), (3, 40)] {
            case.until_seen("container main", "Waiting CrashLoopBackOff", times)
                .await;
            if seconds < 40 {
                case.bed.app().advance(Duration::from_secs(seconds));
            }
        }
    });
}

#[test]
fn config_modes() {
    golden("config-modes", async |case| {
        case.until_status("Succeeded").await;
        case.keep_log("main").await;
    });
}

#[test]
fn memory_volume_full() {
    golden("memory-volume-full", async |case| {
        case.until_status("Failed").await;
        case.keep_log("main").await;
    });
}

#[test]
fn disk_volume_full() {
    golden("disk-volume-full", async |case| {
        case.until_seen("container main", "Terminated", 1).await;
    });
}

#[test]
fn logs() {
    golden("logs", async |case| {
        case.until_status("Succeeded").await;
        let lines = |log: &str| log.lines().map(str::to_owned).collect::<Vec<_>>();
        let default = lines(&case.log("main", &[]).await);
        assert_eq!((default.len(), default[0].as_str()), (500, "line 2000"));
        let most = lines(&case.log("main", &[("Tail", "2000")]).await);
        assert_eq!(
            (most.len(), most[0].as_str(), most[1999].as_str()),
            (2000, "line 500", "line 2499")
        );
        let long = case.log("long", &[("Tail", "2000")]).await;
        assert!(long.len() <= 1 << 20 && long.len() > (1 << 20) - 5000, "{}", long.len());
        assert!(long.lines().last().is_some_and(|line| line.starts_with("399 xxx")));
        assert_eq!(case.log("long", &[("LimitBytes", "10")]).await.len(), 10);

        let stamped = lines(&case.log("main", &[("Tail", "2000"), ("Timestamps", "true")]).await);
        let stamps: Vec<jiff::Timestamp> = stamped
            .iter()
            .map(|line| {
                let (stamp, text) = line.split_once(' ').unwrap();
                assert!(text.starts_with("line "), "{line}");
                assert_eq!(stamp.len(), "2026-01-01T00:00:00.000000000Z".len(), "{line}");
                stamp.parse().unwrap()
            })
            .collect();
        assert!(stamps.is_sorted());
        let exact = stamps.iter().filter(|stamp| stamp.subsec_nanosecond() % 1_000_000 != 0);
        assert!(exact.count() > 1_000, "{:?}", &stamps[..3]);
        let last = stamps[1999].to_string();
        let newest = lines(&case.log("main", &[("StartTime", &last), ("Timestamps", "true")]).await);
        // Lines that were read together have one time.
        assert!(newest.iter().all(|line| line.starts_with(&last[..19])), "{newest:?}");
        assert!(
            newest.last().is_some_and(|line| line.ends_with("line 2499")),
            "{newest:?}"
        );
    });
}

#[test]
fn private_registry() {
    registry::start();
    golden("private-registry", async |case| {
        case.until_status("Succeeded").await;
        case.keep_log("main").await;
        registry::forget(&format!("{}/private/tool:1", registry::ADDRESS)).await;
    });
}

#[test]
fn private_registry_refused() {
    registry::start();
    golden("private-registry-refused", async |case| {
        for (times, seconds) in [(1, 5), (2, 10)] {
            case.until_seen("container main", "Waiting ErrImagePull", times).await;
            case.bed.app().advance(Duration::from_secs(seconds));
            case.until_seen("container main", "Waiting ImagePullBackOff", times)
                .await;
            if times == 1 {
                case.bed.app().advance(Duration::from_secs(seconds));
            }
        }
    });
}

#[test]
fn no_image() {
    golden("no-image", async |case| {
        case.until_seen("container main", "Running ready", 1).await;
        case.bed.app().advance(Duration::from_secs(10));
        case.delete().await;
    });
}

#[test]
fn post_start() {
    golden("post-start", async |case| {
        case.until_status("Succeeded").await;
        case.keep_log("main").await;
    });
}

#[test]
fn post_start_fails() {
    golden("post-start-fails", async |case| {
        case.until_status("Failed").await;
    });
}

#[test]
fn last_words() {
    golden("last-words", async |case| {
        let group = case.until_status("Failed").await;
        let containers = group["Containers"].as_array().unwrap();
        let long = containers.iter().find(|c| c["Name"] == "long").unwrap();
        assert_eq!(long["CurrentState"]["Message"].as_str().map(str::len), Some(4096));
    });
}
