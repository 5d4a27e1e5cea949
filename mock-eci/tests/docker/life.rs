//! Groups from launch to removal.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use mock_eci::{
    runtime::{ContainerEvent, Launch, LogQuery, Record, Runtime, RuntimeError, RuntimeEventKind},
    spec::GroupId,
};

use crate::bed::{empty_dir, group, on_bed, shell};

#[test]
fn events_come_in_order() {
    on_bed(async |mut bed| {
        let ip = bed.launch(group(vec![shell("main", "true")])).await;
        bed.start("main", 0).await;
        bed.exit("main", 0).await;
        let words: Vec<String> = bed
            .seen()
            .iter()
            .map(|event| match &event.kind {
                RuntimeEventKind::SandboxReady { ip } => format!("SandboxReady {ip}"),
                RuntimeEventKind::Container {
                    event: ContainerEvent::Pulled { took: None },
                    ..
                } => "Present".into(),
                RuntimeEventKind::Container {
                    event: ContainerEvent::Started { .. },
                    ..
                } => "Started".into(),
                RuntimeEventKind::Container {
                    event: ContainerEvent::Exited(_),
                    ..
                } => "Exited".into(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            words,
            [
                "Scheduled",
                "PullStarted",
                &format!("SandboxReady {ip}"),
                "Present",
                "Started",
                "Exited"
            ]
        );
        let times: Vec<_> = bed.seen().iter().map(|event| event.at).collect();
        assert!(times.is_sorted(), "{times:?}");
    });
}

#[test]
fn a_restart_keeps_files_and_the_previous_log() {
    on_bed(async |mut bed| {
        let script =
            "echo run >>/data/runs; n=$(wc -l </data/runs); echo this is $n; printf $n >/dev/termination-log; exit $n";
        let mut main = shell("main", script);
        main.mounts = vec![mock_eci::spec::Mount {
            volume: "data".into(),
            path: "/data".into(),
            ..Default::default()
        }];
        let mut spec = group(vec![main]);
        spec.volumes = vec![empty_dir("data", false)];
        bed.launch(spec).await;
        for instance in 0..3 {
            bed.start("main", instance).await;
            let exit = bed.exit("main", instance).await;
            assert_eq!(
                (exit.code, exit.message),
                (i32::try_from(instance).unwrap() + 1, (instance + 1).to_string())
            );
        }
        assert_eq!(bed.log("main", 2).await, "this is 3\n");
        assert_eq!(bed.log("main", 1).await, "this is 2\n");
    });
}

#[test]
fn logs_are_cut_by_tail_and_since_and_carry_times() {
    on_bed(async |mut bed| {
        let before = bed.clock.now();
        let script = "for i in 1 2 3; do echo out $i; done; echo err >&2; sleep 2; printf last";
        bed.launch(group(vec![shell("main", script)])).await;
        bed.start("main", 0).await;
        bed.exit("main", 0).await;
        let read = async |tail, since| {
            bed.runtime
                .logs(
                    &bed.group,
                    "main",
                    LogQuery {
                        instance: 0,
                        tail,
                        since,
                    },
                )
                .await
                .unwrap()
        };
        let all = read(2000, None).await;
        assert_eq!(all.len(), 5, "{all:?}");
        // The two streams of a container are in no order to each other.
        let mut first: Vec<_> = all[..4]
            .iter()
            .map(|line| String::from_utf8_lossy(&line.text))
            .collect();
        first.sort();
        assert_eq!(first, ["err\n", "out 1\n", "out 2\n", "out 3\n"]);
        assert_eq!(&all[4].text[..], b"last");
        let second = jiff::SignedDuration::from_secs(1);
        assert!(
            all.iter()
                .all(|line| line.at >= before - second && line.at <= bed.clock.now()),
            "{all:?}"
        );
        assert_eq!(read(2, None).await, all[3..]);
        assert_eq!(read(2000, Some(all[4].at)).await, all[4..]);
        assert!(read(2000, Some(all[4].at + second * 5)).await.is_empty());
        let nothing = bed
            .runtime
            .logs(
                &bed.group,
                "main",
                LogQuery {
                    instance: 1,
                    tail: 1,
                    since: None,
                },
            )
            .await;
        assert!(matches!(nothing, Err(RuntimeError::NotFound)), "{nothing:?}");
    });
}

#[test]
fn a_removed_group_leaves_nothing() {
    on_bed(async |mut bed| {
        let mut spec = group(vec![
            shell("main", "trap '' TERM; while :; do sleep 1; done"),
            shell("done", "true"),
        ]);
        spec.volumes = vec![empty_dir("disk", false), empty_dir("memory", true)];
        bed.launch(spec).await;
        bed.start("main", 0).await;
        bed.output("done").await;
        assert_eq!(bed.left().await.len(), 5);
        bed.runtime.remove(&bed.group);
        let gone = async {
            while !bed.left().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone)
            .await
            .expect("containers or volumes are left");
        let log = bed
            .runtime
            .logs(
                &bed.group,
                "done",
                LogQuery {
                    instance: 0,
                    tail: 1,
                    since: None,
                },
            )
            .await;
        assert!(matches!(log, Err(RuntimeError::NotFound)), "{log:?}");
    });
}

#[test]
fn reset_removes_what_an_earlier_process_left() {
    on_bed(async |mut bed| {
        bed.launch(group(vec![shell("main", "sleep 600")])).await;
        bed.start("main", 0).await;
        let bed = bed.restarted().await;
        assert_eq!(bed.left().await.len(), 3);
        bed.runtime.reset().await.unwrap();
        assert_eq!(bed.left().await, Vec::<String>::new());
    });
}

#[test]
fn groups_of_an_earlier_process_are_adopted() {
    on_bed(async |mut bed| {
        let mut spec = group(vec![
            shell("runs", "trap 'exit 6' TERM; echo up; while :; do sleep 0.1; done"),
            shell("ended", "exit 2"),
        ]);
        spec.containers.push(shell("never", "true"));
        let ip = bed.launch(spec).await;
        bed.start("runs", 0).await;
        bed.logged("runs", 0, "up").await;
        bed.start("ended", 0).await;
        bed.exit("ended", 0).await;
        bed.start("ended", 1).await;
        bed.exit("ended", 1).await;

        let mut bed = bed.restarted().await;
        let adopted = bed.runtime.adopt().await.unwrap();
        assert_eq!(adopted.len(), 1);
        assert_eq!(
            (&adopted[0].id, &*adopted[0].record.0, adopted[0].ip),
            (&bed.group, "{\"the\":\"record\"}", Some(ip))
        );
        let found: Vec<_> = adopted[0]
            .containers
            .iter()
            .map(|c| {
                (
                    c.name.as_str(),
                    c.instance,
                    c.started_at.is_some(),
                    c.exited.as_ref().map(|(_, exit)| exit.code),
                )
            })
            .collect();
        assert_eq!(found, [("runs", 0, true, None), ("ended", 1, true, Some(2))]);
        assert_eq!(bed.log("runs", 0).await, "up\n");

        // It is a group like any other from here on.
        bed.start("never", 0).await;
        assert_eq!(bed.exit("never", 0).await.code, 0);
        bed.runtime.stop(&bed.group, Duration::from_secs(60));
        assert_eq!(bed.exit("runs", 0).await.code, 6);
        bed.until("Stopped", |event| {
            matches!(event, RuntimeEventKind::Stopped).then_some(())
        })
        .await;
    });
}

#[test]
fn a_launch_that_fails_leaves_nothing() {
    on_bed(async |bed| {
        let mut bed = bed;
        bed.config.network = "no-such-network".into();
        let mut bed = bed.restarted().await;
        bed.order(group(vec![shell("main", "true")]));
        let message = bed
            .until("LaunchFailed", |event| match event {
                RuntimeEventKind::LaunchFailed { reason, message } => Some(format!("{reason}: {message}")),
                _ => None,
            })
            .await;
        assert!(
            message.starts_with("FailedCreatePodSandBox: ") && message.contains("no-such-network"),
            "{message}"
        );
        assert_eq!(bed.left().await, Vec::<String>::new());
    });
}

#[test]
fn a_stop_interrupts_a_launch_and_unknown_groups_are_stopped_already() {
    on_bed(async |mut bed| {
        bed.order(group(vec![shell("main", "sleep 600")]));
        bed.runtime.start(&bed.group, "main", 0);
        bed.runtime.stop(&bed.group, Duration::from_secs(600));
        bed.until("Stopped", |event| {
            matches!(event, RuntimeEventKind::Stopped).then_some(())
        })
        .await;
        let started = bed.seen().iter().any(|event| {
            matches!(
                event.kind,
                RuntimeEventKind::Container {
                    event: ContainerEvent::Started { .. },
                    ..
                }
            )
        });
        assert!(!started, "{:?}", bed.seen());
        bed.runtime.stop(&GroupId::from("eci-unknown"), Duration::ZERO);
        bed.until("Stopped", |event| {
            matches!(event, RuntimeEventKind::Stopped).then_some(())
        })
        .await;
    });
}

#[test]
fn many_groups_live_side_by_side() {
    on_bed(async |mut bed| {
        let groups: Vec<GroupId> = (0..8).map(|n| format!("{}{n}", bed.group).into()).collect();
        for id in &groups {
            let spec = Arc::new(group(vec![shell("main", "exit 3")]));
            bed.runtime.launch(Launch {
                cached_images: Vec::new(),
                id: id.clone(),
                spec,
                record: Record::default(),
            });
            bed.runtime.start(id, "main", 0);
        }
        let mut ended = 0;
        while ended < groups.len() {
            bed.until("Exited", |event| match event {
                RuntimeEventKind::Container {
                    event: ContainerEvent::Exited(exit),
                    ..
                } => Some(exit.code),
                _ => None,
            })
            .await;
            ended += 1;
        }
        let addresses: BTreeSet<_> = bed
            .seen()
            .iter()
            .filter_map(|event| match &event.kind {
                RuntimeEventKind::SandboxReady { ip } => Some(*ip),
                _ => None,
            })
            .collect();
        assert_eq!(addresses.len(), groups.len(), "each has an address of its own");
        for id in &groups {
            let words: Vec<_> = bed.seen().iter().filter(|event| event.group == *id).collect();
            let exits = words.iter().filter(|event| {
                matches!(&event.kind, RuntimeEventKind::Container { event: ContainerEvent::Exited(exit), .. } if exit.code == 3)
            });
            assert_eq!(exits.count(), 1, "{words:?}");
            bed.runtime.stop(id, Duration::ZERO);
        }
        for _ in &groups {
            bed.until("Stopped", |event| {
                matches!(event, RuntimeEventKind::Stopped).then_some(())
            })
            .await;
        }
        bed.runtime.reset().await.unwrap();
        assert_eq!(bed.left().await, Vec::<String>::new());
    });
}
