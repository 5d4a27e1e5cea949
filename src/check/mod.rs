//! `virtual-node check`: is all there that the agent needs, and if not, what is to be done?
//!
//! It takes the settings of `virtual-node run` and looks at what the agent would: run it where the agent runs
//! (`kubectl exec deploy/virtual-node -- virtual-node check`). It changes nothing, and no secret is in what it prints.
//!
//! Each check is a function that gives findings; [`run`] is their order. What needs a thing that a former check found wanting
//! is left out.

mod budget;
mod burst;
mod cloud;
mod cluster;
mod cost;
mod dns;
mod network;
mod node;
mod report;
mod rights;
mod webhook;

use crate::args::CheckArgs;
use crate::config::Config;
use crate::kube_client;

pub use report::{Finding, Report, Result};

/// How long any one question may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs all checks.
pub async fn run(args: CheckArgs) -> Report {
    let config = match Config::load(args.run) {
        Ok(config) => config,
        Err(error) => {
            let remedy =
                "see `virtual-node run --help`; each setting is a flag, a variable or a key of the file of --config";
            return Report::new(vec![Finding::fail("settings", error.to_string(), remedy)]);
        }
    };
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut found = vec![Finding::ok("settings", format!("for {}", names.join(", ")))];
    found.extend(cloud::check(&config).await);
    match kube_client::config(config.kubeconfig.as_deref()).await {
        Err(error) => found.push(Finding::fail("api-server", format!("{error:#}"), "see --kubeconfig")),
        Ok(connection) => {
            let answers = cluster::check(&connection).await;
            let is_there = answers.iter().all(|finding| finding.result != Result::Fail);
            found.extend(answers);
            if is_there {
                found.extend(rights::election(&config, &connection).await);
                for node in &config.nodes {
                    found.extend(node::check(&config, node, &connection).await);
                }
                found.extend(network::check(&config, &connection).await);
                found.extend(cost::check(&config).await);
                found.extend(budget::check(&config).await);
                found.extend(burst::check(&config, &connection).await);
                found.extend(webhook::check(&config).await);
            }
        }
    }
    Report::new(found)
}
