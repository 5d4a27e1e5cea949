//! The status page for people, and what it reads.
//!
//! The page is three files without any data: it reads the JSON routes like every other client, so who may not steer sees
//! nothing but an empty page. It loads nothing from elsewhere and its policy forbids to.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use serde_json::{Value, json};

use super::{Area, Call, Reply, Route, account, clock};
use crate::domain::{ledger::Entry, lifecycle::Status};

/// Most groups one answer shows.
const MAX_SHOWN: u64 = 1_000;
/// What stands for the status of a group that is gone.
const GONE: &str = "gone";

const HTML: &str = include_str!("page/page.html");
const CSS: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What the page may load: its own files and this server's answers, and nothing may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

pub(super) static AREA: Area = Area {
    title: "For people",
    routes: &[
        Route::file("/mock/page.css", "the status page's style", |_| {
            file("text/css; charset=utf-8", CSS)
        }),
        Route::file("/mock/page.js", "the status page's script", |_| {
            file("text/javascript; charset=utf-8", SCRIPT)
        }),
        Route::get("/mock/overview", "figures: groups by status, use, cost so far, calls, faults, time", overview),
        Route::get(
            "/mock/timeline",
            "groups with their statuses over time and their cost, the newest first, those that are gone too; page by page, by status (or `gone`), by text in id, name and tags",
            timeline,
        )
        .query("limit=50&offset=0&status=Running&text=web"),
    ],
};

/// Whether who asks is a browser that shows pages.
pub(super) fn is_wanted(request: &Request<Bytes>) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    accept.is_some_and(|v| v.as_bytes().windows(9).any(|w| w.eq_ignore_ascii_case(b"text/html")))
}

/// The page.
pub(super) fn page() -> Response<Bytes> {
    file("text/html; charset=utf-8", HTML)
}

fn file(kind: &'static str, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn overview(call: &Call<'_>) -> Reply {
    let app = call.app;
    let now = app.clock().now();
    let (mut statuses, mut gone, mut bills) = (BTreeMap::<&str, u64>::new(), 0_u64, 0_u64);
    let (groups, amount, currency, list) = {
        let state = app.cloud().state();
        for entry in state.ledger.newest_first() {
            bills += 1;
            gone += u64::from(entry.removed_at.is_some());
        }
        for group in state.groups() {
            *statuses.entry(group.status.as_str()).or_default() += 1;
        }
        (
            state.len(),
            state.ledger.amount_nano(now),
            state.ledger.currency(),
            state.may_list,
        )
    };
    let rules = app.gate().rules().clone();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"), "region": app.region(),
        "runtime": if app.simulated().is_some() { "simulated groups" } else { "containers of a container engine" },
        "clock": clock::show(app), "usage": account::usage(app), "groups": groups, "gone": gone, "statuses": statuses,
        "cost": { "amount-nano": amount, "currency": currency, "groups": bills },
        "calls": app.journal().count(), "faults": app.faults().planned().len(), "limits": app.enforced(),
        "rights": { "list": list, "denied": rules.denied, "arrears": rules.arrears },
    }))
}

fn timeline(call: &Call<'_>) -> Reply {
    let limit = call.number("limit")?.unwrap_or(50).min(MAX_SHOWN);
    let offset = call.number("offset")?.unwrap_or(0);
    let (status, text) = (call.query("status"), call.query("text").map(|t| t.to_lowercase()));
    let now = call.app.clock().now();
    let state = call.app.cloud().state();
    let (mut total, mut shown) = (0_u64, Vec::new());
    for entry in state.ledger.newest_first() {
        let is_wanted = status.as_deref().is_none_or(|wanted| wanted == status_of(entry))
            && text.as_deref().is_none_or(|text| mentions(entry, text));
        if !is_wanted {
            continue;
        }
        if total >= offset
            && (shown.len() as u64) < limit
            && let Some(bill) = state.ledger.bill(&entry.id, now)
        {
            let mut group = json!(bill);
            group["Status"] = json!(entry.states.last().map(|(status, _)| status));
            shown.push(group);
        }
        total += 1;
    }
    Ok(json!({ "now": now, "total": total, "groups": shown }))
}

fn status_of(entry: &Entry) -> &'static str {
    match entry.removed_at {
        Some(_) => GONE,
        None => entry
            .states
            .last()
            .map_or(GONE, |(status, _): &(Status, _)| status.as_str()),
    }
}

/// Whether an entry has this text (in lower case) in its id, name or tags.
fn mentions(entry: &Entry, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(text);
    has(entry.id.as_str()) || has(&entry.name) || entry.tags.iter().any(|(k, v)| has(k) || has(v))
}

/// What the page shows of one group.
pub(super) fn detail(call: &Call<'_>) -> Reply {
    let now = call.app.clock().now();
    let state = call.app.cloud().state();
    let id = call.segment(0);
    let entry = state.ledger.newest_first().find(|entry| entry.id.as_str() == id);
    let Some((entry, bill)) = entry.and_then(|entry| Some((entry, state.ledger.bill(&entry.id, now)?))) else {
        return Err(super::groups::no_such_group());
    };
    let mut detail: Value = json!(bill);
    detail["Status"] = json!(entry.states.last().map(|(status, _)| status));
    if let Some(group) = state.group(id) {
        super::groups::describe(group, &mut detail);
    }
    Ok(detail)
}
