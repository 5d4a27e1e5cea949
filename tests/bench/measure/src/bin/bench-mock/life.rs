//! The life of N groups of one mock-eci, phase by phase.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use measure::daemon::Daemon;
use measure::usage::{Memory, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Connection};

const KEY: (&str, &str) = ("testid", "testsecret");
/// Most groups of one page, and most ids of one call.
const PAGE: usize = 200;
const IDS: usize = 20;
/// Only what changed within a minute.
const NARROW: &str = "SinceSecond=60";
const CONTAINER: &str = "spark-kubernetes-executor";
/// How long groups may take to get where they are waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is done, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) program: &'a Path,
    pub(crate) logs: &'a Path,
    pub(crate) groups: usize,
    /// How many of them change before what changed is asked for.
    pub(crate) changed: usize,
    /// How often each of the smaller questions is asked.
    pub(crate) repeats: usize,
    pub(crate) connections: usize,
    pub(crate) seed: u64,
}

/// What the life of all groups cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Life {
    pub(crate) groups: usize,
    pub(crate) changed: usize,
    pub(crate) phases: Vec<Phase>,
    /// Wall-clock seconds of all phases.
    pub(crate) seconds: f64,
    /// CPU seconds of mock-eci in all of it, its start included.
    pub(crate) cpu_seconds: f64,
    /// Most memory it ever had.
    pub(crate) peak_bytes: u64,
    /// Memory with all groups there.
    pub(crate) resident_bytes: u64,
    /// Memory before the first group.
    pub(crate) empty_bytes: u64,
    /// Share (0-1) of the machine's CPU that other work took.
    pub(crate) foreign_cpu_share: f64,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) calls: usize,
    pub(crate) seconds: f64,
    /// Of mock-eci alone.
    pub(crate) cpu_seconds: f64,
    /// Bytes of all answers' bodies.
    pub(crate) bytes: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    container_group_id: String,
}

/// Runs it.
pub(crate) async fn run(plan: Plan<'_>) -> Result<Life> {
    let mut command = Command::new(plan.program);
    command.args(["--listen", "127.0.0.1:0", "--limits", "none", "--scenario", "fast"]);
    command.args(["--seed", &plan.seed.to_string()]);
    command.args(["--access-key", &format!("{}:{}", KEY.0, KEY.1)]);
    let mut daemon = Daemon::start("mock-eci", command, plan.logs)?;
    let line = daemon.printed("http://").await?;
    let (_, host) = line
        .split_once("http://")
        .context("mock-eci does not say where it is")?;
    let host = host.split([' ', ',', '/']).next().unwrap_or_default();
    let client = Client::connect(host, KEY, plan.connections).await?;
    let mut meter = Meter {
        pid: daemon.pid,
        phases: Vec::new(),
    };
    let (before, start) = (Snapshot::take()?, Instant::now());
    let empty = Memory::of(daemon.pid)?;
    let resident = phases(plan, &client, &mut meter).await?;
    let spent = Snapshot::take()?.since(&before);
    let life = Life {
        groups: plan.groups,
        changed: plan.changed,
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: spent.by(daemon.pid),
        peak_bytes: Memory::of(daemon.pid)?.peak,
        resident_bytes: resident,
        empty_bytes: empty.resident,
        foreign_cpu_share: spent.share_of_others(&[daemon.pid, std::process::id()]),
        phases: meter.phases,
    };
    daemon.stop().await?;
    Ok(life)
}

/// All phases; the memory with all groups there.
async fn phases(plan: Plan<'_>, client: &Client, meter: &mut Meter) -> Result<u64> {
    let one = client.one()?;
    let ids = meter
        .measure("create", async || {
            let made = client.each(plan.groups, async |nth, connection| {
                let answer = connection.call("CreateContainerGroup", &group(nth)).await?;
                let created: Created = serde_json::from_slice(&answer).context("decoding the answer to a create")?;
                Ok((created.container_group_id, answer.len()))
            });
            let (ids, bytes): (Vec<_>, Vec<_>) = made.await?.into_iter().unzip();
            Ok(Done::new(ids, plan.groups, bytes.iter().sum()))
        })
        .await?;
    // Not a phase of its own: how long the last ones need is the scenario's business.
    until(async || Ok(list(&one, "").await?.running == plan.groups)).await?;
    meter
        .measure("describe all, 200 a page", async || {
            let (mut calls, mut bytes) = (0, 0);
            while calls < plan.repeats {
                let all = list(&one, "").await?;
                if all.running != plan.groups {
                    bail!("{} of {} groups are Running", all.running, plan.groups);
                }
                calls += all.pages;
                bytes += all.bytes;
            }
            Ok(Done::new((), calls, bytes))
        })
        .await?;
    meter
        .measure("describe by 20 ids", async || {
            let rounds = plan.repeats.max(plan.groups / IDS);
            let calls = client.each(rounds, async |nth, connection| {
                let ids: Vec<_> = (0..IDS)
                    .map(|i| format!("%22{}%22", ids[(nth * IDS + i) % ids.len()]))
                    .collect();
                let params = format!("ContainerGroupIds=%5B{}%5D", ids.join(","));
                Ok(connection.call("DescribeContainerGroupStatus", &params).await?.len())
            });
            let bytes = calls.await?;
            Ok(Done::new((), bytes.len(), bytes.iter().sum()))
        })
        .await?;
    let resident = Memory::of(meter.pid)?.resident;

    // Two minutes on, nothing has changed within the last one but what is changed now.
    one.steer("/mock/advance", r#"{"seconds": 120}"#).await?;
    let exit = format!(r#"{{"container": "{CONTAINER}", "code": 1}}"#);
    for id in ids.iter().take(plan.changed) {
        one.steer(&format!("/mock/groups/{id}/exit"), &exit).await?;
    }
    until(async || Ok(list(&one, NARROW).await?.running == plan.changed)).await?;
    meter
        .measure("describe what changed", async || {
            let calls = client.each(plan.repeats, async |_, connection| {
                let answer = connection.call("DescribeContainerGroupStatus", NARROW).await?;
                Ok(answer.len())
            });
            let bytes = calls.await?;
            Ok(Done::new((), bytes.len(), bytes.iter().sum()))
        })
        .await?;
    meter
        .measure("delete", async || {
            let calls = client.each(plan.groups, async |nth, connection| {
                let params = format!("ContainerGroupId={}", ids[nth]);
                Ok(connection.call("DeleteContainerGroup", &params).await?.len())
            });
            let bytes = calls.await?;
            Ok(Done::new((), plan.groups, bytes.iter().sum()))
        })
        .await?;
    until(async || Ok(list(&one, "").await?.groups == 0)).await?;
    Ok(resident)
}

/// What a whole list shows.
#[derive(Default)]
struct Listed {
    pages: usize,
    bytes: usize,
    groups: usize,
    running: usize,
}

/// All pages of DescribeContainerGroupStatus. Decoding them would cost more than making them does, so the text is searched.
async fn list(connection: &Connection<'_>, filter: &str) -> Result<Listed> {
    let (mut listed, mut token) = (Listed::default(), String::new());
    loop {
        let params = format!("Limit={PAGE}&NextToken={token}&{filter}");
        let answer = connection.call("DescribeContainerGroupStatus", &params).await?;
        let text = std::str::from_utf8(&answer).context("a page is no text")?;
        listed.pages += 1;
        listed.bytes += answer.len();
        listed.groups += text.matches(r#""ContainerGroupId":""#).count();
        listed.running += text.matches(r#""Phase":"Running""#).count();
        let next = text
            .split_once(r#""NextToken":""#)
            .and_then(|(_, rest)| rest.split_once('"'));
        match next {
            Some((next, _)) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(listed),
        }
    }
}

/// Waits until this holds.
async fn until(holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        if Instant::now() > deadline {
            bail!("the groups did not get there in {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Adds phases up.
struct Meter {
    pid: u32,
    phases: Vec<Phase>,
}

/// What a phase did.
struct Done<T> {
    result: T,
    calls: usize,
    bytes: usize,
}

impl<T> Done<T> {
    fn new(result: T, calls: usize, bytes: usize) -> Self {
        Self { result, calls, bytes }
    }
}

impl Meter {
    async fn measure<T>(&mut self, name: &'static str, work: impl AsyncFnOnce() -> Result<Done<T>>) -> Result<T> {
        let (before, start) = (Snapshot::take()?, Instant::now());
        let done = work().await.with_context(|| format!("phase {name:?}"))?;
        let seconds = start.elapsed().as_secs_f64();
        self.phases.push(Phase {
            name,
            calls: done.calls,
            seconds,
            cpu_seconds: Snapshot::take()?.since(&before).by(self.pid),
            bytes: done.bytes,
        });
        Ok(done.result)
    }
}

/// Form of the N-th group: an executor much as Spark asks for one, with its properties in a file.
fn group(nth: usize) -> String {
    let mut form = format!(
        "ContainerGroupName=spark-pi-exec-{nth}&ClientToken=bench-{nth}&Cpu=4&Memory=8&RestartPolicy=OnFailure\
         &Container.1.Name={CONTAINER}&Container.1.Image=apache%2Fspark%3A4.0.0&Container.1.Arg.1=executor\
         &Container.1.VolumeMount.1.Name=conf&Container.1.VolumeMount.1.MountPath=%2Fopt%2Fspark%2Fconf\
         &Container.1.VolumeMount.2.Name=local&Container.1.VolumeMount.2.MountPath=%2Fvar%2Fdata\
         &Volume.1.Name=conf&Volume.1.Type=ConfigFileVolume\
         &Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path=spark.properties\
         &Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content={}&Volume.2.Name=local&Volume.2.Type=EmptyDirVolume",
        "c3BhcmsuZXhlY3V0b3I".repeat(60),
    );
    for n in 1..=15 {
        // Writing to a String cannot fail.
        let _ = write!(
            form,
            "&Container.1.EnvironmentVar.{n}.Key=SPARK_VARIABLE_{n}&Container.1.EnvironmentVar.{n}.Value=value-{n}-of-{nth}"
        );
    }
    for (n, key) in (1..).zip(["spark-app-selector", "spark-role", "spark-exec-id", "owner-uid"]) {
        let _ = write!(form, "&Tag.{n}.Key={key}&Tag.{n}.Value={key}-{nth}");
    }
    form
}
