//! A watch that streams its first list and decodes into whatever type the caller gives it.
//!
//! It does not resume: a measurement whose watch broke is void, so a break is an error.

use anyhow::{Context as _, Result, anyhow};
use futures::{Stream, StreamExt as _};
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

/// The annotation of the bookmark that ends the first list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Watches `collection` (a path such as `/api/v1/pods`), restricted by `selector` (URL query parameters, encoded).
///
/// # Errors
/// The API server refuses the watch. In the stream: the watch broke, or an object does not decode.
pub async fn follow<T>(
    client: &Client,
    collection: &str,
    selector: &str,
) -> Result<impl Stream<Item = Result<Step<T>>> + use<T>>
where
    T: Clone + DeserializeOwned,
{
    // An hour is longer than any measurement.
    let path = format!(
        "{collection}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true\
         &resourceVersionMatch=NotOlderThan&timeoutSeconds=3600&{selector}"
    );
    let request = kube_client::request(Method::GET, &path, "", Vec::new())?;
    let what = format!("the watch of {collection}");
    let events = client.request_events::<T>(request).await.context(what.clone())?;
    Ok(steps(events, what))
}

fn steps<T>(
    events: impl Stream<Item = kube::Result<WatchEvent<T>>>,
    what: String,
) -> impl Stream<Item = Result<Step<T>>> {
    let end = anyhow!("{what} ended");
    let steps = events.filter_map(move |event| {
        let step = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Some(Ok(Step::Is(object))),
            Ok(WatchEvent::Deleted(object)) => Some(Ok(Step::Gone(object))),
            Ok(WatchEvent::Bookmark(bookmark)) => bookmark
                .metadata
                .annotations
                .contains_key(INITIAL_EVENTS_END)
                .then_some(Ok(Step::Synced)),
            Ok(WatchEvent::Error(status)) => Some(Err(anyhow!("{what} failed: {}", status.message))),
            Err(error) => Some(Err(anyhow!(error).context(what.clone()))),
        };
        async { step }
    });
    steps.chain(futures::stream::once(async { Err(end) }))
}
