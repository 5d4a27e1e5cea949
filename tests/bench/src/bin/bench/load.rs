//! The load: pods made and deleted one request each, many at a time, as controllers do.

use anyhow::{Context as _, Result};
use bench::kube_client::{self, exists_already, is_missing, send};
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

/// The namespace of the bench's pods.
const NAMESPACE: &str = "bench";
/// Its pods.
pub(crate) const PODS: &str = "/api/v1/namespaces/bench/pods";
const CONFIG_MAPS: &str = "/api/v1/namespaces/bench/configmaps";
const SPARK_CONFIG_MAP: &str = include_str!("../../../data/spark-config-map.json");
/// Requests on the way at a time.
const PARALLEL: usize = 32;

/// Makes the namespace and what the pods name in it.
pub(crate) async fn prepare(client: &Client) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    create(client, "/api/v1/namespaces", serde_json::to_vec(&namespace)?)
        .await
        .context("creating the namespace")?;
    create(client, CONFIG_MAPS, SPARK_CONFIG_MAP.into())
        .await
        .context("creating the ConfigMap")?;
    // The controller manager makes these two; no pod is admitted without the first, none can start without the second.
    for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/{path}");
        while let Err(error) = send(client, Method::GET, &path, Vec::new()).await {
            if !is_missing(&error) {
                return Err(error).with_context(|| format!("waiting for {path}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn create(client: &Client, path: &str, body: Vec<u8>) -> kube::Result<()> {
    match send(client, Method::POST, path, body).await {
        Err(error) if exists_already(&error) => Ok(()),
        result => result,
    }
}

/// Creates the pods.
pub(crate) async fn create_pods(client: &Client, pods: Vec<String>) -> Result<()> {
    futures::stream::iter(pods)
        .map(|pod| send(client, Method::POST, PODS, pod.into()))
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await
        .context("creating pods")
}

/// Deletes the pods, with the grace they ask for or, where nobody would act on it, none.
pub(crate) async fn delete_pods(client: &Client, names: &[String], grace: bool) -> Result<()> {
    let options = if grace {
        json!({})
    } else {
        json!({"gracePeriodSeconds": 0})
    };
    let options = serde_json::to_vec(&options)?;
    futures::stream::iter(names)
        .map(|name| {
            let (path, options) = (format!("{PODS}/{name}"), options.clone());
            async move { send(client, Method::DELETE, &path, options).await }
        })
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await
        .context("deleting pods")
}

/// Says of one pod that does not run why not, as far as the API server knows.
pub(crate) async fn explain(client: &Client) -> String {
    match stuck_pod(client).await {
        Ok(Some(pod)) => {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            format!("pod {name} says {}", summary(&pod["status"]))
        }
        Ok(None) => "the API server has no pod that does not run".to_owned(),
        Err(error) => format!("why cannot be asked: {error:#}"),
    }
}

async fn stuck_pod(client: &Client) -> Result<Option<Value>> {
    // Running ones are excluded by the server; one page is enough to find an example.
    let path = format!("{PODS}?limit=1&fieldSelector=status.phase%21%3DRunning");
    let request = kube_client::request(Method::GET, &path, "", Vec::new())?;
    let mut list: Value = client.request(request).await?;
    Ok(list["items"].as_array_mut().and_then(Vec::pop))
}

/// Phase, conditions that do not hold, reasons of waiting.
fn summary(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut parts = vec![
        text(&status["phase"]),
        text(&status["reason"]),
        text(&status["message"]),
    ];
    for condition in status["conditions"].as_array().into_iter().flatten() {
        if condition["status"] != "True" {
            parts.push(format!(
                "{}={} {} {}",
                text(&condition["type"]),
                text(&condition["status"]),
                text(&condition["reason"]),
                text(&condition["message"])
            ));
        }
    }
    for container in status["containerStatuses"].as_array().into_iter().flatten() {
        for state in ["waiting", "terminated"] {
            let state = &container["state"][state];
            parts.push(format!("{} {}", text(&state["reason"]), text(&state["message"])));
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.join("; ")
}
