//! From a request to its answer.

use http::Request;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use super::delete::{self, Deletion, Options};
use super::faults::{Fault, When};
use super::kinds::Kind;
use super::merge;
use super::refusal::Refusal;
use super::select::Selector;
use super::storage::Key;
use super::subresources;
use super::update::{self, Part};
use super::watch;
use super::wire::{Answer, Target, answer, refuse, stream};
use super::{ApiServer, Entry, State};

impl ApiServer {
    /// Answers a request of `who`, if nothing goes wrong with it.
    pub(super) async fn serve(&self, who: &'static str, request: Request<Body>) -> Result<Answer, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let target = match Target::parse(&parts.method, &parts.uri) {
            Ok(target) => target,
            Err(refusal) => return Ok(refuse(&refusal)),
        };
        let fault = {
            let mut state = self.lock();
            if state.away {
                return Ok(refuse(&Refusal::unavailable()));
            }
            let what = target.what();
            if who == super::AGENT {
                state.faults.take(&what)
            } else {
                None
            }
        };
        match &fault {
            Some(Fault::Refused(refusal)) => return Ok(refuse(refusal)),
            Some(Fault::Cut(When::Before)) => return Err("the connection was cut".into()),
            _ => {}
        }
        let content_type = parts
            .headers
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let answered = self.act(who, &target, content_type, &body);
        match fault {
            Some(Fault::Cut(When::After)) => return Err("the connection was cut".into()),
            Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
            _ => {}
        }
        Ok(answered)
    }

    fn act(&self, who: &'static str, target: &Target, content_type: &str, body: &[u8]) -> Answer {
        if target.verb == "watch" {
            return match watch::watch(self, target.kind, &target.namespace, &target.query) {
                Ok(frames) => stream(frames),
                Err(refusal) => refuse(&refusal),
            };
        }
        let now = self.now();
        let mut state = self.lock();
        let version = state.storage.version();
        let body = match body.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(body).map_err(|e| Refusal::bad_request(e.to_string())),
        };
        let result = body.and_then(|body| state.perform(target, content_type, body, now));
        let (code, uid) = match &result {
            Ok((code, object)) => (*code, object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()),
            Err(refusal) => (refusal.code, String::new()),
        };
        let changed = state.storage.version() != version;
        state.log.push(Entry {
            at: now,
            who,
            what: target.what(),
            name: target.name.clone(),
            uid,
            code,
        });
        let newest = state.storage.version();
        drop(state);
        if changed {
            self.changes.send_replace(newest);
        }
        match result {
            Ok((code, object)) => answer(code, &object),
            Err(refusal) => refuse(&refusal),
        }
    }
}

impl State {
    /// Carries out anything but a watch: status code and what is answered.
    fn perform(
        &mut self,
        target: &Target,
        content_type: &str,
        body: Value,
        now: Timestamp,
    ) -> Result<(u16, Value), Refusal> {
        let Target {
            verb,
            kind,
            namespace,
            name,
            subresource,
            query,
        } = target;
        let options = || Options::parse(&body, query.get("gracePeriodSeconds"));
        match (*verb, subresource.as_str()) {
            ("list", "") => return Ok((200, watch::list(&self.storage, kind, namespace, query)?)),
            ("create", "") => return Ok((201, self.create(kind, namespace, body, now)?)),
            ("create", "token") if kind.plural == "serviceaccounts" => {
                return Ok((201, subresources::token(self, namespace, name, body, now)?));
            }
            ("deletecollection", "") => return Ok((200, self.delete_all(target, &options(), now)?)),
            _ => {}
        }
        let old = self.find(kind, namespace, name)?;
        let part = match subresource.as_str() {
            "" => Part::Main,
            "status" if kind.status => Part::Status,
            "binding" if kind.is_pod() && *verb == "create" => {
                return Ok((201, subresources::bind(self, &old, &body, now)?));
            }
            "eviction" if kind.is_pod() && *verb == "create" => {
                return Ok((201, subresources::evict(self, &old, &body, now)?));
            }
            _ => return Err(Refusal::unknown_path()),
        };
        match *verb {
            "get" => Ok((200, old)),
            "update" => Ok((200, self.update(kind, &old, body, part)?)),
            "patch" => {
                let mut new = old.clone();
                match content_type {
                    "application/strategic-merge-patch+json" => merge::strategic(&mut new, &body),
                    "application/merge-patch+json" => merge::merge(&mut new, &body),
                    _ => {
                        let message = "the body of the request was in an unknown format";
                        return Err(Refusal::new(415, "UnsupportedMediaType", message));
                    }
                }
                Ok((200, self.update(kind, &old, new, part)?))
            }
            "delete" => {
                options().check(kind, &old)?;
                Ok((200, self.delete(kind, &old, &options(), now)?))
            }
            _ => Err(Refusal::not_allowed()),
        }
    }

    fn find(&self, kind: &'static Kind, namespace: &str, name: &str) -> Result<Value, Refusal> {
        let found = self.storage.get(&Key::new(kind, namespace, name));
        found
            .map(|o| Value::clone(o))
            .ok_or_else(|| Refusal::not_found(kind, name))
    }

    /// Makes an object.
    pub(super) fn create(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        object: Value,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let namespaces = Kind::of_plural("namespaces");
        if kind.namespaced && self.storage.get(&Key::new(namespaces, "", namespace)).is_none() {
            return Err(Refusal::not_found(namespaces, namespace));
        }
        self.uids += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.uids);
        let object = update::created(kind, object, namespace, uid, now)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.storage.get(&Key::new(kind, namespace, &name)).is_some() {
            return Err(Refusal::already_exists(kind, &name));
        }
        let stored = self.storage.put(kind, object);
        if std::ptr::eq(kind, namespaces) {
            // As the controller of service accounts does in a moment.
            let account = json!({ "metadata": { "name": "default" } });
            self.create(Kind::of_plural("serviceaccounts"), &name, account, now)?;
        }
        Ok(Value::clone(&stored))
    }

    /// Changes an object; nothing is stored where nothing changes.
    pub(super) fn update(
        &mut self,
        kind: &'static Kind,
        old: &Value,
        new: Value,
        part: Part,
    ) -> Result<Value, Refusal> {
        let new = update::updated(kind, old, new, part)?;
        if new == *old {
            return Ok(new);
        }
        let had_finalizers = old["metadata"]["finalizers"].is_array();
        if had_finalizers && delete::is_released(&new) {
            self.storage.remove(kind, &key(kind, &new));
            return Ok(new);
        }
        Ok(Value::clone(&*self.storage.put(kind, new)))
    }

    /// Deletes an object, or begins to.
    pub(super) fn delete(
        &mut self,
        kind: &'static Kind,
        object: &Value,
        options: &Options,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        Ok(match delete::decide(kind, object, options, now) {
            Deletion::Pending => object.clone(),
            Deletion::Marked(marked) => Value::clone(&*self.storage.put(kind, marked)),
            Deletion::MarkedAndGone(marked) => {
                // Watchers see it once more with its last grace period.
                let last = self.storage.put(kind, marked);
                self.storage.remove(kind, &key(kind, object));
                Value::clone(&last)
            }
            Deletion::Gone => {
                self.storage.remove(kind, &key(kind, object));
                object.clone()
            }
        })
    }

    fn delete_all(&mut self, target: &Target, options: &Options, now: Timestamp) -> Result<Value, Refusal> {
        let text = |name: &str| target.query.get(name).unwrap_or_default();
        let selector = Selector::parse(target.kind, text("fieldSelector"), text("labelSelector"))?;
        let all = self
            .storage
            .list(target.kind, &target.namespace)
            .filter(|o| selector.selects(o));
        let all: Vec<Value> = all.map(|o| Value::clone(o)).collect();
        let mut items = Vec::with_capacity(all.len());
        for object in &all {
            items.push(self.delete(target.kind, object, options, now)?);
        }
        let version = self.storage.version().to_string();
        let kind = target.kind;
        Ok(json!({
            "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
            "metadata": { "resourceVersion": version }, "items": items,
        }))
    }
}

fn key(kind: &Kind, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Key::new(kind, text("namespace"), text("name"))
}

/// A client's service for requests of `who`.
pub(super) fn service(
    server: ApiServer,
    who: &'static str,
) -> impl tower::Service<Request<Body>, Response = Answer, Error = BoxError, Future: Send> + Clone + Send {
    tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move { server.serve(who, request).await }
    })
}
