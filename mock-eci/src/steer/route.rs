//! What a route is. Each part of steering has its routes in a table of its own; [`super::AREAS`] names the tables. A row is
//! all there is to a route: it is served, listed by `GET /mock/` and described in `docs/steering.md` from there.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::App;

/// A part of steering.
pub(super) struct Area {
    /// Its heading in the documentation.
    pub(super) title: &'static str,
    /// Its routes.
    pub(super) routes: &'static [Route],
}

/// One route.
#[derive(Clone, Copy)]
pub(super) struct Route {
    /// Method.
    pub(super) verb: Verb,
    /// Path; `{..}` stands for any one segment.
    pub(super) path: &'static str,
    /// What it does, in one sentence.
    pub(super) does: &'static str,
    /// Bodies it takes, as examples; the first one shows the most important members.
    pub(super) bodies: &'static [&'static str],
    /// Query parameters it takes, as an example.
    pub(super) query: &'static str,
    /// What carries it out.
    pub(super) run: Run,
}

/// Methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What carries a route out.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// Answers at once.
    Now(fn(&Call<'_>) -> Reply),
    /// Answers once something has been waited for.
    Later(for<'a> fn(&'a Call<'a>) -> BoxFuture<'a, Reply>),
    /// Answers a file that holds no data of the server: anybody may read it.
    File(fn(&Call<'_>) -> Response<Bytes>),
}

impl Route {
    const fn new(verb: Verb, path: &'static str, does: &'static str, run: Run) -> Self {
        Self {
            verb,
            path,
            does,
            bodies: &[],
            query: "",
            run,
        }
    }

    /// A route to read.
    pub(super) const fn get(path: &'static str, does: &'static str, run: fn(&Call<'_>) -> Reply) -> Self {
        Self::new(Verb::Get, path, does, Run::Now(run))
    }

    /// A file to read.
    pub(super) const fn file(path: &'static str, does: &'static str, file: fn(&Call<'_>) -> Response<Bytes>) -> Self {
        Self::new(Verb::Get, path, does, Run::File(file))
    }

    /// A route to change something.
    pub(super) const fn post(path: &'static str, does: &'static str, run: fn(&Call<'_>) -> Reply) -> Self {
        Self::new(Verb::Post, path, does, Run::Now(run))
    }

    /// A route to take something away.
    pub(super) const fn delete(path: &'static str, does: &'static str, run: fn(&Call<'_>) -> Reply) -> Self {
        Self::new(Verb::Delete, path, does, Run::Now(run))
    }

    /// The same, carried out by something that waits.
    pub(super) const fn later(self, run: for<'a> fn(&'a Call<'a>) -> BoxFuture<'a, Reply>) -> Self {
        Self {
            run: Run::Later(run),
            ..self
        }
    }

    /// The same, with examples of its body.
    pub(super) const fn bodies(self, bodies: &'static [&'static str]) -> Self {
        Self { bodies, ..self }
    }

    /// The same, with an example of its query.
    pub(super) const fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    /// What the path's `{..}` stand for in these segments; none = another path.
    pub(super) fn captures<'a>(&self, segments: &[&'a str]) -> Option<Vec<&'a str>> {
        let own: Vec<&str> = segments_of(self.path).collect();
        if own.len() != segments.len() {
            return None;
        }
        let mut captured = Vec::new();
        for (own, given) in own.iter().zip(segments) {
            match own.starts_with('{') {
                true => captured.push(*given),
                false if own == given => {}
                false => return None,
            }
        }
        Some(captured)
    }
}

/// Segments of a path; empty ones do not count.
pub(super) fn segments_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// One request to a route.
pub(super) struct Call<'a> {
    /// The server.
    pub(super) app: &'a App,
    /// The request.
    pub(super) request: &'a Request<Bytes>,
    /// What the path's `{..}` stand for.
    pub(super) captured: Vec<&'a str>,
}

impl Call<'_> {
    /// What the n-th `{..}` of the path stands for.
    pub(super) fn segment(&self, n: usize) -> &str {
        self.captured.get(n).copied().unwrap_or_default()
    }

    /// The body; an empty one counts as `{}`.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let bytes: &[u8] = match self.request.body().is_empty() {
            true => b"{}",
            false => self.request.body(),
        };
        serde_json::from_slice(bytes)
            .map_err(|e| refuse(StatusCode::BAD_REQUEST, format!("the body is not as expected: {e}")))
    }

    /// A query parameter.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.request.uri().query().unwrap_or_default().as_bytes())
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A query parameter that is a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.query(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                refuse(
                    StatusCode::BAD_REQUEST,
                    format!("the query parameter {name} must be a whole number"),
                )
            }),
        }
    }
}

/// An answer's JSON.
pub(super) type Reply = Result<Value, Refusal>;

/// A refusal: status and one sentence.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

pub(super) fn refuse(status: StatusCode, message: impl Into<String>) -> Refusal {
    Refusal(status, message.into())
}

/// A refusal of what was sent.
pub(super) fn bad(message: impl Into<String>) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, message)
}

/// What a method is among those in use.
pub(super) fn verb(method: &Method) -> Option<Verb> {
    match *method {
        Method::GET | Method::HEAD => Some(Verb::Get),
        Method::POST => Some(Verb::Post),
        Method::DELETE => Some(Verb::Delete),
        _ => None,
    }
}
