//! Polls the groups that have yet to run, and reports those that do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::cloud::Cloud;
use crate::pod::{BoundPod, Metadata};
use crate::status;

/// The pace of polling.
const ROUND: Duration = Duration::from_millis(250);
/// As many ids as one call takes.
const IDS_PER_CALL: usize = 20;
/// Calls and patches on the way at a time.
const PARALLEL_POLLS: usize = 4;
const PARALLEL_PATCHES: usize = 64;

/// A group in motion, and the pod it is for.
#[derive(Debug)]
pub(crate) struct Group {
    id: String,
    pub(crate) pod: Metadata,
    /// Name and image of each container.
    pub(crate) containers: Vec<(String, String)>,
}

impl Group {
    pub(crate) fn new(id: String, pod: BoundPod) -> Self {
        let (pod, containers) = pod.into_parts();
        Self { id, pod, containers }
    }
}

/// Asks for the groups in motion until they run, and then says so in their pods' status.
pub(crate) async fn poll(
    client: Client,
    cloud: Arc<Cloud>,
    node_ip: String,
    mut started: UnboundedReceiver<Result<Group>>,
) -> Result<()> {
    let node_ip: Arc<str> = node_ip.into();
    let mut moving = HashMap::<String, Group>::new();
    let mut patches = JoinSet::<Result<()>>::new();
    let mut next_round = Instant::now();
    loop {
        tokio::select! {
            group = started.recv() => {
                let group = group.ok_or_else(|| anyhow!("nothing is watched any more"))??;
                moving.insert(group.id.clone(), group);
            }
            Some(patched) = patches.join_next() => patched.context("a patch ended badly")??,
            () = sleep_until(next_round), if !moving.is_empty() => {
                next_round = Instant::now() + ROUND;
                for (ip, group) in running(&cloud, &mut moving).await? {
                    while patches.len() >= PARALLEL_PATCHES {
                        if let Some(patched) = patches.join_next().await {
                            patched.context("a patch ended badly")??;
                        }
                    }
                    let (client, node_ip) = (client.clone(), node_ip.clone());
                    patches.spawn(async move { status::report_running(&client, &node_ip, &ip, &group).await });
                }
            }
        }
    }
}

/// Takes out of `moving` the groups that run now, each with its address.
async fn running(cloud: &Cloud, moving: &mut HashMap<String, Group>) -> Result<Vec<(String, Group)>> {
    let ids: Vec<&str> = moving.keys().map(String::as_str).collect();
    let states: Vec<_> = futures::stream::iter(ids.chunks(IDS_PER_CALL).map(|ids| cloud.states(ids)))
        .buffer_unordered(PARALLEL_POLLS)
        .try_collect()
        .await?;
    let mut running = Vec::new();
    for state in states.into_iter().flatten() {
        match state.status.as_str() {
            "Running" => running.extend(moving.remove(&state.id).map(|group| (state.pod_status.pod_ip, group))),
            "Scheduling" | "Pending" => {}
            other => bail!("group {} is {other}, which the floor does not handle", state.id),
        }
    }
    Ok(running)
}
