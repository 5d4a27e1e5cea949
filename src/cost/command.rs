//! `virtual-node cost`: reads records and running pods by the kubeconfig of whoever asks, and needs no agent.

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::args::{CostAction, CostArgs, CostOutput};
use crate::clock;
use crate::cost::report::{self, Line};
use crate::cost::{examine, reader, running};
use crate::kube_client;
use crate::pods::watch::NodePod;

/// Pods on one page of a list.
const PAGE: u32 = 200;

/// What is asked for, as text to be printed.
///
/// # Errors
/// The cluster cannot be asked or refuses, or there is no such application.
pub async fn run(args: CostArgs) -> anyhow::Result<String> {
    let now = clock::now();
    let since = args.since.as_deref().map(|text| ago(text, now)).transpose()?;
    let mut lines = lines(&args, since, now).await?;
    if let Some(namespace) = &args.namespace {
        lines.retain(|line| line.record.namespace == *namespace);
    }
    match &args.action {
        None | Some(CostAction::List) => {
            let applications = report::applications(&lines);
            Ok(match args.output {
                CostOutput::Text if applications.is_empty() => "nothing is recorded, and nothing runs\n".to_owned(),
                CostOutput::Text => report::list_text(&applications),
                CostOutput::Csv => report::list_csv(&applications),
                CostOutput::Json => pretty(&json!({ "applications": applications }))?,
                CostOutput::Html => bail!("-o html is for one application: give it with `show` or `what-if`"),
            })
        }
        Some(CostAction::Show { application, log }) => examine::show(lines, application, log, args.output).await,
        Some(CostAction::WhatIf(wanted)) => examine::what_if(lines, wanted, args.output).await,
    }
}

/// All groups that are recorded since then, and those of pods that are not.
async fn lines(args: &CostArgs, since: Option<Timestamp>, now: Timestamp) -> anyhow::Result<Vec<Line>> {
    let connection = match &args.kubeconfig {
        Some(path) => kube_client::config(Some(path)).await?,
        None => kube::Config::infer()
            .await
            .context("there is no kubeconfig, and this does not run in a pod")?,
    };
    let kube = kube_client::client(&connection, None)?;
    let namespace = args.cost_namespace.as_str();
    let read = reader::read(&kube, namespace, since)
        .await
        .with_context(|| format!("reading the ConfigMaps with the records of cost in namespace {namespace}"))?;
    if read.unreadable > 0 {
        tracing::warn!(
            records = read.unreadable,
            "some records cannot be read: damaged, or of a newer version"
        );
    }
    let recorded = |group: &str| read.records.iter().any(|record| record.group == group);
    let pods: Api<NodePod> = match &args.namespace {
        Some(namespace) => Api::namespaced(kube, namespace),
        None => Api::all(kube),
    };
    let mut lines = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = pods.list(&params).await.context("listing the pods that run")?;
        let new = page
            .items
            .iter()
            .filter_map(|pod| Some((running::so_far(pod, now)?, !running::is_over(pod))));
        lines.extend(
            new.filter(|(record, _)| !recorded(&record.group))
                .map(|(record, runs)| Line::new(record, runs)),
        );
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let since = since.unwrap_or(Timestamp::MIN);
    let recent = read
        .records
        .into_iter()
        .filter(|record| record.billed.end.latest() >= since);
    lines.extend(recent.map(|record| Line::new(record, false)));
    Ok(lines)
}

fn ago(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    let wrong = || format!("--since {text:?}: it must be a duration with its unit, such as 24h");
    let duration: SignedDuration = text.parse().with_context(wrong)?;
    now.checked_sub(duration).with_context(wrong)
}

fn pretty(value: &serde_json::Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}
