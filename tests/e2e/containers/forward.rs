//! `kubectl port-forward`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::scripted;
use crate::chance::Chance;
use crate::cluster::{Cluster, PATIENCE};
use crate::namespace::Namespace;

/// How kubectl is told to speak to the API server, and how much is to go each way.
const PROTOCOLS: [(&str, usize); 2] = [
    ("KUBECTL_PORT_FORWARD_WEBSOCKETS=true", 100_000_000),
    ("KUBECTL_PORT_FORWARD_WEBSOCKETS=false", 20_000_000),
];
const CONNECTIONS: usize = 8;
/// Sends back what it gets, until that ends; a process for each connection.
const ECHO: &str = "exec nc -ll -p 8080 -e cat";

/// A kubectl that forwards a port of this machine.
struct Forwarded {
    kubectl: Child,
    port: u16,
}

impl Forwarded {
    async fn start(namespace: &Namespace<'_>, protocol: &str, pod: &str, remote: u16) -> Self {
        let mut kubectl = Command::new("env")
            .args([protocol, "kubectl", "--namespace", &namespace.name, "port-forward"])
            .args([&format!("pod/{pod}"), "--address=127.0.0.1", &format!(":{remote}")])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl runs");
        let mut lines = BufReader::new(kubectl.stdout.take().expect("piped")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it says something");
        let line = line.expect("text").expect("it forwards");
        let port = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|port| port.parse().ok());
        // It would end when it cannot say what it does.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            kubectl,
            port: port.unwrap_or_else(|| panic!("{line}")),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens")
    }
}

#[tokio::test]
async fn a_hundred_megabytes_go_both_ways_over_eight_connections_at_once() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-forward").await;
    namespace.running(scripted("echo", ECHO)).await;
    let chance = Chance::new("forward");
    for (protocol, bytes) in PROTOCOLS {
        let forwarded = Forwarded::start(&namespace, protocol, "echo", 8080).await;
        let mut connections = JoinSet::new();
        for number in 0..CONNECTIONS {
            let data = chance.branch(number as u64).bytes(bytes / CONNECTIONS);
            let (mut from, mut to) = forwarded.connect().await.into_split();
            connections.spawn(async move {
                let sent = data.clone();
                let send = async move {
                    to.write_all(&sent).await.expect("open");
                    // Only this half: all that was sent must still come back.
                    to.shutdown().await.expect("open");
                    // Dropping it now would say nothing more.
                    to
                };
                let mut back = Vec::new();
                let (_to, read) = tokio::join!(send, from.read_to_end(&mut back));
                read.expect("open");
                assert_eq!(back.len(), data.len());
                assert!(back == data, "the bytes differ");
            });
        }
        let all = timeout(2 * PATIENCE, connections.join_all()).await;
        all.expect("all connections end");
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_says_why_and_one_whose_client_is_killed_ends() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-forward-ends").await;
    namespace.running(scripted("echo", ECHO)).await;
    for (protocol, _) in PROTOCOLS {
        let mut forwarded = Forwarded::start(&namespace, protocol, "echo", 8080).await;
        let mut held = forwarded.connect().await;
        held.write_all(b"x").await.expect("open");
        let mut byte = [0];
        held.read_exact(&mut byte).await.expect("it comes back");
        let cats = async || namespace.shell("echo", "pidof cat | wc -w").await.trim().to_owned();
        cluster.eventually("the pod's end", cats, |count| count == "1").await;
        forwarded.kubectl.kill().await.expect("it runs");
        cluster
            .eventually("the pod's end to be gone", cats, |count| count == "0")
            .await;

        let said = async || {
            let nobody = Forwarded::start(&namespace, protocol, "echo", 81).await;
            let mut refused = nobody.connect().await;
            let mut rest = Vec::new();
            timeout(Duration::from_secs(30), refused.read_to_end(&mut rest)).await
        };
        assert!(said().await.is_ok(), "the connection is closed");
    }
}
