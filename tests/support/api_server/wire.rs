//! HTTP in and out: what a request asks for, and answers.

use std::convert::Infallible;

use bytes::Bytes;
use futures::Stream;
use http::{Method, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::kinds::Kind;
use super::refusal::Refusal;

/// An answer.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Parameters of a request.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }
}

/// What a request is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// As authorizers call it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    pub kind: &'static Kind,
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    pub query: Parameters,
}

impl Target {
    /// Reads method and address.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let query = Parameters(query.into_owned().collect());
        let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::unknown_path()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..] if *plural != "status" && *plural != "finalize" => {
                (*namespace, [&[*plural], rest].concat())
            }
            rest => ("", rest.to_vec()),
        };
        let (plural, name, subresource) = match rest.as_slice() {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return Err(Refusal::unknown_path()),
        };
        let kind = Kind::find(group, version, plural).ok_or_else(Refusal::unknown_path)?;
        let verb = match (method, name.is_empty()) {
            (&Method::GET, true) if query.flag("watch") => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, false) => "update",
            (&Method::PATCH, false) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => return Err(Refusal::not_allowed()),
        };
        Ok(Self {
            verb,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            query,
        })
    }

    /// As `verb resource/subresource`, such as `patch pods/status`.
    pub fn what(&self) -> String {
        match self.subresource.as_str() {
            "" => format!("{} {}", self.verb, self.kind.plural),
            subresource => format!("{} {}/{subresource}", self.verb, self.kind.plural),
        }
    }
}

/// An answer with an object.
pub fn answer(code: u16, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).expect("a status code");
    answer
}

/// A refusal.
pub fn refuse(refusal: &Refusal) -> Answer {
    answer(refusal.code, &refusal.body())
}

/// A stream.
pub fn stream(frames: impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static) -> Answer {
    Response::new(StreamBody::new(frames).boxed_unsync())
}
