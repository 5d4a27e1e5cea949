//! `/pods` and `/runningpods/`: what is to run on the node, and what does.
//!
//! The agent keeps no whole pods, so `/pods` is read from the API server when somebody asks, a page at a time, and passed on as
//! it came: what is held at once is one page a reader, whatever the number of pods. Monitoring agents ask every few seconds, several of
//! them on one node: a small answer serves who asks shortly after.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kube::api::ListParams;
use kube::core::Request;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::running::RunningPod;
use crate::clock;

/// Pods read at a time; 50 Spark executors are half a megabyte.
const PAGE: u32 = 50;
/// Readers at the same time; others wait.
const READERS: usize = 4;
/// Answers up to this size are kept for a moment.
const KEPT_BYTES: usize = 1 << 20;
const KEPT_FOR: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The pods of one node, as the API server has them.
#[derive(Clone)]
pub(super) struct BoundPods(Arc<Inner>);

struct Inner {
    client: kube::Client,
    node: String,
    readers: Arc<Semaphore>,
    kept: Mutex<Option<(Instant, Bytes)>>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum PodsError {
    #[error("listing the node's pods failed")]
    Kube(#[from] kube::Error),
    #[error("the API server did not answer within {CALL_TIMEOUT:?}")]
    Timeout,
    #[error("the list of pods cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("the agent is shutting down")]
    Closed,
}

/// A page of a list; its pods are passed on as they are.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

const HEAD: &str = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#;
const TAIL: &str = "]}\n";

/// A reading under way.
struct Reading {
    pods: BoundPods,
    /// The text of the page that is written next; none = read it.
    ready: Option<Bytes>,
    next: Option<String>,
    /// How many pods were written; none = nothing was.
    written_pods: Option<usize>,
    /// What was written so far, while it is small enough to be kept.
    written: Option<Vec<u8>>,
    _reader: OwnedSemaphorePermit,
}

impl BoundPods {
    /// Those of `node`.
    pub(super) fn new(client: kube::Client, node: String) -> Self {
        Self(Arc::new(Inner {
            client,
            node,
            readers: Arc::new(Semaphore::new(READERS)),
            kept: Mutex::default(),
        }))
    }

    /// The PodList, in pieces. It breaks off where the API server stops answering half-way.
    ///
    /// # Errors
    /// The API server did not give the first page.
    pub(super) async fn list(&self) -> Result<impl Stream<Item = Result<Bytes, PodsError>> + Send + use<>, PodsError> {
        if let Some(kept) = self.kept() {
            return Ok(stream::once(async { Ok(kept) }).boxed());
        }
        let reader = self.0.readers.clone().acquire_owned().await;
        let reader = reader.map_err(|_| PodsError::Closed)?;
        // Who waited for a turn may find what the one before read.
        if let Some(kept) = self.kept() {
            return Ok(stream::once(async { Ok(kept) }).boxed());
        }
        let mut reading = Reading {
            pods: self.clone(),
            ready: None,
            next: None,
            written_pods: None,
            written: Some(Vec::new()),
            _reader: reader,
        };
        reading.read().await?;
        Ok(stream::try_unfold(Some(reading), |reading| async move {
            let Some(mut reading) = reading else { return Ok(None) };
            if reading.ready.is_none() {
                reading.read().await?;
            }
            let text = reading.ready.take().unwrap_or_default();
            let rest = reading.next.is_some().then_some(reading);
            Ok::<_, PodsError>(Some((text, rest)))
        })
        .into_stream()
        .boxed())
    }

    fn kept(&self) -> Option<Bytes> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = kept.as_ref()?;
        (clock::monotonic().duration_since(*at) < KEPT_FOR).then(|| text.clone())
    }

    async fn page(&self, next: Option<&str>) -> Result<String, PodsError> {
        let mut params = ListParams::default()
            .fields(&format!("spec.nodeName={}", self.0.node))
            .limit(PAGE);
        if let Some(next) = next {
            params = params.continue_token(next);
        }
        let request = Request::new("/api/v1/pods")
            .list(&params)
            .map_err(kube::Error::BuildRequest)?;
        let answer = timeout(CALL_TIMEOUT, self.0.client.request_text(request)).await;
        Ok(answer.map_err(|_| PodsError::Timeout)??)
    }
}

impl Reading {
    /// Reads the next page and makes its text ready.
    async fn read(&mut self) -> Result<(), PodsError> {
        let answer = self.pods.page(self.next.as_deref()).await?;
        let page: Page<'_> = serde_json::from_str(&answer)?;
        self.next = page.metadata.next.filter(|next| !next.is_empty());
        let mut text = String::with_capacity(answer.len());
        if self.written_pods.is_none() {
            text.push_str(HEAD);
        }
        let before = self.written_pods.unwrap_or(0);
        for (index, item) in page.items.iter().enumerate() {
            if before + index > 0 {
                text.push(',');
            }
            text.push_str(item.get());
        }
        self.written_pods = Some(before + page.items.len());
        if self.next.is_none() {
            text.push_str(TAIL);
        }
        self.keep(&text);
        self.ready = Some(text.into());
        Ok(())
    }

    fn keep(&mut self, text: &str) {
        let Some(written) = &mut self.written else { return };
        if written.len() + text.len() > KEPT_BYTES {
            self.written = None;
            return;
        }
        written.extend_from_slice(text.as_bytes());
        if self.next.is_none() {
            let whole = Bytes::from(std::mem::take(written));
            let mut kept = self.pods.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some((clock::monotonic(), whole));
        }
    }
}

#[derive(Serialize)]
struct Pod<'a> {
    metadata: Metadata<'a>,
    spec: Spec<'a>,
    status: Nothing,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
struct Spec<'a> {
    containers: Vec<Container<'a>>,
}

#[derive(Serialize)]
struct Container<'a> {
    name: &'a str,
    image: &'a str,
    resources: Nothing,
}

#[derive(Serialize)]
struct Nothing {}

/// The PodList of what runs: names and images, as a kubelet knows them from its runtime.
pub(super) fn running_pods(running: &[RunningPod]) -> String {
    let pods: Vec<Pod<'_>> = running
        .iter()
        .map(|pod| Pod {
            metadata: Metadata {
                name: &pod.name,
                namespace: &pod.namespace,
                uid: &pod.uid,
            },
            spec: Spec {
                containers: pod
                    .containers
                    .iter()
                    .map(|container| Container {
                        name: &container.name,
                        image: &container.image,
                        resources: Nothing {},
                    })
                    .collect(),
            },
            status: Nothing {},
        })
        .collect();
    // These structures always serialize.
    let items = serde_json::to_string(&pods).unwrap_or_default();
    format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":{items}}}"#) + "\n"
}

#[cfg(test)]
mod tests;
