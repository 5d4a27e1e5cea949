//! The steering API under `/mock/`: what a test does to the cloud that no customer of ECI could.
//!
//! It takes and gives JSON. [`guard`] says who may steer, [`route`] what a route is; the other modules are the routes.
//! To add one, write its handler and its row in the module it belongs to, then
//! `UPDATE_GOLDEN=1 cargo test -p mock-eci --lib steer` writes it into `docs/steering.md`.

mod account;
mod calls;
mod clock;
#[cfg(test)]
mod docs;
mod exec;
mod groups;
mod guard;
pub mod journal;
mod market;
mod page;
mod route;
mod server;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use self::route::{Area, Call, Refusal, Reply, Route, Run, bad, refuse, segments_of, verb};
use crate::{
    api::response,
    app::{App, Peer},
};

/// Everything that can be steered.
static AREAS: &[&Area] = &[
    &server::AREA,
    &clock::AREA,
    &calls::AREA,
    &account::AREA,
    &market::AREA,
    &groups::AREA,
    &exec::AREA,
    &page::AREA,
];

fn routes() -> impl Iterator<Item = &'static Route> {
    AREAS.iter().flat_map(|area| area.routes)
}

/// Answers one request under `/mock/`.
pub(crate) async fn handle(app: &App, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
    let mut response = answer(app, request, peer).await;
    let headers = response.headers_mut();
    for (name, value) in PROTECTION {
        headers.entry(name).or_insert(value);
    }
    response
}

/// For browsers: no answer is data, markup or script of another site, and none is kept.
const PROTECTION: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

async fn answer(app: &App, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
    let path = request.uri().path();
    let segments: Vec<&str> = segments_of(path).collect();
    if segments == ["mock"] && *request.method() == Method::GET && page::is_wanted(&request) {
        return page::page();
    }
    let known: Vec<_> = routes()
        .filter_map(|route| Some((route, route.captures(&segments)?)))
        .collect();
    let asked = verb(request.method());
    let Some((route, captured)) = known.iter().find(|(route, _)| Some(route.verb) == asked) else {
        return match guard::check(app, &request, peer) {
            Ok(()) => no_such_route(&known),
            Err(refusal) => refused(&refusal),
        };
    };
    let call = Call {
        app,
        request: &request,
        captured: captured.clone(),
    };
    let reply = match (route.run, guard::check(app, &request, peer)) {
        (Run::File(file), _) => return file(&call),
        (_, Err(refusal)) => Err(refusal),
        (Run::Now(run), Ok(())) => run(&call),
        (Run::Later(run), Ok(())) => run(&call).await,
    };
    match reply {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(refusal) => refused(&refusal),
    }
}

/// The answer where a request came to the wrong listener.
pub(crate) fn not_here() -> Response<Bytes> {
    refused(&refuse(
        StatusCode::NOT_FOUND,
        "the API and steering listen at different addresses here (--listen, --steering-listen)",
    ))
}

fn no_such_route(other_methods: &[(&Route, Vec<&str>)]) -> Response<Bytes> {
    if other_methods.is_empty() {
        return refused(&refuse(
            StatusCode::NOT_FOUND,
            "there is no such route; GET /mock/ lists them",
        ));
    }
    let allowed: Vec<&str> = other_methods.iter().map(|(route, _)| route.verb.as_str()).collect();
    let allowed = allowed.join(", ");
    let mut response = refused(&refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this route takes {allowed}"),
    ));
    if let Ok(value) = allowed.parse() {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn refused(Refusal(status, message): &Refusal) -> Response<Bytes> {
    json_response(*status, &json!({ "error": message }))
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    response::json(status, serde_json::to_vec(body).unwrap_or_default().into())
}
