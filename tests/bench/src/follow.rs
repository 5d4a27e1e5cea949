//! A watch that streams its first list and decodes into whatever type the caller gives it.
//!
//! The API server ends a watch whose events it cannot hand over fast enough, which happens on a machine that is busy with a
//! thousand pods at once. Nothing is lost then: the watch goes on from where it was.

use anyhow::{Context as _, Result, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use kube::Client;
use kube::core::WatchEvent;
use serde::de::DeserializeOwned;

use crate::kube_client;

/// One thing a watch says.
#[derive(Clone, Debug)]
pub enum Step<T> {
    /// The object exists and looks like this.
    Is(T),
    /// The object is gone; this is how it last looked.
    Gone(T),
    /// All objects that existed when the watch began have been told.
    Synced,
}

/// An object that knows its `metadata.resourceVersion`.
pub trait Versioned {
    /// The `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
}

/// A watch of one collection.
pub struct Follow<T> {
    client: Client,
    collection: String,
    selector: String,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<T>>>>,
    /// How far it has come; empty until all that existed was told.
    version: String,
}

/// The annotation of the bookmark that ends the first list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl<T> Follow<T>
where
    T: Clone + DeserializeOwned + Versioned + Send + 'static,
{
    /// A watch of `collection` (a path such as `/api/v1/pods`), restricted by `selector` (URL query parameters, encoded).
    pub fn new(client: &Client, collection: &str, selector: &str) -> Self {
        Self {
            client: client.clone(),
            collection: collection.to_owned(),
            selector: selector.to_owned(),
            events: None,
            version: String::new(),
        }
    }

    /// The next step; waits for it.
    ///
    /// # Errors
    /// The API server refuses the watch or has forgotten where it was, or an object does not decode.
    pub async fn next(&mut self) -> Result<Step<T>> {
        loop {
            let mut events = match self.events.take() {
                Some(events) => events,
                None => self.open().await.with_context(|| self.what())?,
            };
            let Some(event) = events.try_next().await.with_context(|| self.what())? else {
                continue;
            };
            self.events = Some(events);
            let (step, version) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let version = object.resource_version().to_owned();
                    (Some(Step::Is(object)), version)
                }
                WatchEvent::Deleted(object) => {
                    let version = object.resource_version().to_owned();
                    (Some(Step::Gone(object)), version)
                }
                WatchEvent::Bookmark(bookmark) => {
                    let first_end = bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END);
                    if first_end {
                        self.version.clone_from(&bookmark.metadata.resource_version);
                    }
                    (first_end.then_some(Step::Synced), bookmark.metadata.resource_version)
                }
                WatchEvent::Error(status) => bail!("{}: {}", self.what(), status.message),
            };
            // The first list comes in no order: its versions say nothing before it has ended.
            if !self.version.is_empty() {
                self.version = version;
            }
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    async fn open(&mut self) -> Result<BoxStream<'static, kube::Result<WatchEvent<T>>>> {
        let from = if self.version.is_empty() {
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned()
        } else {
            format!("resourceVersion={}", self.version)
        };
        // An hour is longer than any measurement.
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds=3600&{from}&{}",
            self.collection, self.selector
        );
        let request = kube_client::request(Method::GET, &path, "", Vec::new())?;
        Ok(self.client.request_events::<T>(request).await?.boxed())
    }

    fn what(&self) -> String {
        format!("the watch of {}", self.collection)
    }
}
