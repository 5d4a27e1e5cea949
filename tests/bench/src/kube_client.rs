//! A client of the API server from a kubeconfig.

use std::path::Path;

use anyhow::{Context as _, Result};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Connects with the kubeconfig at `path`.
///
/// # Errors
/// The file cannot be read or used.
pub async fn connect(path: &Path) -> Result<Client> {
    let why = || format!("the kubeconfig {} cannot be used", path.display());
    let kubeconfig = Kubeconfig::read_from(path).with_context(why)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(why)?;
    // A watch of a quiet cluster is silent for minutes.
    config.read_timeout = None;
    Client::try_from(config).with_context(why)
}

/// A request to `path` of the API server; an empty body sends none.
///
/// # Errors
/// `path` is no path.
pub fn request(method: Method, path: &str, content_type: &'static str, body: Vec<u8>) -> Result<Request<Vec<u8>>> {
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header(http::header::CONTENT_TYPE, content_type);
    }
    request.body(body).with_context(|| format!("a request to {path}"))
}

/// Sends JSON and drops the answer undecoded.
///
/// # Errors
/// The API server refused it or cannot be reached.
pub async fn send(client: &Client, method: Method, path: &str, body: Vec<u8>) -> kube::Result<()> {
    let request = request(method, path, "application/json", body).map_err(|e| kube::Error::Service(e.into()))?;
    client.request_text(request).await.map(drop)
}

/// Whether the API server said that the object exists already.
pub fn exists_already(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether the API server said that there is no such object.
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
