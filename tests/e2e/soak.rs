//! Clients that open `exec` and `logs --follow` and leave, each in its own way: nothing of them stays.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::caller::{Call, Caller, Protocol};
use crate::chance::Chance;
use crate::cloud::time;
use crate::cluster::{Cluster, PATIENCE, say};
use crate::kubectl::run;
use crate::namespace::{CONTAINER, Namespace, pod};

/// What kubectl sends for `exec -i`.
const SPDY: &[u8] = include_bytes!("../../src/kubelet/streams/testdata/kubectl-exec-stdin.spdy");
/// Up to where its input begins.
const SPDY_STREAMS: usize = 142;
/// Clients at the same time.
const AT_ONCE: usize = 16;
/// What asks the pool for something that only a client can want.
const ACTIONS: [&str; 2] = ["ExecContainerCommand", "DescribeContainerLog"];
const PODS: usize = 4;
/// Connections to the agent that an API server may keep for its next request.
const KEPT: usize = 3;

struct Soak {
    execs: u64,
    followers: u64,
    /// How long the followers stay.
    stay: Duration,
    /// After this time nothing of them may be noticed.
    grace: Duration,
    /// How long that is watched.
    watch: Duration,
}

#[tokio::test]
async fn clients_that_leave_leave_nothing_behind() {
    let short = Soak {
        execs: 60,
        followers: 20,
        stay: Duration::ZERO,
        grace: Duration::from_secs(5),
        watch: Duration::from_secs(5),
    };
    short.run("soak").await;
}

#[tokio::test]
#[ignore = "takes 14 minutes: make endurance"]
async fn a_thousand_execs_and_two_hundred_followers_leave_nothing_behind() {
    let long = Soak {
        execs: 1_000,
        followers: 200,
        stay: Duration::from_secs(600),
        grace: Duration::from_secs(30),
        watch: Duration::from_secs(120),
    };
    long.run("soak-long").await;
}

/// What the agent holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    kilobytes: u64,
    descriptors: usize,
}

impl Soak {
    async fn run(&self, topic: &str) {
        // Others would open connections, too.
        let cluster = Cluster::alone().await;
        let namespace = Namespace::new(&cluster, topic).await;
        let mut groups = Vec::new();
        for number in 0..PODS {
            groups.push(namespace.running(pod(&format!("pod-{number}"))).await.1);
        }
        let caller = Caller::new(&cluster).await;
        let chance = Chance::new(topic);
        let fresh = held(&cluster);
        // What the first clients make is kept for the next ones: connections, sessions of TLS, what was allowed, memory.
        self.execs(&namespace, &caller, &chance.branch(1), self.execs.div_ceil(10))
            .await;
        drop(
            self.follow(&cluster, &namespace, &groups, &caller, self.followers)
                .await,
        );
        quiet(&cluster).await;
        let before = held(&cluster);

        let followers = self
            .follow(&cluster, &namespace, &groups, &caller, self.followers)
            .await;
        let during = held(&cluster);
        let stay = tokio::time::sleep(self.stay);
        self.execs(&namespace, &caller, &chance.branch(2), self.execs).await;
        stay.await;
        let mut polite = JoinSet::new();
        for (number, follower) in followers.into_iter().enumerate() {
            // The others are reset.
            if number % 2 == 0 {
                polite.spawn(follower.leave());
            }
        }
        timeout(PATIENCE, polite.join_all()).await.expect("they are let go");
        quiet(&cluster).await;
        let left = jiff::Timestamp::now();
        tokio::time::sleep(self.grace + self.watch).await;
        let since = left + self.grace;
        for action in ACTIONS {
            let mut late = namespace.calls(action).await;
            late.retain(|call| time(&call["Time"]).is_some_and(|at| at > since));
            assert!(late.is_empty(), "{action} after {since}: {late:?}");
        }
        let after = held(&cluster);
        say(&format!(
            "{topic}: at first {fresh:?}, before {before:?}, with followers {during:?}, after {after:?}"
        ));
        assert!(
            after.descriptors <= before.descriptors + 5,
            "descriptors: {before:?}, then {after:?}"
        );
        assert!(
            after.kilobytes * 10 <= before.kilobytes * 11,
            "memory: {before:?}, then {after:?}"
        );
    }

    /// Commands, each left in its own way.
    async fn execs(&self, namespace: &Namespace<'_>, caller: &Caller, chance: &Chance, count: u64) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut clients = JoinSet::new();
        for number in 0..count {
            let place = places.clone().acquire_owned().await.expect("open");
            let (caller, chance) = (caller.clone(), chance.branch(number));
            let path = namespace.path("pods", &format!("pod-{}", number as usize % PODS));
            clients.spawn(async move {
                let client = exec(&caller, &path, chance);
                timeout(PATIENCE, client).await.expect("it is served");
                drop(place);
            });
        }
        clients.join_all().await;
    }

    /// Followed logs, each of which has shown a line.
    async fn follow(
        &self,
        cluster: &Cluster,
        namespace: &Namespace<'_>,
        groups: &[String],
        caller: &Caller,
        count: u64,
    ) -> Vec<Call> {
        for group in groups {
            cluster.cloud.log(group, CONTAINER, &["followed"]).await;
        }
        let mut followers = JoinSet::new();
        for number in 0..count {
            let caller = caller.clone();
            let pod = namespace.path("pods", &format!("pod-{}", number as usize % PODS));
            followers.spawn(async move {
                let mut call = caller.connect().await;
                let head = caller.get(&format!("{pod}/log?follow=true&tailLines=1&container={CONTAINER}"));
                call.say(head.as_bytes()).await;
                assert_eq!(call.answer().await, 200);
                call.until(b"followed").await;
                call
            });
        }
        timeout(PATIENCE, followers.join_all()).await.expect("all are served")
    }
}

/// One command, and how its client leaves it.
async fn exec(caller: &Caller, pod: &str, mut chance: Chance) {
    let way = chance.below(6);
    // An API server to which a client of v5 says goodbye in order goes on with a command that does not end by itself
    // (docs/decisions/0017-streams-that-end.md); cat ends with its input.
    let commands = ["command=cat", "command=sleep&command=3600"];
    let command = commands[if way == 5 { 0 } else { chance.below(2) as usize }];
    let path = format!("{pod}/exec?{command}&container={CONTAINER}&stdin=true&stdout=true&stderr=true");
    let protocol = [
        Protocol::WebSocket("v5.channel.k8s.io"),
        Protocol::WebSocket("v4.channel.k8s.io"),
        Protocol::Spdy,
    ][chance.below(3) as usize];
    let head = caller.upgrade(&path, protocol);
    let mut call = caller.connect().await;
    match way {
        0 => {
            let part = chance.below(head.len() as u32) as usize;
            return call.say(&head.as_bytes()[..part]).await;
        }
        1 => return call.say(head.as_bytes()).await,
        way => {
            call.say(head.as_bytes()).await;
            assert_eq!(call.answer().await, 101, "{protocol:?} {path}");
            if way == 2 {
                return;
            }
            let input: &[u8] = match protocol {
                // A masked message of channel 0.
                Protocol::WebSocket(_) => b"\x82\x87\0\0\0\0\0hello\n",
                Protocol::Spdy => &SPDY[..SPDY.len() - 8],
            };
            if way == 3 && matches!(protocol, Protocol::Spdy) {
                // Some of the streams it should open, and a part of one.
                let part = chance.below(SPDY_STREAMS as u32) as usize;
                return call.say(&SPDY[..part]).await;
            }
            call.say(input).await;
            if command.ends_with("cat") {
                call.until(b"hello\n").await;
            }
            if way == 5 {
                if matches!(protocol, Protocol::WebSocket(_)) {
                    call.say(b"\x88\x82\0\0\0\0\x03\xe8").await;
                }
                call.leave().await;
            }
        }
    }
}

/// Waits until no session is left, of the agent's or of the pool's, and no connection but those an API server keeps for later.
async fn quiet(cluster: &Cluster) {
    let sessions = async || {
        let metrics = cluster.curl(&["http://127.0.0.1:10255/metrics"]).await;
        let streams = metrics
            .lines()
            .filter(|line| line.starts_with("virtual_node_kubelet_streams{"));
        let open: Vec<String> = streams
            .filter(|line| !line.ends_with(" 0"))
            .map(str::to_owned)
            .collect();
        let connections = run("ss", &["-Htn", "state", "established", "sport = :10250"], "")
            .await
            .ok();
        let sessions = cluster.cloud.get("exec").await["sessions"].clone();
        (open, sessions, connections.lines().count())
    };
    let none = |(open, sessions, connections): &(Vec<String>, Value, usize)| {
        open.is_empty() && *sessions == 0 && *connections <= KEPT
    };
    cluster.eventually("all sessions to be over", sessions, none).await;
}

fn held(cluster: &Cluster) -> Held {
    let process = std::path::Path::new("/proc").join(cluster.pid("agent"));
    let status = std::fs::read_to_string(process.join("status")).expect("the agent runs");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Held {
        kilobytes: kilobytes.expect("a number"),
        descriptors: std::fs::read_dir(process.join("fd")).expect("the agent runs").count(),
    }
}
