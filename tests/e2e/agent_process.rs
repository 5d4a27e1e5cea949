//! The agent as a process of a test's own: killed and started without anybody waiting for it to be ready.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::cluster::Cluster;
use crate::kubectl::run;
use crate::lifetimes::Lifetimes;

/// All graces at a tenth, so that what waits for one does not take minutes.
pub const IMPATIENT: [&str; 6] = ["--list-period", "3s", "--list-lag", "1s", "--orphan-age", "6s"];

/// Stands in for the testbed's agent until it is dropped.
pub struct AgentProcess {
    /// Program and arguments.
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    log: PathBuf,
    lifetimes: Lifetimes,
    child: Option<Child>,
}

impl AgentProcess {
    /// Kills the testbed's agent; what [`Self::start`] starts has its command line, with `flags` (each with its value) added or
    /// replaced.
    pub async fn take_over(cluster: &Cluster, flags: &[&str]) -> Self {
        let of_process = |file: &str| {
            let path = PathBuf::from("/proc").join(cluster.pid("agent")).join(file);
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let items = bytes
                .split(|byte| *byte == 0)
                .map(|item| OsString::from_vec(item.to_vec()));
            // Each ends with a zero byte, an empty argument too.
            let mut items: Vec<OsString> = items.collect();
            items.pop();
            items
        };
        let mut command = of_process("cmdline");
        replace(&mut command, flags);
        let environment = of_process("environ").into_iter().filter_map(|pair| {
            let pair = pair.into_string().ok()?;
            let (name, value) = pair.split_once('=')?;
            Some((name.into(), value.into()))
        });
        let agent = Self {
            environment: environment.collect(),
            command,
            log: cluster.file("logs/agent.log"),
            lifetimes: Lifetimes::of(cluster),
            child: None,
        };
        cluster.control(&["kill", "agent"]).await;
        agent
    }

    /// Another one with the same command line, but for `flags`; it is not started.
    pub fn another(&self, flags: &[&str]) -> Self {
        let mut command = self.command.clone();
        replace(&mut command, flags);
        Self {
            command,
            environment: self.environment.clone(),
            log: self.log.clone(),
            lifetimes: self.lifetimes.clone(),
            child: None,
        }
    }

    /// Starts it; it is ready whenever it is.
    pub fn start(&mut self) {
        let log = || {
            let log = File::options().create(true).append(true).open(&self.log);
            Stdio::from(log.unwrap_or_else(|e| panic!("{}: {e}", self.log.display())))
        };
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn();
        let child = child.unwrap_or_else(|e| panic!("cannot start the agent: {e}"));
        self.lifetimes.start(child.id());
        self.child = Some(child);
    }

    /// Kills it with SIGKILL; it must not have ended before.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        if let Some(status) = child.try_wait().expect("a child of ours") {
            panic!("the agent ended by itself: {status}; see {}", self.log.display());
        }
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
        self.lifetimes.end(child.id());
    }

    /// Ends it with SIGTERM, as a rolling update does; it must end in order.
    pub async fn terminate(&mut self) {
        let mut child = self.child.take().expect("it was started");
        run("kill", &["-s", "TERM", &child.id().to_string()], "").await.ok();
        let id = child.id();
        let status = tokio::task::spawn_blocking(move || child.wait()).await;
        let status = status.expect("no panic").expect("a child of ours");
        self.lifetimes.end(id);
        assert!(status.success(), "{status}; see {}", self.log.display());
    }

    /// Stops it where it is, with SIGSTOP, or lets it go on, with SIGCONT.
    pub async fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it was started");
        run("kill", &["-s", signal, &child.id().to_string()], "").await.ok();
    }

    /// Waits until it ended by itself; whether it said that all was well.
    pub async fn ended(&mut self) -> bool {
        let mut child = self.child.take().expect("it was started");
        let id = child.id();
        let status = tokio::task::spawn_blocking(move || child.wait()).await;
        self.lifetimes.end(id);
        status.expect("no panic").expect("a child of ours").success()
    }
}

/// Adds or replaces flags, each with its value.
fn replace(command: &mut Vec<OsString>, flags: &[&str]) {
    for flag in flags.chunks_exact(2) {
        if let Some(at) = command.iter().position(|item| item == flag[0]) {
            command.drain(at..at + 2);
        }
        command.extend(flag.iter().map(OsString::from));
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.lifetimes.end(child.id());
        }
    }
}
