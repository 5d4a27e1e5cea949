//! Lists in pages, and watches: from a version on, or with the list itself as the first events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::{Stream, stream};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::ApiServer;
use super::kinds::Kind;
use super::refusal::Refusal;
use super::select::Selector;
use super::storage::{Change, Storage};
use super::wire::Parameters;

/// How often a watch that asked for bookmarks gets one.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// Where the first list of a watch ends.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// One page of objects.
pub fn list(storage: &Storage, kind: &'static Kind, namespace: &str, query: &Parameters) -> Result<Value, Refusal> {
    let selector = selector(kind, query)?;
    let limit: usize = query.number("limit").unwrap_or_default();
    let (version, after) = match query.get("continue").filter(|c| !c.is_empty()) {
        Some(token) => read_token(token)?,
        None => (storage.version(), String::new()),
    };
    let objects = storage.list_at(kind, namespace, version).ok_or_else(|| {
        Refusal::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
             the continue parameter.",
        )
    })?;
    let selected = objects.into_iter().filter(|o| selector.selects(o));
    let mut rest: Vec<Arc<Value>> = selected.filter(|o| place(o) > after).collect();
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if limit > 0 && rest.len() > limit {
        let left = rest.split_off(limit);
        let last = rest.last().map(|o| place(o)).unwrap_or_default();
        metadata["continue"] = json!(write_token(version, &last));
        if selector.is_empty() {
            metadata["remainingItemCount"] = json!(left.len());
        }
    }
    let items: Vec<&Value> = rest.iter().map(|o| &**o).collect();
    Ok(
        json!({ "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items }),
    )
}

fn selector(kind: &Kind, query: &Parameters) -> Result<Selector, Refusal> {
    let text = |name: &str| query.get(name).unwrap_or_default();
    Selector::parse(kind, text("fieldSelector"), text("labelSelector"))
}

/// By which objects are sorted; never empty.
fn place(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

fn write_token(version: u64, last: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json!({ "v": "meta.k8s.io/v1", "rv": version, "start": last }).to_string())
}

fn read_token(token: &str) -> Result<(u64, String), Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    let token: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match (token["rv"].as_u64(), token["start"].as_str()) {
        (Some(version), Some(start)) => Ok((version, start.to_owned())),
        _ => Err(Refusal::bad_request("continue key is not valid")),
    }
}

/// A watch under way.
struct Watch {
    server: ApiServer,
    kind: &'static Kind,
    namespace: String,
    selector: Selector,
    changes: Receiver<u64>,
    /// Lines to send first.
    first: VecDeque<Value>,
    /// The version up to which all was sent.
    seen: u64,
    /// It ends after these lines.
    over: bool,
    /// Which of the server's watches it belongs to: earlier ones were closed.
    era: u64,
    next_bookmark: Option<Instant>,
    deadline: Option<Instant>,
}

/// Streams changes.
pub fn watch(
    server: &ApiServer,
    kind: &'static Kind,
    namespace: &str,
    query: &Parameters,
) -> Result<impl Stream<Item = Result<Frame<Bytes>, Infallible>> + use<>, Refusal> {
    let selector = selector(kind, query)?;
    let state = server.lock();
    let storage = &state.storage;
    let initial = query.flag("sendInitialEvents");
    if initial && query.get("resourceVersionMatch") != Some("NotOlderThan") {
        let message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        let mut refusal = Refusal::new(
            422,
            "Invalid",
            format!("ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: {message}"),
        );
        refusal.details = json!({ "causes": [{ "reason": "FieldValueForbidden", "message": message, "field": "sendInitialEvents" }] });
        return Err(refusal);
    }
    let bookmarks = query.flag("allowWatchBookmarks");
    let asked: u64 = query.number("resourceVersion").unwrap_or_default();
    let mut watch = Watch {
        server: server.clone(),
        kind,
        namespace: namespace.to_owned(),
        changes: server.changes.subscribe(),
        first: VecDeque::new(),
        seen: asked,
        over: false,
        era: state.era,
        next_bookmark: bookmarks.then(|| Instant::now() + BOOKMARKS),
        deadline: query
            .number("timeoutSeconds")
            .map(|s| Instant::now() + Duration::from_secs(s)),
        selector,
    };
    if initial || asked == 0 {
        let now = storage.list(kind, namespace).filter(|o| watch.selector.selects(o));
        watch.first = now.map(|o| json!({ "type": "ADDED", "object": **o })).collect();
        watch.seen = storage.version();
        if initial && bookmarks {
            let mut end = bookmark(kind, watch.seen);
            end["object"]["metadata"]["annotations"] = json!({ INITIAL_END: "true" });
            watch.first.push_back(end);
        }
    } else if asked < storage.forgotten() {
        let refusal = Refusal::too_old(asked, storage.forgotten());
        watch
            .first
            .push_back(json!({ "type": "ERROR", "object": refusal.body() }));
        watch.over = true;
    }
    drop(state);
    Ok(stream::unfold(watch, async |mut watch| {
        let line = watch.next().await?;
        // The type first, as the real one writes it.
        let line = format!("{{\"type\":{},\"object\":{}}}\n", line["type"], line["object"]);
        Some((Ok(Frame::data(Bytes::from(line))), watch))
    }))
}

fn bookmark(kind: &Kind, version: u64) -> Value {
    let object =
        kind.typed(json!({ "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null } }));
    json!({ "type": "BOOKMARK", "object": object })
}

impl Watch {
    async fn next(&mut self) -> Option<Value> {
        if let Some(line) = self.first.pop_front() {
            return Some(line);
        }
        if self.over {
            return None;
        }
        loop {
            if let Some(line) = self.next_change()? {
                return Some(line);
            }
            let never = Instant::now() + Duration::from_secs(1 << 30);
            let (deadline, due) = (self.deadline.unwrap_or(never), self.next_bookmark.unwrap_or(never));
            tokio::select! {
                biased;
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep_until(deadline) => return None,
                () = tokio::time::sleep_until(due) => {
                    self.next_bookmark = Some(Instant::now() + BOOKMARKS);
                    return Some(bookmark(self.kind, self.seen));
                }
            }
        }
    }

    /// The next event there is (`Some(Some)`), or none yet; `None` = the watch was closed.
    fn next_change(&mut self) -> Option<Option<Value>> {
        let state = self.server.lock();
        if state.era != self.era {
            return None;
        }
        while let Some(change) = state.storage.next(self.kind, self.seen) {
            self.seen = change.version;
            let here = self.namespace.is_empty() || change.object["metadata"]["namespace"] == *self.namespace;
            if let Some(event) = event(change, &self.selector).filter(|_| here) {
                return Some(Some(event));
            }
        }
        self.seen = self.seen.max(state.storage.version());
        Some(None)
    }
}

/// A change as a watch with this selector sees it: what no longer fits is gone, what fits from now on is new.
fn event(change: &Change, selector: &Selector) -> Option<Value> {
    let before = change.before.as_ref().is_some_and(|o| selector.selects(o));
    let now = !change.deleted && selector.selects(&change.object);
    let type_ = match (before, now) {
        (false, false) => return None,
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
    };
    Some(json!({ "type": type_, "object": *change.object }))
}
