//! How containers end.

use std::time::Duration;

use mock_eci::{
    runtime::{ContainerEvent, Runtime, RuntimeEventKind},
    spec::{Handler, Probe, Size},
};

use crate::bed::{Bed, group, on_bed, shell};

async fn stopped(bed: &mut Bed) {
    bed.until("Stopped", |event| {
        matches!(event, RuntimeEventKind::Stopped).then_some(())
    })
    .await;
}

#[test]
fn exit_codes_and_last_words_are_reported() {
    on_bed(async |mut bed| {
        let mut file = shell("file", "echo out; printf 'why it ended' >/dev/termination-log; exit 3");
        file.termination_message_from_logs = true;
        let mut log = shell("log", "echo the last line; exit 4");
        log.termination_message_from_logs = true;
        bed.launch(group(vec![file, log, shell("good", "true")])).await;
        for (name, code, message) in [
            ("file", 3, "why it ended"),
            ("log", 4, "the last line\n"),
            ("good", 0, ""),
        ] {
            bed.start(name, 0).await;
            let exit = bed.exit(name, 0).await;
            assert_eq!((exit.code, exit.message.as_str()), (code, message), "{name}");
        }
    });
}

#[test]
fn stop_asks_first_and_kills_at_the_grace() {
    on_bed(async |mut bed| {
        let polite = shell(
            "polite",
            "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done",
        );
        let stubborn = shell("stubborn", "trap 'echo no' TERM; echo up; while :; do sleep 0.1; done");
        bed.launch(group(vec![polite, stubborn])).await;
        for name in ["polite", "stubborn"] {
            bed.start(name, 0).await;
            bed.logged(name, 0, "up").await;
        }
        let begin = tokio::time::Instant::now();
        bed.runtime.stop(&bed.group, Duration::from_secs(3));
        assert_eq!(bed.exit("polite", 0).await.code, 5);
        assert_eq!(bed.exit("stubborn", 0).await.code, 137);
        assert!(
            begin.elapsed() >= Duration::from_secs(3),
            "killed after {:?}",
            begin.elapsed()
        );
        stopped(&mut bed).await;
        assert_eq!(bed.log("polite", 0).await, "up\nbye\n");
        assert!(bed.log("stubborn", 0).await.contains("no\n"));
        let exits = bed.seen().iter().filter(|event| {
            matches!(
                event.kind,
                RuntimeEventKind::Container {
                    event: ContainerEvent::Exited(_),
                    ..
                }
            )
        });
        assert_eq!(exits.count(), 2);
    });
}

#[test]
fn a_second_stop_shortens_the_grace() {
    on_bed(async |mut bed| {
        bed.launch(group(vec![shell(
            "main",
            "trap '' TERM; echo up; while :; do sleep 0.1; done",
        )]))
        .await;
        bed.start("main", 0).await;
        bed.logged("main", 0, "up").await;
        let begin = tokio::time::Instant::now();
        bed.runtime.stop(&bed.group, Duration::from_secs(600));
        bed.runtime.stop(&bed.group, Duration::ZERO);
        assert_eq!(bed.exit("main", 0).await.code, 137);
        stopped(&mut bed).await;
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "killed after {:?}",
            begin.elapsed()
        );
    });
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    on_bed(async |mut bed| {
        let mut main = shell(
            "main",
            "trap 'cat /tmp/post /tmp/pre; exit 0' TERM; echo up; while :; do sleep 0.1; done",
        );
        let command = |script: &str| Some(Handler::Exec(vec!["sh".into(), "-c".into(), script.into()]));
        main.post_start = command("echo post >/tmp/post; echo from-hook >/proc/1/fd/1");
        main.pre_stop = command("echo pre >/tmp/pre");
        let mut failing = shell("failing", "trap 'exit 0' TERM; while :; do sleep 0.1; done");
        failing.post_start = command("exit 9");
        bed.launch(group(vec![main, failing])).await;
        bed.start("main", 0).await;
        bed.logged("main", 0, "from-hook").await;
        bed.logged("main", 0, "up").await;
        bed.runtime.start(&bed.group, "failing", 0);
        bed.container("a word of the hook", "failing", 0, |event| match event {
            ContainerEvent::Noted { reason, .. } if *reason == "FailedPostStartHook" => Some(()),
            ContainerEvent::Started { .. } => panic!("it runs without its hook"),
            _ => None,
        })
        .await;
        bed.exit("failing", 0).await;
        bed.runtime.stop_container(&bed.group, "main", Duration::from_secs(60));
        assert_eq!(bed.exit("main", 0).await.code, 0);
        assert!(bed.log("main", 0).await.ends_with("post\npre\n"));
    });
}

#[test]
fn probes_tell_readiness_and_end_what_does_not_live() {
    on_bed(async |mut bed| {
        let probe = |handler, failure_threshold| {
            let second = Duration::from_secs(1);
            Some(Probe {
                handler,
                initial_delay: Duration::ZERO,
                period: second,
                timeout: second * 5,
                success_threshold: 1,
                failure_threshold,
            })
        };
        let script = "trap 'exit 7' TERM; mkdir /tmp/www; echo ok >/tmp/www/ok; httpd -p 8080 -h /tmp/www; while :; do sleep 0.1; done";
        let mut main = shell("main", script);
        let get = |path: &str| Handler::HttpGet {
            host: String::new(),
            path: path.into(),
            port: 8080,
            scheme: "HTTP".into(),
            headers: Vec::new(),
        };
        main.readiness_probe = probe(get("/ok"), 3);
        main.liveness_probe = probe(
            Handler::TcpSocket {
                host: String::new(),
                port: 8080,
            },
            10,
        );
        let mut ill = shell("ill", script.replace("8080", "8081").as_str());
        ill.liveness_probe = probe(
            Handler::HttpGet {
                host: String::new(),
                path: "/missing".into(),
                port: 8081,
                scheme: "HTTP".into(),
                headers: Vec::new(),
            },
            2,
        );
        bed.launch(group(vec![main, ill])).await;
        bed.start("main", 0).await;
        bed.container("readiness", "main", 0, |event| {
            matches!(event, ContainerEvent::Ready(true)).then_some(())
        })
        .await;
        bed.start("ill", 0).await;
        bed.container("illness", "ill", 0, |event| match event {
            ContainerEvent::Unhealthy { message } if message.contains("statuscode: 404") => Some(()),
            _ => None,
        })
        .await;
        assert_eq!(bed.exit("ill", 0).await.code, 7);
    });
}

#[test]
fn too_much_memory_ends_a_container() {
    on_bed(async |mut bed| {
        let mut main = shell("main", "tail /dev/zero");
        main.size = Size {
            milli_cpu: 500,
            memory_mib: 32,
        };
        bed.launch(group(vec![main])).await;
        bed.start("main", 0).await;
        let exit = bed.exit("main", 0).await;
        assert_eq!((exit.code, exit.oom), (137, true), "{exit:?}");
    });
}

#[test]
fn a_container_killed_by_somebody_else_has_ended_too() {
    on_bed(async |mut bed| {
        bed.launch(group(vec![shell("main", "sleep 600"), shell("gone", "sleep 600")]))
            .await;
        bed.start("main", 0).await;
        bed.start("gone", 0).await;
        let docker = crate::bed::engine().await;
        docker
            .kill_container(&format!("{}_main_0", bed.group), None)
            .await
            .unwrap();
        assert_eq!(bed.exit("main", 0).await.code, 137);
        let force = bollard::query_parameters::RemoveContainerOptionsBuilder::default()
            .force(true)
            .build();
        docker
            .remove_container(&format!("{}_gone_0", bed.group), Some(force))
            .await
            .unwrap();
        assert_eq!(bed.exit("gone", 0).await.code, 137);
    });
}
