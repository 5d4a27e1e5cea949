//! What happens to a request before its route: its path is looked up, its client known and allowed. In a kubelet's order.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt as _;

use super::paths::{self, Found, Here, Route};
use super::{KubeletApi, plain};
use crate::kubelet::auth::Peer;

/// What a kubelet's router says of a path that it does not know.
pub(super) const NO_ROUTE: (StatusCode, &str) = (StatusCode::NOT_FOUND, "404: Page Not Found");

/// Answers a request, or lets a route do it.
pub(super) async fn admit(api: KubeletApi, peer: Peer, routes: Router, request: Request) -> Response {
    let label = label(request.uri().path());
    let metrics = api.metrics.clone();
    let response = answer(api, peer, routes, request).await;
    metrics
        .kubelet_requests
        .with_label_values(&[label, response.status().as_str()])
        .inc();
    response
}

async fn answer(api: KubeletApi, peer: Peer, routes: Router, mut request: Request) -> Response {
    let Here { path, route } = match paths::find(request.uri().path(), request.method().as_str()) {
        Found::Here(here) => here,
        Found::Malformed => return plain(400, "400 Bad Request"),
        Found::Moved(to) => return moved(&to, &request),
        Found::Nowhere => return refused(404, "404 page not found\n"),
    };
    if let Err(refusal) = allow(&api, &peer, &path, &mut request).await {
        tracing::debug!(%refusal, path, "kubelet API refused");
        return plain(refusal.code(), refusal.to_string());
    }
    match route {
        Route::None => NO_ROUTE.into_response(),
        Route::OtherMethods(methods) => {
            let mut response = plain(405, "405: Method Not Allowed");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static(methods));
            response
        }
        Route::Goes { path, any_method } => {
            if any_method {
                *request.method_mut() = Method::GET;
            }
            let Some(uri) = with_query(&path, request.uri()) else {
                return NO_ROUTE.into_response();
            };
            *request.uri_mut() = uri;
            match routes.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    }
}

async fn allow(
    api: &KubeletApi,
    peer: &Peer,
    path: &str,
    request: &mut Request,
) -> Result<(), crate::kubelet::auth::Refusal> {
    let user = api.auth.authenticate(peer, request.headers_mut()).await?;
    api.auth.authorize(&user, request.method(), path).await?;
    tracing::debug!(user = user.name, method = %request.method(), path, "kubelet API");
    Ok(())
}

/// By the first word, from a list: a metric must not take names from clients.
fn label(path: &str) -> &'static str {
    const KNOWN: [&str; 13] = [
        "attach",
        "checkpoint",
        "configz",
        "containerLogs",
        "debug",
        "exec",
        "healthz",
        "logs",
        "metrics",
        "pods",
        "portForward",
        "runningpods",
        "stats",
    ];
    let word = path.split('/').nth(1).unwrap_or_default();
    KNOWN.into_iter().find(|known| *known == word).unwrap_or("other")
}

fn with_query(path: &str, uri: &Uri) -> Option<Uri> {
    match uri.query() {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

/// (Built with a Go before 1.26, a kubelet says 301 instead, which makes a GET of a POST.)
fn moved(to: &str, request: &Request) -> Response {
    let to = match request.uri().query() {
        Some(query) => format!("{to}?{query}"),
        None => to.to_owned(),
    };
    let shown = to
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;");
    let body = match *request.method() {
        Method::GET => format!("<a href=\"{shown}\">Temporary Redirect</a>.\n\n"),
        _ => String::new(),
    };
    let Ok(location) = HeaderValue::from_str(&to) else {
        return plain(400, "400 Bad Request");
    };
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [(header::LOCATION, location), (header::CONTENT_TYPE, html)];
    (StatusCode::TEMPORARY_REDIRECT, headers, body).into_response()
}

/// An error of Go's own kind.
pub(super) fn refused(code: u16, text: &'static str) -> Response {
    let mut response = plain(code, text);
    response.headers_mut().insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}
