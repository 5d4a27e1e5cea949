//! Clients that leave: killed, or asked to end, in the middle of output.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::idle;
use crate::cluster::Cluster;
use crate::exec::PROTOCOLS;
use crate::kubectl::run;
use crate::namespace::Namespace;

#[tokio::test]
async fn a_command_ends_with_its_client() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-left").await;
    namespace.running(idle("box")).await;
    let mut clients = Vec::new();
    let mut mark = 700_000;
    for protocol in PROTOCOLS {
        for signal in ["KILL", "TERM"] {
            for (stdin, command) in [
                // With something after it, or the shell would become it.
                (false, "sleep MARK; true"),
                (true, "sleep MARK; true"),
                (true, "cat >/dev/null; sleep MARK"),
                (false, "while true; do echo MARK; sleep 0.1; done"),
            ] {
                mark += 1;
                let script = command.replace("MARK", &mark.to_string());
                clients.push((start(&namespace, protocol, stdin, &script), signal));
            }
        }
    }
    let all = clients.len();
    // The scripts that run, one a line.
    let running = async || {
        let script = "for p in /proc/[0-9]*; do if [ $p != /proc/$$ ] && grep -q 'sh.-c.*7000[0-9][0-9]' $p/cmdline 2>/dev/null; \
                      then tr '\\0' ' ' <$p/cmdline; echo; fi; done";
        namespace.shell("box", script).await
    };
    cluster
        .eventually("all commands to run", running, |seen| seen.lines().count() == all)
        .await;
    for (client, signal) in &clients {
        let pid = client.id().expect("it runs").to_string();
        run("kill", &["-s", signal, &pid], "").await.ok();
    }
    cluster
        .eventually("all commands to be gone", running, String::is_empty)
        .await;
    let sessions = async || cluster.cloud.get("exec").await["sessions"].clone();
    cluster
        .eventually("the sessions to be gone", sessions, |count| *count == 0)
        .await;
}

/// A kubectl whose standard input stays open.
fn start(namespace: &Namespace<'_>, protocol: &str, stdin: bool, script: &str) -> Child {
    let (name, value) = protocol.split_once('=').expect("a variable");
    Command::new("kubectl")
        .env(name, value)
        .args(["--namespace", &namespace.name, "exec"])
        .args(stdin.then_some("--stdin"))
        .args(["box", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl runs")
}
