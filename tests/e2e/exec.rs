//! `kubectl exec` and `kubectl attach`, through the API server and the agent's kubelet API, as kubectl asks today (WebSocket)
//! and asked before (SPDY). The programs are mock-eci's simulated ones; `make spark`'s real containers are not needed for it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::cluster::{Cluster, PATIENCE};
use crate::kubectl::{Said, run};
use crate::namespace::{CONTAINER, Namespace, pod};

/// What kubectl is told to speak to the API server. (That speaks SPDY to the agent either way.)
pub const PROTOCOLS: [&str; 2] = [
    "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true",
    "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false",
];

impl Namespace<'_> {
    async fn exec(&self, protocol: &str, input: &str, arguments: &[&str]) -> Said {
        let mut all = vec![protocol, "kubectl", "--namespace", &self.name, "exec"];
        all.extend(arguments);
        run("env", &all, input).await
    }
}

#[tokio::test]
async fn output_comes_whole_and_the_exit_code_is_kubectls_own() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "exec").await;
    namespace.running(pod("works")).await;
    for protocol in PROTOCOLS {
        let said = namespace.exec(protocol, "", &["works", "--", "echo", "hello"]).await;
        assert_eq!((said.out.as_str(), said.code), ("hello\n", Some(0)), "{}", said.err);
        for code in [0, 1, 7, 137] {
            let script = format!("echo out; echo err >&2; exit {code}");
            let said = namespace
                .exec(protocol, "", &["works", "--", "sh", "-c", &script])
                .await;
            assert_eq!((said.out.as_str(), said.code), ("out\n", Some(code)), "{}", said.err);
            let words = match code {
                0 => String::new(),
                code => format!("command terminated with exit code {code}\n"),
            };
            assert_eq!(said.err, format!("err\n{words}"));
        }
    }
}

#[tokio::test]
async fn a_megabyte_goes_in_and_comes_out_unchanged() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "exec-input").await;
    namespace.running(pod("works")).await;
    let input: String = (0..150_000).map(|line| format!("{line}\n")).collect();
    for protocol in PROTOCOLS {
        let said = namespace.exec(protocol, &input, &["-i", "works", "--", "cat"]).await;
        assert_eq!((said.out.len(), said.code), (input.len(), Some(0)), "{}", said.err);
        assert!(said.out == input, "what came out is not what went in");
    }
}

#[tokio::test]
async fn a_terminal_has_the_size_of_the_callers() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "exec-tty").await;
    namespace.running(pod("works")).await;
    for protocol in PROTOCOLS {
        // `script` gives kubectl a terminal. Its size comes after the command has begun, as with any kubelet.
        let command = format!(
            "stty rows 43 cols 132; {protocol} kubectl --namespace {} exec -it works -- sh -c 'sleep 1; stty size'",
            namespace.name
        );
        let size = async || {
            run(
                "script",
                &["--quiet", "--return", "--command", &command, "/dev/null"],
                "",
            )
            .await
        };
        let is_known = |said: &Said| said.out.trim() == "43 132" && said.code == Some(0);
        cluster.eventually("the terminal's size", size, is_known).await;
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_a_reason() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "exec-refused").await;
    let mut once = pod("over");
    once["spec"]["restartPolicy"] = "Never".into();
    let (_, group) = namespace.running(once).await;
    namespace.running(pod("works")).await;
    cluster.cloud.exit(&group, CONTAINER, 0).await;
    namespace.phase("over", "Succeeded").await;
    let long = "x".repeat(5_000);
    for protocol in PROTOCOLS {
        let refused = async |arguments: &[&str]| namespace.exec(protocol, "", arguments).await.refusal();
        let over = refused(&["over", "--", "true"]).await;
        assert!(over.contains("completed pod"), "{over}");
        let too_long = refused(&["works", "--", "echo", &long]).await;
        assert!(
            too_long.contains("too long for ECI: it takes 20 words of 256 characters") && !too_long.contains(&long),
            "{too_long}"
        );
        let unknown = namespace.exec(protocol, "", &["works", "--", "nosuch"]).await;
        assert_eq!(unknown.code, Some(127), "{}", unknown.err);
    }
}

#[tokio::test]
async fn attach_shows_what_is_written_from_then_on_and_takes_no_input() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "attach").await;
    let mut once = pod("talks");
    once["spec"]["restartPolicy"] = "Never".into();
    let (_, group) = namespace.running(once).await;
    let refusal = namespace.kubectl(&["attach", "-i", "talks"]).await.refusal();
    assert!(
        refusal.contains("ECI has no way to attach to a container's standard input"),
        "{refusal}"
    );

    let mut kubectl = Command::new("kubectl")
        .args(["--namespace", &namespace.name, "attach", "talks"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl runs");
    let mut lines = BufReader::new(kubectl.stdout.take().expect("piped")).lines();
    // Written again and again, as nothing tells when kubectl is attached.
    let first = async {
        loop {
            cluster.cloud.log(&group, CONTAINER, &["tick"]).await;
            if let Ok(line) = tokio::time::timeout(Duration::from_secs(1), lines.next_line()).await {
                return line.expect("text");
            }
        }
    };
    let first = tokio::time::timeout(PATIENCE, first).await.expect("a line");
    assert_eq!(first.as_deref(), Some("tick"), "what was written before is not shown");
    cluster.cloud.exit(&group, CONTAINER, 0).await;
    let ended = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            assert_eq!(line, "tick");
        }
        kubectl.wait().await.expect("it ran")
    };
    let status = tokio::time::timeout(PATIENCE, ended).await.expect("kubectl ends");
    assert!(status.success(), "{status}");
}
