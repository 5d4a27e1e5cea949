//! Terminals, `attach` and `run -it`.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::{idle, scripted};
use crate::cluster::{Cluster, PATIENCE};
use crate::exec::PROTOCOLS;
use crate::kubectl::run;
use crate::namespace::{CONTAINER, Namespace};

#[tokio::test]
async fn a_terminal_follows_the_size_of_the_callers() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-tty").await;
    namespace.running(idle("box")).await;
    // Waits for one size, says so, and waits for another.
    let inside = "test -t 0 && echo terminal; until [ \"$(stty size)\" = \"43 132\" ]; do sleep 0.1; done; touch /tmp/seen; \
                  until [ \"$(stty size)\" = \"24 80\" ]; do sleep 0.1; done; rm /tmp/seen; echo sized; exit 3";
    for protocol in PROTOCOLS {
        let kubectl = format!("{protocol} kubectl --namespace {}", namespace.name);
        // `script` gives kubectl a terminal, whose size changes when the container has seen the first.
        let outside = format!(
            "stty rows 43 cols 132; {kubectl} exec -it box -- sh -c '{inside}' </dev/tty & \
             until {kubectl} exec box -- test -e /tmp/seen 2>/dev/null; do sleep 0.2; done; stty rows 24 cols 80; wait $!"
        );
        let arguments = ["--quiet", "--return", "--command", &outside, "/dev/null"];
        let said = timeout(PATIENCE, run("script", &arguments, "")).await.expect("it ends");
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(
            said.out.contains("terminal\r\n") && said.out.contains("sized\r\n"),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn attach_shows_what_is_written_until_the_container_ends() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-attach").await;
    let mut talks = scripted(
        "talks",
        "n=0; until [ -e /tmp/end ]; do n=$((n+1)); echo line $n; sleep 0.3; done; echo last",
    );
    talks["spec"]["restartPolicy"] = "Never".into();
    namespace.running(talks).await;
    let mut kubectl = Command::new("kubectl")
        .args([
            "--namespace",
            &namespace.name,
            "attach",
            "talks",
            "--container",
            CONTAINER,
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl runs");
    let mut lines = BufReader::new(kubectl.stdout.take().expect("piped")).lines();
    let mut next = async || {
        timeout(PATIENCE, lines.next_line())
            .await
            .expect("a line")
            .expect("text")
    };
    let number = |line: &Option<String>| -> Option<u32> { line.as_ref()?.strip_prefix("line ")?.parse().ok() };
    let first = number(&next().await).expect("a line");
    assert_eq!(number(&next().await), Some(first + 1), "none lost, none twice");
    namespace.shell("talks", "touch /tmp/end").await;
    let mut expected = first + 2;
    loop {
        let line = next().await;
        if line.as_deref() == Some("last") {
            break;
        }
        assert_eq!(number(&line), Some(expected));
        expected += 1;
    }
    assert_eq!(next().await, None);
    let status = timeout(PATIENCE, kubectl.wait()).await.expect("kubectl ends");
    assert!(status.expect("it ran").success());
}

#[tokio::test]
async fn run_in_a_terminal_is_told_why_it_has_no_input() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-run").await;
    let command = format!(
        "kubectl --namespace {} run asks -it --restart=Never --image=localhost/virtual-node/busybox:1 --pod-running-timeout=2m -- \
         sh -c 'until [ -e /tmp/end ]; do sleep 0.3; done; echo done'",
        namespace.name
    );
    let arguments = ["--quiet", "--return", "--command", &command, "/dev/null"];
    let asks = run("script", &arguments, "");
    let end = async {
        namespace.phase("asks", "Running").await;
        // kubectl attaches when it has seen that, and then falls back to logs.
        tokio::time::sleep(Duration::from_secs(3)).await;
        namespace.shell("asks", "touch /tmp/end").await;
    };
    let (said, ()) = tokio::join!(timeout(PATIENCE, asks), end);
    let said = said.expect("it ends");
    assert!(
        said.out
            .contains("ECI has no way to attach to a container's standard input"),
        "{said:?}"
    );
    let path = namespace.path("pods", "asks");
    cluster
        .until("the pod to have ended", &path, |pod: &Value| {
            pod["status"]["phase"] == "Succeeded"
        })
        .await;
}
