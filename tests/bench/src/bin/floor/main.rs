//! The floor: the least that runs pods as container groups, and nothing else.
//!
//! One watch with a trimmed type, one signed create per pod, polling by ids in motion, one status patch to Running. It has
//! no retries, no deletion, no files, no restart beyond not starting again what runs: an error ends it, because a
//! measurement with an error in it is void. An agent that does everything should come near.

mod cloud;
mod pod;
mod poll;
mod status;

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bench::follow::{Follow, Step};
use bench::{kube_client, node};
use clap::Parser;
use kube::Client;
use tokio::sync::{Semaphore, mpsc};

use cloud::Cloud;
use pod::BoundPod;
use poll::Group;

/// Creates on the way at a time; more only queue up in the cloud.
const PARALLEL_CREATES: usize = 64;

/// The least that runs pods as container groups: the bench's floor
#[derive(Debug, Parser)]
struct Args {
    /// Kubeconfig file
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Name of the node to register
    #[arg(long)]
    node_name: String,
    /// Its InternalIP
    #[arg(long)]
    node_ip: String,
    /// URL of the ECI OpenAPI, plain HTTP
    #[arg(long)]
    eci_endpoint: String,
    /// Region of the container groups
    #[arg(long)]
    region: String,
}

// One thread: with the little there is to do, more would only cost.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let client = kube_client::connect(&args.kubeconfig).await?;
    let cloud = Arc::new(Cloud::new(&args.eci_endpoint, &args.region)?);
    node::register(&client, &node::object(&args.node_name, &args.node_ip)).await?;
    let (started, moving) = mpsc::unbounded_channel();
    tokio::select! {
        ended = node::keep_lease(&client, &args.node_name) => ended,
        ended = poll::poll(client.clone(), cloud.clone(), args.node_ip.clone(), moving) => ended,
        ended = watch(&client, cloud.clone(), &args.node_name, started) => ended,
    }
}

/// Starts a group for every pod that is bound to the node and does not run yet.
async fn watch(
    client: &Client,
    cloud: Arc<Cloud>,
    node_name: &str,
    started: mpsc::UnboundedSender<Result<Group>>,
) -> Result<()> {
    let selector = format!("fieldSelector=spec.nodeName%3D{node_name}");
    let mut follow = Follow::<BoundPod>::new(client, "/api/v1/pods", &selector);
    let mut known = HashSet::<String>::new();
    let permits = Arc::new(Semaphore::new(PARALLEL_CREATES));
    loop {
        match follow.next().await? {
            Step::Is(pod) => {
                if !known.contains(&pod.metadata.uid) {
                    known.insert(pod.metadata.uid.clone());
                    if pod.must_start() {
                        let (cloud, permits, started) = (cloud.clone(), permits.clone(), started.clone());
                        tokio::spawn(async move {
                            let _permit = permits.acquire().await;
                            // The receiver is gone only when the program ends.
                            let _ = started.send(start(&cloud, pod).await);
                        });
                    }
                }
            }
            Step::Gone(pod) => {
                known.remove(&pod.metadata.uid);
            }
            Step::Synced => {
                let groups = cloud.count().await?;
                writeln!(std::io::stdout(), "ready: {} pods, {groups} groups", known.len()).context("stdout")?;
            }
        }
    }
}

async fn start(cloud: &Cloud, pod: BoundPod) -> Result<Group> {
    let id = cloud
        .create(&pod.to_request(cloud.region()))
        .await
        .with_context(|| format!("creating the group of {}", pod.metadata.name))?;
    Ok(Group::new(id, pod))
}
